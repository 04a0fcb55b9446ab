r"""Finding an answer in text: the last `\boxed{...}`, the last `<answer>...</answer>`.

Both take time linear in the length of the text.
"""

from __future__ import annotations

import re

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")


def last_boxed(text: str) -> str | None:
    r"""The content of the last complete `\boxed{...}`, or None. Braces inside are balanced.

    >>> last_boxed(r"first \boxed{1}, then \boxed{\frac{1}{2}} and an open \boxed{3")
    '\\frac{1}{2}'
    """
    opened: list[tuple[int, bool]] = []  # start of content, whether it is a box
    boxes = {match.end() for match in _BOX.finditer(text)}
    if not boxes:
        return None
    found: tuple[int, int] | None = None
    found_end = -1
    for match in re.finditer(r"\\[\\{}]|[{}]", text):
        brace, end = match.group(), match.end()
        if brace == "{":
            opened.append((end, end in boxes))
        elif brace == "}" and opened:
            start, boxed = opened.pop()
            # Of a box inside a box the outer one is the answer; it closes last.
            if boxed and end > found_end:
                found, found_end = (start, match.start()), end
    return text[found[0] : found[1]].strip() if found else None


def last_tag(text: str, tag: str) -> str | None:
    """The content of the last `<tag>...</tag>`, or None."""
    end = text.rfind(f"</{tag}>")
    start = text.rfind(f"<{tag}>", 0, end) if end >= 0 else -1
    return text[start + len(tag) + 2 : end].strip() if start >= 0 else None
