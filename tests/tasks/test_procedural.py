"""The small procedural tasks: their documents and the comparison of short answers."""

from __future__ import annotations

import re

import pytest

from sftgen_judges import split_thinking
from sftgen_judges.records.schema import content_hash
from sftgen_tasks import procedural
from sftgen_tasks.procedural import GRADER, addition, digit_sums, grade, make_docs, maximum, parity, reversal

# Hashes of the default documents: the same on every run and machine.
DOCUMENTS = {
    "digit_sums": (digit_sums, "349e4286dff475c1371023f35a9a1eff9058c65e7e3675fa32100f364b08b5ba"),
    "addition": (addition, "5386ddfe4dcd9fb90d1f89b77e75297757faebc32fb17e19585b6ac552bc8e8e"),
    "maximum": (maximum, "b6fc792ce219962a4f10ff99c520d0715768cb2373d2a8d20b8e3953de64c55a"),
    "parity": (parity, "e2414eff87544631ff4e8abee4af735d9b9347b3f4990def9d9c83357a616053"),
    "reversal": (reversal, "af9d2f864fb116e72a4e5806f37896bd53be7d2a9025102cc9edf0a45da8202a"),
}


@pytest.mark.parametrize(("make", "known"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_the_same_seed_makes_the_same_documents_everywhere(make, known: str) -> None:  # type: ignore[no-untyped-def]
    assert content_hash(make_docs(make)) == known
    assert make_docs(make, seed=1, size=10) != make_docs(make, size=10)
    assert make_docs(make, size=10) == make_docs(make, size=500)[:10]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_different_and_ask_for_a_box(name: str) -> None:
    docs = getattr(procedural, f"{name}_documents")(docs_size=200)["test"]
    assert len(set(docs["question"])) == 200
    assert all(question.endswith(r" Put the answer in \boxed{}.") for question in docs["question"])


def test_the_answers_are_right() -> None:
    for doc in make_docs(addition, size=200):
        a, b = map(int, re.findall(r"\d+", doc["question"]))
        assert doc["answer"] == str(a + b)
    for doc in make_docs(maximum, size=200):
        assert doc["answer"] == str(max(map(int, re.findall(r"\d+", doc["question"]))))
    for doc in make_docs(reversal, size=200):
        assert doc["answer"].split() == re.findall(r"\d", doc["question"])[::-1]
    for doc in make_docs(digit_sums, size=200):
        assert doc["answer"] == str(sum(map(int, re.findall(r"\d", doc["question"]))))
    for doc in make_docs(parity, size=200):
        [number] = map(int, re.findall(r"\d+", doc["question"]))
        assert doc["answer"] == ("even" if number % 2 == 0 else "odd")


def test_more_questions_than_there_are_is_an_error() -> None:
    assert len(make_docs(parity, size=900)) == 900
    with pytest.raises(ValueError, match="900 different questions, not 901"):
        make_docs(parity, size=901)


GRADED = [
    # answer, response, status, score
    ("42", r"\boxed{42}", "ok", 1.0),
    ("42", r"\boxed{ 42 }", "ok", 1.0),
    ("42", r"\boxed{41} no, \boxed{42}", "ok", 1.0),
    ("42", r"\boxed{\text{42}}", "ok", 1.0),
    ("42", r"\boxed{$42$}", "ok", 1.0),
    ("42", r"\boxed{\mathbf{42}}", "ok", 1.0),
    ("42", r"\boxed{\textcolor{red}{42.}}", "ok", 1.0),
    ("42", "\\boxed{\uff14\uff12}", "ok", 1.0),
    ("42", r"\boxed{42, 43}", "ok", 0.0),
    ("1234", r"\boxed{1,234}", "ok", 1.0),
    ("1 2 3", r"\boxed{1, 2, 3}", "ok", 1.0),
    ("odd", r"\boxed{**odd**}", "ok", 1.0),
    ("odd", r"\boxed{\Large\text{Odd}.}", "ok", 1.0),
    ("odd", r"\boxed{\text{not odd}}", "ok", 0.0),
    ("42", r"<think>41?</think>\boxed{42}", "ok", 1.0),
    ("1 2 3", r"\boxed{123}", "ok", 1.0),
    ("1 2 3", r"\boxed{1 2  3}", "ok", 1.0),
    ("odd", r"\boxed{Odd}", "ok", 1.0),
    ("odd", r"\boxed{\text{ odd }}", "ok", 1.0),
    ("42", r"\boxed{43}", "ok", 0.0),
    ("42", r"\boxed{42.0}", "ok", 0.0),
    ("42", r"\boxed{142}", "ok", 0.0),
    ("odd", r"\boxed{not odd}", "ok", 0.0),
    ("42", r"\boxed{}", "no_answer", 0.0),
    ("42", "42", "no_answer", 0.0),
    ("42", r"<think>\boxed{42}</think>42", "no_answer", 0.0),
    ("42", r"<think>\boxed{42}", "truncated", 0.0),
    ("42", "", "no_answer", 0.0),
]


@pytest.mark.parametrize(("answer", "text", "status", "score"), GRADED)
def test_grade(answer: str, text: str, status: str, score: float) -> None:
    verdict = grade({"answer": answer}, split_thinking(text))
    assert (verdict.status, verdict.score) == (status, score)


def test_the_grader_needs_no_worker() -> None:
    assert GRADER.time_limit is None
