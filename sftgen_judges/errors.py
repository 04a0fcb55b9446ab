"""The base of every error that the user can fix, the first line of any other, and the name nearest an unknown one."""

from __future__ import annotations

from collections.abc import Iterable


class SftgenError(Exception):
    """Something that sftgen was given cannot be used; the message names it, what was expected, and what to do.

    It is shown as one message, never as a traceback.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'NAME'?` with the nearest of the known names, or nothing where none is near."""
    from difflib import get_close_matches

    words = list(known)
    begun = [word for word in words if name and word.startswith(name)]
    close = begun or get_close_matches(name, words, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_line(error: BaseException, *, kind: bool = False, longest: int = 300) -> str:
    """What an error says first, for a message of ours: libraries go on for pages, and some say nothing at all.

    Args:
        error: The error of a library.
        kind: Whether the kind of the error stands before it, for example `ValueError: `.
        longest: So many characters of the line are kept.

    Returns:
        Its first line that is not empty; the kind alone where there is none.
    """
    line = str(error).strip().partition("\n")[0].rstrip()[:longest]
    return ": ".join(filter(None, (type(error).__name__ if kind or not line else "", line)))
