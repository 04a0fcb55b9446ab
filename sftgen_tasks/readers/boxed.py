r"""Finding an answer in text: `\boxed{...}`, the last `<answer>...</answer>`.

All take time linear in the length of the text.
"""

from __future__ import annotations

import re

from sftgen_tasks.readers.looks import plain_text

_COMMAND = r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])"
_BOX = re.compile(rf"{_COMMAND}\s*\{{")
_GROUP = r"\{[^{}]{0,80}(?:\{[^{}]{0,80}\}[^{}]{0,80}){0,4}\}"
# What stands after a `\boxed` without braces: a command with its arguments, a bracket, or what a blank ends. A word is
# read on ("with \boxed and braces"), apart from a few that are answers.
_BARE = re.compile(
    rf"{_COMMAND}[ \t]*(?!(?!(?:yes|no|true|false|odd|even)\b)[a-z]{{2}})"
    rf"(?P<content>[-+]?(?:\\[a-zA-Z]+(?:[ \t]?{_GROUP}){{0,2}}(?![a-zA-Z]|[ \t]*\{{)|\([^()\n]{{0,100}}\)"
    r"|[^\s{}$\\]{1,100}))"
)
_EMPTY = re.compile(r"(?:[\s.,:;?_\u2026-]|\\[lcd]?dots[cbmio]?(?![a-zA-Z])|\\\Z)*")


def boxed(text: str) -> list[str]:
    r"""What the boxes of a text hold, in their order. Of a box in a box the outer one counts.

    `\boxed 42` without braces is a box. An empty box (`\boxed{}`, `\boxed{\text{ }}`, `\boxed{...}`) is none, nor is
    one that never closes.

    >>> boxed(r"first \boxed{1}, then \boxed{\frac{1}{2}}, \boxed 3, \boxed{} and an open \boxed{4")
    ['1', '\\frac{1}{2}', '3']
    """
    return [content for _, content in boxes(text) if not is_empty(content)]


def last_boxed(text: str) -> str | None:
    r"""What the last box holds that is not empty, or None.

    >>> last_boxed(r"The answer is \boxed{42}. Put it in \boxed{}.")
    '42'
    """
    return next((content for _, content in reversed(boxes(text)) if not is_empty(content)), None)


def is_empty(content: str) -> bool:
    """Whether a box holds nothing but looks and dots."""
    return len(content) < 100 and _EMPTY.fullmatch(plain_text(content)) is not None


Box = tuple[tuple[int, int], str]
"""Where a box begins and ends, and what it holds."""


def boxes(text: str) -> list[Box]:
    """Every box of a text, also the empty ones."""
    bare = [((match.start(), match.end()), _bare(match["content"])) for match in _BARE.finditer(text)]
    closed = in_braces(text, _BOX)
    return _outer(closed + bare) if bare else closed


def in_braces(text: str, opener: re.Pattern[str]) -> list[Box]:
    """What stands in the braces that a pattern opens and that close; of a pair in a pair the outer one."""
    begins = {match.end(): match.start() for match in opener.finditer(text)}
    closed: list[Box] = []
    if not begins:
        return closed
    opened: list[tuple[int, int]] = []  # where the box begins, or -1 for another brace; where its content begins
    for match in re.finditer(r"\\[\\{}]|[{}]", text):
        brace, end = match.group(), match.end()
        if brace == "{":
            opened.append((begins.get(end, -1), end))
        elif brace == "}" and opened:
            begin, start = opened.pop()
            if begin >= 0:
                while closed and closed[-1][0][0] > begin:
                    closed.pop()
                closed.append(((begin, end), text[start : match.start()].strip()))
    return closed


def _bare(content: str) -> str:
    return content if content[0] in "([" else content.rstrip(".,;:!?)]*_`'\"")


def _outer(found: list[Box]) -> list[Box]:
    kept: list[Box] = []
    for place, content in sorted(found):
        if not kept or place[0] >= kept[-1][0][1]:
            kept.append((place, content))
    return kept


def last_tag(text: str, tag: str) -> str | None:
    """The content of the last `<tag>...</tag>`, or None."""
    end = text.rfind(f"</{tag}>")
    start = text.rfind(f"<{tag}>", 0, end) if end >= 0 else -1
    return text[start + len(tag) + 2 : end].strip() if start >= 0 else None
