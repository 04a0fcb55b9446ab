"""Markers of thinking that are special tokens are kept, or it is said that they are lost."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import split_thinking
from sftgen_tasks.harness.special_tokens import dropped_marker, warn_of_dropped_markers

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
    from sftgen_tasks.harness.backends.hf import RecordingHFLM

    model, tokenizer = loaded
    lm = RecordingHFLM(model, tokenizer, batch_size=1)
    tokens = [*tokenizer("[THINK]so B[/THINK]E", add_special_tokens=False)["input_ids"], lm.eot_token_id]
    text = lm._read(tokens, [], 64, 3, None)
    assert (str(text), text.tokens, text.finish_reason) == ("[THINK]so B[/THINK]E", len(tokens), "stop")
    assert split_thinking(text).answer == "E"


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
