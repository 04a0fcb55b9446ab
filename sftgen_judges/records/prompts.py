"""What in the prompts of a task is the document's own: the rest is the same in all of them."""

from __future__ import annotations

from collections.abc import Sequence

from sftgen_judges.records.turns import turn_end

_LONGEST_LINE = 200
"""Characters that are taken back at most, to begin or end at a whole line."""


def shared_ends(prompts: Sequence[str]) -> tuple[int, int]:
    r"""How many characters all prompts begin with and end with: whole lines, and what ends the user's turn.

    Args:
        prompts: Prompts of one task. Of one alone nothing is shared.

    >>> shared_ends(["Solve.\nWhat is 1+1?\nThink.", "Solve.\nWhat is 2+5?\nThink."])
    (7, 7)
    >>> shared_ends(["What is 1+1?<|im_end|>", "What is 2+5?<|im_end|>"])
    (0, 10)
    """
    if len(set(prompts)) < 2:
        return 0, 0
    begin = _whole_lines(prompts)
    turned = [prompt[begin:][::-1] for prompt in prompts]
    shared = prompts[0][len(prompts[0]) - _shared(turned) :]
    token = turn_end(shared)
    return begin, max(_whole_lines(turned), 0 if token is None else len(shared) - token)


def _shared(texts: Sequence[str]) -> int:
    """How many characters all texts begin with."""
    # What the first and the last in order share, all share.
    first, last = min(texts), max(texts)
    return next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))


def _whole_lines(texts: Sequence[str]) -> int:
    """How many characters all texts begin with, up to the end of a line unless the line is long."""
    first, shared = texts[0], _shared(texts)
    line = first.rfind("\n", 0, shared) + 1
    return line if shared - line <= _LONGEST_LINE else shared
