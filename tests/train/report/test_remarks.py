"""What a reader of scores is told beside them."""

from __future__ import annotations

import pytest
from rich.console import Console

from sftgen_tasks import TaskResult
from sftgen_train.report.remarks import remarks
from sftgen_train.report.terminal import print_scores

UNKNOWN = "23% of responses begin with what may be an unknown marker of thinking"
WROTE_ON = "82% of responses go on after the answer with another question or turn, which is not scored: 0.520"


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ({"score": 0.5}, []),
        ({"score": 0.5, "unknown_markers": 0.09}, []),
        ({"score": 0.5, "unknown_markers": 0.23}, [UNKNOWN]),
        ({"score": 0.52, "wrote_on": 0.82, "score_whole": 0.276}, [WROTE_ON]),
        ({"score": 0.5, "wrote_on": 0.01, "score_whole": 0.5}, []),
        ({"score": 0.52, "wrote_on": 0.82, "score_whole": 0.276, "unknown_markers": 0.23}, [UNKNOWN, WROTE_ON]),
        ({}, []),
        (
            {"asr": 0.5, "unclosed": 0.4},
            ["in 40% of responses the thinking never closed. No judge was asked about them"],
        ),
        ({"truthful": 0.5, "unclosed": 0.4, "truthful_paper": 0.4}, []),
        ({"score": 0.5, "unclosed": 0.4}, []),
        (
            {"truthful": 0.5, "clipped": 0.1},
            ["10% of the judged responses were cut to the length that the judge takes"],
        ),
        ({"asr": 0.5, "paper_failed": 0.3, "asr_paper": 0.1}, ["30% of the judgements of responses without an answer"]),
    ],
)
def test_what_is_told_of_a_tasks_means(means: dict[str, float], told: list[str]) -> None:
    found = list(remarks("sftgen_mmlu_pro_law", 5, means))
    assert len(found) == len(told)
    for line, expected in zip(found, told, strict=True):
        assert line.startswith("mmlu_pro_law, step 5: ")
        assert expected in line


def test_the_table_of_scores_is_followed_by_the_remarks() -> None:
    values: dict[str, list[float | list[float]]] = {
        "score": [1.0, 1.0], "answered": [1.0, 1.0], "truncated": [0.0, 0.0], "coverage": [1.0, 1.0],
        "wrote_on": [1.0, 0.0], "score_whole": [0.0, 1.0], "unknown_markers": [1.0, 0.0],
    }  # fmt: skip
    console = Console(width=200, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    print_scores([(None, TaskResult("sftgen_math500", values, 2))], console)
    text = " ".join(console.export_text().split())
    assert "math500: 50% of responses begin with what may be an unknown marker" in text
    assert "math500: 50% of responses go on after the answer" in text
    assert "Of the whole responses the score is 0.500" in text
