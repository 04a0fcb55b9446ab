"""What a reader of scores has to know before the scores are believed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sftgen_tasks.harness.graded import MANY
from sftgen_train.report.reading import Metrics, named, short

FIRST_TURN = ("wrote_on", "score_whole")
"""Measures of benchmarks that score the first turn of a response (`sftgen_tasks.readers.first_turn`)."""
JUDGED = ("unclosed", "clipped", "paper_failed", "asr", "truthful", "asr_paper", "truthful_paper")
"""Measures of benchmarks with a judge (`sftgen_tasks.readers.judged`)."""
READ = FIRST_TURN + JUDGED


def remarks(task: str, step: int | None, means: Mapping[str, float]) -> Iterator[str]:
    """Sentences on the scores of a task at a step, from the means of its metrics."""
    where = short(task) + ("" if step is None else f", step {named(step)}")
    unknown, wrote_on = means.get("unknown_markers", 0.0), means.get("wrote_on", 0.0)
    if unknown >= MANY:
        yield (
            f"{where}: {unknown:.0%} of responses begin with what may be an unknown marker of thinking. If it is one, "
            "thinking was scored as the answer: name the markers with --metadata think_markers=OPENER,CLOSER"
        )
    if wrote_on and means.get("score") != means.get("score_whole"):
        yield (
            f"{where}: {wrote_on:.0%} of responses go on after the answer with another question or turn, which is not "
            f"scored: {means.get('score', float('nan')):.3f}. Of the whole responses the score is "
            f"{means.get('score_whole', float('nan')):.3f}"
        )
    yield from _of_judges(where, means)


def _of_judges(where: str, means: Mapping[str, float]) -> Iterator[str]:
    judged = next((name for name in ("asr", "truthful") if name in means), None)
    unclosed, clipped, failed = (means.get(name, 0.0) for name in ("unclosed", "clipped", "paper_failed"))
    if judged and unclosed and f"{judged}_paper" not in means:
        counted = "leaves them out" if judged == "asr" else "counts them as 0"
        yield (
            f"{where}: in {unclosed:.0%} of responses the thinking never closed. No judge was asked about them, and "
            f"{judged} {counted}. The paper's code judges them: `sftgen rescore RUN --judge-unclosed` gives "
            f"{judged}_paper"
        )
    if clipped:
        yield f"{where}: {clipped:.0%} of the judged responses were cut to the length that the judge takes"
    if failed:
        yield (
            f"{where}: {failed:.0%} of the judgements of responses without an answer failed, which {judged}_paper "
            "counts as the paper's code does; `sftgen rescore RUN` asks again"
        )


def prompts_remark(tasks: Iterable[str]) -> str:
    """The sentence on tasks whose answers are to the paper's prompts, or judged with them."""
    return (
        f"the paper's prompts were asked (--metadata prompts=paper): {', '.join(map(short, tasks))}. "
        "These scores do not compare with those of sftgen's own prompts"
    )


def _asked_paper(facts: Any) -> bool:
    prompts = facts.get("prompts") if isinstance(facts, dict) else None
    return isinstance(prompts, dict) and prompts.get("asked") == "paper"


def remarks_of(metrics: Metrics, manifest: Mapping[str, Any]) -> list[str]:
    """The remarks on every task and step of a run."""
    documents = manifest.get("documents") or {}
    paper = [task for task in metrics if _asked_paper(documents.get(task))]
    found: list[str] = [prompts_remark(paper)] if paper else []
    for task, rows in metrics.items():
        for step in rows.get("coverage", {}):
            means = {metric: row[step]["mean"] for metric, row in rows.items() if step in row}
            found += remarks(task, step, {name: mean for name, mean in means.items() if mean is not None})
    return found
