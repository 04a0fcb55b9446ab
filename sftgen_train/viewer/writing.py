"""A model's text as HTML: everything escaped, control characters visible, formulas and code set.

A text is cut into tokens (words, formulas, lines of code), so that differences and labels are marks on whole tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from typing import Any, Literal

from markupsafe import Markup, escape

from sftgen_train.viewer.formulas import mathml
from sftgen_train.viewer.labels import Span

SHOWN = 20_000
"""Characters of a text that a page shows."""
_MOST_FORMULAS = 400
"""Formulas of a text that are set; the others stay as they were written."""
_LONGEST_CODE = 10_000

Kind = Literal["text", "math", "display", "code", "fence"]
Mark = Literal["", "ins", "del"]


@dataclass(frozen=True)
class Token:
    """A word with the space after it, a formula, or a line of code.

    Attributes:
        kind: What it is; `fence` is a line that opens or closes a block of code.
        text: As it was written, delimiters included.
        start: Its place in the text.
        language: Of a line of code, as its block names it.
    """

    kind: Kind
    text: str
    start: int
    language: str = ""


_FENCE = re.compile(
    r"^[ \t]*(```|~~~)[ \t]*([\w+#.-]{0,20})[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
# A sum of money is no formula: as in Pandoc no space stands inside of the dollar signs and no digit after them.
_FORMULA = re.compile(
    r"(?P<display>\$\$.{1,1000}?\$\$|\\\[.{1,1000}?\\\])"
    r"|(?P<math>\\\(.{1,1000}?\\\)|(?<![\\$])\$(?=[^\s$])[^$\n]{1,500}?(?<=[^\s\\])\$(?!\d)"
    r"|\\boxed\{(?!\s*\})(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]{0,200}\}){0,200}\}){0,200}\})",
    re.DOTALL,
)
_WORD = re.compile(r"\S{1,200}\s*|\s+")


def tokens(text: str) -> list[Token]:
    """The tokens of a text; together they are the text."""
    found: list[Token] = []
    place = 0
    for fence in _FENCE.finditer(text):
        found += _of_prose(text, place, fence.start())
        found += _of_code(fence)
        place = fence.end()
    found += _of_prose(text, place, len(text))
    return found


def _of_code(fence: re.Match[str]) -> Iterator[Token]:
    language, end = fence[2].lower(), fence.start(3)
    yield Token("fence", fence[0][: end - fence.start()], fence.start(), language)
    for line in fence[3].splitlines(keepends=True):
        yield Token("code", line, end, language)
        end += len(line)
    if end < fence.end():
        yield Token("fence", fence[0][end - fence.start() :], end)


def _of_prose(text: str, start: int, end: int) -> Iterator[Token]:
    place = start
    for formula in _FORMULA.finditer(text, start, end):
        yield from _words(text, place, formula.start())
        yield Token("display" if formula["display"] else "math", formula[0], formula.start())
        place = formula.end()
    yield from _words(text, place, end)


def _words(text: str, start: int, end: int) -> Iterator[Token]:
    return (Token("text", word[0], word.start()) for word in _WORD.finditer(text, start, end))


def written(found: Sequence[Token], marks: Sequence[Mark] = (), spans: Sequence[Span] = ()) -> Markup:
    """Tokens as HTML.

    Args:
        found: The tokens.
        marks: For each whether it was put in or taken out; none by default.
        spans: Labels of parts of the text. A token that was taken out has none.
    """
    parts: list[Markup] = []
    formulas = 0
    labels = _Labels(spans)
    marked = [(token, marks[place] if marks else "") for place, token in enumerate(found)]
    for in_code, block in groupby(marked, lambda pair: pair[0].kind in {"code", "fence"}):
        if in_code:
            parts.append(_code(list(block)))
            continue
        marked_in_prose = [(token, mark, *labels.of(token, mark)) for token, mark in block]
        for (mark, label), group in groupby(marked_in_prose, lambda found: (found[1], found[2])):
            inner = []
            for colour, same in groupby(group, lambda found: found[3]):
                shown = []
                for token, *_ in same:
                    formulas += token.kind != "text"
                    shown.append(_prose(token, set_formula=formulas <= _MOST_FORMULAS))
                inner.append(_coloured_in(Markup("").join(shown), colour))
            parts.append(_marked(Markup("").join(inner), mark, label))
    return Markup("").join(parts)


class _Labels:
    """The labels of tokens, which come in order: of a text with many spans each is looked at a few times only."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._labels = [span for span in spans if not span.level]
        self._colours = sorted((span for span in spans if span.level), key=lambda span: span.start)
        self._next = 0

    def of(self, token: Token, mark: Mark) -> tuple[Span | None, Span | None]:
        """The first label of a token, and its strongest colour; a token that was taken out has none."""
        if mark == "del":
            return None, None
        end = token.start + len(token.text.rstrip())
        label = next((span for span in self._labels if span.start < end and token.start < span.end), None)
        while self._next < len(self._colours) and self._colours[self._next].end <= token.start:
            self._next += 1
        strongest = None
        for span in self._colours[self._next :]:
            if span.start >= end:
                break
            if span.end > token.start and (strongest is None or span.level > strongest.level):
                strongest = span
        return label, strongest


def _marked(inner: Markup, mark: Mark, label: Span | None = None) -> Markup:
    if label:
        inner = Markup('<mark class="label" title="{}">{}</mark>').format(visible(label.label), inner)
    return Markup("<{0}>{1}</{0}>").format(mark, inner) if mark else inner


def _coloured_in(inner: Markup, colour: Span | None) -> Markup:
    if colour is None:
        return inner
    made = Markup('<span class="shift shift-{}" title="{}">{}</span>')
    return made.format(colour.level, visible(colour.label), inner)


def _prose(token: Token, *, set_formula: bool) -> Markup:
    if token.kind == "text" or not set_formula:
        return plain(token.text)
    shown = mathml(_inside(token.text), display=token.kind == "display")
    return plain(token.text) if shown is None else shown


def _inside(formula: str) -> str:
    for opener, closer in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")):
        if formula.startswith(opener) and formula.endswith(closer) and len(formula) > len(opener):
            return formula[len(opener) : -len(closer)]
    return formula


def _code(block: Sequence[tuple[Token, Mark]]) -> Markup:
    """Blocks of code, their words coloured where the language is known, and changed lines marked."""
    lines = [(token, mark) for token, mark in block if token.kind == "code"]
    if len({mark for _, mark in lines}) == 1 and len({token.language for token, _ in lines}) == 1:
        token, mark = lines[0]
        inner = _marked(_coloured("".join(token.text for token, _ in lines), token.language), mark)
    else:
        inner = Markup("").join(_marked(_coloured(token.text, token.language), mark) for token, mark in lines)
    return Markup('<pre class="code" tabindex="0">{}</pre>').format(inner)


def _coloured(code: str, language: str) -> Markup:
    lexer = _lexer(language) if len(code) <= _LONGEST_CODE else None
    if lexer is None:
        return plain(code)
    from pygments import highlight

    return Markup(highlight(visible(code), lexer, _formatter()))


@cache
def _formatter() -> Any:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(nowrap=True)


@lru_cache(maxsize=64)
def _lexer(language: str) -> Any:
    """What knows a language; None of one that nobody knows."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None


def plain(text: str) -> Markup:
    """A text as it was written: escaped, with line breaks, control characters visible."""
    return escape(visible(text))


# Characters that move the cursor, turn the direction of reading, or do not show at all.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2028\u2029\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """A text in which no character hides: control codes are shown as signs, invisible ones by their number."""
    return _UNSEEN.sub(_shown, text.replace("\r\n", "\n"))


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return (
        "\N{SYMBOL FOR DELETE}"
        if code == 0x7F
        else f"\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}U+{code:04X}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
    )
