"""Verdicts and hashes: what a status says, and what content is the same."""

from __future__ import annotations

import hashlib
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from sftgen_judges import Response, Verdict
from sftgen_judges.records.schema import SCORED, content_hash, doc_hash


@pytest.mark.parametrize("status", ["judge_error", "sandbox_error", "not_graded"])
def test_a_failed_judgement_has_no_score(status: Any) -> None:
    assert status not in SCORED
    assert Verdict(status, reason="no reply").score is None
    with pytest.raises(ValueError, match=status):
        Verdict(status, 0.0)


@pytest.mark.parametrize("status", ["ok", "unparsable", "no_answer", "truncated"])
def test_a_judgement_has_a_score(status: Any) -> None:
    assert status in SCORED
    assert Verdict(status, 0.0).score == 0.0
    with pytest.raises(ValueError, match=status):
        Verdict(status)


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="fine"):
        Verdict("fine", 1.0)  # type: ignore[arg-type]


def test_a_verdict_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Verdict("ok", 1.0).score = 0.0  # type: ignore[misc]


CLOSED, UNCLOSED = Response("t", "closed"), Response("t", "unclosed")
CUT, NONE = Response("t", "none", finish_reason="length"), Response("t")


@pytest.mark.parametrize(
    ("response", "answer", "status", "score"),
    [
        (CLOSED, "4", "ok", 1.0),
        (NONE, "4", "ok", 1.0),
        (CUT, "4", "ok", 1.0),  # the answer came before the limit
        (CLOSED, None, "no_answer", 0.0),
        (NONE, None, "no_answer", 0.0),
        (CUT, None, "truncated", 0.0),
        (UNCLOSED, None, "truncated", 0.0),
        (UNCLOSED, "4", "truncated", 0.0),  # an answer inside unfinished thinking is none
    ],
)
def test_of_scores_an_answer_only_where_there_is_one(
    response: Response, answer: str | None, status: str, score: float
) -> None:
    verdict = Verdict.of(response, answer, True, paper=0.5)
    assert (verdict.status, verdict.score, verdict.paper) == (status, score, 0.5)
    assert isinstance(verdict.score, float)


def test_content_hash_is_the_same_on_every_machine() -> None:
    known = "ba52b570b9952b9135f7254895398dbfaf1792b5d6e4c8023c234cf8d9cbf27f"
    assert content_hash({"b": [1, "é"], "a": None}, 1.5) == known
    assert hashlib.sha256('[{"a":null,"b":[1,"é"]},1.5]'.encode()).hexdigest() == known


def test_hashes_do_not_depend_on_the_order_of_columns_but_on_their_content() -> None:
    assert doc_hash({"a": 1, "b": {"c": 2, "d": 3}}) == doc_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert doc_hash({"a": 1}) != doc_hash({"a": "1"})
    assert content_hash("a", "b") != content_hash("b", "a")
    assert content_hash("ab") != content_hash("a", "b")
    assert len(content_hash("lone surrogate \ud800")) == 64
