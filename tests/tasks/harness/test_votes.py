"""maj@k, pass@k and the first sample, against enumeration of every draw and a vote written another way."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.records.schema import Response, Verdict
from sftgen_tasks.harness.votes import pass_at, vote_measures
from sftgen_tasks.math.grading import canonical

Given = tuple[str, str | None]
"""Status and answer of a sample; the right answer is `1/2`."""


def sample(document: str, repeat: int, given: Given) -> Sample:
    status, answer = given
    response = Response(answer or "", answer=answer or "")
    if status == "not_graded":
        return Sample("t", None, document, repeat, response, Verdict("not_graded"))
    score = float(status == "ok" and answer is not None and canonical(answer) == "1/2")
    return Sample("t", None, document, repeat, response, Verdict(status, score, answer=answer))  # type: ignore[arg-type]


GIVEN = st.one_of(
    st.tuples(st.just("ok"), st.sampled_from(["1/2", "0.5", r"\dfrac12", "3", "3.0", "x", " x ", "7"])),
    st.tuples(st.just("unparsable"), st.sampled_from(["???", "3"])),
    st.tuples(st.sampled_from(["no_answer", "truncated"]), st.none()),
    st.tuples(st.just("truncated"), st.just("1/2")),
)


def brute_majority(group: list[Given]) -> float:
    """Every sample's answer against every other's, as the paper's code counts them: the first of the most."""
    answers = [canonical(answer) for status, answer in group if answer is not None and status in {"ok", "unparsable"}]
    counts = Counter(answers)
    most = max(counts.values(), default=0)
    return float(next((answer for answer in answers if counts[answer] == most), "") == "1/2")


@settings(max_examples=300, deadline=None)
@given(
    st.integers(2, 9).flatmap(
        lambda size: st.lists(st.lists(GIVEN, min_size=size, max_size=size), min_size=1, max_size=4)
    )
)
def test_measures_are_those_of_brute_force(groups: list[list[Given]]) -> None:
    size = len(groups[0])
    samples = [
        sample(str(number), repeat, one) for number, group in enumerate(groups) for repeat, one in enumerate(group)
    ]
    found = vote_measures(list(reversed(samples)), canonical)
    scores = [[one.verdict.score for one in samples if one.doc_hash == str(number)] for number in range(len(groups))]
    scores.reverse()  # documents come in the order of their first sample
    assert found.pop("score_first") == [of_doc[0] for of_doc in scores]
    assert found.pop(f"maj@{size}") == [brute_majority(group) for group in reversed(groups)]
    assert list(found) == [f"pass@{drawn}" for drawn in dict.fromkeys((*(n for n in (2, 4, 8) if n < size), size))]
    for metric, values in found.items():
        drawn = int(metric.removeprefix("pass@"))
        expected = [fmean(float(any(draw)) for draw in combinations(of_doc, drawn)) for of_doc in scores]
        assert values == pytest.approx(expected)


def test_one_draw_is_the_mean_and_all_draws_are_whether_any_is_right() -> None:
    for size in range(1, 12):
        for right in range(size + 1):
            assert pass_at(1, size, right) == pytest.approx(right / size)
            assert pass_at(size, size, right) == (right > 0)


def test_documents_without_a_graded_sample_of_every_repeat_are_left_out_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    right: Given = ("ok", "0.5")
    groups: dict[str, list[Given]] = {
        "whole": [right, right],
        "missing": [right],
        "failed": [right, ("not_graded", None)],
    }
    samples = [sample(name, repeat, one) for name, group in groups.items() for repeat, one in enumerate(group)]
    with caplog.at_level(logging.WARNING):
        assert vote_measures(samples, canonical) == {"score_first": [1.0], "pass@2": [1.0], "maj@2": [1.0]}
    assert "t: 2 of 3 documents lack a graded sample of some repeat" in caplog.text


def test_what_has_no_vote() -> None:
    pair = [sample("d", repeat, ("ok", "1/2")) for repeat in range(2)]
    assert vote_measures(pair[:1], canonical) == {}
    assert set(vote_measures(pair)) == {"score_first", "pass@2"}  # programs have no form in which they are the same
    graded = [Sample("t", None, "d", n, Response(""), Verdict("ok", 2.5 + n, answer="a")) for n in range(2)]
    assert vote_measures(graded, canonical) == {
        "score_first": [2.5]
    }  # the logit of a reward model is not right or wrong
