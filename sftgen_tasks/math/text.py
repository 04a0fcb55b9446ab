r"""An answer as text and as a plain number: what can be said of it without parsing LaTeX."""

from __future__ import annotations

import re
from fractions import Fraction

_ROUNDING = Fraction(1, 100_000)
"""Decimals that differ by more than this differ for math-verify, which rounds to six places."""

# What changes an answer's look and not its meaning. The backslash before a backslash is a line break.
_LOOK = (
    (r"\\left(?![a-zA-Z])|\\right(?![a-zA-Z])|\\displaystyle(?![a-zA-Z])|(?<!\\)\\[,!;: ]|\\?\$", ""),
    (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
    (r"(?<![a-zA-Z])\\(?:text(?:bf|it|rm)?|math(?:bf|it|rm)|mbox)\{([^{}]*)\}(?![a-zA-Z])", r"\1"),
    (r"([\^_])\{(\w)\}", r"\1\2"),
    # A blank between two digits or letters stays: 1 2 is not 12.
    (r"(?<!\w)\s+|\s+(?!\w)", ""),
    (r"[.,;]+\Z", ""),
)

_NUMBER = re.compile(
    r"\(?(?P<sign>[-+]?)(?:"
    r"(?P<whole>\d{1,3}(?:(?:,|\{,\})\d{3})+|\d{1,50})?(?P<decimals>\.\d{1,50})?(?P<power>e[-+]?\d{1,2})?"
    r"|\\frac\{(?P<upper>\d{1,50})\}\{(?P<lower>\d{1,50})\}|(?P<left>\d{1,50})/(?P<right>\d{1,50})"
    r")\)?(?:\^\{?\\circ\}?|\\degree)?"
)


def normalise(answer: str) -> str:
    r"""An answer without what only changes its look; equal results are equal answers.

    >>> normalise(r"$\left( \dfrac{1}{2} , x^{2} \right)$.")
    '(\\frac{1}{2},x^2)'
    """
    for pattern, replacement in _LOOK:
        answer = re.sub(pattern, replacement, answer)
    return answer


def as_number(answer: str) -> Fraction | None:
    r"""A plain integer, decimal or fraction, also with thousands separators, a degree or dollar sign; else None.

    >>> as_number("033"), as_number(r"10{,}000"), as_number(r"\$0.50"), as_number("3,4")
    (Fraction(33, 1), Fraction(10000, 1), Fraction(1, 2), None)
    """
    text = normalise(answer)
    found = _NUMBER.fullmatch(text)
    # 100, 200 with a blank is two numbers; math-verify takes it so too.
    if not found or text.startswith("(") != (")" in text) or re.search(r",\s", answer):
        return None
    part = found.groupdict()
    upper, lower = part["upper"] or part["left"], part["lower"] or part["right"]
    if upper:
        value = Fraction(int(upper), int(lower)) if int(lower) else None
    elif part["whole"] or part["decimals"]:
        digits = re.sub(r"[{},]", "", part["whole"] or "0")
        value = Fraction(digits + (part["decimals"] or "") + (part["power"] or ""))
    else:
        value = None
    return -value if value is not None and part["sign"] == "-" else value


def without_percent(answer: str) -> tuple[str, bool]:
    """The answer without a percent sign at its end, and whether there was one."""
    text, signs = re.subn(r"\s*\\?%(?=[\s$.]*\Z)", "", answer)
    return text, bool(signs)


def same_number(gold: Fraction | None, number: Fraction | None) -> bool | None:
    """Whether two plain numbers are the same for math-verify; None where that depends on its rounding."""
    if gold is None or number is None:
        return None
    if gold == number:
        return True
    return False if abs(gold - number) > _ROUNDING else None
