"""A generation setting is applied or refused by name, and the record says what was used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftgen_tasks.harness.sampling import APPLIED, SettingError, check_settings, for_stock_model, in_force

GREEDY = {"do_sample": False, "temperature": 0.0}


@pytest.mark.parametrize("model", sorted(APPLIED))
@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({}, GREEDY),
        ({"do_sample": True, "temperature": 0}, GREEDY),
        ({"do_sample": True, "temperature": 0.0, "top_p": 0.9, "top_k": 5, "min_p": 0.1}, GREEDY),
        ({"do_sample": True, "temperature": 1e-6}, GREEDY),
        ({"do_sample": False, "temperature": 0.6}, GREEDY),
        ({"temperature": 0}, GREEDY),
        ({"do_sample": False}, GREEDY),
        ({"do_sample": True}, {"do_sample": True, "temperature": 1.0}),
        ({"temperature": 0.6}, {"do_sample": True, "temperature": 0.6}),
        ({"temperature": 0.6, "top_p": None}, {"do_sample": True, "temperature": 0.6}),
        ({"temperature": 0.6, "n": 1, "num_beams": 1}, {"do_sample": True, "temperature": 0.6}),
        ({"temperature": 0.6, "min_p": 0.1}, {"do_sample": True, "temperature": 0.6, "min_p": 0.1}),
        ({"temperature": 0, "repetition_penalty": 1.2}, {**GREEDY, "repetition_penalty": 1.2}),
        ({"temperature": 1, "until": ["x"], "max_gen_toks": 9},
         {"do_sample": True, "temperature": 1.0, "until": ["x"], "max_gen_toks": 9}),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_in_force(model: str, given: dict[str, Any], used: dict[str, Any]) -> None:
    assert in_force(model, given) == used
    assert in_force(model, used) == used


def test_what_only_one_model_does() -> None:
    neutral = {"temperature": 1.0, "top_p": 1, "top_k": -1, "min_p": 0, "repetition_penalty": 1.0}
    for model in ("sftgen-hf", "sftgen-vllm"):
        assert in_force(model, neutral) == {"do_sample": True, "temperature": 1.0}
    # A server has defaults of its own, which a neutral value overrides.
    assert in_force("sftgen-chat", neutral) == {**neutral, "do_sample": True}
    assert in_force("sftgen-vllm", {"temperature": 0.004})["temperature"] == 0.01
    assert in_force("sftgen-hf", {"temperature": 0.004})["temperature"] == 0.004
    assert in_force("vllm", {"temperature": 0, "whatever": 1}) == {"temperature": 0, "whatever": 1}


def test_no_top_k_reaches_the_keys_of_stored_answers_and_stock_transformers_only_is_given_it(tiny_model: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    asked = {"do_sample": True, "temperature": 0.6, "top_k": 0}
    without = {"do_sample": True, "temperature": 0.6}
    for model in APPLIED:  # the task leaves it out for a server
        assert in_force(model, for_stock_model(asked, None) if model == "sftgen-chat" else asked) == without
    for other in (None, object()):
        assert for_stock_model(asked, other) == without
    lm = HFLM(pretrained=str(tiny_model), device="cpu")
    assert for_stock_model(asked, lm) == asked
    assert for_stock_model({**asked, "top_k": 50}, None)["top_k"] == 50
    # What the model's folder asks for is taken back, unless the task asks for it.
    lm.model.generation_config.update(top_p=0.5, repetition_penalty=2.0)
    assert for_stock_model({**asked, "top_p": 0.95}, lm) == {**asked, "top_p": 0.95, "repetition_penalty": 1.0}
    assert for_stock_model({"do_sample": False}, lm) == {"do_sample": False, "repetition_penalty": 1.0}


@pytest.mark.parametrize(
    ("model", "name", "value", "told"),
    [
        ("sftgen-hf", "top_n_sigma", 1.0, "sftgen-hf does not apply it. It applies bad_words_ids"),
        ("sftgen-hf", "logit_bias", {1: 2}, "does not apply it"),
        ("sftgen-hf", "num_beams", 4, "does not apply it"),
        ("sftgen-hf", "penalty_alpha", 0.6, "does not apply it"),
        ("sftgen-hf", "guidance_scale", 2, "does not apply it"),
        ("sftgen-hf", "max_new_tokens", 5, "Use max_gen_toks"),
        ("sftgen-hf", "max_length", 5, "Use max_gen_toks"),
        ("sftgen-hf", "stop", ["x"], "Use until"),
        ("sftgen-hf", "seed", 3, "Use --model_args seed=N"),
        ("sftgen-hf", "min_tokens", 3, "Use min_new_tokens"),
        ("sftgen-vllm", "min_new_tokens", 3, "Use min_tokens"),
        ("sftgen-vllm", "typical_p", 0.9, "does not apply it"),
        ("sftgen-vllm", "no_repeat_ngram_size", 3, "does not apply it"),
        ("sftgen-vllm", "n", 4, "Use more repeats in the task"),
        ("sftgen-vllm", "seed", 4, "Use --model_args seed=N"),
        ("sftgen-vllm", "detokenize", False, "does not apply it"),
        ("sftgen-chat", "epsilon_cutoff", 0.1, "`extra_body={...}` sends anything else"),
        ("sftgen-chat", "stream", True, "does not apply it"),
        ("sftgen-chat", "max_tokens", 3, "Use max_gen_toks"),
        ("sftgen-chat", "until", list("abcde"), "at most 4 stop strings"),
        ("sftgen-hf", "temperature", -0.1, "expected a number from 0"),
        ("sftgen-hf", "temperature", "hot", "expected a number from 0"),
        ("sftgen-hf", "temperature", True, "expected a number from 0"),
        ("sftgen-hf", "temperature", float("nan"), "expected a number from 0"),
        ("sftgen-hf", "top_p", 0, "expected a number above 0 to 1"),
        ("sftgen-hf", "top_p", 1.5, "expected a number above 0 to 1"),
        ("sftgen-hf", "top_k", 2.5, "expected a whole number"),
        ("sftgen-hf", "top_k", -2, "expected a whole number from -1"),
        ("sftgen-hf", "min_p", 1.1, "expected a number from 0 to 1"),
        ("sftgen-hf", "repetition_penalty", 0, "expected a number above 0"),
        ("sftgen-hf", "presence_penalty", 3, "expected a number from -2 to 2"),
        ("sftgen-hf", "do_sample", "no", "expected True or False"),
        ("sftgen-hf", "max_gen_toks", 0, "expected a whole number from 1"),
    ],
)  # fmt: skip
def test_what_is_not_applied_is_refused_by_name(model: str, name: str, value: Any, told: str) -> None:
    with pytest.raises(SettingError) as refused:
        check_settings(model, {name: value})
    assert f"--gen_kwargs {name}" in str(refused.value)
    assert told in str(refused.value)
    with pytest.raises(SettingError):
        in_force(model, {name: value})
