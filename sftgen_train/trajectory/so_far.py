"""A curve that is not finished: what can be said so far, however often it is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sftgen_train.trajectory.alignment import Curves
from sftgen_train.trajectory.anytime import anytime_half_width
from sftgen_train.trajectory.claims import SIGNIFICANCE, Verdict
from sftgen_train.trajectory.flips import against, pool, rows_of, standard_errors


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: The last step that was evaluated.
        of: The last step that will be.
        planned: Steps after the base that will be evaluated in all.
        waiting: Checkpoints that wait for their evaluation; None where nobody knows.
    """

    step: int
    of: int
    planned: int
    waiting: int | None = None

    def sentence(self) -> str:
        """In words."""
        text = f"so far, step {self.step} of {self.of}"
        if self.waiting:
            text += f"; {self.waiting} checkpoint{'s wait' if self.waiting > 1 else ' waits'}"
        return text


def so_far(verdict: Verdict, tasks: Sequence[Curves], progress: Progress) -> Verdict:
    """What stands of a verdict while the run goes on.

    Tests and limits are for one look at a finished run. Here changes from the base have anytime-valid intervals, which
    hold at every look for all planned steps together; a step dips where its interval is below 0. Nothing is said of
    the end.

    Args:
        verdict: What the finished run would be called.
        tasks: The curves it is about.
        progress: How far the run is.
    """
    if verdict.base is None or len(verdict.points) < 2:
        return replace(verdict, so_far=progress.sentence())
    same = tuple(point.step for point in verdict.points)
    places = [[curves.steps.index(step) for step in same] for curves in tasks]
    rows = pool(
        [rows_of(curves.values[:, columns], curves.clusters) for curves, columns in zip(tasks, places, strict=True)]
    )
    start = same.index(verdict.base)
    count = len(rows)
    deviations = standard_errors(rows, against(start, len(same))) * np.sqrt(count)
    # Where all documents changed alike, as if one more, that changed by 1 beside them, had been asked.
    deviations[deviations == 0] = np.sqrt(count) / (count + 1)
    # As many units as there would be with all documents.
    fullest = sum(max(curves.counts) for curves in tasks)
    planned = max(count, round(count * fullest / max(1, verdict.shared)))
    intervals = max(progress.planned, len(same) - 1)
    points = list(verdict.points)
    for place, deviation in enumerate(deviations, start + 1):
        half = anytime_half_width(
            float(deviation), count, planned=planned, intervals=intervals, confidence=1 - SIGNIFICANCE
        )
        point = points[place]
        points[place] = replace(point, change_low=point.change - half, change_high=point.change + half)
    dips = tuple(point.step for point in points[start + 1 :] if point.change_high < 0)
    return replace(
        verdict,
        points=tuple(points),
        dips=dips,
        rises=tuple(point.step for point in points[start + 1 :] if point.change_low > 0),
        end="cannot tell",
        why="the run goes on",
        end_low=points[-1].change_low,
        end_high=points[-1].change_high,
        needed=None,
        fall=None,
        p={},
        over_tasks={},
        so_far=progress.sentence(),
    )
