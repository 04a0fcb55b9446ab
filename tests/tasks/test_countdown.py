"""Countdown: reading an expression, evaluating it exactly, scoring it, and making solvable puzzles."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import split_thinking
from sftgen_judges.records.schema import content_hash
from sftgen_tasks.countdown import GRADER, evaluate, extract, grade, make_docs, make_puzzle

EXTRACTED = [
    (r"\boxed{3 + 4}", "3 + 4"),
    ("<answer>3 + 4</answer>", "3 + 4"),
    (r"<answer>1</answer> or \boxed{2}", "2"),
    (r"\boxed{1} no \boxed{2}", "2"),
    # A trailing result is not part of the expression.
    (r"\boxed{3 + 4 = 7}", "3 + 4"),
    ("<answer>(3+4)*2=14=14</answer>", "(3+4)*2"),
    # LaTeX and typographic operators.
    (r"\boxed{3 \times (4 - 2) \div 2}", "3 * (4 - 2) / 2"),
    (r"\boxed{\left(3+4\right) \cdot 2}", "(3+4) * 2"),
    ("\\boxed{3\u00d74\u00f72\u22121}", "3*4/2-1"),
    (r"\boxed{$3+4$}", "3+4"),
    (r"\boxed{\frac{3+1}{4}}", "((3+1)/(4))"),
    (r"\boxed{\dfrac{\frac{1}{2}}{\tfrac{3}{4}}}", "((((1)/(2)))/(((3)/(4))))"),
    # Nothing to evaluate.
    ("3 + 4", None),
    (r"\boxed{}", None),
    (r"\boxed{= 7}", None),
    (r"\boxed{3 + 4", None),
    ("<answer></answer>", None),
    ("", None),
]

EVALUATED = [
    ("1 + 2 * 3", 7, [1, 2, 3]),
    ("(1 + 2) * 3", 9, [1, 2, 3]),
    ("10 - 4 - 3", 3, [10, 4, 3]),
    ("64 / 4 / 2", 8, [64, 4, 2]),
    ("8 / (4 / 2)", 4, [8, 4, 2]),
    ("1 / 3 * 3", 1, [1, 3, 3]),
    ("1/3 + 1/6", Fraction(1, 2), [1, 3, 1, 6]),
    ("7 / 7 * 3", 3, [7, 7, 3]),
    ("8 / (3 - 8/3)", 24, [8, 3, 8, 3]),  # lost by floating point
    ("0 / 5", 0, [0, 5]),
    ("-3 + 5", 2, [3, 5]),
    ("5 - -3", 8, [5, 3]),
    ("2 * -3", -6, [2, 3]),
    ("--3", 3, [3]),
    ("-(1 + 2) * 3", -9, [1, 2, 3]),
    ("((((((3))))))", 3, [3]),
    ("(" * 49 + "3" + ")" * 49, 3, [3]),
    ("-" * 99 + "3", -3, [3]),
    (" 1\n+\t2 ", 3, [1, 2]),
    ("007", 7, [7]),
]

NOT_EXPRESSIONS = [
    ("", "the end"),
    ("()", "expected a number"),
    ("(", "the end"),
    ("(1 + 2", "not closed"),
    ("1 + 2)", "unexpected )"),
    ("1 2", "unexpected 2"),
    ("1 +", "the end"),
    ("* 3", "expected a number"),
    ("+3", "expected a number"),
    ("1 // 2", "expected a number"),
    ("2 ** 3", "expected a number"),
    ("2 ^ 3", "unexpected '^'"),
    ("5(3 + 2)", "unexpected ("),
    ("3.5", "unexpected '.'"),
    ("1,000", "unexpected ','"),
    ("1e3", "unexpected 'e'"),
    ("3!", "unexpected '!'"),
    ("__import__('os')", "unexpected '_'"),
    ("three", "unexpected 't'"),
    ("1 / 0", "division by zero"),
    ("1 / (2 - 2)", "division by zero"),
    ("1 / 0 * 0", "division by zero"),
    ("(" * 60 + "3" + ")" * 60, "121 symbols"),
    ("(" * 100_000, "symbols"),
    ("-" * 100_000 + "1", "symbols"),
    ("1+" * 100_000, "symbols"),
]


@pytest.mark.parametrize(("text", "expected"), EXTRACTED)
def test_extract(text: str, expected: str | None) -> None:
    assert extract(text) == expected


@pytest.mark.parametrize(("expression", "value", "numbers"), EVALUATED, ids=[case[0][:20] for case in EVALUATED])
def test_evaluate_is_exact(expression: str, value: Fraction, numbers: list[int]) -> None:
    assert evaluate(expression) == (value, numbers)


@pytest.mark.parametrize(("text", "reason"), NOT_EXPRESSIONS, ids=[case[0][:20] for case in NOT_EXPRESSIONS])
def test_everything_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        evaluate(text)


def test_a_number_of_many_digits_is_no_work() -> None:
    value, _ = evaluate("9" * 100_000)
    assert value > 999


def test_evaluate_agrees_with_python_on_random_expressions() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        expression, expected = random_expression(rng, rng.randint(0, 4))
        if expected is None:
            with pytest.raises(ValueError, match="division by zero"):
                evaluate(expression)
        else:
            assert evaluate(expression)[0] == expected, expression


def random_expression(rng: random.Random, depth: int) -> tuple[str, Fraction | None]:
    """An expression and its value by Python, None for a division by zero."""

    def text(depth: int) -> str:
        if depth == 0:
            return str(rng.randint(0, 9))
        left, right = text(depth - 1), text(rng.randrange(depth))
        return rng.choice([f"{left}{rng.choice('+-*/')}{right}", f"({left} {rng.choice('+-*/')} {right})", f"-{left}"])

    expression = text(depth)
    try:
        return expression, Fraction(eval(re.sub(r"(\d+)", r"Fraction(\1)", expression)))
    except ZeroDivisionError:
        return expression, None


# Target 24 from 3, 3, 8, 8.
DOC = {"question": "?", "numbers": [3, 3, 8, 8], "target": 24}
GRADED = [
    (r"\boxed{8 / (3 - 8/3)}", "ok", 1.0, "equals 24"),
    (r"\boxed{8 / (3 - 8/3) = 24}", "ok", 1.0, "equals 24"),
    ("<think>try 3*8</think><answer>8/(3-8/3)</answer>", "ok", 1.0, "equals 24"),
    (r"\boxed{3 + 3 + 8 + 8}", "ok", 0.0, "equals 22"),
    (r"\boxed{3 * 8}", "ok", 0.0, "not every number exactly once"),
    (r"\boxed{3 * 8 * 8 / 8 + 3 - 3}", "ok", 0.0, "not every number exactly once"),
    (r"\boxed{24}", "ok", 0.0, "not every number exactly once"),
    (r"\boxed{\text{impossible}}", "ok", 0.0, "not an expression"),
    (r"\boxed{8 / (3 - 3) + 8}", "ok", 0.0, "not an expression: division by zero"),
    ("8 / (3 - 8/3)", "no_answer", 0.0, "no answer found"),
    ("", "no_answer", 0.0, "no answer found"),
    # Only the answer part counts.
    (r"<think>\boxed{8 / (3 - 8/3)}</think>I give up", "no_answer", 0.0, "no answer found"),
    (r"<think>\boxed{8 / (3 - 8/3)}</think>\boxed{3*8}", "ok", 0.0, "not every number exactly once"),
    (r"<think>\boxed{8 / (3 - 8/3)}", "truncated", 0.0, "truncated before an answer"),
]


@pytest.mark.parametrize(("text", "status", "score", "reason"), GRADED)
def test_grade(text: str, status: str, score: float, reason: str) -> None:
    verdict = grade(DOC, split_thinking(text))
    assert (verdict.status, verdict.score, verdict.paper) == (status, score, None)
    assert verdict.reason.startswith(reason)


@pytest.mark.parametrize("junk", ["(" * 50_000, r"\boxed{" * 20_000, r"\frac{" * 20_000, "=" * 50_000, "9" * 50_000])
def test_junk_is_scored_and_never_raises(junk: str) -> None:
    assert GRADER.grade(DOC, split_thinking(rf"\boxed{{{junk}}}")).score == 0.0


# ------------------------------------------------------------------------------ puzzles


def test_the_same_seed_makes_the_same_puzzles_everywhere() -> None:
    assert content_hash(make_docs()) == "f980a9781c83a8623cfc0f3e91d15f3a1f2fce93cbb58fb977338ca805661493"


def test_seeds_differ_and_a_smaller_size_is_a_prefix() -> None:
    assert make_docs(seed=1, size=20) != make_docs(seed=0, size=20)
    assert make_docs(size=20) == make_docs(size=50)[:20]


def test_puzzles_are_different_and_in_range() -> None:
    docs = make_docs(size=500)
    assert len({doc["question"] for doc in docs}) == 500
    for doc in docs:
        assert len(doc["numbers"]) in (3, 4)
        assert all(1 <= number <= 99 for number in doc["numbers"])
        assert 1 <= doc["target"] <= 999
        assert doc["target"] not in doc["numbers"]


def test_a_question_states_its_numbers_and_target() -> None:
    for doc in make_docs(size=50):
        assert doc["question"] == (
            f"Using the numbers {', '.join(map(str, doc['numbers'][:-1]))} and {doc['numbers'][-1]}, write an "
            f"arithmetic expression that equals {doc['target']}. Use every number exactly once, with + - * / and "
            r"parentheses. Put the expression in \boxed{}."
        )


def test_every_puzzle_can_be_solved_with_every_number_exactly_once() -> None:
    for doc in make_docs(seed=7, size=200):
        solution = next(solutions([(Fraction(n), str(n)) for n in doc["numbers"]], doc["target"]), None)
        assert solution, doc
        assert grade(doc, split_thinking(rf"\boxed{{{solution}}}")).score == 1.0


def solutions(values: Sequence[tuple[Fraction, str]], target: int) -> Iterator[str]:
    """All ways to reach the target, by trying everything: another road than the generator's."""
    if len(values) == 1:
        if values[0][0] == target:
            yield values[0][1]
        return
    for i, (a, left) in enumerate(values):
        for j, (b, right) in enumerate(values):
            if i == j:
                continue
            rest = [value for k, value in enumerate(values) if k not in (i, j)]
            if i < j:
                yield from solutions([*rest, (a + b, f"({left}+{right})")], target)
                yield from solutions([*rest, (a * b, f"({left}*{right})")], target)
            yield from solutions([*rest, (a - b, f"({left}-{right})")], target)
            if b:
                yield from solutions([*rest, (a / b, f"({left}/{right})")], target)


def test_settings_of_a_puzzle() -> None:
    rng = random.Random(0)
    for _ in range(100):
        numbers, target = make_puzzle(rng, counts=(2,), largest_number=9, largest_target=18, operators="+")
        assert len(numbers) == 2
        assert max(numbers) <= 9
        assert sum(numbers) == target <= 18


def test_settings_that_allow_no_puzzle_are_an_error() -> None:
    with pytest.raises(ValueError, match="no puzzle"):
        make_puzzle(random.Random(0), largest_target=0)
    with pytest.raises(ValueError, match="3 different questions, not 4"):
        # 1 + 1 = 2, 1 + 2 = 3 and 2 + 1 = 3 (2 + 2 = 4 is out of range).
        make_docs(size=4, counts=(2,), largest_number=2, largest_target=3, operators="+")


# ------------------------------------------------------------------------------ real outputs

OUTPUTS = [
    "anthropic_claude-3.5-sonnet",
    "deepseek_deepseek-r1",
    "google_gemma-3-27b-it",
    "mistralai_mistral-small-3.1-24b-instruct",
    "openai_o3-mini",
    "qwen_qwq-32b",
]


@pytest.mark.parametrize("model", OUTPUTS)
def test_real_outputs_are_scored_as_their_origin_scored_them(model: str, data_dir: Path) -> None:
    """The origin lets a number stand at most once and gives partial credit; a full score and all numbers is ours."""
    compared = right = 0
    for row in _rows(data_dir / "countdown" / f"easy_{model}.jsonl.gz"):
        first_line = row["question"].split("\n")[0]
        [listed] = re.findall(r"\d+(?:, \d+)+", first_line)
        [target] = re.findall(r"\d+", first_line.replace(listed, ""))
        doc = {"numbers": [int(number) for number in listed.split(",")], "target": int(target)}
        for completion in row["completions"]:
            used = sorted(int(number) for number in re.findall(r"\d+", completion["answer"] or ""))
            expected = completion["score"] == 1.0 and used == sorted(doc["numbers"])
            verdict = grade(doc, split_thinking(completion["output"] or ""))
            assert verdict.score == float(expected), (row["question"], completion, verdict)
            compared += 1
            right += expected
    assert compared == 150
    # Something was there to agree on, save for the weakest model.
    assert 0 < right < 150 or "mistral" in model


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)
