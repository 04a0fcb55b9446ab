"""What a task was evaluated on: documents for the manifest, samples for diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sftgen_judges.plugins.contracts import Item, Sample
from sftgen_judges.records.provenance import provenance
from sftgen_judges.records.schema import GenerationRecord, Verdict, content_hash, doc_hash
from sftgen_judges.records.store import Recording, managed, plain, read_manifest, write_manifest
from sftgen_tasks.data.documents import Loaded
from sftgen_tasks.data.rows import digest

# What of lm_eval's metadata decides how documents are loaded and responses are read.
OPTIONS = ("data_dir", "subset", "docs_seed", "docs_size", "think_markers", "think_prefilled", "judge")


def as_samples(
    run: Recording, task: str, items: Sequence[Sequence[Item]], verdicts: Sequence[Sequence[Verdict]]
) -> list[Sample]:
    """Responses and verdicts as diagnostics read them."""
    return [
        Sample(task, run.step, doc_hash(item.doc), repeat, item.response, verdict)
        for of_doc, judged in zip(items, verdicts, strict=True)
        for repeat, (item, verdict) in enumerate(zip(of_doc, judged, strict=True))
    ]


def record_documents(
    run: Recording, loaded: Loaded, docs: Sequence[Mapping[str, Any]], records: Sequence[GenerationRecord]
) -> None:
    """Write into the manifest what a task was evaluated on, and how to load it again.

    Args:
        run: Whose manifest.
        loaded: Where the task's documents come from.
        docs: Those that were asked.
        records: The generations, which know their prompts and chat template.
    """
    manifest = read_manifest(run.folder)
    known = manifest.get("documents", {})
    options = {name: loaded.metadata[name] for name in (*OPTIONS, loaded.task) if name in loaded.metadata}
    facts = plain(
        {
            "origin": loaded.origin,
            "n": len(docs),
            "sha256": digest(docs),
            "prompts_sha256": content_hash(sorted({record.prompt_hash for record in records})),
            "template_sha256": next((record.template_hash for record in records), None),
            "options": options,
        }
    )
    if known.get(loaded.task) != facts:
        # A run that is scored again was made by another command, perhaps on another machine.
        begins = not managed() or not manifest
        write_manifest(run.folder, manifest | (provenance() if begins else {}), documents={**known, loaded.task: facts})
