"""What a task was evaluated on, for the manifest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sftgen_judges.records.current import Recording, managed
from sftgen_judges.records.schema import GenerationRecord, content_hash
from sftgen_tasks.data.documents import Loaded
from sftgen_tasks.harness.categories import KEY, declared

# What of lm_eval's metadata decides how documents are loaded and responses are read.
OPTIONS = (
    *("data_dir", "subset", "docs_seed", "docs_size", "think_markers", "think_prefilled", "judge", "judge_unclosed"),
    *("prompts", "paper_prompts"),
)
FILES = ("data_dir", "subset", "paper_prompts")
"""Those of them that are paths."""


def several_ranks() -> bool:
    """Whether lm_eval may share a task between processes, of which each sees its own documents only."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1


def record_documents(
    run: Recording,
    loaded: Loaded,
    records: Iterable[GenerationRecord],
    unknown_markers: Mapping[str, int],
    *,
    others: bool = False,
) -> None:
    """Write into the manifest what a task was evaluated on, and how to load it again.

    Args:
        run: Whose manifest.
        loaded: Where the task's documents come from.
        records: The generations, which know their documents, prompts and chat template.
        unknown_markers: What many responses begin with, and how many, that looks like a marker of thinking.
        others: Whether other processes have documents too. Their records are read from the run, so that the last
            process writes all of them.
    """
    known = list(records)
    if others:
        known += run.folder.read_generations(loaded.task, run.model)
    docs = sorted({record.doc_hash for record in known})
    facts = {
        "origin": loaded.origin,
        "n": len(docs),
        "of": loaded.total,
        "sha256": content_hash(docs),
        "prompts_sha256": content_hash(sorted({record.prompt_hash for record in known})),
        "template_sha256": next((record.template_hash for record in known), None),
        **({KEY: about} if (about := declared(loaded.metadata)) else {}),
        **({"prompts": dict(loaded.prompts)} if loaded.prompts else {}),
        **({"unknown_markers": dict(unknown_markers)} if unknown_markers else {}),
        "options": {
            name: _from_anywhere(loaded.metadata[name]) if name in FILES else loaded.metadata[name]
            for name in (*OPTIONS, loaded.task)
            if name in loaded.metadata
        },
    }
    # A run that is scored again was made by another command, perhaps on another machine.
    run.folder.add_documents(loaded.task, facts, begins=not managed())


def _from_anywhere(path: Any) -> Any:
    """A path that is found from another folder too."""
    return str(Path(path).expanduser().absolute()) if path and isinstance(path, str | Path) else path
