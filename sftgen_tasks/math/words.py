r"""Words in a formula: where they are, and which of them change what a number says.

"42 apples" and "The answer is 42" say 42. "42 million", "not 42" and "at least 42" do not. Words that are in no list
here change nothing: they name what is counted.
"""

from __future__ import annotations

import re

from sftgen_tasks.math.units import LETTERS, LONG_NAMES, SHORT_NAMES, unit


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _numbered(text: str, first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(text.split(), first)}


_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_BEFORE = re.compile(
    r"\b(?:not|isn't|aren't|never|no(?!\.)|non|minus|negative|at least|at most|up to|over|under|above|below|beyond"
    r"|exceeding|(?:more|less|fewer|greater|larger|smaller|bigger|higher|lower|other|rather) than|between|half|twice"
    r"|thrice|double|triple|without|except|excluding|neither|none|nothing|opposite|reciprocal|inverse|root|impossible"
    r"|undefined|wrong)\b|[\u4e0d\u975e\u65e0]",
    re.IGNORECASE,
)
"""What changes a number that follows."""
_AFTER = re.compile(
    r"\b(?:not|isn't|never|or|squared|cubed|factorial|half|halves|thirds?|dozens?|than|at least|at most|wrong|false"
    r"|undefined|impossible|none|and (?:above|below|over|under|more|up|higher|lower|less))\b"
    r"|[\u4e07\u4ebf\u5343\u767e]",
    re.IGNORECASE,
)
"""What changes a number before it."""
_NAMING = re.compile(r".*\b(?:is|are|was|be|equals)\b|.*[:\uff1a]", re.IGNORECASE | re.DOTALL)
"""What names a number up to here: "the least value is"."""
FILLING = _names("a an the of in at is are was be to total about approximately approx roughly around exactly only just")
CONDITIONS = _names("if for where when with such provided as while whenever assuming given because since")
CONNECTING = _names("and or")
_KNOWN = (
    LONG_NAMES
    | CONDITIONS
    | CONNECTING
    | frozenset(_SCALES)
    | _names(
        """
        answer answers result results solution solutions value values is are the of percent percentage pct degrees not
        unit units therefore thus hence so we have get total about approximately approx exactly only no non least most
        apples students people ways points base mod modulo all real numbers integers none yes even odd dozen by to from
        than over under above below between up twice half minus negative more less fewer greater squared cubed without
        except infinite undefined rs usd eur inr
        """
    )
)
_NUMBERS = _numbered(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen",
    0,
)
_TENS = {name: 10 * ten for name, ten in _numbered("twenty thirty forty fifty sixty seventy eighty ninety", 2).items()}
_FUNCTIONS = re.compile(
    "arcsinh|arccosh|arctanh|arcsin|arccos|arctan|sinh|cosh|tanh|coth|sech|csch|sin|cos|tan|cot|sec|csc|log|ln|exp|lcm"
    "|gcd|max|min|det|pi"
)

SEGMENT = re.compile(r"\\text\{((?:[^{}]|\{[^{}]*\})*)\}")
_ENDING = "(?:st|nd|rd|th)"
_ORDINAL = re.compile(
    rf"(?<=[\da-zA-Z)}}])(?:\s?\^\s?\{{?\s?\\text\{{ ?{_ENDING} ?\}}\s?\}}?|\^\s?\{{{_ENDING}\}}"
    rf"|\s?\\text\{{ ?-?{_ENDING}(?: (?P<words>[a-zA-Z ]*))?\}})|(?<=\d)-?{_ENDING}(?![a-zA-Z])"
)
_BASE = re.compile(
    r"\s*\\text\{ ?\(?(?:in )?base[ -]?(\w{1,10})\)? ?\}|\s*\\text\{ ?(?:in )?base ?\} ?(\w{1,10})"
    r"|\s*\(?\b(?:in )?base[ -]?(\w{1,10})\b\)?"
)
_TEXT = r"\\text\{ ?([^{}]+?) ?\}"
_OVER = re.compile(rf"\\frac\s?\{{\s?{_TEXT}\s?\}}\s?\{{\s?{_TEXT}((?:\^\{{?\d\}}?)?)\s?\}}")
_LETTER = "".join(sorted(LETTERS))
_SHORT = "|".join(sorted(SHORT_NAMES))
_POWER = r"(?:\^\{\d\})?"
_SLASHED = re.compile(
    rf"\\text\{{[^{{}}]*\}}|(?<=[\d}}) ]) ?(?P<unit>(?:[{_LETTER}]|{_SHORT}){_POWER} ?/ ?"
    rf"(?:hr|min|sec|[{_LETTER}]|{_SHORT}){_POWER})(?![a-zA-Z0-9])"
)
_FOREIGN = re.compile(r"[^\x00-\x7f\W]+")
_TOKEN = re.compile(
    r"(?P<text>\\text\{(?:[^{}]|\{[^{}]*\})*\})|(?P<word>(?<!\\)[a-zA-Z]+(?:'[a-zA-Z]+)?)"
    r"|\\(?:begin|end|mathbb)\s?\{[^{}]*\}|\\[a-zA-Z]+|\\?."
)


def marked(text: str) -> str:
    r"""A formula with all of its words in `\text{}`, and nothing else there. Blanks stay.

    >>> marked("42 apples and x"), marked(r"\text{x = 5 cm}"), marked(r"12^{\text{th}} \text{ grade}")
    ('42 \\text{apples and} x', ' x = 5 \\text{cm} ', '12 \\text{ grade}')
    """
    text = re.sub(r"\\text\s*\{", r"\\text{", text)
    text = _FOREIGN.sub(r"\\text{\g<0>}", text) if not text.isascii() and "\\text" not in text else text
    text = _BASE.sub(lambda found: f"_{{{digits_of(found[1] or found[2] or found[3])}}}", text)
    text = _OVER.sub(r"\\text{\1/\2}\3", text)
    for _ in range(2):
        text = SEGMENT.sub(_opened, text)
    text = _ORDINAL.sub(lambda found: f" \\text{{{found['words']}}}" if found["words"] else "", text)
    text = re.sub(r"(?<=\d)(and|or)(?=[-\d\\])", r" \\text{\1} ", text)
    text = _SLASHED.sub(lambda found: f" \\text{{{found['unit']}}} " if found["unit"] else found.group(), text)
    tokens = _tokens(text)
    _find_words(tokens)
    text = "".join(f"\\text{{{one}}}" if kind == "word" else one for one, kind in tokens)
    return re.sub(r"\\text\{[^{}]*\}(?:[ -]?\\text\{[^{}]*\})+", _joined, text)


def _joined(found: re.Match[str]) -> str:
    r"""Neighbours are one: `\text{a} \text{b}`."""
    return re.sub(r"\}([ -]?)\\text\{", lambda between: between[1] or " ", found.group())


def _opened(found: re.Match[str]) -> str:
    r"""What `\text{}` holds, without it where that is no word."""
    plain = found[1].strip()
    if re.fullmatch(_ENDING, plain):
        return found.group()
    if not re.search(r"[^\W\d_]", plain):
        return plain
    if re.search(r"[\d=^<>+\\]", plain):
        return f" {found[1]} "
    if _FUNCTIONS.fullmatch(plain):
        is_unit = plain == "min" and re.search(r"[\d})]\s{0,3}\Z", found.string[: found.start()][-10:])
        return found.group() if is_unit else f"\\{plain} "
    if len(plain) == 1 and plain.isascii():
        # A unit after a number, else a variable.
        before = found.string[max(0, found.start() - 10) : found.start()].rstrip()
        is_unit = plain in f"{_LETTER}CF" and re.search(r"(?:[\d})/]|\\circ|\\cdot)\Z", before)
        return found.group() if is_unit else plain
    return found.group()


def _tokens(text: str) -> list[list[str]]:
    r"""A text as words in `\text{}`, runs of letters, and what is between them, each with its kind."""
    tokens: list[list[str]] = []
    for found in _TOKEN.finditer(text):
        kind = "text" if found["text"] else "letters" if found["word"] else "other"
        if kind == "other" and tokens and tokens[-1][1] == "other":
            tokens[-1][0] += found.group()
        else:
            tokens.append([found.group(), kind])
    return tokens


def _find_words(tokens: list[list[str]]) -> None:
    """Tell words from products of variables among runs of letters."""
    prose = not any(re.search(r"[^\s.,;:!?'()-]", one) for one, kind in tokens if kind != "letters")
    padded = [["", "other"], *tokens, ["", "other"]]
    for before, token, after in zip(padded, tokens, padded[2:], strict=False):
        if token[1] == "letters" and _is_word(token[0], before[0], after[0], prose):
            token[1] = "word"
    # What is beside a word is a word too: `a total of`.
    for place, (one, kind) in enumerate(tokens):
        following = [other for _, other in tokens[place + 1 : place + 3]]
        if one == "a" and following == ["other", "word"] and (not place or tokens[place - 1][0] == " "):
            tokens[place][1] = "word"
        if kind != "letters" or len(one) == 1 or re.fullmatch("[A-Z]{2,4}", one) or _FUNCTIONS.fullmatch(one):
            continue
        for between, near in ((place - 1, place - 2), (place + 1, place + 2)):
            if 0 <= near < len(tokens) and tokens[between][0] in (" ", "-") and tokens[near][1] in ("word", "text"):
                word = re.sub(r"\\text|[{} ]", "", tokens[near][0]).lower()
                if word not in CONNECTING:
                    tokens[place][1] = "word"


def _is_word(one: str, before: str, after: str, prose: bool) -> bool:
    """Whether a run of letters between two other pieces is a word."""
    low, last = one.lower(), before.rstrip()[-1:]
    apart = before[-1:] in ("", *" -,;:(") and after[:1] in ("", *" -,;:.)!?%=")
    if low in _KNOWN and (apart or len(one) > 2):
        return True
    if one in SHORT_NAMES or low in ("am", "pm", "in"):
        return last.isdigit() or (one in SHORT_NAMES and last in ("}", ")", "%", "/") and not before.endswith("^{"))
    if len(one) > 3 and (prose or (apart and re.search("[aeiouy]", low) and (one.islower() or one.istitle()))):
        return True
    return len(one) == 3 and before.endswith(" ") and last.isdigit()


def changes_before(words: str) -> bool:
    """Whether words before a number change it. In "the least value is" nothing does."""
    return _BEFORE.search(_NAMING.sub("", words, count=1)) is not None


def changes_after(words: str) -> bool:
    """Whether words after a number change it."""
    return _AFTER.search(words) is not None


def connects(words: str) -> bool:
    """Whether words in the middle of a list only connect: "and", "cm and"."""
    last = words.lower().replace(",", " ").split()
    return bool(last) and last[-1] in CONNECTING and all(one in CONNECTING or unit(one) for one in last)


def number_in_words(words: str) -> int | None:
    """A number from 0 to 99 that words say, else None."""
    parts = words.lower().replace("-", " ").split()
    if len(parts) == 1:
        return _NUMBERS.get(parts[0], _TENS.get(parts[0]))
    if len(parts) == 2 and parts[0] in _TENS and 0 < _NUMBERS.get(parts[1], 0) < 10:
        return _TENS[parts[0]] + _NUMBERS[parts[1]]
    return None


def digits_of(word: str) -> str:
    """A number in words as digits; other words stay."""
    number = number_in_words(word)
    return word if number is None else str(number)


def scale_of(words: str) -> int:
    """What words at the beginning multiply a number by: 1,000,000 for "million dollars", 1 if they do not."""
    scale = 1
    for one in words.split():
        if one not in _SCALES:
            break
        scale *= 10 ** _SCALES[one]
    return scale


def without_scale(words: str) -> str:
    """Words without those that multiply or only fill: what may be a unit."""
    return " ".join(one for one in words.split() if one.lower() not in (*_SCALES, "a", "an", "of", "the", "percent"))


def said(words: str) -> str:
    """Words as they are compared: in small letters, without those that only fill."""
    return " ".join(one for one in re.findall(r"[\w']+", words.lower()) if one not in FILLING)
