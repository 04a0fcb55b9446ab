"""Agreement against published figures, and `sftgen judge` at the user's door."""

from __future__ import annotations

import csv
import json
import re
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from sftgen_judges.agreement import AgreementError, alpha, at_least, compare, kappa, read_label
from sftgen_judges.errors import SftgenError
from sftgen_train.cli.main import app
from tests.conftest import Command
from tests.judges.server import named, say, serving

# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), section D: four observers, twelve units.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
    [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
]


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_alpha_of_his_own_example(level: Any, published: float) -> None:
    assert alpha(np.array(OBSERVERS).T, level) == pytest.approx(published, abs=0.0005)


def pairs(table: list[list[int]]) -> Any:
    return np.array([(a, b) for a, row in enumerate(table) for b, n in enumerate(row) for _ in range(n)], dtype=float)


# Observed 0.7 and expected 0.5; observed 0.6 and expected 0.54 and 0.46: worked by hand.
@pytest.mark.parametrize(
    ("table", "expected"),
    [([[20, 5], [10, 15]], 0.4), ([[45, 15], [25, 15]], 0.06 / 0.46), ([[25, 35], [5, 35]], 0.14 / 0.54)],
)
def test_cohens_kappa_by_hand(table: list[list[int]], expected: float) -> None:
    assert kappa(pairs(table)) == pytest.approx(expected)


@pytest.mark.parametrize(("level", "weights"), [("nominal", None), ("ordinal", "linear"), ("interval", "quadratic")])
def test_kappa_is_scikit_learns(level: Any, weights: str | None) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        first = rng.integers(1, 6, size=200)
        second = np.clip(first + rng.integers(-2, 3, size=200), 1, 5)
        expected = cohen_kappa_score(first, second, weights=weights)
        assert kappa(np.stack([first, second], axis=1).astype(float), level) == pytest.approx(expected)


def test_agreement_on_one_label_says_nothing() -> None:
    assert isnan(kappa(pairs([[5]])))
    assert isnan(alpha(pairs([[5]])))
    [pair], everybody = compare({"a": [1, 1], "b": [1, 1]})
    assert (pair.accuracy.value, pair.kappa.value, everybody.value) == (1, None, None)


def test_intervals_are_those_of_the_binomial() -> None:
    columns = {"people": [1] * 200, "judge": [1] * 160 + [0] * 40}
    [pair], _ = compare(columns, labels="people")
    exact = stats.binomtest(160, 200).proportion_ci(method="wilson")
    assert (pair.accuracy.low, pair.accuracy.high) == pytest.approx((exact.low, exact.high), abs=0.015)


def test_missing_judgements_are_left_out_and_counted() -> None:
    [pair], _ = compare({"people": ["yes", "no", "yes", "no", None], "judge": [1.0, 0.0, None, 1, 0]}, labels="people")
    assert (pair.columns, pair.n, pair.missing) == (("people", "judge"), 3, 2)
    assert (pair.labels, pair.table) == ([0, 1], [[1, 1], [0, 1]])
    assert pair.accuracy.value == pytest.approx(2 / 3)


def test_names_as_labels() -> None:
    found, _ = compare({"a": ["x", "y", "z"], "b": ["x", "y", "y"], "c": ["x", "y", ""]})
    assert [pair.columns for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert (found[0].labels, found[0].table) == (["x", "y", "z"], [[1, 0, 0], [0, 1, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("columns", "level", "message"),
    [
        ({"a": [1]}, "nominal", "needs at least two columns, found a"),
        ({"a": [1, None], "b": [None, 1]}, "nominal", "columns 'a' and 'b': no item has both"),
        ({"a": [1, 0], "b": ["good", "bad"]}, "nominal", "expected all numbers or all names"),
        ({"a": ["x", "y"], "b": ["x", "x"]}, "ordinal", "labels x, y: expected numbers"),
    ],
)
def test_columns_that_cannot_be_compared(columns: Any, level: Any, message: str) -> None:
    with pytest.raises(AgreementError, match=message):
        compare(columns, level=level)


@pytest.mark.parametrize(
    ("value", "label"),
    [(True, 1), (0, 0), ("Yes ", 1), ("false", 0), ("4", 4), ("", None), (None, None), (nan, None), ("Maybe", "maybe")],
)
def test_a_label(value: Any, label: Any) -> None:
    assert read_label(value) == label


def test_scores_become_labels_at_a_threshold() -> None:
    assert at_least([1, 3, 4, 5, None], 4) == [0, 0, 1, 1, None]
    assert at_least(["yes", "no"], 4) == [1, 0]


# ------------------------------------------------------------------------------ the command


def test_judging_a_file_and_what_the_judge_is_worth(command: Command, tmp_path: Path) -> None:
    rows = [{"ask": f"<<{n}>>", "said": "<think>x</think>fine", "harmful": "yes" if n % 2 else "no"} for n in range(10)]
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    # Wrong about the first only; the second model is always wrong.

    def plan(prompt: str, _time: int) -> Any:
        harmful = int(named(prompt)) % 2 or named(prompt) == "0"
        good, bad = say("5" if harmful else "2"), say("2" if harmful else "5")
        return lambda handler: (bad if handler.body["model"] == "bad" else good)(handler)

    out = tmp_path / "out.jsonl"
    columns = ("--question", "ask", "--response", "said")
    with serving(plan) as server:
        line = ("judge", "run", "policy", tmp_path / "in.csv", "--out", out, "--base-url", server.url, *columns)
        done = command("sftgen", *line, "--model", "good")
        assert done.returncode == 0, done.stderr
        assert "policy: 10 of 10 judged, mean 3.800, success 60.0%" in done.stdout
        assert "this time: 10 calls, 1100 tokens" in done.stdout
        assert "fine\n[end of response" in server.calls[0]["body"]["messages"][0]["content"]  # without the thinking
        done = command("sftgen", *line, "--model", "good", "--model", "bad", "--vote", "mean", "--json")
        assert json.loads(done.stdout)["calls"] == 10  # the good one has judged already
        assert json.loads(done.stdout)["mean"] == 3.5
        command("sftgen", *line, "--model", "good")
        assert len(server.calls) == 20

    done = command("sftgen", "judge", "agreement", out, "--labels", "harmful", "--threshold", "4", "--json")
    assert done.returncode == 0, done.stderr
    [pair] = json.loads(done.stdout)["pairs"]
    assert (pair["columns"], pair["table"]) == (["harmful", "policy"], [[4, 1], [0, 5]])
    assert (pair["accuracy"]["value"], pair["kappa"]["value"]) == (0.9, pytest.approx(0.8))
    shown = command("sftgen", "judge", "agreement", out, "--labels", "harmful", "--threshold", "4").stdout
    assert "0.900" in shown
    assert "policy" in shown


MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "no such judge": (("run", "polite", "in.jsonl", "--out", "o.jsonl"), "judge 'polite': no plugin registered it"),
    "no model": (("run", "policy", "in.jsonl", "--out", "o.jsonl"), "has no model to ask: set SFTGEN_JUDGE_MODEL"),
    "no column": (
        ("run", "refusal", "in.jsonl", "--out", "o.jsonl"),
        "row 1: no column 'question'; it has q, response",
    ),
    "no file": (("run", "refusal", "gone.jsonl", "--out", "o.jsonl"), "gone.jsonl"),
    "no value": (("run", "policy", "in.jsonl", "--out", "o", "--set", "seed"), "--set 'seed': expected NAME=VALUE"),
    "no such setting": (
        ("run", "policy", "in.jsonl", "--out", "o", "--set", "sneed=1"),
        "judge setting sneed (SFTGEN_JUDGE_SNEED) '1'",
    ),
    "no such vote": (("run", "policy", "in.jsonl", "--out", "o", "--vote", "most"), "expected one of majority, mean"),
    "no labels": (("agreement", "in.jsonl", "--labels", "gold"), "no column 'gold'; it has q, response"),
    "no judges": (("agreement", "in.jsonl", "--labels", "q"), "needs at least two columns, found q"),
    "no level": (("agreement", "in.jsonl", "--level", "high"), "expected one of nominal, ordinal, interval"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_message(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"q": "?", "response": "I cannot help with that."}\n')
    with pytest.raises(SftgenError, match=re.escape(message)):
        app(["judge", *arguments], standalone_mode=False)


def test_a_mistake_is_shown_without_a_traceback(command: Command) -> None:
    done = command("sftgen", "judge", "run", "polite", "in.jsonl", "--out", "o.jsonl")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("sftgen: judge 'polite': no plugin registered it.")


def test_judges_are_listed_with_what_they_need(installed: Command) -> None:
    listed = {judge["name"]: judge for judge in json.loads(installed("sftgen", "judge", "list", "--json").stdout)}
    assert listed["refusal"]["to_do"] == ""
    assert listed["truth-logprob"]["needs"] == ["completions", "logprobs"]
    assert "SFTGEN_JUDGE_MODEL" in listed["policy"]["to_do"]
    assert "policy" in installed("sftgen", "judge", "list").stdout


def test_a_judge_without_a_model_needs_no_settings(installed: Command, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"q": "?", "response": "I cannot help with that."}\n')
    done = installed(
        "sftgen", "judge", "run", "refusal", tmp_path / "in.jsonl", "--out", tmp_path / "o.jsonl", "--question", "q"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "o.jsonl").read_text())["refusal"] == 1
