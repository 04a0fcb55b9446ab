"""Limits on calls to a server: how many at once, which adapts, and a budget for the whole process.

A `Limiter` lives as long as one batch. `SPENT` lives as long as the process, on purpose: a budget is what one command
may spend on all its tasks and judges together.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from sftgen_judges.plugins.contracts import Reply, Request
from sftgen_judges.plugins.judge_settings import JudgeSettings


class BudgetSpentError(Exception):
    """The budget allows no further call."""


@dataclass
class Spent:
    """What judging has cost this process so far.

    Attributes:
        calls: Calls that were sent.
        tokens: Tokens of prompts and replies.
        cost: Money, in the currency of the prices.
        estimated: Replies whose tokens were estimated, because the server's counts are missing or make no sense.
    """

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    estimated: int = 0

    def allow(self, settings: JudgeSettings) -> None:
        """Count one more call.

        Raises:
            BudgetSpentError: One of the budgets is used up. Calls under way may still end above it.
        """
        for what, budget in (
            ("calls", settings.budget_calls),
            ("tokens", settings.budget_tokens),
            ("cost", settings.budget_cost),
        ):
            if budget is not None and getattr(self, what) >= budget:
                raise BudgetSpentError(f"budget: {budget} {what} are spent")
        self.calls += 1

    def add(self, settings: JudgeSettings, request: Request, reply: Reply) -> None:
        """Count what a call used. Where the server counts no tokens, four characters count as one."""
        prompt_tokens, tokens = reply.prompt_tokens, reply.tokens
        self.estimated += prompt_tokens is None or tokens is None
        if prompt_tokens is None:
            prompt_tokens = len(str(request.prompt)) // 4
        if tokens is None:
            tokens = len(reply.text) // 4
        self.tokens += prompt_tokens + tokens
        self.cost += settings.cost(prompt_tokens, tokens) or 0.0


SPENT = Spent()
"""What this process has spent, on all judges together."""


class Limiter:
    """How many calls run at once: half of the most allowed at first, one more for each success.

    When the server is overloaded the limit is halved, once for all the calls that were under way
    together. After that it grows by one a round.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(max(1, most // 2))
        self._running = 0
        self._halved_at = float("-inf")
        self._resume_at = 0.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> float:
        """Wait for a place; returns the time at which the call starts (`time.monotonic`)."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._running < int(self.limit))
                now = time.monotonic()
                if now >= self._resume_at:
                    self._running += 1
                    return now
            await asyncio.sleep(self._resume_at - now)

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def succeeded(self) -> None:
        """Raise the limit after a successful call."""
        self.limit = min(self.most, self.limit + (1 if self._halved_at < 0 else 1 / self.limit))

    def overloaded(self, started: float, pause: float | None) -> None:
        """Lower the limit after a call that began at `started`, and start no call for `pause` seconds."""
        if started > self._halved_at:
            self.limit = max(1.0, self.limit / 2)
            self._halved_at = time.monotonic()
        if pause:
            self._resume_at = max(self._resume_at, time.monotonic() + pause)
