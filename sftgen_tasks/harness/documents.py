"""What a task was evaluated on: documents for the manifest, samples for diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sftgen_judges.plugins.contracts import Grader, Item, Judge, Sample
from sftgen_judges.records.current import Recording, managed
from sftgen_judges.records.schema import GenerationRecord, Response, Verdict, content_hash, doc_hash, sampling_id
from sftgen_tasks.data.documents import Loaded, name_of
from sftgen_tasks.data.rows import digest

# What of lm_eval's metadata decides how documents are loaded and responses are read.
OPTIONS = ("data_dir", "subset", "docs_seed", "docs_size", "think_markers", "think_prefilled", "judge")


def as_samples(
    run: Recording,
    loaded: Loaded,
    scorer: Grader | Judge,
    *,
    items: Sequence[Sequence[Item]],
    verdicts: Sequence[Sequence[Verdict]],
    records: Sequence[Sequence[GenerationRecord | None]],
) -> list[Sample]:
    """Responses and verdicts as diagnostics read them.

    Args:
        run: Under which step and model they are recorded.
        loaded: Where the task's documents come from.
        scorer: What graded them.
        items: For each document, its responses, one a repeat.
        verdicts: The same shape, what was said of each.
        records: The same shape, what was written down of each, None where nothing was.
    """
    samples = []
    for of_doc, judged, kept in zip(items, verdicts, records, strict=True):
        doc = of_doc[0].doc if of_doc else {}
        hashed, named = doc_hash(doc), name_of(doc, loaded.id_column)
        for repeat, (item, verdict, record) in enumerate(zip(of_doc, judged, kept, strict=True)):
            thinking, answer = _lengths(item.response, run.count)
            samples.append(
                Sample(
                    loaded.task, run.step, hashed, repeat, item.response, verdict,
                    model=record.model if record else run.model,
                    sampling_id=sampling_id(record.sampling) if record else None,
                    doc_id=named, thinking_tokens=thinking, answer_tokens=answer,
                    scorer=scorer.name, evaluation_version=scorer.version,
                )
            )  # fmt: skip
    return samples


def _lengths(response: Response, count: Callable[[str], int] | None) -> tuple[int | None, int | None]:
    """Tokens of the thinking, markers included, and of the answer.

    Only a response with both is counted again, by its answer, which is the shorter part.
    """
    if response.tokens is None:
        return None, None
    if response.think == "none":
        return 0, response.tokens
    if not response.answer:
        return response.tokens, 0
    if count is None:
        return None, None
    answer = min(count(response.answer), response.tokens)
    return response.tokens - answer, answer


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
    options = {name: loaded.metadata[name] for name in (*OPTIONS, loaded.task) if name in loaded.metadata}
    facts = {
        "origin": loaded.origin,
        "n": len(docs),
        "sha256": digest(docs),
        "prompts_sha256": content_hash(sorted({record.prompt_hash for record in records})),
        "template_sha256": next((record.template_hash for record in records), None),
        "options": options,
    }
    # A run that is scored again was made by another command, perhaps on another machine.
    run.folder.add_documents(loaded.task, facts, begins=not managed())
