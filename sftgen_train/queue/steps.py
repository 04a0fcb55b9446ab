"""Steps that a user names: some, or all."""

from __future__ import annotations

from collections.abc import Collection

from sftgen_train.evaluation.schedule import ScheduleError


class AllSteps(frozenset[int]):
    """Contains every step."""

    def __contains__(self, step: object) -> bool:
        return True


def parse_steps(text: str) -> Collection[int]:
    """`10,20` or `all`.

    Raises:
        ScheduleError: The text has another form.
    """
    if text == "all":
        return AllSteps()
    try:
        return frozenset(int(step) for step in text.split(",") if step)
    except ValueError as error:
        raise ScheduleError(f"steps {text!r}: expected whole numbers with commas between, or all") from error
