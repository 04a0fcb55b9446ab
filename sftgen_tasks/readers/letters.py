r"""Reading the letter of a multiple-choice answer: our rule, and the two published ones.

`letter` is the `strict` rule. It looks at the answer part only and takes the last `\boxed{}`; without a box, or with
one that names no letter, the last statement such as "the answer is (B)" or "Answer: B"; without one, a letter that
stands alone in bold, or alone on the last line. A letter counts with word boundaries and only if the question has that
option; a box or statement that names several letters is no answer.

`published_gpqa` and `published_mmlu_pro` are the rules of the published evaluation code (arXiv 2604.06628), its slips
included: no word boundary on the right, the thinking read like the answer.

Every pattern starts at a word or sign and then repeats blanks at most, so that all rules take time linear in the
length of the response, also on one line of 130,000 characters.
"""

from __future__ import annotations

import re

from sftgen_tasks.readers.boxed import last_boxed

LETTERS = "ABCDEFGHIJ"
INVALID = "[invalid]"

# What LaTeX and Markdown put around a letter.
_WRAPPERS = re.compile(r"\\(?:text|math)[a-z]{0,6}(?![a-zA-Z])|\\(?:left|right|boldsymbol|bm|bf|rm|quad)\b|\\[,;:! ]")
_NOISE = str.maketrans({**dict.fromkeys("*$`{}"), "~": " ", "\u2019": "'"})

_BRACKETED = r"[(\[] {0,2}([A-Ja-j]) {0,2}[)\]]"
# Not part of a word, a hyphenated word or a formula.
_ALONE = r"(?![\w'])(?!-\w)(?! {0,2}[=+^<>\u00d7]{1,2} {0,2}[\w(])"

# The letter a box or a line starts with: `B`, `(B)`, `B) text`, `B. text`, `Option B`.
_CHOICE = re.compile(
    r"(?:(?:the )?(?:(?:correct|right|final|best) )?(?:option|choice|answer)(?: is)?[: ]{1,3})?"
    rf"(?:{_BRACKETED}|[(\[]?([A-J])(?= {{0,3}}(?:[).:,;&\n\u2013\u2014]|/ ?[(A-J]|and\b|or\b|\Z)| {{1,3}}[(-]))",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    # The answer is (B). Final answer: B. The correct option must therefore be B.
    r"\b(?:answers?|(?:correct|right|best|final|chosen|appropriate) (?:option|choice|letter|one))"
    r"(?: (?:choice|option|letter|here|to (?:the|this) (?:question|problem)))? {0,2}"
    r"(?P<link>(?:is|was|(?:should|would|must|will|has to|seems to|appears to)(?: therefore)? be)\b:?|[:=]|->|\u2192)"
    r"(?:[\s:]{1,4}(?:therefore|thus|then|hence|indeed|clearly|most|likely|probably|simply|still|now|the|correct|right|best"
    r"|option|choice|letter|answer)\b){0,4}[\s:\"']{0,4}"
    rf"(?:{_BRACKETED}|(?-i:(?P<bare>[A-J])){_ALONE}|([a-j])(?=[.)]?\s{{0,2}}(?:\n|\Z)))"
    # Option (B) is the correct answer. Not: vitamin B is the correct answer.
    r"|(?:\A|[.!?:;,\n]\s{0,2}|\b(?:option|choice|answer|so|thus|therefore|hence) )"
    rf"(?:{_BRACKETED}|(?-i:([A-J]))) is (?:therefore |thus )?the (?:correct|right|best) (?:answer|option|choice)\b",
    re.IGNORECASE,
)
# A second letter right behind the first one.
_ANOTHER = re.compile(
    r" {0,2}[)\]]?(?: {0,2}(?:,|;|/|&|and\b|or\b)){1,2} {0,2}[(\[]?(?-i:[A-J])"
    r"(?=[)\]]|\s{0,2}(?:[.,;/&]|and\b|or\b|\n|\Z))",
    re.IGNORECASE,
)
# Before these an A is the answer, not an article, and an I is not the writer.
_GOES_ON = re.compile(
    r" {0,3}[^ a-z]| {0,3}\Z| {1,3}(?:because|since|as|due|based|which|where|is|and|with|for|in|according)\b"
)
_BOLD = re.compile(r"(?:\*\*|__) ?[(\[]? ?([A-J]) ?[)\].:]{0,2} ?(?:\*\*|__)(?P<last>[ .!]{0,3}(?:\n|\Z))?")
_LINE = re.compile(r"[(\[]? {0,2}([A-J]) {0,2}[)\].]{0,2}")


def letter(answer: str, options: int) -> str | None:
    """The option an answer names.

    Args:
        answer: The answer part of a response.
        options: How many options the question has.

    Returns:
        A capital letter, or None where none, several, or one that is no option is named.
    """
    box = last_boxed(answer)
    found = _choice(box) if box else None
    if found is None:
        found = _last_statement(answer)
    if found is None:
        found = _standing_alone(answer)
    return found if found and found in LETTERS[:options] else None


def published_gpqa(text: str) -> str:
    r"""GPQA in the published code: four patterns on the last `\boxed{}` of the whole response, else on all of it.

    The first pattern that is found decides, whatever its place; where none is, the text has to be one letter. Empty
    where nothing was read.
    """
    box = last_boxed(text)
    read = text if box is None else box
    for pattern in _GPQA:
        match = pattern.search(read)
        if match:
            return match.group(1).upper()
    single = read.strip()
    return single if single in ("A", "B", "C", "D") else ""


def published_mmlu_pro(text: str) -> str:
    """MMLU-Pro in the published code: the first "answer is X" or boxed letter of the whole response."""
    match = _MMLU_PRO.search(text)
    return (match.group(1) or match.group(2)) if match else INVALID


_GPQA = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:correct|right)\s+answer\s+is:?\s*([A-D])",
        r"(?:choose|select|pick)\s+(?:option\s+)?([A-D])",
        r"(?:option|choice)\s+([A-D])\s+is\s+(?:correct|right)",
        r"([A-D])\s+is\s+(?:correct|right|the\s+answer)",
    )
]
_MMLU_PRO = re.compile(r"answer is \(?([A-J])|\\boxed\{(?:\\text\{)?([A-Z])\}")


def _choice(text: str) -> str | None:
    """The letter a box or a line starts with; empty where it starts with several."""
    plain = _plain(text)
    match = _CHOICE.match(plain)
    if match is None:
        return None
    found = _letter_of(match)
    # In lower case only `b`, `(b)` and `b)`: what goes on after an `a` is a sentence.
    if found.islower() and plain[match.end() :].strip(" ).]"):
        return None
    return "" if _ANOTHER.match(plain, match.end()) else found.upper()


def _last_statement(text: str) -> str | None:
    plain = _plain(text)
    last = None
    for match in _STATEMENT.finditer(plain):
        bare, after_verb = match["bare"], str(match["link"]).lower().endswith(("is", "was", "be"))
        doubtful = bare == "I" or (bare == "A" and not after_verb)
        if not doubtful or _GOES_ON.match(plain, match.end()):
            last = "" if _ANOTHER.match(plain, match.end()) else _letter_of(match).upper()
    return last


def _standing_alone(text: str) -> str | None:
    bold = list(_BOLD.finditer(text))
    # Where several are bold, as in a walk through the options, one that ends its line.
    if len({match[1] for match in bold}) > 1:
        bold = [match for match in bold if match["last"] is not None]
    if bold:
        return bold[-1][1]
    *before, line = text.strip().rsplit("\n", 1)
    match = _LINE.fullmatch(_plain(line))
    if match:
        return match[1]
    # An option written out is the answer if nothing else is written, or if it is in bold.
    line = line.strip()
    return _choice(line) if not before or (line.startswith("**") and line.endswith("**")) else None


def _plain(text: str) -> str:
    return _WRAPPERS.sub(" ", text).translate(_NOISE).strip()


def _letter_of(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group and len(group) == 1 and group.isalpha())
