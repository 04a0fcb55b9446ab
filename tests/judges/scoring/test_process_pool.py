"""The pool of processes: how far ahead of its results it works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sftgen_judges.scoring import process_pool


def test_calls_are_started_ahead_of_their_results_but_not_all_at_once() -> None:
    started: list[int] = []

    def calls(size: int) -> Iterator[tuple[Callable[[], int], int]]:
        for number in range(200):
            started.append(number)
            yield partial(int, number), size

    for size, most in ((1 << 20, process_pool.MOST_WORKERS + 2), (100, 200)):
        started.clear()
        ahead = process_pool._ahead(calls(size))
        assert next(ahead)() == 0
        assert process_pool.MOST_WORKERS <= len(started) <= most
        assert [call() for call in ahead] == list(range(1, 200))
