r"""A formula as text and as a plain number: what can be said of it without parsing LaTeX."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache

_NUMBER = re.compile(
    r"\(?(?P<sign>[-+]?)(?:"
    r"(?P<whole>\d{1,3}(?:(?:,|\{,\})\d{3})+|\d{1,50})?(?:(?P<decimals>\.\d{1,50})|\.)?(?P<power>[eE][-+]?\d{1,2})?"
    r"|\\frac\{(?P<minus>-?)(?P<upper>\d{1,50})\}\{(?P<lower>\d{1,50})\}|(?P<left>\d{1,50})/(?P<right>\d{1,50})"
    r")\)?"
)
_ONE_WAY = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\{\{([^{}]*)\}\}", r"{\1}"),
        (r"(?<![\d.}\\a-zA-Z])(\d{1,50}) (\d{1,50})/(\d{1,50})(?![\d./])", r"\1\\frac{\2}{\3}"),
        (r"\A([-+]?\d{1,50}(?:\.\d{1,50})?)[eE]([-+]?\d{1,2})\Z", r"\1\\cdot10^{\2}"),
        (r"(?<=\d) ?[xX] ?(?=10\^)", r"\\times "),
        (r"\*\*(\w+)", r"^{\1}"),
        (r"(?:\*\*|\^)\(([^()]{1,200})\)", r"^{\1}"),
        (r"(?<![_^{])([a-zA-Z}])('{1,3})", lambda found: f"{found[1]}_{{{'p' * len(found[2])}}}"),
        (r"(\d)\.(?!\d)", r"\1"),
        (r"\\div(?![a-zA-Z])", "/"),
        (r"(?<=d)\\(?:cdot|times)(?![a-zA-Z])", "*"),  # the parser takes `d\\cdot` for a differential
        (r"\\lg(?![a-zA-Z])", r"\\log_{10}"),
        (r"\\log_(\d)(\d+)", r"\\log_{\1}(\2)"),
        (r"\\arc(sin|cos|tan)h(?![a-zA-Z])", r"\\ar\1h"),
        (r"\\(?:sech)\(([^()]{1,200})\)", r"\\frac{1}{\\cosh(\1)}"),
        (r"\\(?:csch)\(([^()]{1,200})\)", r"\\frac{1}{\\sinh(\1)}"),
        (r"\\(?:coth)\(([^()]{1,200})\)", r"\\frac{1}{\\tanh(\1)}"),
    )
]
_SLASH = re.compile(r"(?<![\w/.}^{])(\d{1,50})/(\d{1,50}) ?(?=\\pi|\\sqrt|[a-zA-Z(])")
_REPEATING = re.compile(
    r"(?P<whole>\d{0,50})\.(?P<start>\d{0,50})(?:\\(?:overline|bar|dot)\{(?P<period>\d{1,50})\}(?:\\dot\{(?P<end>\d)\})?"
    r"|\((?P<brackets>\d{1,50})\)(?!\d))"
)
_GOING_ON = re.compile(r"(?P<whole>\d{0,50})\.(?P<digits>\d{3,50})\\ldots")


@lru_cache(maxsize=4096)
def in_one_way(formula: str) -> str:
    r"""A formula in plain LaTeX as SymPy's parser reads it: mixed fractions, repeating decimals, primes.

    >>> in_one_way("1 1/4"), in_one_way(r"15.\overline{3}"), in_one_way("0.1666\\ldots")
    ('1\\frac{1}{4}', '\\frac{46}{3}', '\\frac{1}{6}')
    """
    formula = _GOING_ON.sub(_going_on, _REPEATING.sub(_repeating, formula))
    for pattern, replacement in _ONE_WAY:
        formula = pattern.sub(replacement, formula)
    return formula


def other_reading(formula: str) -> str:
    r"""A formula with `1/2x` read as a half of x, where the parser reads 1/(2x)."""
    return _SLASH.sub(r"\\frac{\1}{\2}", formula)


def as_number(formula: str) -> Fraction | None:
    r"""A plain integer, decimal or fraction, also with thousands separators; else None.

    >>> as_number("033"), as_number(r"10{,}000"), as_number(r"\frac{1}{2}"), as_number("3,4")
    (Fraction(33, 1), Fraction(10000, 1), Fraction(1, 2), None)
    """
    found = _NUMBER.fullmatch(formula)
    if not found or formula.startswith("(") != (")" in formula):
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
    return -value if value is not None and (part["sign"] == "-") != (part["minus"] == "-") else value


def same_number(gold: Fraction, number: Fraction, rounded: bool) -> bool:
    """Whether two plain numbers are the same: exactly, or to six significant digits if one of them is rounded."""
    return gold == number or (rounded and float(abs(gold - number)) <= rounding(float(max(abs(gold), abs(number)))))


def rounding(size: float) -> float:
    """How far a number of a size may be from its rounded one: half a unit of the sixth digit, as of the sixth place."""
    return min(5.001e-7, 5.001e-6 * 10.0 ** math.floor(math.log10(size))) if size > 1e-290 else 0.0


def _repeating(found: re.Match[str]) -> str:
    start, period = found["start"], found["period"] or found["brackets"]
    if found["end"]:
        period += found["end"]
    return _fraction(found["whole"], start, period)


def _going_on(found: re.Match[str]) -> str:
    """`0.333...` with a period that is written at least twice; else the decimals that are written."""
    digits = found["digits"]
    for length in range(1, len(digits) // 2 + 1):
        period = digits[-length:]
        start = digits
        while start.endswith(period):
            start = start[:-length]
        if len(digits) - len(start) >= max(2 * length, 3):
            return _fraction(found["whole"], start, period)
    return f"{found['whole'] or 0}.{digits}"


def _fraction(whole: str, start: str, period: str) -> str:
    value = Fraction(int(f"{whole or 0}{start}"), 10 ** len(start))
    value += Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(start))
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
