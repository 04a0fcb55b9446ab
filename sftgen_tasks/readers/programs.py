"""Programs in responses: which block is the answer, and whether the output of a program is the expected one.

Both take time linear in the length of the text, and neither runs a program. `readers.paper_programs` has the rule of
the paper's code.
"""

from __future__ import annotations

import json
import re
import textwrap
from decimal import Decimal, DecimalException

_FENCE = re.compile(r"`{3,}|~{3,}")
# A program that answers has one of these: it prints, it writes, or it defines the function that is called.
_ACTS = re.compile(r"print|write|def |class |lambda")


def last_program(text: str) -> str | None:
    r"""The last fenced block that may be a Python program, else the last block of any kind; None without a block.

    A fence is a line with at least three backticks or tildes. It may have a label, be indented, or follow words. A
    block ends at a fence of at least the same length, alone or at the end of a line of code, at the next fence with a
    label, or at the end of the text. A block may be a program if it has no label or Python's, and prints, writes or
    defines something, unlike a sample output.

    >>> last_program("First:\n```python\nprint(1)\n```\nBetter:\n```py\nprint(2)")
    'print(2)'
    """
    blocks: list[tuple[int, str]] = []
    lines: list[str] = []
    marks, label, indent = "", "", 0

    def keep() -> None:
        code = "\n".join(lines).strip("\r\n")
        if code[:1].isspace():  # for example in a list
            code = textwrap.dedent(code)
        if code.strip():
            python = not label or label.startswith("py")
            blocks.append((python + (python and bool(_ACTS.search(code))), code))

    for line in text.split("\n"):
        fence = _FENCE.search(line)
        if not marks:
            if fence and "`" not in line[fence.end() :]:  # else it is code in a line of words
                marks, label, indent, lines = fence.group(), _label(line[fence.end() :]), _indent(line), []
        elif fence is None or not _closes(line, fence, marks, indent):
            lines.append(line)
        else:
            if line[: fence.start()].strip():
                lines.append(line[: fence.start()])
            keep()
            label = _label(line[fence.end() :])
            marks, indent, lines = fence.group() if label else "", _indent(line), []
    if marks:
        keep()
    best = max((rank for rank, _ in blocks), default=0)
    return next((code for rank, code in reversed(blocks) if rank == best), None)


def _closes(line: str, fence: re.Match[str], marks: str, indent: int) -> bool:
    if fence.group()[0] != marks[0] or len(fence.group()) < len(marks):
        return False
    if line[: fence.start()].strip():
        return not line[fence.end() :].strip()
    # A deeper fence, for example in a docstring, is part of the code.
    return _indent(line) <= indent + 3


def _label(rest: str) -> str:
    """The one word after a fence: `Python3` is `python3`, `{.python}` is `python`; several words are not a label."""
    words = rest.split()
    return words[0].strip("{}.").lower() if len(words) == 1 or "=" in rest else ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def same_output(expected: str, output: str) -> bool:
    """Whether standard output is right, as LiveCodeBench's checker decides.

    Blanks around the whole and around each line do not matter; the number of lines does. Two lines are equal if their
    texts are equal, or if all their words are numbers of exactly the same value: `1.0` equals `1.00` and `1e0`, but not
    `1.0000001`.
    """
    wanted, given = _lines(expected), _lines(output)
    return len(wanted) == len(given) and all(map(_same_line, wanted, given))


def same_value(expected: str, value: str) -> bool:
    """Whether a function's result is right: equal as JSON values. As in Python, `1`, `1.0` and `true` are equal."""
    try:
        return bool(json.loads(value) == json.loads(expected))
    except (ValueError, RecursionError):  # a text that is not JSON is not a right answer
        return False


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(wanted: str, given: str) -> bool:
    if wanted == given:
        return True
    try:
        return [Decimal(word) for word in given.split()] == [Decimal(word) for word in wanted.split()]
    except (DecimalException, ValueError):
        return False
