"""Delta, the loss that does not matter, by task: named before looking, in the configuration or on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_train.trajectory.claims import DELTA

PREFIX = "sftgen_"
DEFAULT = "default"


class DeltaError(SftgenError, ValueError):
    """A delta that cannot be used."""


@dataclass(frozen=True)
class Deltas:
    """The delta of every task.

    Attributes:
        default: Of tasks and groups that are not named.
        tasks: Of those that are.
    """

    default: float = DELTA
    tasks: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str) -> float:
        """The delta of a task or group; its name may be written without `sftgen_`."""
        for given, delta in self.tasks.items():
            if given.removeprefix(PREFIX) == name.removeprefix(PREFIX):
                return delta
        return self.default

    def to_dict(self) -> dict[str, float]:
        """As it stands in the manifest."""
        return {DEFAULT: self.default, **self.tasks}


def parse_deltas(text: str) -> Deltas:
    """Read `0.02`, `0.02,TASK=0.05` or `TASK=0.05`.

    Raises:
        DeltaError: Not such a text, or not between 0 and 1.
    """
    default, tasks = DELTA, {}
    for number, part in enumerate(filter(None, (part.strip() for part in text.split(",")))):
        name, equals, value = part.rpartition("=")
        if (equals and not name) or (not equals and number):
            raise DeltaError(f"delta {text!r}: expected a number, then TASK=NUMBER, for example 0.02,math500=0.05")
        if equals:
            tasks[name.strip()] = _number(value, text)
        else:
            default = _number(value, text)
    return Deltas(default, tasks)


def deltas_of(manifest: Mapping[str, Any]) -> Deltas:
    """The deltas that a run's manifest names; what is damaged is passed over."""
    given = manifest.get("delta")
    held = {
        str(name): float(value)
        for name, value in (given.items() if isinstance(given, dict) else ())
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    }
    return Deltas(held.pop(DEFAULT, DELTA), held)


def _number(value: str, text: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise DeltaError(f"delta {text!r}: {value.strip()!r} is not a number from 0 to 1; 0.02 is 2 points of 100")
    return number
