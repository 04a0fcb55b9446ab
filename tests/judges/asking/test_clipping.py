"""Answers that are longer than the judge's model takes: cut before they are sent, or when the server refuses them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Judge, Request, Response, Verdict
from sftgen_judges.asking.clipping import shortened, too_long
from sftgen_judges.asking.settings import missing_settings, with_settings
from sftgen_judges.plugins.judge_settings import SettingsError
from sftgen_judges.policy import POLICY
from sftgen_judges.scoring.grading import grade_batch
from sftgen_judges.truth import TRUTH, paper
from tests.judges.server import Action, JudgeServer, fail, prompt_of, say, serving

LONG = "".join(f"word{number} " for number in range(3_000)).strip()
PUBLISHED = paper(TRUTH)


def items(answer: str = LONG) -> list[Item]:
    return [Item({"question": "Is it?"}, Response(answer, answer=answer))]


def judged(server: JudgeServer, judge: Judge = PUBLISHED, answer: str = LONG, **settings: Any) -> Verdict:
    given = {"base_url": server.url, "model": "judge", "backoff": 0.01, "attempts": 2, **settings}
    [verdict] = grade_batch(with_settings(judge, **given), items(answer))
    return verdict


# ------------------------------------------------------------------------------ the server says that it is too long

SAID: dict[str, Callable[[int, int], str]] = {
    "openai": lambda limit, given: (
        f"This model's maximum context length is {limit} tokens. However, you requested {given + 16} tokens "
        f"({given} in the messages, 16 in the completion). Please reduce the length of the messages or completion."
    ),
    "vllm": lambda limit, given: (
        f"'max_tokens' or 'max_completion_tokens' is too large: 16. This model's maximum context length is {limit} "
        f"tokens and your request has {given} input tokens (16 > {limit} - {given})."
    ),
    "vllm, of the prompt alone": lambda limit, given: (
        f"The decoder prompt (length {given}) is longer than the maximum model length of {limit}. Make sure that "
        "`max_model_len` is no smaller than the number of text tokens."
    ),
    "sglang": lambda limit, given: (
        f"The input ({given} tokens) is longer than the model's context length ({limit} tokens)."
    ),
    "tgi": lambda limit, given: (
        f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= {limit}. Given: {given} `inputs` "
        "tokens and 16 `max_new_tokens`"
    ),
    "llama.cpp": lambda limit, given: f"the request exceeds the available context size ({limit} tokens), got {given}",
    "no numbers": lambda limit, given: "maximum context length exceeded",
}


def limited(limit: int, said: Callable[[int, int], str], status: int = 400) -> Callable[[str, int], Action]:
    """A server that takes so many tokens, four characters each, with its reply of 16."""

    def plan(prompt: str, _time: int) -> Action:
        tokens = len(prompt) // 4
        return say(" yes") if tokens + 16 <= limit else fail(status, said(limit, tokens))

    return plan


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_an_answer_that_a_server_finds_too_long_is_cut_and_asked_about_again(said: Callable[[int, int], str]) -> None:
    with serving(limited(4096, said, 422 if "inputs" in said(1, 2) else 400)) as server:
        verdict = judged(server)
        sent = [prompt_of(call["body"]) for call in server.calls]
    assert (verdict.status, verdict.score, verdict.measures["clipped"]) == ("ok", 1.0, 1.0)
    assert sent[0] == f"Q:Is it?A:{LONG}True:"
    kept = sent[-1].removeprefix("Q:Is it?A:").removesuffix("True:")
    assert LONG.startswith(kept)
    assert 2_800 * 4 < len(kept) < 4_096 * 4  # not much more than needed was cut
    assert len(sent) <= 4
    assert verdict.evidence["clipped_chars"] == len(LONG) - len(kept)
    assert verdict.reason == f"{len(LONG) - len(kept):,} characters of the response were clipped"


def test_a_server_that_never_takes_it_is_left_alone() -> None:
    for said in (SAID["no numbers"](0, 0), SAID["openai"](4096, 10**9), SAID["openai"](10**9, 4096)):
        with serving(fail(400, said)) as server:
            verdict = judged(server)
            assert len(server.calls) <= 7
        assert (verdict.status, verdict.score) == ("judge_error", None)
        assert "maximum context length" in verdict.reason


def test_a_question_is_never_cut_and_another_refusal_is_none_of_length() -> None:
    assert shortened(Request("Q: x", 1, response="absent"), 2) == Request("Q: x", 1, response="absent")
    assert not too_long("the prompt is too rude")
    assert not too_long("x" * 5_000 + "maximum context length")
    with serving(fail(400, "the prompt is too rude")) as server:
        assert judged(server).status == "judge_error"
        assert len(server.calls) == 1


def test_a_chat_judge_keeps_what_follows_the_response() -> None:
    def plan(prompt: str, _time: int) -> Action:
        long = len(prompt) // 4 + 4096 > 8192
        told = SAID["openai"](8192, len(prompt) // 4).replace("16 in the", "4096 in the")
        return fail(400, told) if long else say('{"analysis": "x", "score": 2}')

    with serving(plan) as server:
        verdict = judged(server, POLICY)
        prompt = prompt_of(server.calls[-1]["body"])
    assert (verdict.score, verdict.measures["clipped"]) == (2.0, 1.0)
    assert re.search(r"word\d+ ?\w*\n\[end of response \w+\]\n\nJudge the response", prompt)


# ------------------------------------------------------------------------------ the tokenizer is known


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of letters, with a token before every text, as Llama 2 has one."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["<unk>", "<s>", "True:", *map(chr, range(32, 127))]
    made = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"True:|[\s\S]"), "isolated")
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="<unk>").save_pretrained(folder)
    return folder


def test_the_published_judges_get_4075_tokens_of_question_and_answer(tokenizer: Path) -> None:
    head = f"Q:Is it?A:{LONG}"
    with serving(say(" yes")) as server:
        verdict = judged(server, tokenizer=str(tokenizer))
        assert [prompt_of(call["body"]) for call in server.calls] == [f"{head[:4074]}True:"]  # and one before the text
        assert (verdict.score, verdict.evidence["clipped_chars"]) == (1.0, len(head) - 4074)
        fits = LONG[: 4074 - len("Q:Is it?A:")]
        assert judged(server, answer=fits, tokenizer=str(tokenizer)).measures["clipped"] == 0.0
        assert judged(server, answer=f"{fits}x", tokenizer=str(tokenizer)).measures["clipped"] == 1.0
        assert prompt_of(server.calls[-1]["body"]) == prompt_of(server.calls[0]["body"])


def test_another_context_is_another_question(tokenizer: Path, tmp_path: Path) -> None:
    with serving(say(" yes")) as server:
        for context, calls in ((100, 1), (100, 1), (200, 2)):
            given = {"base_url": server.url, "tokenizer": str(tokenizer), "max_context": context}
            grade_batch(with_settings(TRUTH, **given), items(), journal=tmp_path / "verdicts.jsonl")
            assert len(server.calls) == calls
    # 17 of the 100 are for what follows the answer, beside four of the reply.
    assert len(prompt_of(server.calls[0]["body"])) == 100 - 21 - 1 + len("\nTrue:")


def test_a_tokenizer_that_cannot_be_used_is_said_before_anything_is_generated(tmp_path: Path) -> None:
    judge = with_settings(TRUTH, tokenizer=str(tmp_path), base_url="http://localhost:1")
    with pytest.raises(SettingsError, match=rf"SFTGEN_JUDGE_TOKENIZER\) {str(tmp_path)!r}: cannot be loaded"):
        missing_settings(replace(judge))
