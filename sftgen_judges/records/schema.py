"""What sftgen remembers of one sample: the response that was read and the verdict on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

ThinkStatus = Literal["closed", "missing_opener", "unclosed", "none"]
"""How the thinking of a response ended; see `sftgen_judges.records.thinking`."""

Status = Literal["ok", "unparsable", "no_answer", "truncated", "judge_error", "sandbox_error", "not_graded"]
"""`ok`, `unparsable`, `no_answer` and `truncated` carry a score; the others are missing, never a number.

`unparsable` is an answer that the verifier cannot read; it scores 0.
"""

Measure = float | list[float]

SCORED: frozenset[str] = frozenset({"ok", "unparsable", "no_answer", "truncated"})
ANSWERED: frozenset[str] = frozenset({"ok", "unparsable"})


_LIMIT = {"max_tokens", "max_new_tokens", "max_output_tokens", "max_completion_tokens", "model_length", "token_limit"}
"""What servers call `length` otherwise."""


def finish_word(said: str | None) -> str | None:
    """Why generation stopped, in one word: `length` where a limit stopped it, whatever the server calls that."""
    return "length" if isinstance(said, str) and said.lower() in {"length", *_LIMIT} else said


@dataclass(frozen=True)
class Response:
    """One generated text, read once for every grader and diagnostic.

    Attributes:
        text: The generation as the model wrote it.
        think: How the thinking ended.
        thinking: The text between the thinking markers, empty without thinking.
        answer: The text outside the thinking, empty while thinking is unclosed.
        tokens: Length of the generation in tokens, or None where nobody counted.
        finish_reason: `stop`, `length`, or None where the backend does not tell.
        turn_end: Character of the answer at which the model ended its turn with a special token and wrote on; None
            where it did not, and where nobody knows.
    """

    text: str
    think: ThinkStatus = "none"
    thinking: str = ""
    answer: str = ""
    tokens: int | None = None
    finish_reason: str | None = None
    turn_end: int | None = None

    @property
    def truncated(self) -> bool:
        """Whether the generation was cut: thinking never closed, or the token limit was hit."""
        return self.think == "unclosed" or self.finish_reason == "length"


@dataclass(frozen=True)
class Verdict:
    """What a grader or judge says of one response.

    Attributes:
        status: Why the response has a score, or why the score is missing.
        score: The `strict` score, usually 0 or 1; None exactly when the status is not scored.
        paper: The score under the published code's rule, where the benchmark has one.
        answer: The extracted answer, as text.
        reason: One short line for a person; never the response itself.
        measures: What else the benchmark reports of this response, by metric name. A value is a number,
            or the numbers that the metric's own aggregation takes (`sftgen_tasks.harness.aggregation`).
        evidence: What the verdict rests on, for the records only: a judge's model, its reply, hash of the
            prompt, tokens, seconds, cost. No part of what the verdict says.
    """

    status: Status
    score: float | None = None
    paper: float | None = None
    answer: str | None = None
    reason: str = ""
    measures: Mapping[str, Measure] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise ValueError(f"verdict status {self.status!r}: expected one of {get_args(Status)}")
        if (self.score is not None) != (self.status in SCORED):
            raise ValueError(
                f"verdict status {self.status!r} with score {self.score!r}: "
                "a score belongs to ok, unparsable, no_answer and truncated, and to those only"
            )

    @classmethod
    def of(
        cls,
        response: Response,
        answer: str | None,
        score: float,
        *,
        paper: float | None = None,
        reason: str = "",
        parsable: bool = True,
        measures: Mapping[str, Measure] | None = None,
    ) -> Verdict:
        """Score an extracted answer: an answer counts only if thinking was closed and one was found.

        One that is there, but not `parsable` for the verifier, scores 0.
        """
        given = dict(measures or {})
        if response.think == "unclosed" or (answer is None and response.truncated):
            return cls("truncated", 0.0, paper, answer, reason or "truncated before an answer", given)
        if answer is None:
            return cls("no_answer", 0.0, paper, None, reason or "no answer found", given)
        if not parsable:
            return cls("unparsable", 0.0, paper, answer, reason or "answer cannot be parsed", given)
        return cls("ok", float(score), paper, answer, reason, given)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain data, in the order of its fields."""
        return asdict(self)


def content_hash(*parts: Any) -> str:
    """SHA-256 of `parts` as canonical JSON: the same content gives the same hash on every machine."""
    return hashlib.sha256(_canonical(parts)).hexdigest()


def content_hash_of_list(items: Iterable[Any]) -> str:
    """What `content_hash` gives of a list, of which one item at a time is in memory."""
    digest = hashlib.sha256(b"[[")
    for number, item in enumerate(items):
        digest.update(b"," * (number > 0) + _canonical(item))
    digest.update(b"]]")
    return digest.hexdigest()


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", "surrogatepass")


def doc_hash(doc: Mapping[str, Any]) -> str:
    """Hash of one benchmark document, independent of the order of its columns."""
    return content_hash(dict(doc))


SCHEMA = 2
"""Version of `GenerationRecord`. 2 has `reasoning` and `template_hash` more than 1; later fields may be absent."""
READABLE = (1, 2)
"""Versions that are read; a field that an older one lacks is None."""


@dataclass(frozen=True)
class GenerationRecord:
    """One generation, with what it takes to find it again and to score it again without a model.

    Attributes:
        task: The task.
        step: Training step, None outside training.
        model: Content id of the model (`sftgen_judges.records.model_id`), not its path.
        doc_hash: Hash of the document.
        repeat: Which sample of the document, from 0.
        prompt_hash: SHA-256 of the prompt as the model got it, chat template applied.
        sampling: Generation settings: temperature, limits, stop strings, base seed.
        text: The generation as the model wrote it.
        finish_reason: `stop`, `length`, another word of a server's, or None where the backend does not tell.
        tokens: Length of the generation in tokens, thinking included.
        prompt_tokens: Length of the prompt in tokens.
        budget: The tokens that the response could have: the limit that was asked for, or what the prompt left of
            the model's context. No part of the key. None where nobody knows, and in older records.
        prefilled: Whether the prompt ended inside thinking.
        exact: Whether counts and finish reason come from the backend; otherwise they were worked out
            from the text.
        seed: Seed of this sample, where the backend takes one a sample.
        reasoning: Thinking that a server sent apart from the text; None where thinking, if there is any,
            is part of the text.
        template_hash: SHA-256 of the chat template that the prompt went through; None without one, and
            where a server applies its own.
        markers: What the chat template or the prompt told of the markers of thinking, as a setting of `think_markers`
            (`sftgen_judges.records.markers`); None where they told nothing.
        turn_end: Character of the text at which the model ended its turn with a special token and wrote on. Special
            tokens are no part of the text, those that mark thinking excepted. None where it did not, where nobody
            knows, and in older records.
        logprob: Mean log-probability of a token of the generation in nats, before temperature; None where nobody asked.
        entropy: Mean entropy of a token in nats, before temperature: at least so much, as only the likeliest tokens are
            known. None where nobody asked.
        schema: `SCHEMA` when it was written.
    """

    task: str
    step: int | None
    model: str
    doc_hash: str
    repeat: int
    prompt_hash: str
    sampling: Mapping[str, Any]
    text: str
    finish_reason: str | None = None
    tokens: int | None = None
    prompt_tokens: int | None = None
    budget: int | None = None
    prefilled: bool = False
    exact: bool = False
    seed: int | None = None
    reasoning: str | None = None
    template_hash: str | None = None
    markers: str | None = None
    turn_end: int | None = None
    logprob: float | None = None
    entropy: float | None = None
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        """What must be equal for this generation to stand in for a new one; never a path or a step."""
        return content_hash(self.model, self.task, self.doc_hash, self.repeat, self.prompt_hash, dict(self.sampling))

    def to_dict(self) -> dict[str, Any]:
        """The record as a row of its journal: its fields in their order, and the id of its sampling settings.

        Half of a surrogate pair, which a server may leave of a text that it cut, is no text in UTF-8 and is replaced.
        """
        row = {**asdict(self), "sampling_id": sampling_id(self.sampling)}
        return {name: well_formed(value) if isinstance(value, str) else value for name, value in row.items()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> GenerationRecord:
        """The record of a row; columns that are not fields are ignored."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__ if name in row})


def text_hash(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sampling_id(sampling: Mapping[str, Any]) -> str:
    """Short hash of generation settings: answers drawn with other settings are never mixed."""
    return content_hash(dict(sampling))[:16]


def well_formed(text: str) -> str:
    """A text as UTF-8 can hold it: halves of a surrogate pair are joined, one alone is replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def printable(text: str) -> str:
    """A text for a terminal: line breaks stay, every other character that is not printable is replaced.

    Names in a stranger's run may hold control codes, which could move the cursor or rename the window.
    """
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)
