r"""Reading the letter of a multiple-choice answer: the `strict` rule, and the two `paper` rules.

`letter` is the `strict` rule, `paper_gpqa` and `paper_mmlu_pro` are the rules of the paper's code (arXiv 2604.06628).
`sftgen_tasks.gpqa_diamond` and `sftgen_tasks.mmlu_pro` state these rules in words. The paper's code has two faults,
which the `paper` rules keep: it looks for no word boundary after a letter, and it reads the thinking like the answer.

Every pattern starts at a word or sign and then repeats only blanks. So all rules take time linear in the length of the
response, also on one line of 130,000 characters.
"""

from __future__ import annotations

import re

from sftgen_tasks.readers.boxed import last_boxed
from sftgen_tasks.readers.paper import paper_boxed

LETTERS = "ABCDEFGHIJ"
INVALID = "[invalid]"

# LaTeX and Markdown that may stand around a letter.
_WRAPPERS = re.compile(r"\\(?:text|math)[a-z]{0,6}(?![a-zA-Z])|\\(?:left|right|boldsymbol|bm|bf|rm|quad)\b|\\[,;:! ]")
_NOISE = str.maketrans({**dict.fromkeys("*$`{}"), "~": " ", "\u2019": "'"})

_BRACKETED = r"[(\[] {0,2}([A-Ja-j]) {0,2}[)\]]"
# The letter before is not part of a word, of a hyphenated word or of a formula.
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
# If one of these follows, an A is the answer and not an article, and an I is not the writer.
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
        A capital letter; None if the answer names no letter, several, or one that is not an option.
    """
    box = last_boxed(answer)
    found = _choice(box) if box else None
    if found is None:
        found = _last_statement(answer)
    if found is None:
        found = _standing_alone(answer)
    return found if found and found in LETTERS[:options] else None


def paper_gpqa(text: str) -> str:
    r"""GPQA by the paper's code: four patterns on the last `\boxed{}` of the whole response, else on all of it.

    The first pattern that is found decides, wherever it is in the text. If no pattern is found, the text has to be one
    letter.

    Returns:
        A capital letter, or an empty text if nothing was read.
    """
    box = paper_boxed(text)
    read = text if box is None else box
    for pattern in _GPQA:
        match = pattern.search(read)
        if match:
            return match.group(1).upper()
    single = read.strip()
    return single if single in ("A", "B", "C", "D") else ""


def paper_mmlu_pro(text: str) -> str:
    """MMLU-Pro by the paper's code: the first "answer is X" or boxed letter of the whole response."""
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
    """The letter that a box or a line starts with; empty if it starts with several, None if with no letter."""
    plain = _plain(text)
    match = _CHOICE.match(plain)
    if match is None:
        return None
    found = _letter_of(match)
    # In lower case only `b`, `(b)` and `b)` count: an `a` with more text after it begins a sentence.
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
    # If several letters are bold, as where all options are discussed, only one that ends its line counts.
    if len({match[1] for match in bold}) > 1:
        bold = [match for match in bold if match["last"] is not None]
    if bold:
        return bold[-1][1]
    *before, line = text.strip().rsplit("\n", 1)
    match = _LINE.fullmatch(_plain(line))
    if match:
        return match[1]
    # An option with its text is the answer if nothing else is written, or if it is in bold.
    line = line.strip()
    return _choice(line) if not before or (line.startswith("**") and line.endswith("**")) else None


def _plain(text: str) -> str:
    return _WRAPPERS.sub(" ", text).translate(_NOISE).strip()


def _letter_of(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group and len(group) == 1 and group.isalpha())
