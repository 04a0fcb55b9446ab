"""What reaches the model of a judge: `JudgeBackend`, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sftgen_judges.plugins.contracts.judging import Reply, Request

if TYPE_CHECKING:
    from sftgen_judges.plugins.judge_settings import JudgeSettings


@dataclass(frozen=True)
class Failure:
    """Why there is no reply: `judge_error`, or `not_graded` where nothing was asked."""

    reason: str
    status: Literal["judge_error", "not_graded"] = "judge_error"
    attempts: int = 0


Outcome = Reply | Failure


@dataclass(frozen=True)
class JudgeBackend:
    """A way to reach a judge's model, chosen by `SFTGEN_JUDGE_BACKEND`.

    Attributes:
        name: The name it is registered under.
        ask: Takes the settings and all requests. Yields a position among the requests with its outcome, each
            position once, in any order. It retries by itself and gives a `Failure` where there is no reply.
    """

    name: str
    ask: Callable[[JudgeSettings, Sequence[Request]], Iterator[tuple[int, Outcome]]]
