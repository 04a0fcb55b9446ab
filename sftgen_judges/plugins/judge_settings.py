"""How a judge's model is reached and what may be spent: a part of the judge's contract."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
)

from sftgen_judges.errors import SftgenError

PREFIX = "SFTGEN_JUDGE_"


class SettingsError(SftgenError, ValueError):
    """A setting of a judge that cannot be used."""


class JudgeSettings(BaseModel):
    """Where a judge's model is, how it is asked, and what may be spent.

    Attributes:
        backend: `server` (any OpenAI-compatible one), `batch` (its Batch API), a model in this process
            (`transformers`, `vllm`), or what a plugin registered.
        base_url: The server, with its `/v1`; OpenAI's own where only a key is set.
        model: The model as the server names it; for a model in this process a folder or hub id.
        api_key: Sent to the server. `OPENAI_API_KEY` stands in only where no base_url is set, so that it
            goes to nobody else.
        temperature: Of the judge's sampling.
        seed: Of the judge's sampling, for servers that take one.
        max_tokens: Most tokens of a reply, where the judge's own limit does not do.
        max_response_chars: Longer answers are cut at the end before they are judged.
        max_context: Tokens that the judge's model takes, prompt and reply together.
        tokenizer: Folder or hub id of the judge's tokenizer, to count with where the model is behind a server.
        unclosed: Whether a judge with a `paper` rule is also asked about the text of responses without an answer, as
            the published code does. Without it no verdict has a `paper` score.
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
        allow_renamed: Whether judging goes on when the server names another model than before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backend: str = "server"
    base_url: str | None = None
    model: str | None = None
    api_key: SecretStr | None = None
    temperature: NonNegativeFloat = 0.0
    seed: int | None = None
    max_tokens: PositiveInt | None = None
    max_response_chars: PositiveInt | None = None
    max_context: PositiveInt | None = None
    tokenizer: str | None = None
    unclosed: bool = False
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
    allow_renamed: bool = False

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        """A wrong address is told before anything is asked, and not shown: it may hold a password."""
        # Reward models take one address each, with commas between.
        if value and not all(map(_is_address, value.split(","))):
            raise ValueError("expected an address such as http://localhost:8000/v1")
        return value

    @field_validator("api_key")
    @classmethod
    def _can_be_sent(cls, value: SecretStr | None) -> SecretStr | None:
        """A key read from a file may end with a line break."""
        key = value.get_secret_value().strip() if value else ""
        if not (key.isascii() and key.isprintable()):
            raise ValueError("expected letters, digits and signs of ASCII, on one line")
        return SecretStr(key) if value else None

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
        """The settings that a verdict depends on: with another model or temperature the judge is asked again."""
        return self.model_dump(include={"model", "temperature", "seed", "extra_body"})

    def cost(self, prompt_tokens: int | None, tokens: int | None) -> float | None:
        """Price of one call, None where prices or counts are unknown."""
        if self.input_price is None or self.output_price is None or prompt_tokens is None:
            return None
        return (prompt_tokens * self.input_price + (tokens or 0) * self.output_price) / 1e6


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text.strip())
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and text.isprintable()
    except ValueError:  # its port is no number
        return False
