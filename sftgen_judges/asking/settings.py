"""How judges reach their models: `SFTGEN_JUDGE_*`, read when a judge is used.

`SFTGEN_JUDGE_MODEL` holds for every judge, `SFTGEN_JUDGE_TRUTH_MODEL` for the judge `truth` alone; so
with every other setting. A key comes from the environment only, and leaves this process only as the
header of a call.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from sftgen_judges.plugins.contracts import Judge
from sftgen_judges.plugins.judge_settings import PREFIX, JudgeSettings, SettingsError
from sftgen_judges.plugins.manager import plugins


def settings_for(judge: Judge) -> JudgeSettings:
    """The settings of one judge.

    The most particular counts: the judge's own `settings`, `SFTGEN_JUDGE_<NAME>_<FIELD>`, the model the
    judge was made for, `SFTGEN_JUDGE_<FIELD>`, the default.

    Raises:
        SettingsError: A variable that means nothing, or a value that cannot be used.
    """
    general, own = _environment(judge.name)
    values = {**general, **({"model": judge.model} if judge.model else {}), **own, **judge.settings}
    try:
        settings = JudgeSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        shown = "" if field == "api_key" else f" {first['input']!r}"
        raise SettingsError(f"judge setting {field} ({PREFIX}{field.upper()}){shown}: {first['msg']}") from None
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


def set_from(options: Mapping[str, Any]) -> None:
    """Take settings from options named `judge_<field>`, of lm_eval's metadata say, as if from the environment.

    Raises:
        SettingsError: A key, which comes from the environment only: options are written into results.
    """
    for field in JudgeSettings.model_fields:
        value = options.get(f"judge_{field}")
        if value is None:
            continue
        if field == "api_key":
            raise SettingsError(f"judge_api_key among the options: set {PREFIX}API_KEY in the environment instead")
        os.environ[PREFIX + field.upper()] = json.dumps(value) if isinstance(value, dict) else str(value)


def with_settings(judge: Judge, **settings: Any) -> Judge:
    """The judge, and its parts, with settings that go before the environment's."""
    parts = tuple(with_settings(part, **settings) for part in judge.parts)
    return replace(judge, parts=parts, settings={**judge.settings, **(settings if judge.needs else {})})


def ready(judge: Judge) -> str:
    """What has to be set before a judge can work; empty when it can.

    Raises:
        SftgenError: Settings that cannot be used.
    """
    if judge.parts:
        return next(filter(None, map(ready, judge.parts)), "")
    if not judge.needs:
        return ""
    settings = settings_for(judge)
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
    """A text of the server's without the key it may repeat."""
    return text.replace(settings.key, "[key]") if settings.key else text
