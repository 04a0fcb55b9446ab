r"""Reading the letter of a multiple-choice answer: the `strict` rule (`readers.paper` has the `paper` rules).

`letter` reads a text without LaTeX's and Markdown's looks, and tries in this order:

1. The last box that begins with a letter: `B`, `(B)`, `B) text`, `B. text`, `Option B`. A formula, an empty box or an
   option without its letter in a later box does not replace it.
2. The last sentence that says what the answer is: "The answer is (B)", "Final answer - B", "So it must be option B", "I
   choose B", "(B) is the correct answer", `{"answer": "B"}`, `<answer>B</answer>`, "The answer is not A but B", and the
   like in other languages. A last paragraph that is only a letter counts before all of them.
3. The option whose text is in the last box or follows "the answer is". Where several options say the same, it is no
   answer.
4. The last line if it is only a letter; the letter of weaker sentences if they agree ("this matches option B", "B is
   correct"); a bold letter that ends its line, alone or after a word such as "hence".
5. The last or first line if it is an option with its letter, the last line also if it is an option's text alone.

No answer is a letter that is denied or only supposed ("the answer is not B", "B is wrong", "if the answer is B", "I
first thought the answer is B"), the first letter of a word, a letter of a formula, a Roman numeral ("I and III",
"(i)"), a label of a part ("(A) First ... (B) Then ..."), or a bold variable in a sentence. Where several letters are
named as the answer there is no answer, and nothing weaker is read. A letter counts before the text beside it, because
the prompt asks for the letter: "B. 9 m/s" is B, also where 9 m/s is option C.

Every pattern starts at a word or sign and then repeats only blanks or a few words. So the rule takes time linear in the
length of the response, also on one line of 130,000 characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sftgen_tasks.readers.boxed import Box, boxes
from sftgen_tasks.readers.letter_statements import (
    SEVERAL,
    SPECIES,
    Statement,
    denied,
    is_numeral,
    links,
    several,
    statements,
    taken_back,
)
from sftgen_tasks.readers.looks import plain_text, without_struck
from sftgen_tasks.readers.options import LETTERS, Options, with_signs

__all__ = ["LETTERS", "letter"]

_LAST = 50
"""So many boxes and sentences are looked at, from the end."""
_LONGEST = 4000
"""So many characters of what may be an option are looked at."""


def letter(answer: str, options: int | Sequence[str]) -> str | None:
    """The option an answer names.

    Args:
        answer: The answer part of a response.
        options: The texts of the question's options. With their number alone, an option that is written out without
            its letter is not recognised.

    Returns:
        A capital letter; None if the answer names no letter, several, or one that is not an option.
    """
    known = Options(options)
    found = _read(answer, known)
    if found and not known.has(found):
        found = known.written(found)  # an option may be one letter: "H" for a blood type, a gene, a proposition
    return found or None


def _read(answer: str, options: Options) -> str | None:
    found = boxes(answer)[-_LAST:]
    name, begin = _boxed_letter(answer, found, options)
    if name is not None:
        return name
    answer, found = answer[begin:], [box for box in found if box[0][0] >= begin]
    text = _prose(answer)
    stated = _stated(text)
    if stated is not None:
        # "A and C" and "A sum" may be what an option says.
        return _longer(text, options) or stated or _stated_text(text, options) or SEVERAL
    steps: tuple[Callable[[], str | None], ...] = (
        lambda: _boxed_text(found, options),
        lambda: _stated_text(text, options),
        lambda: _last_line(text),
        lambda: _suggested(text),
        lambda: _in_bold(answer),
        lambda: _on_a_line(answer, text, options),
    )
    return next((name for step in steps if (name := step()) is not None), None)


# ------------------------------------------------------------------------------ the letter that a text begins with

# `B`, `(B)`, `B) text`, `B. text`, `Option B`, `So, B`.
_LABEL = re.compile(
    r"(?:[-\u2022>\u2234\u2192\u21d2=]{1,2} )?(?:(?:so|thus|hence|therefore|my|the|final|correct|right|best|it is|it's)"
    r"[,:]? {1,2}){0,4}(?:(?:option|choice|answer|letter)(?: is)?[: ]{1,3})?[\"']?"
    r"(?:[(\[]{1,2} {0,2}(?-i:(?P<bracketed>[A-Ja-hj])) {0,2}[)\]]{1,2}(?! ?[=+^_<>])|[(\[]?(?P<bare>[A-J])(?:\""
    r"|(?<='.)')?"
    r"(?=\Z|\n| {0,3}(?:\)|[;&\u2013\u2014](?! ?[=+])|:(?! ?[(\[]?[A-J]\b)"
    rf"|(?!{SPECIES})\.(?! ?(?-i:[A-Z])\.|[eg]\.|\d)|,(?! ?[A-Za-z]\b)"
    r"|/ ?(?-i:[(A-J]))| {1,3}(?:\(|-{1,2} {1,2}(?:\w{2}|[\d\\])|(?:and|or)\b)|(?<![AI]) {1,3}\d))",
    re.IGNORECASE,
)
_AFTER_LABEL = " .:)]\"'!,"
_OTHER_LABEL = re.compile(r"[(\[]([A-J])[)\]]|(?<![\w(])([A-J])\)")
# A space of LaTeX separates a letter from its text: B\quad 5.
_GAP = re.compile(r"(?<![A-Za-z\\])([A-J])\}?\s*(?:\\q?quad(?![a-zA-Z])|\\\\|\\hspace\s*\{[^{}]{0,10}\})")
_LETTER_AND_TEXT = re.compile(rf"([A-J]) (.{{1,{_LONGEST}}})", re.DOTALL)


@dataclass(frozen=True)
class _Label:
    """The letter that a text begins with.

    Attributes:
        name: The letter as it is written.
        end: Where it ends.
        rest: What follows, without signs around it.
        sure: Whether it cannot be a word: it is a capital, or it stands in brackets.
    """

    name: str
    end: int
    rest: str
    sure: bool


def _label(text: str) -> _Label | None:
    found = _LABEL.match(text)
    if found is None:
        return None
    name, end = str(found["bracketed"] or found["bare"]), found.end()
    return _Label(name, end, text[end:].strip(_AFTER_LABEL), name.isupper() or bool(found["bracketed"]))


def _names_another(label: _Label) -> bool:
    """Whether a second label follows, as in a text with parts: "(A) First ... (B) Then ..."."""
    return any((one or other) != label.name for one, other in _OTHER_LABEL.findall(label.rest[:_LONGEST]))


def _with_text(text: str, options: Options) -> str | None:
    """The letter of "B velocity", where option B says "velocity"."""
    found = _LETTER_AND_TEXT.match(text)
    return found[1] if found and options.written(found[2]) == found[1] else None


# ------------------------------------------------------------------------------ boxes

_BETWEEN = re.compile(r"[ $]{1,5}|[\s$]{0,5}(?:(?:,|and|or|&)[\s$]{1,5}){1,2}")


def _boxed_letter(answer: str, found: Sequence[Box], options: Options) -> tuple[str | None, int]:
    """The letter in the last box that has one, or None, and where the text begins that is read next.

    A letter that is no option ends what was said before it.
    """
    begin = 0
    for place in reversed(range(len(found))):
        (start, end), content = found[place]
        name = _boxed(content, options)
        if name is None or _is_denied(answer, start, end):
            continue
        if name and not options.has(name):
            begin = max(begin, end)
            continue
        if place and _BETWEEN.fullmatch(answer, found[place - 1][0][1], start):  # \boxed{A} and \boxed{C}
            other = _boxed(found[place - 1][1], options)
            name = SEVERAL if other and other != name else name
        return name, 0
    return None, begin


def _boxed(content: str, options: Options) -> str | None:
    """The letter in a box; `SEVERAL`, or None for a formula, words, or an option without its letter."""
    plain = _prose(_GAP.sub(r"\1) ", content)).rstrip("?!")
    label = _label(plain)
    if label and not label.rest and options.has(label.name):
        return label.name
    # A lower-case letter with more text begins a sentence; a lone `i` is a number.
    if label and label.name.islower() and (label.rest or label.name == "i"):
        label = None
    if options.written(content) is not None:
        return None
    if label is None:
        said = statements(plain, strong=True)
        return _with_text(plain, options) or (said[-1].name if said else None)
    if is_numeral(label.name, plain, label.end) or denied(plain, 0, label.end):
        return None
    if options.written(label.rest) is None and (several(plain, label.end) or _names_another(label)):
        return SEVERAL
    return label.name.upper()


def _boxed_text(found: Sequence[Box], options: Options) -> str | None:
    names = (options.written(content) for _, content in reversed(found))
    return next((name for name in names if name is not None), None)


def _is_denied(answer: str, start: int, end: int) -> bool:
    before = plain_text(answer[max(0, start - 200) : start])
    after = plain_text(answer[end : end + 100].lstrip("$*)]"))
    shown = f"{before} (X)"
    return denied(f"{shown} {after}", len(before) + 1, len(shown))


# ------------------------------------------------------------------------------ sentences

# The end of a list of options that was copied: a letter on the next line begins the next option.
_COPIED = re.compile(
    r"(?:(?:options|choices|question)[^\w\n]{0,3}|(?:\A|\n) {0,3}[(\[]?[A-J][).\]][^\n]{0,250})\Z", re.IGNORECASE
)


_BEGINS_LONGER = re.compile(r"[A-J] {1,3}[^\s(.,;:)-]")


def _stated(text: str) -> str | None:
    """The letter of the last sentence that says what the answer is; or of a last paragraph that is nothing else."""
    name = _last_line(text)
    if name and text.rpartition("\n")[0].rstrip(" ")[-1:] in ("", "\n"):
        return name
    return _last(text, statements(text, strong=True))


# How sure the model is, beside its letter: "B (90% confidence)".
_CELL = re.compile(r"\A\| +([^|]{1,40}?) +\|\Z")
_CONFIDENCE = re.compile(
    r"(?:\(?(?:confidence|certainty|probability)?[:= ]{0,3}\d[\d.]{0,5} ?%?|high|very high)?(?: (?:confidence"
    r"|confident|certain|sure))?",
    re.IGNORECASE,
)


def _last_line(text: str) -> str | None:
    """The letter that is the last line."""
    before, _, last = text.rpartition("\n")
    label = _label(_CELL.sub(r"\1", last))
    if label is None or not _CONFIDENCE.fullmatch(label.rest) or _COPIED.search(before[-300:]):
        return None
    # Of lower-case letters `(b)` and `b.` count; `b` counts if nothing else is written.
    return label.name.upper() if label.sure or (label.name != "i" and (last[label.end :] or not before)) else None


def _last(text: str, said: Sequence[Statement]) -> str | None:
    if not said:
        return None
    return SEVERAL if said[-1].name and taken_back(text, said[-1]) else said[-1].name


def _stated_text(text: str, options: Options) -> str | None:
    """The option whose text follows the last "The answer is" that has one."""
    for ends in reversed([*links(text)][-_LAST:] if options.texts else []):
        for end in ends:
            name = options.begins(_rest(text, end))
            if name is not None:
                return name
    return None


def _rest(text: str, end: int) -> str:
    return text[end : end + _LONGEST].lstrip(" \n:,\"'").partition("\n")[0]


def _longer(text: str, options: Options) -> str | None:
    """The option whose text follows the last "The answer is" and begins with a capital alone: "A sum of 5"."""
    last = [*links(text)][-1:] if options.texts else []
    rest = _rest(text, last[0][0]) if last else ""
    return options.begins(rest) if _BEGINS_LONGER.match(rest) else None


def _suggested(text: str) -> str | None:
    """The letter of sentences that only suggest one, if they agree."""
    said = statements(text, strong=False)
    return _last(text, said) if len({one.name for one in said}) == 1 else None


# ------------------------------------------------------------------------------ bold letters, options written out

_BOLD = re.compile(r"(\*\*|__)(?=[^\s*_])([^\n]{1,200}?)(?<=[^\s*_])\1")
_BOLD_LETTER = re.compile(r"(?:(?:option|choice|answer) )?[(\[]?(?-i:([A-J]))[)\].:]{0,2}", re.IGNORECASE)
_LINE_ENDS = re.compile(r"[ .!)]{0,3}(?:\n|\Z)")
# What stands before a bold letter that is an answer.
_LEAD = re.compile(
    r"(?:\A|[:\u2192\u21d2\u2234>]|\b(?:(?:it|this|that|which|answer|choice) (?:is|must be)|hence|thus|so|therefore"
    r"|option"
    r"|choice|answer|letter|choose|pick|select|with),?)(?: the)?(?: option| choice| answer)? {0,2}\Z",
    re.IGNORECASE,
)
# What a sentence or a part of a longer text begins with, and no option.
_NO_OPTION = re.compile(
    r"(?:is|are|was|were|has|have|can|will|does|denotes|represents|and|or|we|I|first|let|let's|to|next|then|step"
    r"|consider"
    r"|note|since|because|using|compute|calculate|find|assume|suppose|start|set|apply|part|solve|check)\b",
    re.IGNORECASE,
)


def _in_bold(answer: str) -> str | None:
    """A bold letter that ends its line, alone on it or after a word such as "hence"."""
    found: list[tuple[str, bool]] = []  # the letter, whether words stand before it
    for span in _BOLD.finditer(answer):
        bold = _BOLD_LETTER.fullmatch(span[2])
        if bold and _LINE_ENDS.match(answer, span.end()):
            line = answer[max(answer.rfind("\n", 0, span.start()) + 1, span.start() - 200) : span.start()]
            if _LEAD.search(line.lstrip(" #>*-")):
                found.append((bold[1], bool(line.strip(" #>*-"))))
    if len({name for name, _ in found}) > 1:
        found = [one for one in found if one[1]][-1:]
    return found[-1][0] if found else None


def _on_a_line(answer: str, text: str, options: Options) -> str | None:
    """An option with its text, or its text alone, as the last line or the first one."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        return None
    labels = [_label(line) for line in lines]
    only_one = len({label.name.upper() for label in labels if label}) == 1
    first, last = labels[0], labels[-1]
    if last and (is_numeral(last.name, lines[-1], last.end) or several(lines[-1], last.end)):
        last = None
    if last and denied(lines[-1], 0, last.end):
        return None
    if last and last.name.isupper() and not _in_list(text, labels[-2] if len(lines) > 1 else None, last):
        raw = answer.strip().rpartition("\n")[2].strip()
        stands_out = only_one or (raw.startswith("**") and raw.endswith("**"))
        own = options.begins(last.rest)
        if (
            own == last.name
            or (own == SEVERAL and options.is_like(last.name, last.rest))
            or (
                stands_out
                and not _NO_OPTION.match(last.rest)
                and not _names_another(last)
                and options.is_like(last.name, last.rest)
            )
        ):
            return last.name
    name = options.written(lines[-1]) or _with_text(lines[-1], options)
    if name:
        return name
    if first and len(lines) > 1 and not labels[1] and only_one and first.name.isupper():
        return first.name if not first.rest or options.begins(first.rest) == first.name else None
    return None


def _in_list(text: str, before: _Label | None, last: _Label) -> bool:
    """Whether the last line belongs to a list of options that was copied."""
    if before is None:
        return False
    follows = ord(last.name) == ord(before.name.upper()) + 1
    return follows or text.rpartition("\n")[0].rstrip(" ")[-1:] != "\n"


# ------------------------------------------------------------------------------ prose

_CHECKED = re.compile(r"\\checkmark|[\u2713\u2714\u2705\u2611]")
_TAG = re.compile(r"<(/?)(?:final[_ -]?|my[_ -]?)?(?:answer|ans|choice|option|letter)>", re.IGNORECASE)
# "Answer: <B>", where the prompt wrote <letter>; no tag of HTML, which is closed.
_ANGLED = re.compile(r"(?<=[:=] )<([A-J])>(?![^<\n]{0,200}</)")
_ITALIC = re.compile(r"(?<!\w)_([^_\s][^_\n]{0,80})_(?!\w)")


def _prose(text: str) -> str:
    """A text without looks and without what is struck out; a tag for the answer becomes "Answer:"."""
    text = _ANGLED.sub(r"(\1)", _ITALIC.sub(r"\1", with_signs(_CHECKED.sub(" ", without_struck(text)))))
    return plain_text(_TAG.sub(lambda tag: "\n" if tag[1] else "\nAnswer: ", text))
