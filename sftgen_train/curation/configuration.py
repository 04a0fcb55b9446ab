"""The file of `sftgen curate`: prompts, teacher, and the sets that are made of the teacher's responses.

out: pool
prompts: {source: openr1.jsonl, prompt: problem, gold: answer, id: uuid}
teacher: {backend: sftgen-vllm, model: Qwen/Qwen3-32B, samples: 4}
sets:
  math-cot-20k: {recipe: random-correct, rows: 20480}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.contracts import KINDS, Grader
from sftgen_judges.plugins.contracts.curating import Form
from sftgen_judges.plugins.manager import lookup, plugins
from sftgen_train.configuring.checking import Mistake, read_config
from sftgen_train.curation.selecting.recipes import THINKING, Plan, RecipeError, step_mistakes

Backend = Literal["sftgen-vllm", "sftgen-hf", "sftgen-chat", "sftgen-replay"]
LOG_PROBS = ("sftgen-vllm", "sftgen-chat")
"""Backends that can tell log-probabilities."""
RESPONSES_A_BLOCK = 8192


class CurationError(SftgenError, ValueError):
    """A configuration that cannot be used, with every mistake in it, or a pool of another one."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prompts(_Strict):
    """Which prompts are asked.

    Attributes:
        source: A local file (jsonl, json, csv, parquet, also `.gz`), a folder of Parquet files, or a hub dataset.
        subset: Configuration of a hub dataset.
        split: Split of a hub dataset.
        revision: Commit of a hub dataset.
        rename: Columns of the source by the names that they are to have.
        prompt: Column of the question; empty for Countdown, which asks about `numbers` and `target`.
        gold: Column of the right answer; empty for a grader that reads other columns, which `keep` names.
        id: Column that names a row; without one the name is a hash of the question.
        keep: Further columns, for the grader, for selectors and for the rows that are written.
        ask: What the teacher is asked: `{prompt}` stands for the question. By default the question and, for graders of
            mathematics, the published sets' instruction after a line break.
        grader: The registered grader that verifies.
        first: Only so many rows.
        longest: Characters of a question; a longer one is kept aside.
    """

    source: str = Field(min_length=1)
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    rename: dict[str, str] = Field(default_factory=dict)
    prompt: str = "problem"
    gold: str = "answer"
    id: str | None = None
    keep: tuple[str, ...] = ()
    ask: str | None = None
    grader: str = "math_verify"
    first: int | None = Field(default=None, ge=1, strict=True)
    longest: int = Field(default=40_000, ge=1, strict=True)

    @field_validator("ask")
    @classmethod
    def _asks(cls, ask: str | None) -> str | None:
        if ask is not None and "{prompt}" not in ask:
            raise ValueError("expected {prompt}, where the question stands")
        return ask


class Sampling(_Strict):
    """How the teacher samples; by default as for the published sets."""

    temperature: float = Field(default=0.6, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    top_k: int = Field(default=20, ge=0, strict=True)
    min_p: float = Field(default=0.0, ge=0, le=1)
    max_tokens: int = Field(default=16_384, ge=1, strict=True)
    further: dict[str, Any] = Field(default_factory=dict)


class Teacher(_Strict):
    """What answers the prompts.

    Attributes:
        backend: `sftgen-vllm`, `sftgen-hf`, `sftgen-chat` for any server with OpenAI's API, or `sftgen-replay` for
            responses that are stored already.
        model: Folder, hub id, or the name that the server knows.
        revision: Commit of a hub model.
        base_url: Address of the server, `http://HOST/v1/chat/completions`.
        samples: Responses a prompt.
        seed: Base seed; every response has a seed of its own, made of it, the prompt and the number of the sample.
        sampling: How it samples.
        logprobs: Whether the mean log-probability of each response is kept.
        entropy: Whether the mean entropy is kept too.
        think_markers: What opens and closes thinking, if not what the model's family writes.
        args: Further arguments of the backend, for example `tensor_parallel_size`, `num_concurrent`.
    """

    backend: Backend = "sftgen-vllm"
    model: str = "Qwen/Qwen3-32B"
    revision: str | None = None
    base_url: str | None = None
    samples: int = Field(default=4, ge=1, strict=True)
    seed: int = Field(default=0, ge=0, strict=True)
    sampling: Sampling = Sampling()
    logprobs: bool = False
    entropy: bool = False
    think_markers: str | None = None
    args: dict[str, Any] = Field(default_factory=dict)


class SetPlan(_Strict):
    """One set.

    Attributes:
        recipe: A registered recipe, or
        steps: its steps here.
        rows: How many rows, in place of the recipe's.
        form: How rows are written, in place of the recipe's.
        thinking: How a response with thinking is written, if not as Qwen's and DeepSeek's models write it.
        seed: Seed of its choices.
        folder: Where it goes; by default `sets/NAME` in the pool.
    """

    recipe: str | None = None
    steps: list[Any] | None = None
    rows: int | None = Field(default=None, ge=1, strict=True)
    form: Form | None = None
    thinking: str = THINKING
    seed: int = Field(default=0, ge=0, strict=True)
    folder: str | None = None

    @field_validator("thinking")
    @classmethod
    def _has_both(cls, thinking: str) -> str:
        first, second = thinking.find("{thinking}"), thinking.find("{answer}")
        if not 0 <= first < second:
            raise ValueError("expected {thinking} and after it {answer}")
        return thinking


class Curation(_Strict):
    """A whole file.

    Attributes:
        out: Folder of the pool.
        prompts: Which prompts.
        teacher: Who answers them.
        sets: The sets by name, made in this order.
        block: Prompts that are asked together; what memory holds. By default what makes 8,192 responses.
    """

    out: str = Field(min_length=1)
    prompts: Prompts
    teacher: Teacher = Teacher()
    sets: dict[str, SetPlan] = Field(default_factory=dict)
    block: int | None = Field(default=None, ge=1, strict=True)

    @property
    def folder(self) -> Path:
        """Folder of the pool."""
        return Path(self.out)

    @property
    def block_size(self) -> int:
        """Prompts of a block."""
        return self.block or max(1, RESPONSES_A_BLOCK // self.teacher.samples)

    @property
    def grader(self) -> Grader:
        """The grader that verifies."""
        found: Grader = lookup("grader", self.prompts.grader)
        return found

    def plan(self, name: str) -> Plan:
        """How a set is made.

        Raises:
            RecipeError: Its recipe cannot be used.
        """
        asked = self.sets[name]
        beside = asked.model_dump(include={"rows", "form", "thinking", "seed"})
        return Plan.of(name, asked.recipe, asked.steps, **beside)

    def set_folder(self, name: str) -> Path:
        """Where a set goes."""
        given = self.sets[name].folder
        return Path(given) if given else self.folder / "sets" / name


def read_curation(path: Path) -> Curation:
    """Read the file of `sftgen curate`. Relative paths in it are relative to where the command runs.

    Raises:
        CurationError: It cannot be read, or has mistakes: all of them, with line, value and nearest name.
    """
    return read_config(path, Curation, kind="configuration", error=CurationError, also=_further)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _further(found: Mapping[Any, Any]) -> Iterator[Mistake]:
    yield from _of_prompts(_mapping(found, "prompts"))
    yield from _of_teacher(_mapping(found, "teacher"))
    for name, given in _mapping(found, "sets").items():
        if not _NAME.fullmatch(str(name)):
            yield Mistake(("sets", name), f"set {str(name)!r}: expected letters, digits, dots and hyphens")
        if isinstance(given, Mapping):
            yield from _of_set(str(name), given, found)


def _of_prompts(given: Mapping[str, Any]) -> Iterator[Mistake]:
    grader = given.get("grader", "math_verify")
    if unknown := _unknown("grader", grader):
        yield Mistake(("prompts", "grader"), unknown)
    source = str(given.get("source", ""))
    if source.startswith((".", "/", "~")) and not Path(source).exists():
        yield Mistake(("prompts", "source"), f"prompts.source {source!r}: no such file")


def _of_teacher(given: Mapping[str, Any]) -> Iterator[Mistake]:
    backend = given.get("backend", "sftgen-vllm")
    if backend == "sftgen-chat" and not given.get("base_url"):
        yield Mistake(("teacher",), "teacher.base_url is missing: sftgen-chat asks a server")
    if backend != "sftgen-chat" and given.get("base_url"):
        yield Mistake(("teacher", "base_url"), f"teacher.base_url: {backend} asks no server; expected sftgen-chat")
    for name in ("logprobs", "entropy"):
        if given.get(name) is True and backend not in LOG_PROBS:
            text = f"teacher.{name}: {backend} tells no log-probabilities; {' and '.join(LOG_PROBS)} do"
            yield Mistake(("teacher", name), text)


def _of_set(name: str, given: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Mistake]:
    place = ("sets", name)
    recipe, steps = given.get("recipe"), given.get("steps")
    if (recipe is None) == (steps is None):
        yield Mistake(place, f"sets.{name}: expected one of `recipe` and `steps`")
        return
    if recipe is not None and (unknown := _unknown("recipe", recipe)):
        yield Mistake((*place, "recipe"), unknown)
        return
    try:
        told = list(step_mistakes(recipe, steps, (*place, "steps"), facts(_mapping(found, "teacher"))))
    except RecipeError as error:
        told = [Mistake((*place, "recipe"), str(error))]
    yield from told
    if not told:
        keep = _mapping(found, "prompts").get("keep") or ()
        known = {"id", "question", "answer", *(keep if isinstance(keep, list) else ())}
        for column in Plan.of(name, recipe, steps).columns - known:
            yield Mistake(place, f"sets.{name} reads column {column!r}, which prompts.keep does not name")


def facts(teacher: Mapping[str, Any]) -> frozenset[str]:
    """What every candidate of a teacher has, of what selectors may need."""
    asked = {name for name in ("logprobs", "entropy") if teacher.get(name) is True}
    known = {"tokens"} if teacher.get("backend") != "sftgen-replay" else set()
    return frozenset({*known, *({"logprob"} if asked else ()), *({"entropy"} & asked)})


def _unknown(kind: str, name: Any) -> str:
    known = plugins().registered(KINDS[kind].hook)
    return "" if name in known else f"{kind} {str(name)!r} is unknown{did_you_mean(str(name), sorted(known))}"


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    held = found.get(name)
    return held if isinstance(held, Mapping) else {}
