"""What to evaluate when: the plan that a trainer writes down and its workers read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.journal import write_atomic

LOG_SPACED = (0, 5, 10, 20, 40, 80, 160, 320, 640)
PAPER_STEPS = (10, 20, 40, 80, 160, 320, 480, 640)
"""Where the published runs were evaluated."""


class PlanError(SftgenError, ValueError):
    """A plan that cannot be carried out."""


@dataclass(frozen=True)
class Tier:
    """Some tasks, at some steps, on some of their documents.

    Attributes:
        tasks: Task and group names.
        at_steps: Steps to evaluate at, or
        every: evaluate every so many steps. With neither, `LOG_SPACED`.
        limit: Documents a task, None for all.
    """

    tasks: Sequence[str]
    at_steps: Sequence[int] | None = None
    every: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.at_steps is not None and self.every is not None:
            raise PlanError(f"at_steps={list(self.at_steps)} and every={self.every}: give one of the two")
        if self.every is not None and (not isinstance(self.every, int) or self.every < 1):
            raise PlanError(f"every={self.every!r}: expected a whole number of steps of at least 1")
        wrong = [
            step for step in self.at_steps or () if isinstance(step, bool) or not isinstance(step, int) or step < 0
        ]
        if wrong:
            raise PlanError(f"at_steps: {wrong[0]!r} is not a step; expected whole numbers of at least 0")
        if self.limit is not None and self.limit < 1:
            raise PlanError(f"limit {self.limit}: expected a number of documents of at least 1, or None for all")

    def due(self, step: int) -> bool:
        """Whether these tasks are evaluated at a step; the base model, step 0, always is."""
        if step == 0:
            return True
        if self.every is not None:
            return step % self.every == 0
        return step in (LOG_SPACED if self.at_steps is None else self.at_steps)


@dataclass(frozen=True)
class Plan:
    """What a run's checkpoints are evaluated on.

    Attributes:
        tiers: What at which steps. The first and the last step get all of them.
        metadata: Handed to the tasks, as `lm_eval --metadata` does.
        gen_kwargs: Settings over the tasks' own.
        chat_template: Whether prompts go through the tokenizer's chat template.
        batch_size: Prompts generated together.
        seed: Base seed of sampled responses.
    """

    tiers: Sequence[Tier]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    chat_template: bool = True
    batch_size: int = 16
    seed: int = 0

    @property
    def tasks(self) -> list[str]:
        """Every task and group named, once."""
        return list(dict.fromkeys(name for tier in self.tiers for name in tier.tasks))

    def due(self, step: int) -> bool:
        """Whether anything is evaluated at a step."""
        return any(tier.due(step) for tier in self.tiers)

    def at(self, step: int, *, last: bool = False) -> list[Tier]:
        """The tiers of a step; a task in several of them is evaluated once, on most documents."""
        due = [tier for tier in self.tiers if last or tier.due(step)]
        due.sort(key=lambda tier: float("inf") if tier.limit is None else tier.limit, reverse=True)
        seen: set[str] = set()
        chosen = []
        for tier in due:
            fresh = [name for name in tier.tasks if name not in seen]
            seen.update(fresh)
            if fresh:
                chosen.append(Tier(fresh, tier.at_steps, tier.every, tier.limit))
        return chosen

    def write(self, path: Path) -> None:
        """Write the plan for the workers."""
        write_atomic(path, json.dumps(asdict(self), indent=1, default=list) + "\n")

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read a plan back.

        Raises:
            PlanError: There is none, or it is another version's.
        """
        try:
            facts = json.loads(path.read_text())
            return cls(tiers=[Tier(**tier) for tier in facts.pop("tiers")], **facts)
        except OSError as error:
            raise PlanError(f"{path}: no evaluation plan here ({error.strerror}); is it a run directory?") from error
        except (ValueError, KeyError, TypeError) as error:
            raise PlanError(f"{path}: not an evaluation plan of this version: {error}") from error


def parse_mapping(name: str, text: str) -> dict[str, Any]:
    """A JSON mapping given on the command line.

    Raises:
        PlanError: It is none; tells the option's name.
    """
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise PlanError(f"{name} {text!r}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise PlanError(f"{name} {text!r}: expected a JSON mapping")
    return found
