"""The selectors that look at the candidates of one prompt: filters, and what keeps some of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sftgen_judges.asking.settings import missing_settings
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Candidate, Item, Judge, Selector
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.scoring.grading import grade_batch

Candidates = Sequence[Candidate]
JUDGED = "judged"
"""The number that a judge gives a candidate, among its measures."""


class Options(BaseModel):
    """Options of a selector: none but those it has."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Keep(Options):
    """How many candidates of a prompt are kept at most."""

    keep: int = Field(default=1, ge=1, strict=True)


class PassRate(Options):
    """Bounds of a prompt's pass rate."""

    above: float | None = Field(default=None, ge=0, le=1)
    least: float | None = Field(default=None, ge=0, le=1)
    below: float | None = Field(default=None, ge=0, le=1)
    most: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _bounded(self) -> PassRate:
        if all(value is None for value in (self.above, self.least, self.below, self.most)):
            raise ValueError("expected at least one of above, least, below and most")
        return self


class LogProb(Keep):
    """Which end of the log-probabilities is kept."""

    end: Literal["highest", "lowest"] = "highest"


class Judged(Keep):
    """The judge that is asked, and what its score has to reach.

    A judge asks about `question` and the answer. `least` leaves out candidates with lower scores.
    """

    judge: str
    least: float | None = None


def _filter(keeps: Callable[[Candidate], bool]) -> Callable[[Candidates, Any, random.Random], Candidates]:
    return lambda candidates, options, rng: [each for each in candidates if keeps(each)]


def _by(number: Callable[[Candidate], float]) -> Callable[[Candidates, Any, random.Random], Candidates]:
    """Keeps those with the smallest numbers; of equal ones the first."""
    return lambda candidates, options, rng: sorted(candidates, key=lambda each: (number(each), each.repeat))[
        : options.keep
    ]


def _length(candidate: Candidate) -> float:
    tokens = candidate.response.tokens
    if tokens is None:
        raise SftgenError(f"prompt {candidate.place}, sample {candidate.repeat}: nobody counted its tokens")
    return tokens


def _at_random(candidates: Candidates, options: Keep, rng: random.Random) -> Candidates:
    chosen = rng.sample(range(len(candidates)), min(options.keep, len(candidates)))
    return [candidates[place] for place in sorted(chosen)]


def _in_window(candidates: Candidates, options: PassRate, rng: random.Random) -> Candidates:
    rate = candidates[0].pass_rate
    if rate is None:
        return []
    inside = (
        (options.above is None or rate > options.above)
        and (options.least is None or rate >= options.least)
        and (options.below is None or rate < options.below)
        and (options.most is None or rate <= options.most)
    )
    return candidates if inside else []


def _by_logprob(candidates: Candidates, options: LogProb, rng: random.Random) -> Candidates:
    sign = -1 if options.end == "highest" else 1
    return _by(lambda each: sign * float(each.logprob or 0.0))(candidates, options, rng)


def _judge_of(options: Judged) -> Judge:
    found: Judge = lookup("judge", options.judge)
    return found


def _judgements(candidates: Candidates, options: Judged) -> Iterator[tuple[int, Mapping[str, float]]]:
    items = [Item(each.doc, each.response) for each in candidates]
    verdicts = grade_batch(_judge_of(options), items, label=options.judge)
    yield from ((place, {JUDGED: said.score}) for place, said in enumerate(verdicts) if said.score is not None)


def _judge_is_ready(options: Judged) -> str:
    return missing_settings(_judge_of(options))


def _best(candidates: Candidates, options: Judged, rng: random.Random) -> Candidates:
    good = [each for each in candidates if options.least is None or each.measures[JUDGED] >= options.least]
    return _by(lambda each: -each.measures[JUDGED])(good, options, rng)


RIGHT = Selector("right", 1, _filter(lambda each: each.right))
WRONG = Selector("wrong", 1, _filter(lambda each: each.verdict.score is not None and not each.right))
FINISHED = Selector("finished", 1, _filter(lambda each: each.finished))
PASS_RATE = Selector("pass-rate", 1, _in_window, options=PassRate)
RANDOM = Selector("random", 1, _at_random, options=Keep)
SHORTEST = Selector("shortest", 1, _by(_length), options=Keep, needs=("tokens",))
LONGEST = Selector("longest", 1, _by(lambda each: -_length(each)), options=Keep, needs=("tokens",))
LOGPROB = Selector("logprob", 1, _by_logprob, options=LogProb, needs=("logprob",))
BEST = Selector("best", 1, _best, options=Judged, measure=_judgements, check=_judge_is_ready)
