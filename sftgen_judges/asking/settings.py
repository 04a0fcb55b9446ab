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
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
)

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Judge

PREFIX = "SFTGEN_JUDGE_"


class SettingsError(SftgenError, ValueError):
    """A setting of a judge that cannot be used."""


class JudgeSettings(BaseModel):
    """Where a judge's model is, how it is asked, and what may be spent.

    Attributes:
        backend: `server` (any OpenAI-compatible one), `batch` (its Batch API), or a model in this
            process: `transformers`, `vllm`.
        base_url: The server, with its `/v1`; OpenAI's own where only a key is set.
        model: The model as the server names it; for a model in this process a folder or hub id.
        api_key: Sent to the server. `OPENAI_API_KEY` stands in only where no base_url is set, so that it
            goes to nobody else.
        temperature: Of the judge's sampling.
        seed: Of the judge's sampling, for servers that take one.
        max_tokens: Most tokens of a reply, where the judge's own limit does not do.
        max_response_chars: Longer answers are cut at the end before they are judged.
        template: File with a prompt of the user's, for judges that take one.
        extra_body: Further fields of each request, as JSON.
        structured: Hold the model to the judge's JSON schema where the server can.
        concurrency: Most calls at once.
        attempts: Most calls for one judgement.
        time_limit: Seconds for one call.
        backoff: Seconds before the first retry; doubles, with jitter.
        longest_wait: Most seconds to wait for a server that says when to come back.
        poll: Seconds between looks at a batch.
        input_price: Price of a million prompt tokens, in whatever currency.
        output_price: Price of a million reply tokens.
        budget_calls: Calls that this process may make.
        budget_tokens: Tokens that it may use.
        budget_cost: Money that it may spend; needs both prices.
        max_missing: Share of judgements that may be missing before a run counts as incomplete.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["server", "batch", "transformers", "vllm"] = "server"
    base_url: str | None = None
    model: str | None = None
    api_key: SecretStr | None = None
    temperature: NonNegativeFloat = 0.0
    seed: int | None = None
    max_tokens: PositiveInt | None = None
    max_response_chars: PositiveInt | None = None
    template: Path | None = None
    extra_body: Json[dict[str, Any]] | dict[str, Any] = Field(default_factory=dict)
    structured: bool = True
    concurrency: PositiveInt = 32
    attempts: PositiveInt = 6
    time_limit: PositiveFloat = 120.0
    backoff: PositiveFloat = 1.0
    longest_wait: PositiveFloat = 300.0
    poll: PositiveFloat = 30.0
    input_price: NonNegativeFloat | None = None
    output_price: NonNegativeFloat | None = None
    budget_calls: PositiveInt | None = None
    budget_tokens: PositiveInt | None = None
    budget_cost: PositiveFloat | None = None
    max_missing: float = Field(default=0.05, ge=0, le=1)

    @property
    def missing(self) -> str:
        """What has to be set before a judge can ask; empty when nothing has."""
        if self.model is None:
            return f"set {PREFIX}MODEL, and {PREFIX}BASE_URL for a server of your own"
        if self.backend in {"server", "batch"} and not (self.base_url or os.environ.get("OPENAI_BASE_URL") or self.key):
            return f"set {PREFIX}BASE_URL, or OPENAI_API_KEY for OpenAI's"
        return ""

    @property
    def key(self) -> str | None:
        """The key for the server, never to be written anywhere."""
        if self.api_key:
            return self.api_key.get_secret_value()
        return None if self.base_url else os.environ.get("OPENAI_API_KEY")

    @property
    def identity(self) -> dict[str, Any]:
        """What a verdict depends on beside the request: another model or temperature judges again."""
        return self.model_dump(include={"model", "temperature", "seed", "extra_body"})

    def cost(self, prompt_tokens: int | None, tokens: int | None) -> float | None:
        """Price of one call, None where prices or counts are unknown."""
        if self.input_price is None or self.output_price is None or prompt_tokens is None:
            return None
        return (prompt_tokens * self.input_price + (tokens or 0) * self.output_price) / 1e6


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
