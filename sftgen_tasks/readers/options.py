r"""The texts of a question's options, to recognise one that is written out: `\boxed{5\text{ m/s}}` for "B. 5 m/s"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from sftgen_tasks.readers.letter_statements import SEVERAL
from sftgen_tasks.readers.looks import plain_latex

LETTERS = "ABCDEFGHIJ"

_LONGEST = 4000
"""A longer text is compared with no option."""
_CUTS = 12
"""At how many signs a text is cut, at most, to find an option at its beginning."""
_CUT = re.compile(r"[.;:](?=\s|\Z)|,(?=\s)|\s[-\u2013\u2014(]|\s(?:because|since|as|which|so|due|where)\b|\n")
_IGNORED = re.compile(r"\\text(?![a-zA-Z])|[\s{}\\\"']|(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_UNIT = re.compile(r"%|[A-Za-z\u00b0\u03bc\u03a9][A-Za-z\u00b0\u03bc\u03a9/.*^\d-]{0,20}")
_NAMED = re.compile(r"[A-Za-z]\w{0,5}=(?=[^=]{1,200}\Z)")
_ARTICLE = re.compile(r"\A(?:the|an?) ", re.IGNORECASE)
_WORD = re.compile(r"\w+")


class Options:
    """The options of a question: how many, and what they say where that is known."""

    def __init__(self, options: int | Sequence[str]) -> None:
        """Take the texts of the options, or only their number."""
        self.texts: Sequence[str] = () if isinstance(options, int) else options
        self.count = options if isinstance(options, int) else len(options)

    @cached_property
    def _forms(self) -> list[dict[str, str]]:
        """The letters of a form: as it is, without case and article, and of its number if only a unit follows."""
        forms: list[dict[str, str]] = [{}, {}, {}]
        for name, text in zip(LETTERS, self.texts, strict=False):
            form = _form(text)
            number = _NUMBER.match(form)
            bare = number.group() if number and _UNIT.fullmatch(form, number.end()) else ""
            for known, key in zip(forms, (form, _folded(text), bare), strict=True):
                if key:
                    known[key] = known.get(key, "") + name
        return forms

    def has(self, name: str) -> bool:
        """Whether this letter names an option."""
        return bool(name) and name in LETTERS[: self.count]

    def written(self, text: str) -> str | None:
        """The letter of the one option that a text is; `SEVERAL` if options are alike; None if it is no option."""
        if not self.texts or len(text) > _LONGEST:
            return None
        form = _form(text)
        exact, folded, numbers = self._forms
        names = exact.get(form) or folded.get(_folded(text)) or numbers.get(form)
        if not names and (named := _NAMED.match(form)):  # v = 5 m/s
            return self.written(form[named.end() :])
        return (names if len(names) == 1 else SEVERAL) if names else None

    def begins(self, text: str) -> str | None:
        """As `written`, for the option that a text begins with: "5 m/s, because ..."."""
        return next((name for part in _beginnings(text) if (name := self.written(part)) is not None), None)

    def is_like(self, name: str, text: str) -> bool:
        """Whether a text holds at least half of the words of an option. True if the texts are not known."""
        if not self.texts:
            return True
        words = set(_WORD.findall(self.texts[LETTERS.index(name)].casefold())) if self.has(name) else set()
        return 2 * len(words & set(_WORD.findall(text[:_LONGEST].casefold()))) >= max(1, len(words))


def _beginnings(text: str) -> Iterator[str]:
    """A text, and its beginnings up to a sign that may end an option, the longest first."""
    text = text[:_LONGEST].strip()
    yield text
    cuts = [found.start() for _, found in zip(range(_CUTS), _CUT.finditer(text), strict=False)]
    for place in reversed(cuts):
        yield text[:place]


def _form(text: str) -> str:
    """What is compared: without blanks, braces, fonts and thousands separators."""
    return _IGNORED.sub("", plain_latex(text.strip().rstrip(".")))


def _folded(text: str) -> str:
    """The same without case and a leading article."""
    return _form(_ARTICLE.sub("", text.strip(), count=1)).casefold()
