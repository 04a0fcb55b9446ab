"""The base of every error that the user can fix; what is said of others, and of a name that is unknown."""

from __future__ import annotations

from collections.abc import Iterable


class SftgenError(Exception):
    """Something that sftgen was given cannot be used; the message names it, what was expected, and what to do.

    It is shown as one message, never as a traceback.
    """


def first_line(error: BaseException) -> str:
    """The first line of a message: libraries write pages."""
    return str(error).strip().partition("\n")[0]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'NAME'?` with the nearest of the known names, or nothing where none is near."""
    from difflib import get_close_matches

    words = list(known)
    begun = [word for word in words if name and word.startswith(name)]
    close = begun or get_close_matches(name, words, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
