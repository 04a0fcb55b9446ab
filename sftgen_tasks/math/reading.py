r"""math-verify's verdict on a text without the work that cannot change it.

`parse` of math-verify tries the formulas and numbers that it finds in a text, best kind first and last place
first, until one of them can be parsed; `verify` takes two texts for equal when their first formulas are the
same text, or what was parsed is equal for SymPy. Here its own patterns, normalisation and comparison are used,
in that order, and each step only where the ones before it have not settled the verdict. What was parsed and
compared is kept, since golds and answers recur.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, lru_cache
from itertools import chain, groupby
from typing import Any, TypeVar

import math_verify.parser as theirs
from math_verify import verify
from math_verify.errors import TimeoutException
from math_verify.utils import timeout

from sftgen_tasks.math.difference import differ
from sftgen_tasks.math.latex import LatexReader
from sftgen_tasks.math.text import as_number, same_number

T = TypeVar("T")

_LATEX, _NUMBERS = theirs.LatexExtractionConfig(), theirs.ExprExtractionConfig()
_PLAIN = re.compile(r"(-?)(?:(\d{1,50}(?:\.\d{1,50})?)|\\frac\{(\d{1,50})\}\{(\d{1,50})\})")


@dataclass(frozen=True)
class Reading:
    """One place of a text that math-verify would parse.

    Attributes:
        text: What math-verify compares as text.
        formulas: Each formula there in normal LaTeX, and whether a percent sign follows.
        number: The named parts of a number outside LaTeX.
    """

    text: str
    formulas: tuple[tuple[str, bool], ...] = ()
    number: tuple[tuple[str, str], ...] = ()

    @property
    def value(self) -> Fraction | None:
        """The value of one plain number."""
        percent = any(sign for _, sign in self.formulas) or any(name == "percent" for name, _ in self.number)
        return as_number(self.text) if not percent and _PLAIN.fullmatch(self.text) else None

    def groupdict(self) -> dict[str, str]:
        """All that math-verify's reader of numbers asks of a match."""
        return dict(self.number)


def verified(gold: str, text: str) -> bool:
    """What `verify(parse(gold), parse(text))` of math-verify says."""
    one, other = first_reading(gold), first_reading(text)
    if one and other:
        if one.text == other.text:
            return True
        same = same_number(one.value, other.value)
        if same is not None:
            return same
    return _same(parsed(gold), parsed(text))


def readable(text: str) -> bool:
    """Whether math-verify can parse anything in a text."""
    return parsed(text)[1] is not None


@lru_cache(maxsize=256)
def first_reading(text: str) -> Reading | None:
    """What math-verify tries first; None where its text depends on what can be parsed."""
    reading = _in_time(lambda: next(_readings(text), None))
    return reading if reading and len(reading.formulas) < 2 and reading.text.strip() else None


@lru_cache(maxsize=256)
def parsed(text: str) -> tuple[str, Reading | None]:
    """The text that math-verify compares, and the reading that it parses."""
    return _in_time(_first_parsable, text) or ("", None)


def _first_parsable(text: str) -> tuple[str, Reading | None]:
    first = ""
    for reading in _readings(text):
        first = first or _text(reading)
        if _value(reading) is not None:
            return first, reading
    return first, None


def _text(reading: Reading) -> str:
    if any(_expression(*formula) is None for formula in reading.formulas):
        return reading.text
    return " and ".join(latex for latex, _ in reading.formulas) or reading.text


@lru_cache(maxsize=4096)
def _same(gold: tuple[str, Reading | None], answer: tuple[str, Reading | None]) -> bool:
    texts, readings = zip(gold, answer, strict=True)
    values = [_value(reading) if reading else None for reading in readings]
    if all(value is not None for value in values) and _in_time(differ, *values):
        values = [None, None]
    sides = [
        [*filter(None, [text]), *(() if value is None else (value,))] for text, value in zip(texts, values, strict=True)
    ]
    return bool(verify(*sides))


def _in_time(function: Callable[..., T], *arguments: Any) -> T | None:
    """The result, or None where math-verify itself would have given up."""
    try:
        return timeout(5)(function)(*arguments)  # type: ignore[no-any-return]
    except (Exception, TimeoutException):  # math-verify's is no Exception
        return None


# ------------------------------------------------------------------------------------------------
# Finding
# ------------------------------------------------------------------------------------------------


def _readings(text: str) -> Iterator[Reading]:
    """What math-verify would parse, in its order: best kind first, and of one kind the last one first."""
    possible = cache(lambda needed: re.search(needed, text) is not None)
    for patterns in _patterns():
        found = [
            (match, kind) for needed, pattern, kind in patterns if possible(needed) for match in pattern.finditer(text)
        ]
        # `sorted` and `reverse`, as they keep the order of equals.
        for match, kind in sorted(found, key=lambda one: (one[0].end(), -one[0].start()), reverse=True):
            yield _latex_reading(match) if kind is _LATEX else _number_reading(match)


@cache
def _patterns() -> list[list[tuple[str, re.Pattern[str], Any]]]:
    """math-verify's own patterns, best kind first, each with what has to be in a text that it matches."""
    found = theirs.get_extraction_regexes([_LATEX, _NUMBERS])
    ranked = [(rank, pattern, kind) for of_kind, kind in found for pattern, rank in of_kind]
    ranked.sort(key=lambda one: one[0])
    return [
        [(_needed(pattern), pattern, kind) for _, pattern, kind in group]
        for _, group in groupby(ranked, key=lambda one: one[0])
    ]


def _needed(pattern: re.Pattern[str]) -> str:
    for needed in (r"(?i:final answer)", r"(?i:answer)"):
        if pattern.pattern.startswith(needed[:-1]):
            return needed
    # Where math-verify asks for a box, it does so in every branch.
    return r"\\boxed\{" if r"\\boxed{" in pattern.pattern else ""


def _latex_reading(match: re.Match[str]) -> Reading:
    groups = {name: found for name, found in match.groupdict().items() if found}
    formulas = []
    for place in ("first", *(f"next{number}" for number in range(1, 6))):
        name = next((name for name in groups if name.startswith(f"{place}_latex")), None)
        if name:
            formulas.append((_normal(groups[name], name == "first_latexBoxed"), f"{place}_percent" in groups))
    return Reading(formulas[0][0] if formulas else "", tuple(formulas))


def _normal(latex: str, boxed: bool) -> str:
    config = _LATEX.normalization_config
    return str(theirs.normalize_latex(latex, config=replace(config, boxed="last") if boxed else config))


def _number_reading(match: re.Match[str]) -> Reading:
    return _number(tuple((name, found) for name, found in match.groupdict().items() if found))[0]


# ------------------------------------------------------------------------------------------------
# Parsing
# ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def _number(groups: tuple[tuple[str, str], ...]) -> tuple[Reading, Any]:
    value, text = theirs.extract_expr(Reading("", number=groups))
    return Reading(text, number=groups), value


@lru_cache(maxsize=2048)
def _value(reading: Reading) -> Any:
    """What math-verify makes of a reading, or None where it cannot."""
    if reading.number:
        return _number(reading.number)[1]
    values = [_expression(latex, percent) for latex, percent in reading.formulas]
    if len(values) < 2 or any(value is None for value in values):
        return values[0] if values else None
    members = [value.args if isinstance(value, theirs.FiniteSet) else (value,) for value in values]
    return theirs.FiniteSet(*chain.from_iterable(members))


@lru_cache(maxsize=2048)
def _expression(latex: str, percent: bool) -> Any:
    with suppress(Exception):
        value = _formula(latex)
        return theirs.convert_to_pct(value) if percent else value
    return None


def _formula(latex: str) -> Any:
    last = theirs.get_last_eq(latex)
    try:
        return LatexReader(is_real=not theirs.should_treat_as_complex(latex)).parse(latex)
    except Exception:
        if last == latex:
            raise
    return LatexReader(is_real=not theirs.should_treat_as_complex(last)).parse(last)
