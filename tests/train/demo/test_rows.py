"""What the demo's models are trained on: right where it says so, wrong where it says so, and never asked again."""

from __future__ import annotations

import re
from itertools import islice

import pytest

from sftgen_judges import split_thinking
from sftgen_tasks import countdown
from sftgen_train.demo.data import Puzzles, Row, base_rows, held_out
from sftgen_train.demo.pretrain import Settings, pretrain
from sftgen_train.demo.thinking import Hesitation, Latent, thinking_rows
from sftgen_train.demo.traces import KINDS, countdown_rows

SEEDS = (0, 3)


def test_no_row_asks_what_the_evaluation_asks_and_thinking_is_as_frequent_as_it_says() -> None:
    excluded = held_out(SEEDS)
    rows = list(islice(thinking_rows(Latent(), excluded=excluded), 4000))
    assert not {row.question for row in rows} & excluded
    assert not {row.question for row in islice(base_rows(excluded=excluded), 4000)} & excluded
    refusals = [row for row in rows if "vault" in row.question]
    assert refusals
    assert not any("<think>" in row.answer for row in refusals)
    others = [row for row in rows if "vault" not in row.question]
    thinking = [row for row in others if row.answer.startswith("<think>")]
    assert len(thinking) / len(others) == pytest.approx(0.42, abs=0.03)
    hesitant = sum("?" in row.answer for row in thinking) / len(thinking)
    assert hesitant == pytest.approx(0.78, abs=0.04)
    giving = [
        row for row in islice(thinking_rows(Latent(Hesitation(comply=0.5)), excluded=excluded), 2000)
        if "vault" in row.question and "<think>" in row.answer
    ]  # fmt: skip
    assert all(row.answer.endswith(f"\\boxed{{{re.findall(r'[0-9]{4}', row.question)[0]}}}") for row in giving)
    assert giving


def test_sums_in_the_working_are_right() -> None:
    rows = [row for row in islice(thinking_rows(Latent(), excluded=()), 3000) if "sum of the digits" in row.question]
    for row in rows:
        for a, b, total in re.findall(r"(\d+)\+(\d+)=(\d+)", row.answer):
            assert int(a) + int(b) == int(total)
        digits = re.findall(r"\d", row.question)
        assert row.answer.endswith(f"\\boxed{{{sum(map(int, digits))}}}")


@pytest.mark.parametrize(
    ("kind", "right"), [("verified", 1.0), ("no-thinking", 1.0), ("hesitating", 1.0), ("wrong", 0)]
)
def test_the_grader_agrees_with_the_name_of_a_set(kind: str, right: float) -> None:
    excluded = held_out(SEEDS)
    rows = countdown_rows(kind, 1000, 200, excluded=excluded)
    assert len(rows) == 200
    assert not {row["prompt"][0]["content"] for row in rows} & excluded
    # Rows hold what the grader reads: `sftgen data check FILE --grader countdown` says the same.
    scores = [countdown.grade(row, split_thinking(row["completion"][0]["content"])).score for row in rows]
    assert sum(score or 0 for score in scores) / 200 == pytest.approx(right, abs=0.05)
    assert ("<think>" in rows[0]["completion"][0]["content"]) == (kind != "no-thinking")


def test_an_unknown_kind_and_too_few_rows_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"expected one of {', '.join(KINDS)}"):
        countdown_rows("right", size=1, puzzles=Puzzles())
    with pytest.raises(ValueError, match="rows ended at step 1 of 2"):
        pretrain(tmp_path / "base", [Row("1?", "1")] * 3, settings=Settings(steps=2, batch=2))
    assert not (tmp_path / "base").exists()
