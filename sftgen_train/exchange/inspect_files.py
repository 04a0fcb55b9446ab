"""The files of inspect's eval logs, of which nothing is believed: archives (`.eval`) sample by sample, or `.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from sftgen_train.exchange.archives import MOST_BYTES, Archive
from sftgen_train.exchange.importing import LogError

_SAMPLES = "samples/"

Facts = dict[str, Any]
Read = TypeVar("Read", bound=BaseModel)


class Part(BaseModel):
    """A part of a message: text or reasoning; of other kinds only the kind is read."""

    type: str = ""
    text: str | None = None
    reasoning: str | None = None
    summary: str | None = None
    redacted: bool = False


class Message(BaseModel):
    """A message of a dialogue."""

    role: str
    content: str | list[Part] = ""


class Choice(BaseModel):
    """An answer of the model, and why it ended."""

    message: Message
    stop_reason: str = "unknown"


class Usage(BaseModel):
    """Tokens that a call read and wrote."""

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    reasoning_tokens: int | None = Field(default=None, ge=0)
    input_tokens_cache_read: int | None = Field(default=None, ge=0)
    input_tokens_cache_write: int | None = Field(default=None, ge=0)


class Output(BaseModel):
    """What the last call of the model gave."""

    choices: list[Choice] = []
    usage: Usage | None = None


class ScoreGiven(BaseModel):
    """What a scorer says of a sample; its value is a number, a word, or several by name."""

    value: Any = None
    answer: Any = None
    explanation: Any = None


class Limit(BaseModel):
    """The limit that ended a sample."""

    type: str = ""


class Failure(BaseModel):
    """The error that ended a sample."""

    message: str = ""


class LoggedSample(BaseModel):
    """A sample: one epoch of a document."""

    id: int | str
    epoch: int = Field(default=1, ge=1, le=1_000_000)
    input: str | list[Message]
    target: str | list[str] = ""
    choices: list[str] | None = None
    messages: list[Message] = []
    output: Output = Output()
    scores: dict[str, ScoreGiven] | None = None
    error: Failure | None = None
    limit: Limit | None = None
    attachments: dict[str, str] = {}


class Dataset(BaseModel):
    """Which documents were asked."""

    sample_ids: list[int | str] | None = None


class Config(BaseModel):
    """How often each is asked."""

    epochs: int | None = None


class Spec(BaseModel):
    """What was evaluated."""

    task: str = Field(min_length=1)
    created: str = ""
    model: str = ""
    model_args: Facts = {}
    model_generate_config: Facts = {}
    task_args: Facts = {}
    metadata: Facts | None = None
    dataset: Dataset = Dataset()
    config: Config = Config()


class Plan(BaseModel):
    """How it was generated."""

    config: Facts = {}


class ScoreNamed(BaseModel):
    """A score that the log reports."""

    name: str


class Results(BaseModel):
    """What the log reports."""

    total_samples: int | None = None
    scores: list[ScoreNamed] = []


class Header(BaseModel):
    """A log without its samples."""

    status: str = "started"
    eval: Spec
    plan: Plan = Plan()
    results: Results | None = None


class Whole(Header):
    """A log in one file."""

    samples: list[LoggedSample] | None = None


def looks_like_a_log(path: Path) -> bool:
    """Whether a JSON file begins as a log does: in a folder there may be others."""
    with path.open("rb") as file:
        begin = file.read(2_000)
    return b'"eval"' in begin or (b'"status"' in begin and b'"version"' in begin)


def read_header(path: Path) -> Header:
    """What a log says before its samples.

    Raises:
        LogError: It is no log, or cannot be read.
    """
    if path.suffix == ".json":
        return _whole(path)
    with Archive(path) as archive:
        for name in ("header.json", "_journal/start.json"):
            if name in archive.names:
                return _read(Header, archive.read(name), f"{path}, {name}")
    raise LogError(f"{path}: holds neither header.json nor _journal/start.json, as the logs of inspect do")


def read_samples(path: Path) -> Iterator[tuple[str, LoggedSample]]:
    """The samples one by one, each with its place for messages.

    Raises:
        LogError: One cannot be read.
    """
    if path.suffix == ".json":
        for place, sample in enumerate(_whole(path).samples or [], 1):
            yield f"{path}, sample {place}", sample
        return
    with Archive(path) as archive:
        for name in archive.names:
            if name.startswith(_SAMPLES) and name.endswith(".json"):
                where = f"{path}, {name[:100]!r}"
                yield where, _read(LoggedSample, archive.read(name), where)


def _whole(path: Path) -> Whole:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise LogError(
                f"{path}: has {size:,} bytes; expected at most {MOST_BYTES:,}: `inspect log convert --to eval` makes a "
                "log of it that is read sample by sample"
            )
        return _read(Whole, path.read_bytes(), str(path))
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read(kind: type[Read], data: bytes, where: str) -> Read:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        raise LogError(f"{where}: {place + ': ' if place else ''}{first['msg']}, in a log of inspect") from error
