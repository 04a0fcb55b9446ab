"""What `sftgen study report` does: read what is there, judge the claims, write the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sftgen_train.report.html import write_report
from sftgen_train.report.own import report_of
from sftgen_train.study.claims import Judged, judge_claims
from sftgen_train.study.parts import parts_of
from sftgen_train.study.report import write_study
from sftgen_train.study.results import StudyResult, results_of
from sftgen_train.study.schema import Study


@dataclass(frozen=True)
class Reported:
    """A study that was read and written down.

    Attributes:
        found: What came of it.
        judged: Its claims.
        page: The page.
        runs: Every run that is there, the first seed of each arm first.
    """

    found: StudyResult
    judged: list[Judged]
    page: Path
    runs: tuple[Path, ...]


def report_study(study: Study, file: Path, folder: Path) -> Reported:
    """Read what came of a study, and write its page beside those of its runs.

    Args:
        study: The study.
        file: Its file.
        folder: Where its parts are.

    Raises:
        StudyError: No run has ended.
        SftgenError: The records of a run cannot be read.
    """
    found = results_of(study, parts_of(study, file, folder))
    judged = judge_claims(study.claims, found, study.delta)
    for arm in found.arms:
        for run in arm.runs:
            if _is_older(run / "report.html"):
                write_report(report_of([run]))
    page = write_study(study, found, judged, folder / "report")
    runs = sorted((place, run) for arm in found.arms for place, run in enumerate(arm.runs))
    order = [run for first in range(max(len(arm.runs) for arm in found.arms)) for place, run in runs if place == first]
    return Reported(found, judged, page, tuple(order))


def _is_older(page: Path) -> bool:
    """Whether a run's page is missing, or older than a file beside it."""
    if not page.is_file():
        return True
    written = page.stat().st_mtime_ns
    return any(file.stat().st_mtime_ns > written for file in page.parent.iterdir() if file.is_file())
