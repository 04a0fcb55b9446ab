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

from sftgen_judges.agreement import AgreementError, Interval, alpha, at_least, compare, kappa, read_label, scale_labels
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
    assert (pair.accuracy.low, pair.accuracy.high) == pytest.approx((exact.low, exact.high))


def test_a_few_items_that_agree_are_not_certain() -> None:
    [pair], everybody = compare({"people": [1, 0, 1, 0], "judge": [1, 0, 1, 0]}, labels="people")
    exact = stats.binomtest(4, 4).proportion_ci(method="wilson")
    assert (pair.accuracy.low, pair.accuracy.high) == pytest.approx((exact.low, exact.high))
    assert (pair.kappa, everybody) == (Interval(1.0), Interval(1.0))  # no draw differs: nothing is known of others


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


@pytest.mark.parametrize(
    "value", ["nan", "NaN", " n/a ", "N/A", "None", "null", "NA", "", " ", nan, None, float("inf")]
)
def test_what_stands_for_a_missing_label(value: Any) -> None:
    assert read_label(value) is None


@pytest.mark.parametrize("value", ["1_0", "4 of 5", "inf", "0x1"])
def test_what_is_no_number_is_a_name(value: str) -> None:
    assert read_label(value) == value


AT_FOUR: dict[str, tuple[list[Any], tuple[float, float] | None, list[Any]]] = {
    "scores": ([1, 3, 4, 5, None], None, [0, 0, 1, 1, None]),
    "scores as text": (["1", "5.0", ""], None, [0, 1, None]),
    "missing scores as text": (["nan", "5", "1"], None, [None, 1, 0]),
    "words": (["yes", "no"], None, [1, 0]),
    "true and false": ([True, False], None, [1, 0]),
    "0 and 1": ([0, 1, 1], None, [0, 1, 1]),
    "0 only": ([0, 0], None, [0, 0]),
    "the lowest score only": ([1, 1, 1], None, [0, 0, 0]),
    "the lowest score only, and missing ones": ([1, None, "n/a"], None, [0, None, None]),
    "the lowest score of a known scale": ([1, 1], (1, 5), [0, 0]),
    "the highest score of a known scale": ([1, 1], (0, 1), [1, 1]),
    "shares of votes": ([0.25, 4, 0.75], (0, 5), [0, 1, 0]),
    "a scale that begins at 0": ([0, 1, 0], (0, 10), [0, 0, 0]),
    "words and scores": (["yes", 5, 2, "no"], None, [1, 1, 0, 0]),
    "names": (["good", 5], None, ["good", 5]),
}


@pytest.mark.parametrize(("values", "scale", "expected"), AT_FOUR.values(), ids=AT_FOUR)
def test_scores_become_labels_at_a_threshold(
    values: list[Any], scale: tuple[float, float] | None, expected: list[Any]
) -> None:
    assert at_least(values, 4, scale) == expected


def test_shares_of_votes_become_labels_at_a_threshold() -> None:
    assert at_least([0.25, 0.5, 1, 0], 0.5, (0, 1)) == [0, 1, 1, 0]
    assert at_least([0.25, 0.5, 1, 0], 0.5) == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("known", "scale", "steps"),
    [
        ([1.0, 2.0, 5.0], None, [1, 2, 3, 4, 5]),
        ([2.0, 4.0], (1, 5), [1, 2, 3, 4, 5]),
        ([0.0, 50.0, 100.0], None, [0, 50, 100]),
        ([1.0, 2.5], None, [1, 2.5]),
        ([3.0], None, [3]),
        ([0.0, 5.0], (1, 5), [0, 1, 2, 3, 4, 5]),
        ([0.0, 1e9], None, [0, 1e9]),
    ],
)
def test_the_labels_of_a_scale(known: list[Any], scale: tuple[float, float] | None, steps: list[float]) -> None:
    assert list(scale_labels(known, scale)) == steps


def test_an_ordinal_kappa_counts_the_labels_between_two_that_nobody_gave() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.choice([1, 2, 5], size=200) for _ in range(2))
    second = np.where(rng.random(200) < 0.5, first, second)
    [pair], _ = compare({"a": first.tolist(), "b": second.tolist()}, level="ordinal")
    expected = cohen_kappa_score(first, second, weights="linear", labels=[1, 2, 3, 4, 5])
    assert pair.kappa.value == pytest.approx(expected)
    assert pair.kappa.value != pytest.approx(cohen_kappa_score(first, second, weights="linear"))
    assert pair.labels == [1, 2, 5]
    # A third column, or the scale, shows that there are more labels.
    between = ["1", "3"] * 50
    [pair], _ = compare({"a": between, "b": ["1"] * 50 + ["3"] * 50}, level="ordinal", scale=(1, 5))
    assert pair.kappa.value == pytest.approx(cohen_kappa_score([1, 3] * 50, [1] * 50 + [3] * 50))


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


def agreement_of(command: Command, folder: Path, columns: dict[str, list[Any]], *options: str) -> Any:
    """`sftgen judge agreement` on a table of these columns, as JSON, and what it prints without `--json`."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = ("judge", "agreement", str(file), "--labels", "people", *options)
    done = command("sftgen", *line, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), command("sftgen", *line).stdout


def test_a_judge_that_gave_every_answer_the_lowest_score_found_nothing(command: Command, tmp_path: Path) -> None:
    columns = {"people": ["no"] * 5 + ["yes"] * 2, "judge": [1] * 7}
    found, shown = agreement_of(command, tmp_path, columns, "--judge", "judge", "--threshold", "4")
    [pair] = found["pairs"]
    assert (pair["accuracy"]["value"], pair["labels"]) == (pytest.approx(5 / 7), [0, 1])
    assert pair["table"] == [[5, 0], [2, 0]]
    assert found["threshold_applied_to"] == ["judge"]
    assert "Threshold 4 applied to: judge; already yes or no: people" in shown


def test_the_scale_of_a_column_is_that_of_its_judge_or_the_users(command: Command, tmp_path: Path) -> None:
    columns = {"people": [1, 1, 1], "refusal": [1.0, 1.0, None], "policy": [1, 5, "nan"]}
    found, shown = agreement_of(
        command,
        tmp_path,
        columns,
        "--judge",
        "refusal",
        "--judge",
        "policy",
        "--threshold",
        "4",
        "--scale",
        "people=0-1",
    )
    assert found["threshold_applied_to"] == ["policy"]
    assert found["missing"] == {"people": 0, "refusal": 1, "policy": 1}
    assert [pair["table"] for pair in found["pairs"]] == [[[2]], [[0, 0], [1, 1]], [[0, 0], [1, 1]]]
    assert "Missing labels, left out: refusal 1 of 3, policy 1 of 3" in shown


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
    "a scale of no column": (
        ("agreement", "in.jsonl", "--labels", "q", "--judge", "response", "--scale", "x=1-5"),
        "--scale 'x=1-5': expected COLUMN=LOW-HIGH, for example response=1-5",
    ),
    "a threshold off the scale": (
        ("agreement", "ones.jsonl", "--labels", "gold", "--judge", "policy", "--threshold", "40"),
        "--threshold 40: expected a score above 1 and up to 5, the scale of column 'policy'",
    ),
    "a threshold that is no number": (
        ("agreement", "ones.jsonl", "--labels", "gold", "--judge", "judge", "--threshold", "nan"),
        "--threshold nan: expected a score",
    ),
    "a scale that is none": (
        ("agreement", "in.jsonl", "--labels", "q", "--judge", "response", "--scale", "q=5-1"),
        "--scale 'q=5-1': expected COLUMN=LOW-HIGH",
    ),
    "labels of unknown scale": (
        ("agreement", "ones.jsonl", "--labels", "gold", "--judge", "judge", "--threshold", "4"),
        "column 'gold': every label is 1: the highest of 0 and 1, or the lowest of 1 to 5. Say which one with "
        "--scale gold=0-1 or --scale gold=1-5",
    ),
    "no level": (("agreement", "in.jsonl", "--level", "high"), "expected one of nominal, ordinal, interval"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_message(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"q": "?", "response": "I cannot help with that."}\n')
    Path("ones.jsonl").write_text('{"gold": 1, "judge": 5, "policy": 5}\n{"gold": 1, "judge": 1, "policy": 1}\n')
    with pytest.raises(SftgenError, match=re.escape(message)):
        app(["judge", *arguments], standalone_mode=False)


def test_a_mistake_is_shown_without_a_traceback(command: Command) -> None:
    done = command("sftgen", "judge", "run", "polite", "in.jsonl", "--out", "o.jsonl")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("sftgen: judge 'polite': no plugin registered it")


def test_judges_are_listed_with_what_they_need(command: Command, installed: Command) -> None:
    listed = {judge["name"]: judge for judge in json.loads(installed("sftgen", "judge", "list", "--json").stdout)}
    assert listed["refusal"]["to_do"] == ""
    assert listed["truth-logprob"]["needs"] == ["completions", "logprobs"]
    assert "SFTGEN_JUDGE_MODEL" in listed["policy"]["to_do"]
    assert "policy" in command("sftgen", "judge", "list").stdout


def test_a_judge_without_a_model_needs_no_settings(installed: Command, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"q": "?", "response": "I cannot help with that."}\n')
    done = installed(
        "sftgen", "judge", "run", "refusal", tmp_path / "in.jsonl", "--out", tmp_path / "o.jsonl", "--question", "q"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "o.jsonl").read_text())["refusal"] == 1
