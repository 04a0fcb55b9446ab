"""What scores a response by an opinion: `Judge`, what it asks and what is replied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sftgen_judges.plugins.contracts.scoring import Item
from sftgen_judges.records.schema import Response, Verdict

if TYPE_CHECKING:
    from sftgen_judges.plugins.judge_settings import JudgeSettings


@dataclass(frozen=True)
class Request:
    """What a judge asks its model about one item.

    Attributes:
        prompt: One text to complete, or chat messages (`{"role": ..., "content": ...}`).
        max_tokens: Most tokens of the reply.
        schema: JSON schema of the reply, for servers that can hold a model to it.
        logprobs: How many of the likeliest first tokens to return with their log-probabilities.
        stop: Texts that end the reply.
        response: The response as it stands in the prompt. If the prompt is too long for the model, its end is cut.
        clipped: Characters that were cut off the response.
    """

    prompt: str | tuple[Mapping[str, str], ...]
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    logprobs: int = 0
    stop: tuple[str, ...] = ()
    response: str = ""
    clipped: int = 0


@dataclass(frozen=True)
class Reply:
    """What the model replied: what a judge's parser is given.

    Attributes:
        text: The text, as it came.
        model: The model, as the server names it.
        finish_reason: `stop`, `length`, `content_filter`, or None where nobody tells.
        refusal: The server's own note that the model declined.
        logprobs: Log-probabilities of the likeliest first tokens, where they were asked for.
        prompt_tokens: Length of the prompt in tokens, None where nobody counted.
        tokens: Length of the reply in tokens.
        seconds: How long the call took, its retries left out.
        attempts: How many calls it took.
        dropped: Parameters of the request that the server would not take.
        notes: What of the reply was not believed, for example a count of tokens.
        clipped: Characters that were cut off the response, because the model would not take the whole prompt.
    """

    text: str
    model: str = ""
    finish_reason: str | None = None
    refusal: str | None = None
    logprobs: Mapping[str, float] = field(default_factory=dict)
    prompt_tokens: int | None = None
    tokens: int | None = None
    seconds: float = 0.0
    attempts: int = 1
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    clipped: int = 0


class NoAnswer(Exception):  # noqa: N818 - nothing went wrong: there is nothing to judge
    """Raised by a judge's `prompt` for a response whose answer is empty once its own labels are taken off."""


@dataclass(frozen=True)
class PaperRule:
    """How published code judges: what it asks about and what it reads. It gives `Verdict.paper`.

    Attributes:
        text: What it asks about of a response without an answer, or with thinking that never closed.
        read: The score that it reads in a reply to a request; None where it reads none.
        failed: The score that it counts for a judgement that failed; None where it has no number then.
    """

    text: Callable[[Response], str]
    read: Callable[[Request, Reply], float | None]
    failed: float | None = None


Need = Literal["chat", "completions", "logprobs", "local model"]


@dataclass(frozen=True)
class Judge:
    """Scores responses by an opinion: a model's, a list of patterns, or that of several judges.

    A judge owns both its prompt and the reading of the reply; benchmarks only see verdicts. It works
    in exactly one of three ways: `judge`, `prompt` with `read`, or `score_batch`. `settings.settings_for`
    chooses the model of a judge that asks one; `asking` calls it, never a benchmark.

    Attributes:
        name: The name it is registered under.
        version: Raised when prompt, parser or patterns change.
        scale: Lowest and highest score.
        success: A score at or above this counts as the thing the judge looks for.
        judge: Looks at nothing but the items (and their `verdicts`, with `parts`): yields a verdict an
            item in order, or pairs (position, verdict) in any order. A failure is a verdict `judge_error`.
        prompt: What to ask a model about one item; with
        read: the verdict in its reply. Raises `replies.UnreadableReply` if the reply holds no verdict.
        score_batch: As `judge`, for a judge with a model of its own that no chat or completion reaches.
        needs: What its model has to offer; empty for a judge that asks no model.
        model: The model it was made for; goes before `SFTGEN_JUDGE_MODEL`, after `SFTGEN_JUDGE_<NAME>_MODEL`.
        settings: Settings that go before the environment's, by field of `JudgeSettings`.
        defaults: Settings that go before `SFTGEN_JUDGE_<FIELD>` but not before what is set for this judge alone.
        parts: Judges to ask first. Their verdicts are kept one by one and handed to `judge`.
        check: Looks at the settings before anything is generated: says what is still to be set, empty when
            nothing is, and raises a `SftgenError` for what can never work.
        paper: How published code judges, for a judge with `prompt` that stands in for one.
    """

    name: str
    version: int
    scale: tuple[float, float]
    success: float
    judge: Callable[[Sequence[Item]], Iterable[Verdict | tuple[int, Verdict]]] | None = None
    prompt: Callable[[Item, JudgeSettings], Request] | None = None
    read: Callable[[Reply], Verdict] | None = None
    score_batch: Callable[[Sequence[Item], JudgeSettings], Iterable[Verdict | tuple[int, Verdict]]] | None = None
    needs: tuple[Need, ...] = ()
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Judge, ...] = ()
    check: Callable[[JudgeSettings], str] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    paper: PaperRule | None = None

    def __post_init__(self) -> None:
        ways = [self.judge, self.prompt and self.read, self.score_batch]
        if sum(way is not None for way in ways) != 1 or (self.prompt is None) != (self.read is None):
            raise ValueError(f"judge {self.name!r}: expected one of judge, prompt with read, or score_batch")
        if self.parts and self.judge is None:
            raise ValueError(f"judge {self.name!r}: parts need `judge`, which is given their verdicts")
        if bool(self.needs) == (self.judge is not None):
            raise ValueError(f"judge {self.name!r}: `needs` goes with prompt and read or score_batch, and only there")
