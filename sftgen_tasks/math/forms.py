r"""What an answer is made of: a list, a tuple or interval, a set, an equation, an inequality, one quantity.

The forms are found in the text, before anything is parsed: SymPy's sets forget order and repetition, and its parser
forgets brackets, bases and words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sftgen_tasks.math.quantities import Quantity, quantity, without_name
from sftgen_tasks.math.splitting import closes, members, parted, unwrapped, without_separators
from sftgen_tasks.math.words import marked
from sftgen_tasks.readers.looks import plain_latex

LONGEST = 2000
"""Characters of an answer that is taken apart; a longer one is only compared as text."""
DEEPEST = 20
_LEADING = re.compile(
    r"^(?:\s*(?:\\(?:therefore|implies|Rightarrow|Longrightarrow|because|to|rightarrow)(?![a-zA-Z])|\\?#|[=:]))+"
)
_LABEL = re.compile(r"^\(([A-E])\)\s*(?=[\d$\\-])")
"""The letter of an option before its text."""
_UNION, _WITHOUT = re.compile(r"\\cup(?![a-zA-Z])"), re.compile(r"\\(?:setminus|backslash)(?![a-zA-Z])")
_COLON = re.compile(":")
_ARRAY = re.compile(r"[(\[]\s*\\begin\s?\{array\}\s?\{[lcr| ]{0,20}\}(.*)\\end\s?\{array\}\s*[)\]]", re.DOTALL)
_OUTWARD = re.compile(r"\s*([\[\]])([^\[\]]*)([\[\]])\s*")

_SIGNS = re.compile(
    r"\\(?:le|ge|ne|approx|simeq|sim|cong|equiv|notin|in|subseteq|subset)(?![a-zA-Z])|:=|=|<|>|\\doteq(?![a-zA-Z])"
)
_TURNED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}
_SAME_SIGN = {
    "\\equiv": "=",
    ":=": "=",
    "\\doteq": "=",
    "\\simeq": "\\approx",
    "\\sim": "\\approx",
    "\\cong": "\\approx",
}
_REALS = frozenset(("all real numbers", "all reals", "any real number", "every real number", "all real values"))
_EMPTY = frozenset(("no solution", "no solutions", "no real solution", "no real solutions", "none", "empty set"))


@dataclass(frozen=True)
class Form:
    r"""A part of an answer.

    Attributes:
        kind: `one` quantity; a `list` (also of solutions in any order); a `tuple` (also an interval) with its brackets
            in `mark`; a `set`; a `union`; a `ratio`; an `equation`: a name or left side, and a value; an `inequality`
            with its signs in `mark`; `either`: the exact value and a rounded one.
        parts: Its parts.
        mark: Brackets or signs.
        quantity: Of a `one`.
        text: As it was written, without blanks.
    """

    kind: str
    parts: tuple[Form, ...] = ()
    mark: str = ""
    quantity: Quantity = field(default_factory=Quantity)
    text: str = ""


@lru_cache(maxsize=2048)
def form(answer: str) -> Form:
    r"""The form of an answer. What cannot be taken apart is one quantity.

    >>> [part.quantity.formula for part in form(r"1 \text{ or } 20,000\pi").parts], form("[1, 2)").mark
    (['1', '20000\\pi'], '[)')
    """
    text = marked(re.sub(r"\b([ap])\.\s?m\b\.?", r"\1m", plain_latex(answer, blanks=True)))
    return _form(without_separators(text), 0)


def values_of(answer: str) -> int:
    """How many values an answer has: the members of a list, a tuple or a set."""
    found = form(answer)
    return len(found.parts) if found.kind in ("list", "tuple", "set") else 1


def _form(text: str, depth: int) -> Form:
    text = _ARRAY.sub(r"\\begin{pmatrix}\1\\end{pmatrix}", unwrapped(text))
    outward = _OUTWARD.fullmatch(text)
    if outward and (outward[1] == "]" or outward[3] == "["):  # `]1,2[` is `(1,2)`
        text = ("(" if outward[1] == "]" else "[") + outward[2] + (")" if outward[3] == "[" else "]")
    if depth > DEEPEST:
        return _one(text)
    listed = _listed(text, depth)
    if listed is not None:
        return listed
    text = _LABEL.sub("", _LEADING.sub("", without_name(text)).strip())
    for read in (_related, _united, _grouped, _proportion, _both_signs):
        found = read(text, depth)
        if found is not None:
            return found
    return _one(text)


def _listed(text: str, depth: int) -> Form | None:
    """A list, or the union or intersection of inequalities."""
    found, connected = members(text)
    if len(found) < 2:
        return None
    forms = _flat(_form(member, depth + 1) for member in found)
    intervals = all(one.kind in ("tuple", "union") for one in forms) and any(map(_SIGNS.search, found))
    if forms[0].mark == "without" and all(one.kind == "one" for one in forms[1:]):
        return replace(forms[0], parts=(*forms[0].parts, *forms[1:]))  # `x \ne 2, 3`
    if intervals and connected:
        return Form("union", forms, text=text)
    if intervals and len(forms) == 2:
        for lower, upper in (forms, forms[::-1]):
            if lower.quantity == upper.quantity and _ends(lower)[1] == "\\infty" and _ends(upper)[0] == "-\\infty":
                mark = lower.mark[0] + upper.mark[1]
                return Form("tuple", (lower.parts[0], upper.parts[1]), mark, lower.quantity, text)
    return Form("list", forms, text=text)


def _united(text: str, depth: int) -> Form | None:
    r"""Sets joined by `\cup`, and the real numbers without some."""
    united = parted(text, _UNION)[0]
    if len(united) > 1:
        parts = tuple(_form(one, depth + 1) for one in united)
        if all(one.kind == "set" for one in parts):
            return Form("set", _flat(parts), text=text)
        return Form("union", parts, text=text)
    lacking = parted(text, _WITHOUT)[0]
    return _without_points(lacking[1], depth) if len(lacking) == 2 and _is_reals(lacking[0]) else None


def _proportion(text: str, depth: int) -> Form | None:
    """A ratio of three or more; one of two is a fraction."""
    sides = parted(text, _COLON)[0]
    return Form("ratio", tuple(_form(one, depth + 1) for one in sides), text=text) if len(sides) > 2 else None


def _both_signs(text: str, depth: int) -> Form | None:
    r"""The two values of a formula with `\pm`."""
    if not re.search(r"\\(?:pm|mp)(?![a-zA-Z])", text):
        return None
    upper = re.sub(r"\\pm(?![a-zA-Z])", "+", re.sub(r"\\mp(?![a-zA-Z])", "-", text))
    lower = re.sub(r"\\pm(?![a-zA-Z])", "-", re.sub(r"\\mp(?![a-zA-Z])", "+", text))
    return Form("list", (_one(upper), _one(lower)), text=text)


def _flat(forms: Iterable[Form]) -> tuple[Form, ...]:
    return tuple(part for one in forms for part in (one.parts if one.kind in ("list", "set") else (one,)))


def _ends(interval: Form) -> list[str]:
    return [one.quantity.formula for one in interval.parts]


def _one(text: str) -> Form:
    found = quantity(text)
    if found.words in _REALS and not found.formula:
        return Form("tuple", (_one(r"-\infty"), _one(r"\infty")), "()", text=text)
    if found.words in _EMPTY and not found.formula:
        found = Quantity(r"\emptyset")
    if _is_reals(found.formula):
        return Form("tuple", (_one(r"-\infty"), _one(r"\infty")), "()", text=text)
    return Form("one", quantity=found, text=re.sub(r"\s", "", text))


def _is_reals(text: str) -> bool:
    return text.replace(" ", "") in (r"\mathbb{R}", r"\mathbf{R}", "(-\\infty,\\infty)", "(-\\infty,+\\infty)")


# ------------------------------------------------------------------------------ brackets

_OPENERS = {"(": "(", "[": "[", "\\{": "{", "\\langle": "("}
_CLOSERS = {")": ")", "]": "]", "\\}": "}", "\\rangle": ")"}


_FIRST = re.compile(r"\s*(\(|\[|\\\{|\\langle(?![a-zA-Z]))")
_LAST = re.compile(r"(\)|\]|\\\}|\\rangle)\s*\Z")
_SUCH_THAT = re.compile(r"\\mid(?![a-zA-Z])|(?<![|\\])\||:")


def _grouped(text: str, depth: int) -> Form | None:
    """A tuple, an interval or a set, if brackets hold the whole text."""
    first, last = _FIRST.match(text), _LAST.search(text)
    if not first or not last or closes(text, first.start(1)) != len(text.rstrip()):
        return None
    inside = text[first.end() : last.start()]
    if _OPENERS[first[1]] == "{":
        return _set(inside, depth)
    forms = tuple(_form(member, depth + 1) for member in members(inside)[0]) if inside.strip() else ()
    if len(forms) == 1:
        return forms[0] if forms[0].kind != "one" else None
    return Form("tuple", forms, _OPENERS[first[1]] + _CLOSERS[last[1]], text=text)


def _set(inside: str, depth: int) -> Form:
    """A set by its members, or by what holds for them."""
    condition = _SUCH_THAT.split(inside, maxsplit=1)[1:]
    if condition and _SIGNS.search(condition[0]):
        return _form(condition[0], depth + 1)
    forms = tuple(_form(member, depth + 1) for member in members(inside)[0]) if inside.strip() else ()
    return Form("set", _flat(forms), text=inside) if forms else _one(r"\emptyset")


# ------------------------------------------------------------------------------ relations


def _related(text: str, depth: int) -> Form | None:
    sides, signs = parted(text, _SIGNS)
    if not signs:
        return None
    signs = [_SAME_SIGN.get(sign, sign) for sign in signs]
    if not sides[0].strip():  # `= 5`, `\ne 5`
        last = quantity(sides[-1])
        return _form(sides[-1], depth + 1) if signs[0] in ("=", "\\approx") else _with(last, signs[0])
    if "\\approx" in signs:
        place = signs.index("\\approx")
        exact = _joined(sides[: place + 1], signs[:place])
        rounded = _form(sides[-1], depth + 1)
        if place == 0 and is_name(sides[0]):
            return rounded
        return Form("either", (_form(exact, depth + 1), rounded), text=text)
    if set(signs) == {"="} or (signs[-1] == "\\in" and set(signs[:-1]) <= {"="}):
        if len(sides) == 2 and signs == ["="] and is_name(sides[1]) and not re.search("[a-zA-Z]", sides[0]):
            sides = sides[::-1]  # `5 = x`
        value = _form(sides[-1], depth + 1)
        return Form("equation", (_one(sides[0]), value), "=", text=_joined(sides, signs))
    return _inequality(sides, signs, depth) or Form(
        "inequality", tuple(_form(side, depth + 1) for side in sides), " ".join(signs), text=_joined(sides, signs)
    )


def _with(said: Quantity, sign: str) -> Form:
    return Form("one", quantity=replace(said, words=sign))


def as_inequality(one: Form) -> Form | None:
    """An interval that was written as an inequality, with its sides."""
    sides, signs = parted(one.text, _SIGNS)
    if one.kind == "inequality" or len(sides) != 2:
        return one if one.kind == "inequality" else None
    return Form("inequality", tuple(map(_one, sides)), signs[0], text=one.text)


def _joined(sides: list[str], signs: list[str]) -> str:
    return "".join(f"{side}{sign} " for side, sign in zip(sides, [*signs, ""], strict=True)).strip()


def is_name(text: str) -> bool:
    """Whether a left side only names what is asked for: `x`, `f(x)`, `|AB|`, but not `2x` or `x + y`."""
    text = text.strip()
    return bool(re.match(r"(?!\\(?:pi|sqrt|frac|infty|ln|log)(?![a-zA-Z]))[a-zA-Z(|\\]", text)) and not re.search(
        r"[-+/]|\\(?:frac|pm|cdot|times|sqrt)(?![a-z])|\d",
        re.sub(r"_\{[^{}]*\}|_\w|\^\{-1\}|(?<=[a-zA-Z])\([\w,]{1,10}\)", "", text),
    )


def _inequality(sides: list[str], signs: list[str], depth: int) -> Form | None:
    """The interval that an inequality says, named by its variable; None if it is another one."""
    if len(sides) == 2 and not is_name(sides[0]) and signs[0] in _TURNED:
        sides, signs = sides[::-1], [_TURNED[signs[0]]]
    if len(sides) == 3 and set(signs) <= {">", "\\ge"}:
        sides, signs = sides[::-1], [_TURNED[sign] for sign in signs[::-1]]
    variable = sides[len(sides) - 2]
    if not is_name(variable) or (len(sides) == 2 and is_name(sides[1])):
        return None
    name, closed = _one(variable).quantity, [sign in ("\\le", "\\ge") for sign in signs]
    if signs in (["\\ne"], ["\\notin"]):
        without = _without_points(sides[1], depth)
        return replace(without, quantity=name) if without else None
    if len(sides) == 3 and set(signs) <= {"<", "\\le"}:
        ends = (_form(sides[0], depth + 1), _form(sides[2], depth + 1))
        mark = "(["[closed[0]] + ")]"[closed[1]]
    elif len(sides) == 2 and signs[0] in ("<", "\\le"):
        ends, mark = (_one(r"-\infty"), _form(sides[1], depth + 1)), "(" + ")]"[closed[0]]
    elif len(sides) == 2 and signs[0] in (">", "\\ge"):
        ends, mark = (_form(sides[1], depth + 1), _one(r"\infty")), "(["[closed[0]] + ")"
    else:
        return None
    return Form("tuple", ends, mark, name, _joined(sides, signs))


def _without_points(text: str, depth: int) -> Form | None:
    """The real numbers without a few points."""
    points = _form(text, depth + 1)
    parts = points.parts if points.kind in ("set", "list") else (points,)
    if not parts or len(parts) > 5 or any(one.kind != "one" for one in parts):
        return None
    return Form("union", parts, "without", text=text)
