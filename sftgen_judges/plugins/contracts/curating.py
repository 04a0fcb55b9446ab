"""What makes a training set of a pool of responses: `Selector`, one step, and `Recipe`, its steps in order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sftgen_judges.records.schema import Response, Verdict

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import BaseModel

Form = Literal["published", "messages", "prompt-completion"]
"""How the rows of a set are written: with the columns of the published sets, or in one of TRL's two forms."""
Fact = Literal["logprob", "entropy", "tokens", "column"]
"""What a selector may need of every candidate that a pool need not have."""


@dataclass(frozen=True)
class Candidate:
    """One response of the pool: what a selector chooses from.

    Attributes:
        place: Number of the prompt in the pool, from 0.
        repeat: Which sample of the prompt, from 0.
        doc: The prompt's document: `id`, `question`, `answer` and the columns that the configuration keeps.
        response: The response; `response.tokens` is None after a rewrite whose length nobody knows.
        verdict: What the grader says.
        pass_rate: Share of right ones among all graded candidates of the prompt, whatever the steps before have left;
            None where none is graded.
        logprob: Mean log-probability of a token in nats, under the teacher; None where nobody asked.
        entropy: Mean entropy of a token in nats, under the teacher; None where nobody asked.
        thinking_tokens: Tokens of the thinking; None where nobody counted.
        answer_tokens: Tokens of the answer; None where nobody counted.
        measures: What the `measure` of a selector says of it, by name.
    """

    place: int
    repeat: int
    doc: Mapping[str, Any]
    response: Response
    verdict: Verdict
    pass_rate: float | None = None
    logprob: float | None = None
    entropy: float | None = None
    thinking_tokens: int | None = None
    answer_tokens: int | None = None
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether it was verified: graded, and with the highest score."""
        return self.verdict.score is not None and self.verdict.score >= 1

    @property
    def finished(self) -> bool:
        """Whether it ended by itself, with an answer."""
        return not self.response.truncated and bool(self.response.answer)


@dataclass(frozen=True)
class Made:
    """A set of the same configuration that is made already: what a later one can be matched with.

    Attributes:
        rows: Its rows.
        tokens: Its tokens; None where a response has none counted.
        prompts: The places of its prompts in the pool, in order, each once.
    """

    rows: int
    tokens: int | None
    prompts: Sequence[int]


Select = Callable[[Sequence[Candidate], Any, random.Random], Sequence[Candidate]]
Rewrite = Callable[[Candidate, Any, random.Random], Candidate | None]
Choose = Callable[["pa.Table", Any, random.Random, Mapping[str, Made]], "pa.Table"]


@dataclass(frozen=True)
class Selector:
    """One step from a pool to a training set.

    It works in exactly one of three ways, and all three are pure functions: the random numbers they are given depend on
    the seed of the set, the step and, in the first two, the prompt alone. So one process and many make the same set.

    Attributes:
        name: The name it is registered under.
        version: Raised when it chooses otherwise.
        select: From the candidates of one prompt to those that are kept, in the order in which they are kept. A filter
            is a selector that keeps all or none.
        rewrite: From one candidate to another, for example without its thinking; None leaves it out.
        choose: From the rows of the whole set to those that stay. Takes and returns a table with one row a candidate
            and the columns `place`, `repeat`, `answer_place`, `tokens`, `characters`, `right`, `pass_rate` (share of
            right ones among the prompt's graded candidates), the document's columns that `columns` names, and the
            numbers of `measure`. It may leave rows out and change `answer_place` and `repeat`, which say whose
            response answers the prompt. The fourth argument holds the sets made before, by name. After it no step may
            `select`.
        options: A pydantic model of the options; what `select`, `rewrite` or `choose` is given as its second argument.
            Without one it takes no options and is given None.
        needs: What every candidate must have.
        columns: From the options to the columns of the documents that it reads.
        measure: Measures many candidates at once, for a selector that asks a model: yields pairs (position, numbers by
            name) in any order. They stand in `Candidate.measures`, are written down as they come, and are made once.
            A failure is a position without a pair; the candidate is left out, and counted.
        check: From the options to what is still to be set or can never work, before anything is generated; empty where
            nothing is.
    """

    name: str
    version: int
    select: Select | None = None
    rewrite: Rewrite | None = None
    choose: Choose | None = None
    options: type[BaseModel] | None = None
    needs: tuple[Fact, ...] = ()
    columns: Callable[[Any], Sequence[str]] | None = None
    measure: Callable[[Sequence[Candidate], Any], Iterable[tuple[int, Mapping[str, float]]]] | None = None
    check: Callable[[Any], str] | None = None

    def __post_init__(self) -> None:
        ways = [self.select, self.rewrite, self.choose]
        if sum(way is not None for way in ways) != 1:
            raise ValueError(f"selector {self.name!r}: expected one of select, rewrite and choose")
        if unknown := set(self.needs) - set(get_args(Fact)):
            raise ValueError(f"selector {self.name!r} needs {sorted(unknown)}: expected some of {get_args(Fact)}")


@dataclass(frozen=True)
class Recipe:
    """How a training set is made of a pool.

    Attributes:
        name: The name it is registered under.
        version: Raised when it makes another set.
        steps: Name of a selector with its options, in order. Those that `choose` come last; between and after them
            only those that `rewrite`.
        rows: How many rows the set has: chosen at random by seed from those that the steps leave. None for all.
        form: How rows are written.
        about: What the set is, in a sentence or two, for its card.
        file: A YAML file with these fields, in place of them: its path.
    """

    name: str
    version: int = 1
    steps: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    rows: int | None = None
    form: Form = "published"
    about: str = ""
    file: Path | None = None

    def __post_init__(self) -> None:
        if bool(self.steps) == bool(self.file):
            raise ValueError(f"recipe {self.name!r}: expected steps or a file")
