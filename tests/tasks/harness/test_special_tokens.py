"""Markers of thinking that are special tokens are kept, or it is said that they are lost."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import split_thinking
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.thinking import read_record
from sftgen_tasks import gpqa_diamond as gpqa
from sftgen_tasks.harness.special_tokens import dropped_marker, read_tokens, warn_of_dropped_markers

TEMPLATE = "{{ '[THINK]' + message.thinking + '[/THINK]' + message.content }}"


@pytest.fixture
def loaded(tiny_model: Path) -> tuple[Any, Any]:
    """A tiny model whose markers of thinking are special tokens, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert dropped_marker(tokenizer, TEMPLATE) is None  # plain text so far
    tokenizer.add_tokens(["[THINK]", "[/THINK]"], special_tokens=True)
    tokenizer.chat_template = TEMPLATE
    model.resize_token_embeddings(len(tokenizer))
    return model, tokenizer


def test_our_own_model_keeps_them(loaded: tuple[Any, Any]) -> None:
    from sftgen_tasks.harness.backends.hf import RecordingHFLM, Row

    model, tokenizer = loaded
    lm = RecordingHFLM(model, tokenizer, batch_size=1)
    tokens = [*tokenizer("[THINK]so B[/THINK]E", add_special_tokens=False)["input_ids"], lm.eot_token_id]
    text = lm._read(Row("", prompt_tokens=3, budget=64, seed=0), tokens, [], sampled=False)
    assert (str(text), text.tokens, text.finish_reason) == ("[THINK]so B[/THINK]E", len(tokens), "stop")
    assert split_thinking(text).answer == "E"


# ------------------------------------------------------------------------------ tokens that mark no thinking

PAD, TURN = "<|endoftext|>", "<|im_start|>"


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize(
    ("written", "until", "text", "turn_end"),
    [
        ("so\n\\boxed{4}", [], "so\n\\boxed{4}", None),
        (f"4{PAD}", [], "4", None),  # nothing comes after it
        (f"4{PAD} \n", [], "4 \n", None),
        (f"4{PAD}{TURN}user\nAnd 5?", [], "4user\nAnd 5?", 1),
        (f"<think>a</think>4{TURN}user\n5", [], "<think>a</think>4user\n5", 17),
        (f"4{TURN}assistant\n5", [], "4assistant\n5", None),  # nobody else's turn
        ("4 STOP 5", ["STOP"], "4 ", None),
        (f"4{PAD} 5", [PAD], "4", None),
        (f"4 a{PAD}b 5", [f"{PAD}b"], "4 a", None),
    ],
)
def test_special_tokens_are_kept_apart(
    tokenizer: Any, written: str, until: list[str], text: str, turn_end: int | None
) -> None:
    tokens = tokenizer(written, add_special_tokens=False)["input_ids"]
    read = read_tokens(tokenizer, tokens, until)
    assert (read.text, read.turn_end, read.stopped) == (text, turn_end, bool(until))


def test_what_comes_after_the_turn_is_not_scored_where_one_answer_is_asked_for(tokenizer: Any) -> None:
    written = f"so \\boxed{{A}}{PAD} and then \\boxed{{B}}"
    read = read_tokens(tokenizer, tokenizer(written, add_special_tokens=False)["input_ids"])
    record = GenerationRecord("t", None, "m", "d", 0, "p", {}, read.text, turn_end=read.turn_end)
    assert GenerationRecord.from_dict(record.to_dict()) == record
    response = read_record(record)
    assert response.answer[: response.turn_end] == "so \\boxed{A}"
    doc = {"question": "q", "options": ["1", "2", "3", "4"], "answer": "A"}
    verdict, whole = gpqa.grade(doc, response), gpqa.grade(doc, replace(response, turn_end=None))
    assert (verdict.answer, verdict.measures["wrote_on"], verdict.paper) == ("A", 1.0, whole.paper)
    assert (whole.answer, whole.measures["wrote_on"]) == ("B", 0.0)
    # Inside thinking a token says nothing of the answer.
    thinking = replace(record, text=f"<think>{read.text}</think>C", turn_end=10)
    assert read_record(thinking).turn_end is None


def test_the_stock_model_drops_them_and_that_is_said(loaded: tuple[Any, Any], caplog: pytest.LogCaptureFixture) -> None:
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = loaded
    assert dropped_marker(tokenizer) in {"[THINK]", "[/THINK]"}
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1)
    with caplog.at_level(logging.WARNING):
        warn_of_dropped_markers(lm, TEMPLATE)
    [line] = [message for message in caplog.messages if "special token" in message]
    assert "--model sftgen-hf" in line


def test_a_template_without_markers_is_no_matter(loaded: tuple[Any, Any], caplog: pytest.LogCaptureFixture) -> None:
    assert dropped_marker(loaded[1], "{{ message.content }}") is None
    warn_of_dropped_markers(object(), TEMPLATE)
    assert not caplog.messages
