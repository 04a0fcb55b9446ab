"""A judge's model in this process, run by transformers."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sftgen_judges import Item, Request, Response
from sftgen_judges.asking.local_models import ask_transformers
from sftgen_judges.asking.settings import with_settings
from sftgen_judges.plugins.contracts import Failure
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_judges.scoring.grading import grade_batch
from sftgen_judges.truth import TRUTH, TRUTH_CHAT, TRUTH_LOGPROB
from tests.judges.tiny_judge import example, train_judge


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_judge(tmp_path_factory.mktemp("judge"))


def examples(count: int) -> tuple[list[Item], list[bool]]:
    drawn = [example(random.Random(f"test {n}")) for n in range(count)]
    return (
        [Item({"question": question}, Response(answer, answer=answer)) for question, answer, _ in drawn],
        [true for _, _, true in drawn],
    )


@pytest.mark.parametrize("judge", [TRUTH, TRUTH_LOGPROB], ids=["text", "logprob"])
def test_a_trained_judge_is_right_in_its_trained_format(judge: object, model: Path) -> None:
    items, true = examples(40)
    local = with_settings(judge, backend="transformers", model=str(model))  # type: ignore[arg-type]
    verdicts = grade_batch(local, items)
    assert [verdict.status for verdict in verdicts] == ["ok"] * 40
    assert [bool(verdict.score) for verdict in verdicts] == true
    assert verdicts[0].evidence["reply"] in {" yes", " no"}
    assert verdicts[0].evidence["asked_model"] == str(model)


def test_a_chat_that_is_no_judgement_is_missing(model: Path) -> None:
    judge = with_settings(TRUTH_CHAT, backend="transformers", model=str(model), max_tokens=8)
    verdicts = grade_batch(judge, examples(2)[0])
    assert [verdict.score for verdict in verdicts] == [None, None]
    assert verdicts[0].evidence["tokens"] <= 8


def test_a_batch_says_what_each_would_say_alone(model: Path) -> None:
    requests = [
        Request("Q: Is it 1?\nA: a myth\nTrue:", max_tokens=1, logprobs=3),
        Request("Q: a much longer one, is it not?\nA: indeed\nTrue:", max_tokens=12),
        Request(({"role": "user", "content": "Hi"},), max_tokens=6),
        Request("Q: Is it 7?\nA: it is so\nTrue:", max_tokens=4, stop=("s",)),
    ]
    settings = JudgeSettings(model=str(model), concurrency=4)
    together = dict(ask_transformers(settings, requests))
    for position, request in enumerate(requests):
        [(_, alone)] = ask_transformers(settings, [request])
        reply = together[position]
        assert not isinstance(reply, Failure)
        assert not isinstance(alone, Failure)
        assert (reply.text, reply.tokens, reply.finish_reason) == (alone.text, alone.tokens, alone.finish_reason)
        assert reply.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
    assert max(together[0].logprobs, key=together[0].logprobs.get) == " no"  # type: ignore[union-attr,arg-type]
    assert together[3].text == " ye"  # type: ignore[union-attr]


def test_a_prompt_that_does_not_fit_is_missing(model: Path) -> None:
    items = [Item({"question": "Is it 1?"}, Response("x", answer=answer)) for answer in ("a myth", "x" * 41_000)]
    good, bad = grade_batch(with_settings(TRUTH, backend="transformers", model=str(model)), items)
    assert (good.score, bad.score) == (0, None)
    assert bad.reason == "the prompt is too long: 41004 tokens, the model takes 40960"
