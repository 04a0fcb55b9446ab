r"""math-verify's verdict on a text, without work that cannot change it.

math-verify itself finds the formulas in a text and compares what they mean. Three things are spared: it reads LaTeX
with the faster parser of `latex.py`; formulas that clearly differ (`difference.py`) are not simplified; and what was
read is kept, since gold answers and formulas recur.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from unittest.mock import patch

import math_verify.parser
from math_verify import parse, verify
from math_verify.errors import TimeoutException
from math_verify.utils import timeout

from sftgen_tasks.math.difference import differ
from sftgen_tasks.math.grammar import latex_reader

# At its time limit the parser would print the whole text, and the grader a line that names nothing.
for _name in ("parser", "grader"):
    logging.getLogger(f"math_verify.{_name}").setLevel(logging.ERROR)

PATIENCE = 5
"""Seconds, math-verify's own limit for a comparison."""


@dataclass(frozen=True)
class Reading:
    """What math-verify reads in a text.

    Attributes:
        text: The formula or number that it tried first, "" without one.
        value: The SymPy object that it parsed, None where nothing can be parsed.
    """

    text: str = ""
    value: Any = None


def verified(gold: str, text: str) -> bool:
    """What `verify(parse(gold), parse(text))` of math-verify says."""
    one, other = read(gold), read(text)
    if one.text and one.text == other.text:
        return True
    if one.value is None or other.value is None or _clearly_differ(one.value, other.value):
        return False
    return bool(verify(one.value, other.value))


@lru_cache(maxsize=256)
def read(text: str) -> Reading:
    """What math-verify's `parse` finds in a text. It has 5 s for that, as it has by default."""
    with patch.object(math_verify.parser, "latex2sympy", parse_latex):
        found = parse(text)
    value = next((one for one in found if not isinstance(one, str)), None)
    first = next((one for one in found if isinstance(one, str)), "")
    return Reading(first.strip(), value)


@lru_cache(maxsize=2048)
def parse_latex(latex: str, is_real: bool | None, **_: Any) -> Any:
    """The SymPy object of a formula, as math-verify has it parsed."""
    found = latex_reader()(is_real=is_real).parse(latex)
    if len(_KEPT) > 2000:
        _KEPT.clear()
    _KEPT[_spelling(latex), is_real] = found
    return found


_KEPT: dict[tuple[str, bool | None], Any] = {}
"""What was parsed, by its spelling. The `paper` rule has parsed most answers that the `strict` rule compares."""


def parsed(latex: str, is_real: bool) -> Any:
    """The SymPy object of a formula, also of one that was parsed in another spelling."""
    key = _spelling(latex), is_real
    return _KEPT[key] if key in _KEPT else parse_latex(latex, is_real)


def _spelling(latex: str) -> str:
    """A formula without blanks that do not matter, and with scripts in braces."""
    return _SCRIPT.sub(r"\1{\2}", _BLANK.sub("", latex))


_BLANK, _SCRIPT = re.compile(r"(?<!\w)\s+|\s+(?!\w)"), re.compile(r"([\^_])([0-9a-zA-Z])(?![0-9])")


def _clearly_differ(gold: Any, answer: Any) -> bool:
    try:
        return bool(timeout(PATIENCE)(differ)(gold, answer))
    except (Exception, TimeoutException):  # math-verify's is not an Exception
        return False
