"""What to evaluate when: the suite that a trainer writes down and its workers read, and the built-in schedules."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Schedule
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.journal import write_atomic

logger = logging.getLogger(__name__)

PAPER_STEPS = (10, 20, 40, 80, 160, 320, 480, 640)
"""Steps at which the paper evaluates."""
DEFAULT = "log-spaced"
Argument = int | float | str


class ScheduleError(SftgenError, ValueError):
    """A schedule or a suite that cannot be used."""


def _log_spaced(step: int) -> bool:
    return step in (0, 5, 10, 20, 40, 80, 160, 320, 640)


def _at_steps(step: int, *steps: Argument) -> bool:
    wrong = [given for given in steps if not isinstance(given, int) or given < 0]
    if wrong:
        raise ScheduleError(f"at_steps: {wrong[0]!r} is not a step; expected whole numbers of at least 0")
    return step in steps


def _every(step: int, steps: Argument) -> bool:
    if not isinstance(steps, int) or steps < 1:
        raise ScheduleError(f"every={steps!r}: expected a whole number of steps of at least 1")
    return step % steps == 0


LOG_SPACED = Schedule("log-spaced", version=1, due=_log_spaced)
AT_STEPS = Schedule("at_steps", version=1, due=_at_steps)
EVERY = Schedule("every", version=1, due=_every)


@dataclass(frozen=True)
class Tier:
    """Some tasks, at some steps, on some of their documents.

    Attributes:
        tasks: Task and group names.
        at_steps: The steps to evaluate at: the schedule `at_steps`.
        every: Evaluate every so many steps: the schedule `every`.
        limit: Documents a task, None for all.
        schedule: Any registered schedule, as `NAME` or `NAME:ARGUMENTS`. Without any of the three it is `DEFAULT`.
    """

    tasks: Sequence[str]
    at_steps: Sequence[int] | None = None
    every: int | None = None
    limit: int | None = None
    schedule: str | None = None

    def __post_init__(self) -> None:
        ways = {"at_steps": self.at_steps, "every": self.every, "schedule": self.schedule}
        given = [f"{name}={way!r}" for name, way in ways.items() if way is not None]
        if len(given) > 1:
            raise ScheduleError(f"{' and '.join(given)}: give one of them")
        if self.limit is not None and self.limit < 1:
            raise ScheduleError(f"limit {self.limit}: expected a number of documents of at least 1, or None for all")
        try:
            _due(self.when, 1)
        except SftgenError:
            raise
        except Exception as error:  # from a plugin, or from wrong arguments
            raise ScheduleError(f"schedule {self.when!r} cannot be used: {type(error).__name__}: {error}") from error

    @property
    def when(self) -> str:
        """The schedule, as `NAME` or `NAME:ARGUMENTS`."""
        if self.at_steps is not None:
            return f"at_steps:{','.join(map(str, self.at_steps))}"
        return self.schedule or DEFAULT if self.every is None else f"every:{self.every}"

    def due(self, step: int) -> bool:
        """Whether these tasks are evaluated at a step; the base model, step 0, always is."""
        try:
            return step == 0 or _due(self.when, step)
        except Exception as error:  # from a plugin; training is worth more than one point of a curve
            logger.warning("schedule %r, step %d: not evaluated. %s: %s", self.when, step, type(error).__name__, error)
            return False


def _due(when: str, step: int) -> bool:
    name, _, arguments = when.partition(":")
    schedule: Schedule = lookup("schedule", name.strip())
    return bool(schedule.due(step, *map(_argument, arguments.split(",") if arguments else ())))


def _argument(text: str) -> Argument:
    """The number that the text holds, else the text."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text.strip()


@dataclass(frozen=True)
class Suite:
    """What a run's checkpoints are evaluated on, and when.

    Attributes:
        tiers: Tasks and their steps. The first and the last step get all of them.
        metadata: Handed to the tasks, as `lm_eval --metadata` does.
        gen_kwargs: Settings over the tasks' own.
        chat_template: Whether prompts go through the tokenizer's chat template.
        batch_size: Prompts generated together.
        seed: Base seed of sampled responses.
        adaptive: Most steps to evaluate, where further ones are chosen between those that the tiers name
            (`queue.adaptive`); 0 where none is. The first tier is then of every step that is evaluated.
    """

    tiers: Sequence[Tier]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    chat_template: bool = True
    batch_size: int = 16
    seed: int = 0
    adaptive: int = 0

    @property
    def tasks(self) -> list[str]:
        """Every task and group named, once."""
        return list(dict.fromkeys(name for tier in self.tiers for name in tier.tasks))

    @property
    def built_in(self) -> bool:
        """Whether no schedule is a plugin's: every process then says the same of a step."""
        return all(tier.when.partition(":")[0] in {LOG_SPACED.name, AT_STEPS.name, EVERY.name} for tier in self.tiers)

    def due(self, step: int) -> bool:
        """Whether anything is evaluated at a step."""
        return any(tier.due(step) for tier in self.tiers)

    def at(self, step: int, *, last: bool = False) -> list[Tier]:
        """The tiers of a step; a task in several of them is evaluated once, on most documents."""
        always = self.tiers[:1] if self.adaptive else ()
        due = [tier for tier in self.tiers if last or tier in always or tier.due(step)]
        due.sort(key=lambda tier: float("inf") if tier.limit is None else tier.limit, reverse=True)
        seen: set[str] = set()
        chosen = []
        for tier in due:
            fresh = [name for name in tier.tasks if name not in seen]
            seen.update(fresh)
            if fresh:
                chosen.append(replace(tier, tasks=fresh))
        return chosen

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Suite:
        """A suite from its fields; `asdict` gives them."""
        others = {name: value for name, value in facts.items() if name != "tiers"}
        for name in ("metadata", "gen_kwargs"):
            if not isinstance(others.get(name, {}), Mapping):
                raise TypeError(f"{name}: expected a mapping")
        return cls(tiers=[Tier(**tier) for tier in facts["tiers"]], **others)

    def write(self, path: Path) -> None:
        """Write the suite for the workers."""
        write_atomic(path, json.dumps(asdict(self), indent=1, default=list) + "\n")

    @classmethod
    def read(cls, path: Path) -> Suite:
        """Read a suite back.

        Raises:
            ScheduleError: The file cannot be read, or another version wrote it.
        """
        try:
            return cls.of(json.loads(path.read_text()))
        except OSError as error:
            raise ScheduleError(
                f"{path}: no evaluation suite here ({error.strerror}); is it a run directory?"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ScheduleError(f"{path}: not an evaluation suite of this version: {error}") from error


def parse_mapping(name: str, text: str) -> dict[str, Any]:
    """What an option such as `--metadata` gives, `docs_seed=3` or JSON, as `sftgen eval` takes it.

    Raises:
        ScheduleError: Neither. The message names the option.
    """
    from sftgen_tasks.harness.registry import parse_model_args

    if not text:
        return {}
    try:
        if not text.lstrip().startswith("{"):
            return parse_model_args(text)
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ScheduleError(f"{name} {text!r}: expected NAME=VALUE,... or a JSON object ({error})") from error
    return found
