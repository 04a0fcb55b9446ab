"""The settings of judges: `SFTGEN_JUDGE_*`, read when a judge is used, and options of a task or a command.

`SFTGEN_JUDGE_MODEL` holds for every judge, `SFTGEN_JUDGE_TRUTH_MODEL` for the judge `truth` alone, and so on for
every setting. Options are values that a judge carries (`with_options`); nothing here writes into the environment.
A key comes from the environment only, and leaves this process only as the header of a call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from sftgen_judges.asking.clipping import tokenizer_of
from sftgen_judges.plugins.contracts import Judge
from sftgen_judges.plugins.judge_settings import PREFIX, JudgeSettings, SettingsError
from sftgen_judges.plugins.manager import plugins


def settings_for(judge: Judge) -> JudgeSettings:
    """The settings of one judge.

    The most particular value counts, in this order: the judge's own `settings`, `SFTGEN_JUDGE_<NAME>_<FIELD>`,
    the model that the judge was made for, the judge's `defaults`, `SFTGEN_JUDGE_<FIELD>`, the field's default.

    Raises:
        SettingsError: A variable names no setting, or a value cannot be used.
    """
    general, own = _environment(judge.name)
    values = {**general, **judge.defaults, **({"model": judge.model} if judge.model else {}), **own, **judge.settings}
    try:
        settings = JudgeSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        shown = "" if field in {"api_key", "base_url"} else f" {first['input']!r}"
        raise SettingsError(
            f"judge setting {field} ({PREFIX}{field.upper()}){shown}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
    backends = plugins().registered("register_judge_backends")
    if settings.backend not in backends:
        raise SettingsError(
            f"judge setting backend ({PREFIX}BACKEND) {settings.backend!r}: expected one of {', '.join(backends)}"
        )
    if settings.budget_cost is not None and None in (settings.input_price, settings.output_price):
        raise SettingsError(
            f"{PREFIX}BUDGET_COST needs prices: set {PREFIX}INPUT_PRICE and {PREFIX}OUTPUT_PRICE per million tokens"
        )
    if settings.template and not settings.template.is_file():
        raise SettingsError(f"judge setting template {str(settings.template)!r}: no such file")
    return settings


def judge_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options named `judge_<field>`, where `<field>` is a field of `JudgeSettings`.

    Raises:
        SettingsError: A key is among them. Options are written into results, so a key comes from the environment only.
    """
    if options.get("judge_api_key") is not None:
        raise SettingsError(f"judge_api_key among the options: set {PREFIX}API_KEY in the environment instead")
    named = (f"judge_{field}" for field in JudgeSettings.model_fields)
    return {name: options[name] for name in named if options.get(name) not in (None, "")}


def with_options(judge: Judge, options: Mapping[str, Any]) -> Judge:
    """The judge, and its parts, with the options named `judge_<field>` in place of `SFTGEN_JUDGE_<FIELD>`.

    They hold for this judge only: nothing is kept for other judges of the process.

    Raises:
        SettingsError: A key is among the options.
    """
    # Values as text, as in the environment: a model named 7 is a name all the same.
    defaults = {
        name.removeprefix("judge_"): value if isinstance(value, dict) else str(value)
        for name, value in judge_options(options).items()
    }
    parts = tuple(with_options(part, options) for part in judge.parts)
    return replace(judge, parts=parts, defaults={**judge.defaults, **defaults})


def with_settings(judge: Judge, **settings: Any) -> Judge:
    """The judge, and its parts, with settings that override the environment."""
    parts = tuple(with_settings(part, **settings) for part in judge.parts)
    return replace(judge, parts=parts, settings={**judge.settings, **settings})


def missing_settings(judge: Judge) -> str:
    """What has to be set before a judge can work; empty when nothing is missing.

    Raises:
        SftgenError: A setting cannot be used.
    """
    if judge.parts:
        return next(filter(None, map(missing_settings, judge.parts)), "")
    if not judge.needs:
        return ""
    settings = settings_for(judge)
    if settings.tokenizer:  # now, and not when everything has been generated
        tokenizer_of(settings.tokenizer)
    return (judge.check(settings) if judge.check else "") or settings.missing


def _environment(name: str) -> tuple[dict[str, str], dict[str, str]]:
    general: dict[str, str] = {}
    own: dict[str, str] = {}
    mine = name.upper().replace("-", "_") + "_"
    for variable, value in os.environ.items():
        if not variable.startswith(PREFIX) or not value:
            continue
        rest = variable.removeprefix(PREFIX)
        if rest.lower() in JudgeSettings.model_fields:
            general[rest.lower()] = value
        elif not any(rest.endswith(f"_{field.upper()}") for field in JudgeSettings.model_fields):
            # The value is not shown: it may be a key under a wrong name.
            known = ", ".join(PREFIX + field.upper() for field in JudgeSettings.model_fields)
            raise SettingsError(f"{variable}: no such setting. Known: {known}; or with a judge's name in between")
        elif rest.removeprefix(mine).lower() in JudgeSettings.model_fields:
            own[rest.removeprefix(mine).lower()] = value
    return general, own


def without_key(text: str, settings: JudgeSettings) -> str:
    """A text from the server without the key, which it may repeat."""
    return text.replace(settings.key, "[key]") if settings.key else text


def cleaned(value: Any, settings: JudgeSettings) -> Any:
    """A value for the records without the key, in whatever text of it the key stands."""
    if isinstance(value, str):
        return without_key(value, settings)
    if isinstance(value, Mapping):
        return {cleaned(name, settings): cleaned(part, settings) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(cleaned(part, settings) for part in value)
    return value
