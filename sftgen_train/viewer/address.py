"""A choice of items as an address, so that a view can be sent to a colleague who has the same runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints
from urllib.parse import urlencode

from sftgen_judges.records.schema import Status
from sftgen_train.viewer.errors import AddressError

# Lost is lower than before, won is higher, kept is the same above 0, missed is 0 both times.
CHANGES = {
    "": "any change",
    "lost": "lost",
    "won": "won",
    "kept": "kept",
    "missed": "missed both times",
}
SORTS = {
    "change": "most lost first",
    "gain": "most won first",
    "tokens": "longest first",
    "score": "lowest score first",
    "item": "by name",
}
SCORES = {"": "any score", "0": "score 0", "between": "between 0 and 1", "1": "score 1 or more", "none": "no score"}
CUTS = {"": "truncated or not", "yes": "truncated", "no": "not truncated"}
PLACES = {"responses": "in responses", "questions": "in questions"}
STATUSES: tuple[str, ...] = Status.__args__  # type: ignore[attr-defined]
OUTSIDE = "outside"
"""The step of an evaluation outside of a training, in an address."""
_LONGEST = 200
_MOST = 10_000_000


@dataclass(frozen=True)
class Choice:
    """Which items are listed, and with what they are compared. An empty text is the default.

    Attributes:
        run: Id of the run.
        task: Only this task.
        step: The step whose answers are listed, by default the last.
        before_run: Id of the run that they are compared with, by default the same.
        before: The step that they are compared with, by default the first.
        status: Only items with a sample of this status.
        cut: Whether truncated, see `CUTS`.
        score: See `SCORES`.
        change: See `CHANGES`.
        q: A text that is looked for.
        where: Where, see `PLACES`.
        sort: See `SORTS`.
        page: From 1.
    """

    run: str = ""
    task: str = ""
    step: str = ""
    before_run: str = ""
    before: str = ""
    status: str = ""
    cut: str = ""
    score: str = ""
    change: str = ""
    q: str = ""
    where: str = "responses"
    sort: str = "change"
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Choice:
        """Read the query of an address.

        Raises:
            AddressError: A value that is not understood.
        """
        types = get_type_hints(cls)
        given: dict[str, Any] = {
            name: whole_number(name, value) if types[name] is int else text_value(name, value)
            for name, value in query.items()
            if name in types and value
        }
        chosen = cls(**given)
        for name, allowed in (
            ("change", CHANGES), ("sort", SORTS), ("score", SCORES), ("cut", CUTS), ("where", PLACES),
            ("status", ("", *STATUSES)),
        ):  # fmt: skip
            if getattr(chosen, name) not in allowed:
                raise AddressError(
                    f"{name}={getattr(chosen, name)!r}: expected one of {', '.join(filter(None, allowed))}"
                )
        for name in ("step", "before"):
            if getattr(chosen, name) not in {"", OUTSIDE}:
                whole_number(name, getattr(chosen, name))
        return chosen

    def query(self, **changed: Any) -> str:
        """As the query of an address, with some fields changed; what has its default is left out."""
        chosen = replace(self, **changed)
        plain = {field.name: getattr(chosen, field.name) for field in fields(self)}
        return urlencode({name: value for name, value in plain.items() if value != getattr(Choice, name)})


def whole_number(name: str, text: str) -> int:
    """A number from 0 on.

    Raises:
        AddressError: It is none.
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > 8 or int(text) > _MOST:
        raise AddressError(f"{name}={text[:40]!r}: expected a whole number")
    return int(text)


def text_value(name: str, text: str) -> str:
    """A text of bounded length.

    Raises:
        AddressError: It is too long.
    """
    if len(text) > _LONGEST:
        raise AddressError(f"{name}: {len(text)} characters; expected at most {_LONGEST}")
    return text
