"""Generation settings: which of them each of our models applies, and what is in force once they are applied.

A setting is applied or refused by name, and the record says what was used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sftgen_judges.errors import SftgenError

SHAPES = ("top_p", "top_k", "min_p", "typical_p", "top_h", "epsilon_cutoff", "eta_cutoff")
"""Settings that cut the distribution which is sampled from; a greedy response has none."""
COMMON = frozenset({
    "until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k", "min_p", "repetition_penalty",
    "presence_penalty", "frequency_penalty",
})  # fmt: skip
APPLIED: Mapping[str, frozenset[str]] = {
    "sftgen-hf": COMMON
    | {
        "typical_p", "top_h", "epsilon_cutoff", "eta_cutoff", "no_repeat_ngram_size", "min_new_tokens",
        "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias",
        "exponential_decay_length_penalty",
    },
    "sftgen-vllm": COMMON
    | {
        "min_tokens", "stop_token_ids", "ignore_eos", "logit_bias", "bad_words", "allowed_token_ids", "logprobs",
        "skip_special_tokens", "spaces_between_special_tokens", "include_stop_str_in_output", "thinking_token_budget",
    },
    # The first of OpenAI's API, then what vLLM, SGLang, llama.cpp and hosted models take besides.
    "sftgen-chat": COMMON
    | {
        "logit_bias", "reasoning_effort", "response_format", "verbosity", "user", "service_tier", "extra_body",
        "min_tokens", "stop_token_ids", "ignore_eos", "bad_words", "allowed_token_ids", "skip_special_tokens",
        "spaces_between_special_tokens", "include_stop_str_in_output", "structured_outputs", "thinking_token_budget",
        "chat_template_kwargs", "typical_p", "top_n_sigma", "top_a", "mirostat", "mirostat_tau", "mirostat_eta",
        "dry_multiplier", "thinking", "enable_thinking", "thinking_budget", "reasoning", "provider",
    },
}  # fmt: skip
"""Names of the settings that each model applies."""
ONE = ("n", "best_of", "num_beams", "num_return_sequences", "num_beam_groups")
"""Settings of which 1 says that nothing is asked for."""
INSTEAD = {
    "max_new_tokens": "max_gen_toks", "max_tokens": "max_gen_toks", "max_completion_tokens": "max_gen_toks",
    "max_length": "max_gen_toks", "stop": "until", "stop_strings": "until", "seed": "--model_args seed=N",
    "n": "more repeats in the task", "num_return_sequences": "more repeats in the task",
    "min_tokens": "min_new_tokens", "min_new_tokens": "min_tokens", "typical": "typical_p",
}  # fmt: skip
SMALLEST_TEMPERATURE = 1e-5
"""Below it decoding is greedy, as in vLLM."""
VLLM_SMALLEST = 1e-2
"""vLLM samples with at least this temperature, whatever is asked for."""
CHAT_STOPS = 4
"""Stop strings that a chat request takes."""

# What each number may be: smallest, largest, and whether the smallest itself is allowed.
_RANGES: Mapping[str, tuple[float, float, bool]] = {
    "temperature": (0, math.inf, True),
    "top_p": (0, 1, False),
    "top_k": (-1, math.inf, True),
    "min_p": (0, 1, True),
    "typical_p": (0, 1, False),
    "top_h": (0, 1, False),
    "epsilon_cutoff": (0, 1, True),
    "eta_cutoff": (0, 1, True),
    "repetition_penalty": (0, math.inf, False),
    "presence_penalty": (-2, 2, True),
    "frequency_penalty": (-2, 2, True),
    "max_gen_toks": (1, math.inf, True),
    "no_repeat_ngram_size": (0, math.inf, True),
    "min_new_tokens": (0, math.inf, True),
    "min_tokens": (0, math.inf, True),
    "logprobs": (0, math.inf, True),
}
_WHOLE = ("top_k", "max_gen_toks", "no_repeat_ngram_size", "min_new_tokens", "min_tokens", "logprobs")
# What says the same as leaving the setting out.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "typical_p": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "repetition_penalty": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "no_repeat_ngram_size": (0,),
    "min_new_tokens": (0,),
    "min_tokens": (0,),
}


class SettingError(SftgenError, ValueError):
    """A generation setting that a model does not apply, or a value that it cannot have."""


def check_settings(model: str, settings: Mapping[str, Any]) -> None:
    """Check that one of our models applies every setting it is given; others pass unchecked.

    Args:
        model: Name of the lm_eval model.
        settings: The settings, for example of `--gen_kwargs`.

    Raises:
        SettingError: Names the setting, and what to write instead.
    """
    if model not in APPLIED:
        return
    for name, value in settings.items():
        if value is None or (name in ONE and value == 1):
            continue
        if name not in APPLIED[model]:
            instead = INSTEAD.get(name)
            known = instead and (instead in APPLIED[model] or " " in instead)
            raise SettingError(
                f"--gen_kwargs {name}={value!r}: {model} does not apply it. "
                + (f"Use {instead}" if known else f"It applies {', '.join(sorted(APPLIED[model]))}")
                + ("; `extra_body={...}` sends anything else" if model == "sftgen-chat" and not known else "")
            )
        _check_value(name, value)
    if model == "sftgen-chat" and len(_listed(settings.get("until"))) > CHAT_STOPS:
        raise SettingError(f"--gen_kwargs until: sftgen-chat sends at most {CHAT_STOPS} stop strings")


def in_force(model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What one of our models does with its settings, however they were written; of other models they stay as they are.

    Args:
        model: Name of the lm_eval model, empty where it is not known.
        settings: The settings of a request.

    Raises:
        SettingError: A setting that the model does not apply.
    """
    if model not in APPLIED:
        return dict(settings)
    check_settings(model, settings)
    used = {name: value for name, value in settings.items() if value is not None and name not in ONE}
    if model != "sftgen-chat":  # a server may have defaults of its own, which a neutral value overrides
        used = {name: value for name, value in used.items() if value not in _NEUTRAL.get(name, ())}
    temperature = float(used.get("temperature", 1.0 if used.get("do_sample") else 0.0))
    if used.get("do_sample") is False or temperature < SMALLEST_TEMPERATURE:
        greedy = {name: value for name, value in used.items() if name not in SHAPES}
        return {**greedy, "do_sample": False, "temperature": 0.0}
    if model == "sftgen-vllm":
        temperature = max(temperature, VLLM_SMALLEST)
    return {**used, "do_sample": True, "temperature": temperature}


def for_stock_model(settings: Mapping[str, Any], lm: Any) -> dict[str, Any]:
    """Settings as an lm_eval model has to be given them so that it cuts only what the task cuts.

    Tasks say `top_k: 0` for no cut. transformers would take 50, or what the model's folder asks for; other engines have
    no cut by default, and some servers refuse the field.

    Args:
        settings: What the task asks for.
        lm: The lm_eval model, None where it is not known.
    """
    if "lm_eval.models.huggingface" not in {kind.__module__ for kind in type(lm).__mro__}:
        return {name: value for name, value in settings.items() if name != "top_k" or value != 0}
    if hasattr(lm, "sftgen_name"):
        return dict(settings)
    own = getattr(getattr(lm, "model", None), "generation_config", None)
    names = tuple(_OF_THE_FOLDER) if settings.get("do_sample") else ("repetition_penalty",)
    undone = {
        name: _OF_THE_FOLDER[name] for name in names if getattr(own, name, None) not in (None, _OF_THE_FOLDER[name])
    }
    return {**undone, **settings}


_OF_THE_FOLDER: Mapping[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
"""What a model's generation_config.json may ask for, with what takes it back."""


def _check_value(name: str, value: Any) -> None:
    if name == "do_sample" and not isinstance(value, bool):
        raise SettingError(f"--gen_kwargs do_sample={value!r}: expected True or False")
    if name not in _RANGES:
        return
    low, high, included = _RANGES[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (low <= value <= high) or (value == low and not included):
        kind = "a whole number" if name in _WHOLE else "a number"
        bounds = f"{'from' if included else 'above'} {low}" + ("" if high == math.inf else f" to {high}")
        raise SettingError(f"--gen_kwargs {name}={value!r}: expected {kind} {bounds}")
    if name in _WHOLE and value != int(value):
        raise SettingError(f"--gen_kwargs {name}={value!r}: expected a whole number")


def _listed(until: Any) -> list[Any]:
    return list(until) if isinstance(until, list | tuple) else [until] if until else []
