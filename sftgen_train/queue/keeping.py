"""Which evaluated checkpoints of a run stay, by a rule that needs to know the others."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.retention import WORDS, Rule
from sftgen_train.queue.entries import STATES, Queue
from sftgen_train.queue.progress import training_goes_on
from sftgen_train.queue.steps import parse_steps
from sftgen_train.report.trajectories import last_step, trajectory


def parse_keep(text: str) -> Collection[int] | Rule:
    """`10,20`, `all`, `log2` or `verdict`.

    Raises:
        ScheduleError: The text has another form.
    """
    return Rule.of(next(word for word in WORDS if word == text)) if text in WORDS else parse_steps(text)


def kept_steps(queue: Queue, rule: Rule) -> set[int]:
    """The steps of a queue that stay, as far as its entries and results tell now."""
    steps = {entry.step for state in STATES for entry in queue.entries(state)}
    left = queue.entries("waiting") or queue.entries("running") or queue.unreadable() or training_goes_on(queue)
    return rule.kept(steps, lambda: None if left else steps_of_verdict(queue.run))


def steps_of_verdict(run: Path) -> set[int] | None:
    """The steps that the verdicts of a run are about: the lowest of each task, its end, and steps shown to dip.

    Returns:
        None while a verdict is not in: the run has more steps, or nothing says where it ends.
    """
    folder = RunFolder(run)
    if not folder.metrics.exists() or last_step(folder.manifest(), run) is None:
        return None
    verdicts = [verdict for found in trajectory(run) for verdict in found.tasks]
    if not verdicts or any(verdict.so_far or verdict.lowest is None for verdict in verdicts):
        return None
    return {
        step
        for verdict in verdicts
        for step in (verdict.base, verdict.lowest, *verdict.end_steps, *verdict.dips)
        if step is not None
    }
