r"""Whether answers are the same, against math-verify itself and against stored verdicts of other graders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from math_verify import parse, verify

from sftgen_judges import Grader, Item, Response, Verdict, split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks.aime24 import GRADER
from sftgen_tasks.data.tables import read_table
from sftgen_tasks.harness.task import process_results
from sftgen_tasks.math.grading import equivalent, paper_equivalent
from sftgen_tasks.math.text import as_number
from sftgen_tasks.readers.looks import plain_latex
from tests.judges.graders import grade_as_told, grade_slowly

# ------------------------------------------------------------------------------ the strict rule

NUMBERS = [
    ("33", 33),
    ("033", 33),
    ("-7", -7),
    ("+7", 7),
    ("(073)", 73),
    ("10,000", 10_000),
    (r"10{,}000", 10_000),
    (r"10,\!000", 10_000),
    ("1,234,567.5", Fraction(2469135, 2)),
    ("0.50", Fraction(1, 2)),
    (".5", Fraction(1, 2)),
    ("5.", 5),
    (r"\$0.50", Fraction(1, 2)),
    ("3/4", Fraction(3, 4)),
    (r"-\dfrac{3}{4}", Fraction(-3, 4)),
    ("1e-5", Fraction(1, 100_000)),
    ("1.70e4", 17_000),
    # None of these is one plain number.
    ("100, 200", None),
    ("3,4", None),
    ("1,00", None),
    ("1 2", None),
    ("1/0", None),
    (r"\frac{1}{0}", None),
    ("(5", None),
    ("x=5", None),
    (r"1\frac{1}{2}", None),
    ("", None),
    (".", None),
    ("9" * 60, None),
]


@pytest.mark.parametrize(("answer", "number"), NUMBERS)
def test_a_plain_number(answer: str, number: int | Fraction | None) -> None:
    assert as_number(plain_latex(answer)) == number


SAME = [
    ("33", "033"),
    ("033", "33"),
    ("33", "33.0"),
    ("073", r"\textbf{(073)}"),
    # "By what percent?"
    ("20", r"20\%"),
    (r"25\%", "25"),
    (r"25\%", "0.25"),
    (r"5.3\%", "5.3"),
    (r"198\%", "198%"),
    # Separators, units, money.
    (r"10{,}000", "10000"),
    ("1,234", "1234"),
    (r"\$1,234.50", "1234.5"),
    ("5", r"5 \text{ cm}"),
    (r"6", "6th"),
    # Scientific.
    ("1e-5", "0.00001"),
    # Mixed fractions and decimals.
    (r"2\frac{5}{8}", "2.625"),
    (r"\frac{1}{3}", "0.333333"),
    # Equations, subscripts, letters.
    ("5", "x = 5"),
    ("E_{1},E_{2}", "E_1, E_2"),
    ("f(x)=x+1", "x+1"),
    # Lists.
    ("7,14,18", "14, 7, 18"),
    ("5,1", r"1 \text{ and } 5"),
    ("1,-1,7,-7", r"\pm 1, \pm 7"),
    ("100, 200", "200, 100"),
]

DIFFERENT = [
    ("33", "330"),
    ("033", "34"),
    # A share is not its hundredfold.
    ("0.5", r"0.5\%"),
    (r"0.5\%", "0.5"),
    (r"25\%", "0.025"),
    (r"25\%", r"0.25\%"),
    ("1e-5", "1e-4"),
    ("3.14", "3.15"),
    (r"\frac{1}{3}", "0.33"),
    ("1,234", "1.234"),
    ("[1,\\infty)", "(1,\\infty)"),
    ("f(x)=x,f(x)=-x", "f(x)=x"),
    ("x^2", "x_2"),
    ("12", "1 2"),
    ("100", "1"),
    ("2", "2, -1"),
]


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_answer(gold: str, answer: str) -> None:
    assert equivalent(gold, answer) is True


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_another_answer(gold: str, answer: str) -> None:
    assert equivalent(gold, answer) is False


def graded(gold: str, *texts: str, grader: Grader = GRADER) -> list[Verdict]:
    return grade_batch(grader, [Item({"answer": gold}, split_thinking(text)) for text in texts])


@pytest.mark.parametrize("answer", [r"\frac{", "x^", "^", r"\begin{cases}"])
def test_an_answer_that_cannot_be_parsed_is_wrong_and_visible(answer: str) -> None:
    verdict = GRADER.grade({"answer": "4"}, Response("", answer=rf"\boxed{{{answer}}} }}"))
    assert (verdict.status, verdict.score, verdict.measures["unparsable"]) == ("unparsable", 0.0, 1.0)


def test_an_answer_that_cannot_be_parsed_is_given_and_counted_apart() -> None:
    texts = {
        r"\boxed{4}": (1.0, 1.0, 0.0),
        r"\boxed{^}": (0.0, 1.0, 1.0),
        r"\boxed{\text{}}": (0.0, 0.0, 0.0),
        "no box": (0.0, 0.0, 0.0),
    }
    for verdict, expected in zip(graded("4", *texts), texts.values(), strict=True):
        metrics = process_results({}, json.dumps({**verdict.to_dict(), "truncated": False, "tokens": None}))
        assert tuple(metrics[name] for name in ("score", "answered", "unparsable")) == expected


# ------------------------------------------------------------------------------ the rule of the paper

TEXTS = [
    "",
    "Nothing here.",
    r"\boxed{}",
    r"\boxed{4}",
    r"so $\boxed{4}$.",
    r"\[ \boxed{4} \]",
    r"\[ x = \boxed{4} \]",
    r"$\boxed{5}$? No, $\boxed{4}$.",
    r"\boxed{5}? No, \boxed{4}.",
    r"$4$ and $5$",
    r"$\boxed{4}$ and $\boxed{5}$",
    "The final answer is $4$. I hope it is correct.",
    "The final answer is 4. I hope it is correct.",
    "Answer: 4",
    "Answer: 8/2",
    "the answer is 4%",
    r"$4$\%",
    r"\boxed{4\%}",
    r"\boxed{04}",
    r"\boxed{4.0}",
    r"\boxed{4.0000001}",
    r"\boxed{4.00001}",
    r"\boxed{\frac{8}{2}}",
    r"\boxed{x = 4}",
    r"\boxed{2^2}",
    r"\boxed{x}",
    r"\boxed{\{4\}}",
    r"\boxed{(3, 4)}",
    r"\boxed{4 \text{ cm}}",
    r"\boxed{3 < x < 5}",
    r"\boxed{\frac{}{}}",
    r"\boxed{4",
    "It costs $4 and that is it.",
    "4,000 and then 4",
    '{"answer": "4"}',
    r"\boxed{\sqrt{16}}",
    r"\boxed{y^2 + 4 - y^2}",
    r"\boxed{0.04}",
    r"\boxed{1,234}",
]
GOLDS = ["4", r"It is \boxed{4}.", "4.0", r"4\%", "1234", r"\frac{1}{25}", "x", "x=4", "(3,4)", r"\{4\}", r"\sqrt{16}"]


@pytest.mark.parametrize("gold", GOLDS)
def test_the_rule_of_the_paper_is_math_verifys_own_verdict(gold: str) -> None:
    whole = gold if "boxed" in gold else rf"\boxed{{{gold}}}"
    for text in TEXTS:
        assert paper_equivalent(gold, text) is verify(parse(whole), parse(text)), text


# ------------------------------------------------------------------------------ answers that never end

ENDLESS = {
    "towers of powers": r"\boxed{9^{9^{9^{9}}}}",
    "towers without braces": r"\boxed{9^9^9^9}",
    "huge factorial": r"\boxed{(10^{9})!}",
    "factorials of factorials": r"\boxed{((99!)!)!}",
    "nested braces": r"\boxed{" + "{" * 65_000 + "}" * 65_000 + "}",
    "nested fractions": r"\boxed{" + r"\frac{1}{" * 2_000 + "2" + "}" * 2_000 + "}",
    "a million digits": r"\boxed{" + "9" * 1_000_000 + "}",
}


def test_an_answer_that_never_ends_harms_no_other() -> None:
    quick = replace(GRADER, time_limit=15.0)
    texts = [rf"It is \boxed{{{number}}}." for number in (4, 5)] * 20
    mixed = [text for endless in ENDLESS.values() for text in (*texts, endless)]
    verdicts = graded("4", *mixed, grader=quick)
    for text, verdict in zip(mixed, verdicts, strict=True):
        if text in ENDLESS.values():
            assert not verdict.score
        else:
            assert (verdict.status, verdict.score) == ("ok", float("4" in text)), verdict


def test_in_a_chunk_a_call_that_fails_costs_its_own_verdict() -> None:
    grader = Grader("told", 1, grade_as_told, time_limit=5.0, chunk=4)
    tricks = ["pass", "raise", "pass", "return a function", "die", "pass", "sleep", "pass", "exit", "return a number"]
    # Different documents, so that each is graded.
    items = [Item({"do": trick, "number": number}, Response("", answer="4")) for number, trick in enumerate(tricks)]
    verdicts = grade_batch(grader, items)
    assert [verdict.status for verdict in verdicts] == ["ok" if trick == "pass" else "not_graded" for trick in tricks]
    reasons = [verdict.reason for verdict in verdicts]
    assert reasons[1] == "ZeroDivisionError: division by zero"
    assert reasons[4] == "the worker process died with exit code 3"
    assert reasons[6] == "took longer than 5 s"


def test_a_slow_chunk_is_handed_back_and_finished_one_by_one() -> None:
    grader = Grader("slow", 1, grade_slowly, time_limit=30.0, chunk=8)
    verdicts = grade_batch(grader, [Item({"number": number}, Response("")) for number in range(12)])
    assert [verdict.score for verdict in verdicts] == list(range(12))


# ------------------------------------------------------------------------------ stored outputs

# docs/math_agreement.md lists every difference. File: responses; right by the published numbers, by our strict rule
# and by our paper rule.
REPLAYS = {
    "aime24": (30, 2, 2, 2),
    "amc23": (40, 17, 17, 17),
    "gaokao2023en": (385, 209, 211, 207),
    "gsm8k": (1319, 1142, 1143, 1143),
    "minerva_math": (272, 70, 87, 75),
    "olympiadbench": (675, 174, 187, 186),
}


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return read_table(folder / "math" / f"{name}.jsonl.gz")


@pytest.mark.parametrize("name", REPLAYS)
def test_stored_outputs_score_as_published_but_for_what_the_document_lists(name: str, data_dir: Path) -> None:
    stored = rows(data_dir, f"rg_qwen2.5-3b-instruct_{name}")
    size, right, strict, paper = REPLAYS[name]
    assert (len(stored), sum(row["score"] for row in stored)) == (size, right)
    items = [Item({"answer": row["gold"]}, split_thinking(row["output"])) for row in stored]
    verdicts = [verdict for verdict, row in zip(grade_batch(GRADER, items), stored, strict=True) if row["gold"]]
    assert sum(verdict.score or 0 for verdict in verdicts) == strict
    # A few formulas take math-verify close to its own limit.
    assert abs(sum(verdict.paper or 0 for verdict in verdicts) - paper) <= 1


def test_our_verdicts_on_stored_answers_agree_with_the_stored_ones(data_dir: Path) -> None:
    stored: list[tuple[str, str, bool]] = []
    for name in REPLAYS:
        found = rows(data_dir, f"rg_qwen2.5-3b-instruct_{name}")
        stored += [(row["gold"], row["pred"], row["score"]) for row in found]
    for row in rows(data_dir, "rg_llama-3b_step400_aime24_x50"):
        stored += [(row["gold"], one["extracted"], bool(one["score"])) for one in row["completions"]]
    for name in ("Qwen2.5-72B-Instruct", "gemma-2-2b-it"):
        found = rows(data_dir, f"zeroeval_math-l5_{name}")
        stored += [(row["gold"], row["extracted"], row["matched"]) for row in found]
    for row in rows(data_dir, "qwen_math_cot_100_samples"):
        stored += [(row["answer"], answer, score) for answer, score in zip(row["pred"], row["score"], strict=True)]
    with_gold = [one for one in stored if one[0]]
    items = [Item({"answer": gold}, _boxing(answer)) for gold, answer, _ in with_gold]
    verdicts = grade_batch(replace(GRADER, grade=_strict_only), items)
    wrong = [
        one
        for one, verdict in zip(with_gold, verdicts, strict=True)
        if bool(verdict.score) != bool(one[2]) and one[1] not in LOST_A_SEPARATOR
    ]
    assert (len(stored), len(with_gold)) == (6463, 6460)
    assert len(wrong) == 53, wrong
    assert 1 - len(wrong) / len(with_gold) > 0.99


# Where the origin's reading of `-3 \text{ and } 0` is `-30`, its verdict is on the former.
LOST_A_SEPARATOR = {"-30", "515", "34"}


def _boxing(answer: str | None) -> Response:
    return Response("", answer=answer or "")


def _strict_only(doc: Mapping[str, Any], response: Response) -> Verdict:
    return Verdict.of(response, response.answer, bool(response.answer and equivalent(doc["answer"], response.answer)))
