"""Several processes that share one evaluation, each with its own part of the documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sftgen_judges.errors import SftgenError


class ShardError(SftgenError):
    """An evaluation failed in one of the processes that share it."""


@dataclass(frozen=True)
class Shard:
    """One of the processes: it takes every `count`-th document, from its own index on.

    Attributes:
        index: Which of them this is.
        count: How many there are.
        gather: Gives every process what each of them had, in their order. All have to call it.
    """

    index: int
    count: int
    gather: Callable[[Any], list[Any]]

    def places(self, documents: int, limit: int | None = None) -> list[int]:
        """Which of the documents this process takes."""
        return list(range(self.index, documents if limit is None else min(limit, documents), self.count))

    def collect(self, make: Callable[[], Any]) -> list[Any]:
        """What every process makes; if one process fails, all of them fail, so that no process waits for ever.

        Raises:
            ShardError: One failed; says which, and why.
        """
        made, problem = None, ""
        try:
            made = make()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        parts = self.gather((made, problem))
        for index, (_, failure) in enumerate(parts):
            if failure:
                raise ShardError(f"process {index} of {self.count}: {failure}")
        return [part for part, _ in parts]


def together(shard: Shard | None, make: Callable[[], Any]) -> list[Any]:
    """What every process makes, of one or of several; if one fails, all of them do, so that none waits for ever.

    Raises:
        ShardError: One of several failed; says which, and why.
    """
    return shard.collect(make) if shard else [make()]
