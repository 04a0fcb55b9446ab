"""What in the prompts of a task is the document's own: the rest is the same in all of them."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_LINE = 200
"""Characters that are taken back at most, to begin or end at a whole line."""


def shared_ends(prompts: Sequence[str]) -> tuple[int, int]:
    r"""How many characters all prompts begin with and end with, in whole lines.

    Args:
        prompts: Prompts of one task. Of one alone nothing is shared.

    >>> shared_ends(["Solve.\nWhat is 1+1?\nThink.", "Solve.\nWhat is 2+5?\nThink."])
    (7, 7)
    """
    if len(set(prompts)) < 2:
        return 0, 0
    begin = _shared_lines(prompts)
    return begin, _shared_lines([prompt[begin:][::-1] for prompt in prompts])


def _shared_lines(texts: Sequence[str]) -> int:
    """How many characters all texts begin with, up to the end of a line unless the line is long."""
    # What the first and the last in order share, all share.
    first, last = min(texts), max(texts)
    shared = next(
        (place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    line = first.rfind("\n", 0, shared) + 1
    return line if shared - line <= _LONGEST_LINE else shared
