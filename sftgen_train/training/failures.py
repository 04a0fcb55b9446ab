"""Failures beside a training: each kind is said once, each step is recorded, and training goes on."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence

from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.shards import ShardError

logger = logging.getLogger(__name__)

_LONGEST = 500
"""Characters of a reason that are kept."""
_DIFFERS = re.compile(r"\d+|(?<=json\.)\w+")
"""What differs in the texts of one failure at two steps: numbers, and names of temporary files."""


class Failures:
    """What failed while the evaluation of a training was prepared, made or written down."""

    def __init__(self, run: RunFolder, tasks: Sequence[str], *, first: bool) -> None:
        """Keep failures for a run directory.

        Args:
            run: The run directory.
            tasks: The tasks that a failed step has no scores of.
            first: Whether this is the first of the processes: it says and records what all of them know.
        """
        self._run, self._tasks, self._first = run, list(tasks), first
        self._said: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        self._unwritten: dict[int, str] = {}

    def report(self, doing: str, step: int, error: Exception, *, missing: bool = True) -> None:
        """Say what failed, the first time it does, and record that the step has no scores.

        Args:
            doing: What failed, as a noun.
            step: The training step.
            error: What was raised.
            missing: Whether the step has no scores for it.
        """
        if isinstance(error, ShardError) and not self._first:
            return  # every process raises it, the first one reports it
        reason = f"{type(error).__name__}: {error}"[:_LONGEST]
        same = str(getattr(error, "errno", None) or _DIFFERS.sub("", reason))
        steps = self._said[doing, type(error).__name__, same]
        if not steps:
            logger.warning("%s at step %d failed, training goes on. %s", doing, step, reason)
        if step not in steps:
            steps.append(step)
        if missing and self._first:
            self._unwritten[step] = reason
        self.write()

    def write(self) -> None:
        """Record the failures that could not be recorded before, for example on a full disk."""
        for step, reason in list(self._unwritten.items()):
            try:
                self._run.add_failure(step, self._tasks, reason)
            except Exception:  # it is tried again at the next failure, and at the end
                return
            del self._unwritten[step]

    def close(self) -> None:
        """At the end of a training: what is not recorded yet, and a line on each kind that came several times."""
        self.write()
        for (doing, error, _), steps in self._said.items():
            if len(steps) > 1:
                logger.warning(
                    "%s failed with %s at %d steps: %s", doing, error, len(steps), ", ".join(map(str, steps))
                )
        self._said.clear()
