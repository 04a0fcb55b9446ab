r"""Whether two answers say the same, form by form. Equality has no direction: gold and answer may change places."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from sftgen_tasks.math.forms import Form, as_inequality, form, is_name
from sftgen_tasks.math.quantities import Quantity
from sftgen_tasks.math.text import as_number, in_one_way, other_reading, same_number
from sftgen_tasks.math.units import comparable
from sftgen_tasks.math.values import factor, same_equation, same_value, times, value

ENDURANCE = 15.0
"""Seconds for all comparisons of one answer. Beyond them nothing more is equal."""
MOST = 50
"""Members of a list that are compared one by one."""
_TURNED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}


def same(gold: str, answer: str) -> bool:
    r"""Whether two answers say the same.

    >>> same("(3,4]", r"3 < x \le 4"), same("42", r"42 \text{ million}")
    (True, False)
    """
    return _Comparison().same(form(gold), form(answer))


def readable(answer: str) -> bool:
    """Whether every formula in an answer can be parsed."""
    return _readable(form(answer))


class _Comparison:
    """One gold answer against one answer, within a time."""

    def __init__(self) -> None:
        self.end = time.monotonic() + ENDURANCE

    def same(self, gold: Form, answer: Form) -> bool:
        """Whether two forms say the same."""
        kinds = {gold.kind, answer.kind}
        if time.monotonic() > self.end:
            return False
        if kinds == {"one"}:
            return self.quantities(gold.quantity, answer.quantity)
        if "either" in kinds:
            return any(self.same(one, other) for one in _either(gold) for other in _either(answer))
        if "equation" in kinds:
            return self.with_equation(gold, answer)
        return self.collections(gold, answer)

    # -------------------------------------------------------------------------- lists, tuples, sets

    def collections(self, gold: Form, answer: Form) -> bool:
        """Whether forms with members have the same ones."""
        kinds = {gold.kind, answer.kind}
        if "list" in kinds or "set" in kinds:
            return self.lists(gold, answer)
        if kinds == {"tuple"}:
            return self.tuples(gold, answer)
        if kinds <= {"tuple", "union"}:
            return self.unions(gold, answer)
        if kinds == {"ratio"}:
            return self.ratios(gold.parts, answer.parts)
        return kinds <= {"tuple", "inequality"} and self.inequalities(as_inequality(gold), as_inequality(answer))

    def lists(self, gold: Form, answer: Form) -> bool:
        """Whether lists or sets have the same members. `1, 2` may say the pair (1, 2); `[1, 2]` is an interval."""
        ours, theirs = _parts(gold), _parts(answer)
        pair = next((one for one in (gold, answer) if one.kind == "tuple"), None)
        if pair is not None:
            bare = {gold.kind, answer.kind} == {"tuple", "list"} and pair.mark == "()" and not pair.quantity.formula
            return bare and self.in_order(_by_name(gold), _by_name(answer))
        if any(map(_is_dots, [*ours, *theirs])) or _names_in(ours) != _names_in(theirs):
            return self.in_order(ours, theirs)
        return self.in_any_order(ours, theirs)

    def tuples(self, gold: Form, answer: Form) -> bool:
        """Whether tuples or intervals are the same; an inequality names its interval."""
        if _differently_named(gold, answer):
            return self.inequalities(as_inequality(gold), as_inequality(answer))
        if len(gold.parts) == 2 and gold.mark != answer.mark:
            return False
        return self.in_order(gold.parts, answer.parts)

    def in_order(self, gold: Sequence[Form], answer: Sequence[Form]) -> bool:
        """Whether members are the same one by one."""
        return len(gold) == len(answer) <= MOST and all(map(self.same, gold, answer))

    def in_any_order(self, gold: Sequence[Form], answer: Sequence[Form]) -> bool:
        """Whether each member is one of the other side. A solution may be named twice."""
        if not gold or not answer or max(len(gold), len(answer)) > MOST:
            return False
        missing = list(answer)
        for one in gold:
            found = [other for other in answer if self.same(one, other)]
            if not found:
                return False
            missing = [other for other in missing if all(other is not equal for equal in found)]
        return not missing

    def unions(self, gold: Form, answer: Form) -> bool:
        """Whether unions of intervals are the same."""
        if _differently_named(gold, answer):
            return False
        if gold.mark == answer.mark == "without":
            return self.in_any_order(gold.parts, answer.parts)
        return self.in_any_order(_intervals(gold), _intervals(answer))

    def ratios(self, gold: Sequence[Form], answer: Sequence[Form]) -> bool:
        """Whether ratios of three or more are proportional."""
        if self.in_order(gold, answer):
            return True
        numbers = [
            (as_number(one.quantity.formula), as_number(other.quantity.formula))
            for one, other in zip(gold, answer, strict=False)
        ]
        shares = {one / other for one, other in numbers if one is not None and other}
        return (
            len(gold) == len(answer) and len(shares) == 1 and all(one is not None and other for one, other in numbers)
        )

    # -------------------------------------------------------------------------- relations

    def with_equation(self, gold: Form, answer: Form) -> bool:
        """Whether equations are the same, or an equation names the value of the other side."""
        if gold.kind == answer.kind:
            return self.equations(gold, answer)
        value_of = (gold if gold.kind == "equation" else answer).parts[1]
        if "list" in (gold.kind, answer.kind) and value_of.kind == "one":
            return self.lists(gold, answer)
        if answer.kind == "equation":
            return self.same(gold, value_of)
        names = is_name(re.split(r"=|\\in(?![a-z])", gold.text)[0]) or self.same(*gold.parts)
        return names and self.same(value_of, answer)

    def equations(self, gold: Form, answer: Form) -> bool:
        """Whether equations name the same value, or are multiples of each other."""
        (ours, our_value), (theirs, their_value) = gold.parts, answer.parts
        if self.quantities(ours.quantity, theirs.quantity) or _letter(ours) == _letter(theirs) != "":
            return self.same(our_value, their_value)
        if our_value.kind != "one" or their_value.kind != "one":
            return False
        values = [value(one.quantity.formula) for one in (ours, our_value, theirs, their_value)]
        return None not in values and same_equation((values[0], values[1]), (values[2], values[3]))

    def inequalities(self, gold: Form | None, answer: Form | None) -> bool:
        """Whether inequalities have the same sides, or are multiples of each other."""
        if gold is None or answer is None:
            return False
        ours, theirs = gold.mark.split(), answer.mark.split()
        other_way = [_TURNED.get(sign, sign) for sign in reversed(theirs)]
        for signs, parts in ((theirs, answer.parts), (other_way, answer.parts[::-1])):
            if ours == signs and self.in_order(gold.parts, parts):
                return True
        sides = [*gold.parts, *answer.parts]
        if len(sides) != 4 or any(one.kind != "one" for one in sides):
            return False
        values = [value(one.quantity.formula) for one in sides]
        multiple = None if None in values else factor((values[0], values[1]), (values[2], values[3]))
        return multiple is not None and abs(multiple) > 1e-9 and ours == (theirs if multiple > 0 else other_way)

    # -------------------------------------------------------------------------- quantities

    def quantities(self, gold: Quantity, answer: Quantity) -> bool:
        """Whether two quantities are the same."""
        if gold == answer:
            return True
        if not gold.formula or not answer.formula:
            return _said(gold) == _said(answer) != ""
        if gold.words != answer.words or _clash(gold, answer):
            return False
        # A last letter is a unit where the other side has no letter.
        ours = [gold.formula, gold.loose] if gold.loose and not _has_letters(answer.formula) else [gold.formula]
        theirs = [answer.formula, answer.loose] if answer.loose and not _has_letters(gold.formula) else [answer.formula]
        if any(_same_formula(gold, answer, one, other) for one in ours for other in theirs):
            return True
        one, other = other_reading(gold.formula), other_reading(answer.formula)
        if one != gold.formula and _same_formula(gold, answer, one, answer.formula):
            return True
        return other != answer.formula and _same_formula(gold, answer, gold.formula, other)


def _clash(gold: Quantity, answer: Quantity) -> bool:
    """Whether two quantities differ in their base, unit or condition. What one side leaves off is no difference."""
    if gold.base and answer.base and gold.base != answer.base:
        return True
    if gold.condition and answer.condition and in_one_way(gold.condition) != in_one_way(answer.condition):
        return True
    return not comparable(gold.unit, answer.unit)


def _same_formula(gold: Quantity, answer: Quantity, ours: str, theirs: str) -> bool:
    """Whether two formulas in the units of their quantities are the same."""
    if gold.base or answer.base:
        return in_one_way(ours).lower() == in_one_way(theirs).lower()
    sizes = _sizes(gold, answer)
    number, other = as_number(ours), as_number(theirs)
    if number is not None and other is not None:
        return _same_numbers(gold, answer, number * sizes[0], other * sizes[1], "." in ours + theirs)
    if in_one_way(ours) == in_one_way(theirs):
        return sizes[0] == sizes[1]
    values = value(ours), value(theirs)
    if sizes[0] != sizes[1]:
        values = times(values[0], sizes[0]), times(values[1], sizes[1])
    # The parser loses dots.
    if values[0] is None or values[1] is None or "\\ldots" in ours + theirs:
        return False
    if gold.percent != answer.percent:
        share, plain = values if gold.percent else values[::-1]
        hundredth = times(share, Fraction(1, 100))
        return same_value(plain, share) or (hundredth is not None and same_value(plain, hundredth))
    return same_value(*values)


def _same_numbers(gold: Quantity, answer: Quantity, number: Fraction, other: Fraction, rounded: bool) -> bool:
    if gold.percent == answer.percent:
        return same_number(number, other, rounded)
    # "By what percent?": the sign may be left off, except where the other side could be a share.
    share, plain = (number, other) if gold.percent else (other, number)
    return same_number(plain, share / 100, rounded) or (same_number(plain, share, rounded) and abs(plain) >= 1)


def _sizes(gold: Quantity, answer: Quantity) -> tuple[Fraction, Fraction]:
    """What the numbers of both sides are multiplied by to compare them."""
    ours, theirs = Fraction(gold.scale), Fraction(answer.scale)
    if gold.unit and answer.unit and gold.unit.kinds == answer.unit.kinds:
        return ours * gold.unit.size, theirs * answer.unit.size
    return ours, theirs


# ------------------------------------------------------------------------------ looking at forms


def _readable(one: Form) -> bool:
    if one.kind != "one":
        return all(map(_readable, one.parts))
    found = one.quantity
    return bool(_said(found)) if not found.formula else _is_dots(one) or value(found.formula) is not None


def _either(one: Form) -> tuple[Form, ...]:
    return one.parts if one.kind == "either" else (one,)


def _parts(one: Form) -> tuple[Form, ...]:
    return one.parts if one.kind in ("list", "set") else (one,)


def _is_dots(one: Form) -> bool:
    return one.kind == "one" and one.quantity.formula == "\\ldots"


def _differently_named(gold: Form, answer: Form) -> bool:
    names = gold.quantity.formula, answer.quantity.formula
    return "" not in names and names[0] != names[1]


def _names_in(parts: Sequence[Form]) -> frozenset[str]:
    """The names in a list of at least two: `x` and `y` in `x = 1, y = 2`."""
    names = frozenset(one.parts[0].quantity.formula for one in parts if one.kind == "equation")
    return names if len(names) > 1 else frozenset()


def _by_name(one: Form) -> Sequence[Form]:
    """The members of a tuple, or of a list that names each: `y = 2, x = 1` is (1, 2)."""
    names = _names_in(one.parts)
    named = len(names) == len(one.parts) and all(len(name) == 1 for name in names)
    return sorted(one.parts, key=lambda part: part.parts[0].quantity.formula) if named else one.parts


def _letter(one: Form) -> str:
    """The letter of a name: `I` of `I(t)`."""
    name, _, argument = one.quantity.formula.partition("(")
    return name if name.isalpha() and (not argument or argument.endswith(")")) else ""


def _said(one: Quantity) -> str:
    """The words that are an answer, also where they look like a product of letters."""
    text = one.formula or one.words
    return text.lower().strip() if not one.formula or text.replace(" ", "").isalpha() else ""


def _has_letters(formula: str) -> bool:
    return re.search(r"[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", formula)) is not None


def _intervals(union: Form) -> list[Form]:
    """The intervals of a union, in their order."""
    if union.mark != "without":
        return list(union.parts if union.kind == "union" else (union,))
    points = sorted(union.parts, key=_position)
    low, high = (Form("one", quantity=Quantity(sign + "\\infty")) for sign in ("-", ""))
    return [Form("tuple", ends, "()") for ends in pairwise([low, *points, high])]


def _position(one: Form) -> float:
    try:
        return float(value(one.quantity.formula))
    except (TypeError, ValueError):
        return math.inf
