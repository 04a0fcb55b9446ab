"""Verdicts on their way through lm_eval: objects to us, JSON text to it."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import pytest

from sftgen_judges import Response, Verdict
from sftgen_judges.plugins.contracts import Sample
from sftgen_tasks.harness.graded import GradedText, as_samples, process_results

RESPONSE = Response("<think>hm</think>4", think="closed", thinking="hm", answer="4", tokens=9, finish_reason="stop")
CUT = Response("<think>hm", think="unclosed", tokens=30, finish_reason="length")
SAMPLES = [
    Sample("t", 5, "d", 0, RESPONSE, Verdict.of(RESPONSE, "4", 1.0, paper=0.0, measures={"part": [1.0, 2.0]})),
    Sample("t", 5, "d", 1, CUT, Verdict.of(CUT, None, 0.0)),
    Sample("t", 5, "d", 2, RESPONSE, Verdict("judge_error", reason="no reply", evidence={"model": "m"})),
]
GRADED = [GradedText(sample, None) for sample in SAMPLES]


def test_it_is_json_without_the_evidence() -> None:
    said = json.loads(GRADED[2])
    assert (said["status"], said["reason"], said["think"], said["tokens"]) == ("judge_error", "no reply", "closed", 9)
    assert "evidence" not in said
    assert json.dumps(GRADED[0]) == json.dumps(str(GRADED[0]))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda text: pickle.loads(pickle.dumps(text))])
def test_a_copy_or_another_process_keeps_the_sample(copied: Callable[[GradedText], GradedText]) -> None:
    found = copied(GRADED[0])
    assert (found, found.sample, found.record) == (GRADED[0], SAMPLES[0], None)


def test_metrics_of_objects_and_of_their_text_are_the_same() -> None:
    metrics = process_results({}, [GRADED])
    assert metrics == process_results({}, [[str(text) for text in GRADED]])
    assert metrics == {
        "answered": pytest.approx(2 / 3), "truncated": pytest.approx(1 / 3), "coverage": pytest.approx(2 / 3),
        "score": 0.5, "score_paper": 0.0, "response_tokens": 16.0, "part": [1.0, 2.0],
    }  # fmt: skip


def test_samples_come_back_in_the_order_of_repeats_and_text_has_none() -> None:
    assert as_samples([GRADED]) == SAMPLES
    assert as_samples([[str(text) for text in GRADED]]) == []
