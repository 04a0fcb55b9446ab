r"""Where a response begins another question or another turn of the dialogue.

A model without training as an assistant answers and writes on: with a next question as the prompt writes them, or with
the user's next turn. What it says there is no answer to what it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# Special tokens that begin a turn of somebody else, or end a turn or a document while text follows.
_TOKENS = re.compile(
    r"<\|im_start\|>\s?(?:user|system|human)|<\|start_header_id\|>\s?(?:user|system)|<start_of_turn>\s?user"
    r"|<\|turn>\s?(?:user|system)|<\|start\|>\s?(?:user|system|developer)|<\|(?:user|User|system)\|>|<\uff5cUser\uff5c>"
    r"|\[INST\]|\[\|user\|\]|<\|(?:USER_TOKEN|START_OF_TURN_TOKEN)\|>"
    r"|<\|(?:im_end|eot_id|endoftext|end_of_text|END_OF_TURN_TOKEN|return|begin_of_text)\|>|<end_of_turn>|<turn\|>"
    r"|<\uff5cend\u2581of\u2581sentence\uff5c>|\[\|endofturn\|\]|</s>\s{0,4}(?:<s>|\[INST\]|(?=(?:User|Human|Question|Q):))"
)
# Beginnings of questions and of a user's turns, at the start of a line.
_DECORATION = r"^[ \t]{0,8}(?:[#>]{1,6}[ \t]{0,4})?(?:\*\*|__)?[ \t]?"
_NUMBER = r"(?P<number>[ \t]?(?:#|No\.?[ \t]?)?\d{1,4}(?!\d))?"
_QUESTION = (
    r"(?:(?:(?:Next|New|Another)[ \t])?(?:Question|QUESTION|Problem|PROBLEM|Exercise|Q)"
    rf"|\u95ee\u9898|\u9898\u76ee|\u95ee|\u7528\u6237){_NUMBER}(?:\*\*)?[ \t]?[:\uff1a]"
)
_SPEAKER = r"(?:User|USER|Human|HUMAN|Instruction|INSTRUCTION|Prompt)(?:\*\*)?[ \t]?[:\uff1a]"
_HEADING = r"(?<=#)[ \t]{0,4}(?:Question|Problem|Instruction|Human|User|Exercise)\b[^\n]{0,20}$"
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_FIRST_HEADER = re.compile(r"\s*([A-Z][A-Za-z ]{0,24}:)(\n|(?=\s))")
_INSTRUCTION = 40
"""Characters of a prompt's last line that nobody writes by chance."""


def begins_turn(text: str) -> bool:
    """Whether a text begins with a special token that ends a turn or a document, or begins somebody else's turn.

    >>> begins_turn("<|im_start|>user"), begins_turn("<|im_start|>assistant")
    (True, False)
    """
    return _TOKENS.match(text) is not None


def turn_end(text: str) -> int | None:
    """Where the first special token that ends or begins a turn stands; None where there is none.

    >>> turn_end("Think.<|im_end|>"), turn_end("Think.")
    (6, None)
    """
    found = _TOKENS.search(text)
    return found.start() if found else None


def turn_forms(prompt: str) -> tuple[str, ...]:
    r"""How a prompt writes a question: the header that it begins with, and the instruction that it ends with.

    >>> turn_forms("Question:\nWhat is 1 + 1?\nPlease reason step by step, and end with the number.")
    ('Question:\n', 'Please reason step by step, and end with the number.')
    """
    header = _FIRST_HEADER.match(prompt)
    before, _, last = prompt.strip().rpartition("\n")
    forms = [header[1] + header[2]] if header else []
    if before and len(last.strip()) >= _INSTRUCTION:
        forms.append(last.strip())
    return tuple(forms)


def first_turn(text: str, forms: Sequence[str] = (), *, question: str = "", after: int = 0) -> str:
    r"""A response up to where it begins another question or another turn of the dialogue.

    Args:
        text: The answer part of a response.
        forms: How the prompt begins a question (`turn_forms`), beside the usual headers and tokens.
        question: What was asked. A header before words of it begins no other question,
            unless it stands on a line of its own as in the prompt.
        after: A turn counts from this place on, for example behind the first answer.

    Returns:
        The text without what was written on; all of it if it has only one turn.

    >>> first_turn("Paris.\n\nQ: And of Spain?\nA: Madrid.", ("Q:",))
    'Paris.'
    """
    place = next(turns(text, forms, question=question, after=after), None)
    return text if place is None else text[:place].rstrip()


def turns(text: str, forms: Sequence[str] = (), *, question: str = "", after: int = 0) -> Iterator[int]:
    """The places where another question or turn begins; the arguments are those of `first_turn`.

    What stands in a block of code or before any other text is no turn.
    """
    headers = [form for form in forms if len(form) < _INSTRUCTION]
    asked = _plain(question)
    begin = len(text) - len(text.lstrip())
    first = max(begin, after)
    begun = [
        match
        for match in _headers(headers).finditer(text)
        # A header on a line of its own, as in the prompt, begins a turn even if it asks the same once more.
        if match["own"] or not _repeats(text, match.end(), asked)
    ]
    # "Question 1: ... Question 2: ..." is one answer in parts.
    in_parts = any(match["number"] and match.start() <= first for match in begun)
    found = [match.start() for match in begun if not (in_parts and match["number"])]
    last = len(text.rstrip())
    found += [match.start() for match in _TOKENS.finditer(text) if match.end() < last]
    for form in set(forms) - set(headers):
        found += [_paragraph(text, place) for place in _places(text, form)]
    read, fenced = 0, False
    for place in sorted(set(found)):
        fenced ^= len(_FENCE.findall(text, read, place)) % 2 == 1
        read = place
        if place > first and not fenced and not _quoted(text, place):
            yield place


def _headers(forms: Sequence[str]) -> re.Pattern[str]:
    lines = "|".join(re.escape(form) for form in forms if form.endswith("\n")) or "(?!)"
    others = "".join(re.escape(form) + "|" for form in forms if not form.endswith("\n"))
    return re.compile(f"(?P<own>^(?:{lines}))|{_DECORATION}(?:{others}{_QUESTION}|{_SPEAKER}|{_HEADING})", re.MULTILINE)


def _repeats(text: str, place: int, asked: str) -> bool:
    """Whether what stands at a place begins with words of the question."""
    line = text[place : place + 200].lstrip("*_ \t\n").partition("\n")[0] if asked else ""
    begun = _plain(line)[:40]
    return len(begun) >= 12 and begun in asked


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def _places(text: str, form: str) -> Iterator[int]:
    place = text.find(form)
    while place >= 0:
        yield place
        place = text.find(form, place + len(form))


def _paragraph(text: str, place: int) -> int:
    """Where the paragraph of a place begins."""
    begin = text.rfind("\n\n", 0, place)
    return begin if begin >= 0 else max(text.rfind("\n", 0, place), 0)


def _quoted(text: str, place: int) -> bool:
    return text[place - 1 : place] in {"`", "'", '"'}
