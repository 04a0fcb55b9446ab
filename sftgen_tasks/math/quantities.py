r"""One quantity: a formula with its unit, scale, percent sign and base, and the words that change it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sftgen_tasks.math import words
from sftgen_tasks.math.units import LETTERS, Unit, unit

_SIGN = re.compile(r"\s*\\text\{ ?(?:minus|negative) ?\}", re.IGNORECASE)
_MODULUS = re.compile(
    r"\(?\s*(?:\\p?(?:mod|bmod)(?![a-z])|\\text\{\s*\(?mod(?:ulo)? ?\})\s*\{?\s*(\w{1,20})\s*\}?\s*\)?", re.IGNORECASE
)
_TEMPERATURE = re.compile(r"\^\\circ\s*(?:\\text\{\s*)?([CF])(?![a-zA-Z])\s*\}?")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_ANGLE = re.compile(r"([\d.]+|[a-zA-Z]|\\[a-z]+)\s?\^\\circ(?![a-zA-Z])")
_WORD_BASE = re.compile(r"_\{?\s*\\text\{ ?(?:base )?(\w+) ?\}\s*\}?")
_PERCENT = re.compile(r"\b(?:percent|per cent|percentage|pct)\b", re.IGNORECASE)
_IN_BASE = re.compile(r"\(?(-?[0-9][0-9A-Za-z.]*)\)?_\{?\(?(\w{1,3})\)?\}?")
_POWER = re.compile(r"\s*\^\s*\{?(-?\d)\}?")
_LETTER = "".join(sorted(LETTERS))
_LAST_LETTER = re.compile(
    # Right after a number, or after a blank: `5m`, `\frac{1}{2} m`, but not `\frac{37}{4}m`.
    rf"(?:(?<=\d) ?|(?<=[}})]) )(?:[{_LETTER}](?:\^\{{[23]\}})?"
    rf"|\\frac ?\{{[{_LETTER}]\}} ?\{{[{_LETTER}](?:\^\{{2\}})?\}})\s*\Z"
)
_SYMBOL = re.compile(r"(?<=\d)\s*(?:[kM]?\s*\\Omega|\\mu\s*(?:[a-zA-Z]|\\text\{ ?[a-zA-Z]+ ?\}))(?![a-zA-Z])\s*\Z")
_NAME_IS = re.compile(r".*\\text\{[^{}]*\b(?:is|are|be|equals|equal to)\b[^{}]*\}\s*(?=\S)", re.DOTALL)
_NAME = re.compile(r"\s*\\text\{([^{}]*)\}\s*(?P<sign>[:=]|[.,](?= )|)\s*(?=\S)(?!=)")


@dataclass(frozen=True)
class Quantity:
    r"""A formula and what is said about it.

    Attributes:
        formula: Plain LaTeX without words and blanks. "" if there are only words.
        loose: The formula without a last letter that may be a variable or a unit: `5` for `5 m`. "" if there is none.
        unit: The unit, None without one that is known.
        scale: 1,000,000 for "million".
        percent: Whether it is in percent.
        base: The base of a number or the modulus: "8" for `12_8`, "mod 7".
        condition: What holds where it is so: `x>0` in `x \text{ for } x>0`.
        words: Words and signs that change what it says; all words if there is no formula.
    """

    formula: str = ""
    loose: str = ""
    unit: Unit | None = None
    scale: int = 1
    percent: bool = False
    base: str = ""
    condition: str = ""
    words: str = ""


def without_name(text: str) -> str:
    r"""A text without words before it that only name it: `\text{The answer is: } 42`."""
    sentence = _NAME_IS.match(text)
    if sentence:
        *before, last = words.SEGMENT.findall(sentence.group())
        if not words.changes_before(last) and not any("not" in one.split() for one in before):
            text = text[sentence.end() :]
    found = None if _SIGN.match(text) else _NAME.match(text)
    if not found or not re.search(r"[\w\\]", words.SEGMENT.sub("", text[found.end() :])):
        return text
    return text if not found["sign"] and words.changes_before(found[1]) else text[found.end() :]


def quantity(text: str) -> Quantity:
    r"""What a formula with marked words says.

    >>> quantity(r"42 \text{ million dollars}").scale, quantity(r"\text{at least} 42").words
    (1000000, 'least')
    """
    text, condition = _condition(text)
    text = without_name(text)
    text = _SIGN.sub("-", text, count=1) if _SIGN.match(text) else text
    text, percent_signs = re.subn(r"\\%|%", " ", text)
    modulus = _MODULUS.search(text)
    text = _in_words(_MODULUS.sub(" ", text))
    # Pieces of a formula, with words between them.
    first, *others = re.split(r"\\text\{([^{}]*)\}", text)
    pairs = list(zip(others[::2], others[1::2], strict=True))
    spoken = " ".join(one for one, _ in pairs)
    beside = _beside(first, pairs)
    if not re.search(r"[\w\\]", beside.formula):
        return Quantity(words=words.said(spoken), condition=_tight(condition))
    loose = "" if beside.units else _tight(_LAST_LETTER.sub("", beside.formula.strip()))
    formula = _tight(beside.formula)
    if re.fullmatch(r"\d+(?: \d+)+", formula):  # `1 2` is not 12, nor 1 times 2
        return Quantity(words=formula)
    based = _IN_BASE.fullmatch(formula)
    base = f"mod {modulus[1]}" if modulus else ""
    if based:
        formula, base = based[1], based[2]
    return Quantity(
        formula,
        loose if loose != formula else "",
        unit(words.without_scale(beside.units)) if beside.units else None,
        beside.scale,
        bool(percent_signs) or _PERCENT.search(spoken) is not None,
        base,
        _tight(condition),
        " ".join(beside.said),
    )


@dataclass(frozen=True)
class _Beside:
    """A formula without its words, and what these are."""

    formula: str
    units: str = ""
    scale: int = 1
    said: tuple[str, ...] = ()


def _beside(first: str, pairs: list[tuple[str, str]]) -> _Beside:
    formula, units, scale = first, "", 1
    said: list[str] = []
    for spoken, after in pairs:
        power = _POWER.match(after)
        rest = after[power.end() :] if power else after
        if not formula.strip():
            said += [words.said(spoken)] if words.changes_before(spoken) or not rest.strip(" ()[].") else []
        elif words.changes_after(spoken):
            said.append(words.said(spoken))
        else:
            scale *= words.scale_of(spoken.lower())
            units += f" {spoken}" + (f"^{power[1]}" if power else "")
            if rest.strip() in ("/", "\\cdot"):
                units, rest = units + " / " * ("/" in rest), ""
            elif re.match(r"\s*(?:\w|\\(?!cdot|times|div|pm))", rest):
                said.append("and")  # `5 \text{ ft } 6 \text{ in}` is not 56
        formula += f" {rest}" if rest.strip() else ""
    return _Beside(formula, units, scale, tuple(said))


def _in_words(text: str) -> str:
    """Signs of degree, and bases that are written out, as words or numbers."""
    text = _TEMPERATURE.sub(lambda found: f" \\text{{{'celsius' if found[1] == 'C' else 'fahrenheit'}}}", text)
    if _TRIGONOMETRY.search(text):
        text = _ANGLE.sub(r"(\1\\pi/180)", text)
    text = re.sub(r"\^\\circ(?![a-zA-Z])", r" \\text{degree} ", text)
    text = _SYMBOL.sub(r" \\text{units} ", text)
    return _WORD_BASE.sub(lambda found: f"_{{{words.digits_of(found[1])}}}", text)


def _condition(text: str) -> tuple[str, str]:
    """A text before words that begin a condition, and the condition."""
    for found in words.SEGMENT.finditer(text):
        first = found[1].lower().replace(",", " ").split()[:1]
        before, after = text[: found.start()], text[found.end() :]
        if first and first[0] in words.CONDITIONS and before.strip() and after.strip():
            return before, after
    return text, ""


def _tight(formula: str) -> str:
    formula = re.sub(r"(?<!\w) | (?!\w)", "", " ".join(formula.split()))
    return re.sub(r"(\\[a-zA-Z]+) (?![a-zA-Z])", r"\1", formula).lstrip(" ,;:").rstrip(" .,;:")
