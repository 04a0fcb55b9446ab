"""Programs in responses: which block is the answer, and whether what a program gave is what was expected.

Both take time linear in the length of the text; neither looks into a program.
"""

from __future__ import annotations

import json
import re
import textwrap
from decimal import Decimal, DecimalException

_FENCE = re.compile(r"`{3,}|~{3,}")
# No program answers without one of these: it prints, it writes, or it defines what is called.
_ACTS = re.compile(r"print|write|def |class |lambda")
_PUBLISHED = re.compile(r"```python\n(.*?)```", re.DOTALL)


def last_program(text: str) -> str | None:
    r"""The last fenced block that may be a Python program, else the last one of any kind; None without one.

    A fence is of backticks or tildes, labelled or not, indented or after words; it is closed by one as long, alone
    or at the end of a line of code, by the next labelled one, or by the end of the text. Blocks labelled as another
    language, and those that neither print nor define anything (sample outputs), give way to those that may be one.

    >>> last_program("First:\n```python\nprint(1)\n```\nBetter:\n```py\nprint(2)")
    'print(2)'
    """
    blocks: list[tuple[int, str]] = []
    lines: list[str] = []
    marks, label, indent = "", "", 0

    def keep() -> None:
        code = "\n".join(lines).strip("\r\n")
        if code[:1].isspace():  # in a list, say
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


def published_program(text: str) -> str | None:
    """The last block that opens with exactly three backticks, `python` and a line break: the published code's rule.

    Without one the published code runs the last character of the text; here that is None.
    """
    blocks = _PUBLISHED.findall(text)
    return blocks[-1].split("</code>")[0].replace("<code>", "") if blocks else None


def _closes(line: str, fence: re.Match[str], marks: str, indent: int) -> bool:
    if fence.group()[0] != marks[0] or len(fence.group()) < len(marks):
        return False
    if line[: fence.start()].strip():
        return not line[fence.end() :].strip()
    # Deeper, as in a docstring, it is part of the code.
    return _indent(line) <= indent + 3


def _label(rest: str) -> str:
    """The one word after a fence: `Python3` is `python3`, `{.python}` is `python`; of several words it is none."""
    words = rest.split()
    return words[0].strip("{}.").lower() if len(words) == 1 or "=" in rest else ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def same_output(expected: str, output: str) -> bool:
    """Whether standard output is right, as LiveCodeBench's checker decides.

    Blanks around the whole and around each line do not matter, the number of lines does. Lines are equal as text, or
    as numbers one by one, exactly: `1.0` is `1.00` and `1e0`, not `1.0000001`.
    """
    wanted, given = _lines(expected), _lines(output)
    return len(wanted) == len(given) and all(map(_same_line, wanted, given))


def same_value(expected: str, value: str) -> bool:
    """Whether a function's result is right: equal as JSON values, so `1`, `1.0` and `true` are, as in Python."""
    try:
        return bool(json.loads(value) == json.loads(expected))
    except (ValueError, RecursionError):  # NaN and the like are no JSON text, and no right answer
        return False


def published_same_output(expected: str, output: str) -> bool:
    """The published code's rule: the same text but for blanks around it, and one `-` at the end of the expected."""
    wanted = expected.strip()
    return output.strip() == (wanted[:-1].rstrip() if wanted.endswith("-") else wanted)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(wanted: str, given: str) -> bool:
    if wanted == given:
        return True
    try:
        return [Decimal(word) for word in given.split()] == [Decimal(word) for word in wanted.split()]
    except (DecimalException, ValueError):
        return False
