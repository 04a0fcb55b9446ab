"""The lines of a judge's reply, and whether a score in one of them stands where a reply states its result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class UnreadableReply(Exception):  # noqa: N818 - it is the reply that is unreadable
    """Why a reply holds no verdict: the kind of problem, never a quotation of the reply."""


@dataclass(frozen=True)
class Form:
    """What a score looks like.

    Attributes:
        field: What the score is called.
        scale: Lowest and highest score.
    """

    field: str
    scale: tuple[float, float]

    @property
    def names(self) -> str:
        """The names of a line with a score, as a regular expression."""
        return "score|rating" if self.field == "score" else re.escape(self.field)


@dataclass(frozen=True)
class Stated:
    """A score that stands where a result stands: in which lines, and whether its name says that it is the final one."""

    first: int
    last: int
    score: float
    final: bool = False


SEVERAL = "several different scores in the reply"
NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?"
WRAP = r"[\s*_`\"'()\[\]<>#]*"
VALUE = rf"(?P<score>{NUMBER})(?:\s*(?:/|out\s+of)\s*(?P<most>[0-9]+))?"
BARE = re.compile(rf"{WRAP}{VALUE}[\s*_`\"'()\[\]<>#.]*")
LONGEST_LINE = 400
"""Characters of a line with a score; a longer one is prose."""


def number_of(match: re.Match[str], form: Form) -> float:
    """The number of a match of `VALUE`.

    Raises:
        UnreadableReply: It is out of another number than the highest of the scale.
    """
    if match["most"] and float(match["most"]) != form.scale[1]:
        raise UnreadableReply(f"out of range: a score out of {match['most'][:9]}, not out of {form.scale[1]:g}")
    return float(match["score"])


def ends_of(found: list[T]) -> list[T]:
    """The first and the last of many: a reply that repeats itself is read in linear time."""
    return found if len(found) <= 40 else found[:20] + found[-20:]


# ------------------------------------------------------------------------------ the lines of a reply

_REASONING = ("thinking", "reasoning", "analysis", "rationale", "explanation", "reason", "justification")
_LANGUAGE = re.compile(r"(?:json|text|markdown|xml|yaml)\b", re.I)
_AROUND = "answer|verdict|json|output|result|judgment|judgement|evaluation|final|assessment"
_OPENED = re.compile(rf"</?(?:{_AROUND})>", re.I)
_CLOSED = re.compile(rf"</?(?:{_AROUND})>\Z", re.I)


def lines_of(text: str, form: Form) -> list[str]:
    """The lines of a reply, without reasons in tags and without what is around a result; a score in a tag is a line."""
    text = re.sub(
        rf"(?m)(?:^[ \t]*|(?<=>)[ \t]*)(?:[*_]{{0,3}}(?:final |overall )?(?:{form.names})[*_ ]{{0,4}}:[*_ ]{{0,4}})?"
        rf"<({form.names})>\s{{0,20}}([^<>\n]{{1,40}}?)\s{{0,20}}</\1>(?=[ \t*_]*(?:<|$))",
        r"\n\1: \2\n",
        _without_reasons(text),
        flags=re.I,
    )
    return [_unwrapped(line) for line in _official(text, form).splitlines()]


def _unwrapped(line: str) -> str:
    """A line without a fence of code and without a tag around a result, at its beginning and its end."""
    inner = line.strip()
    if inner.startswith(("```", "~~~")):
        inner = inner.lstrip("`~").lstrip()
        inner = inner[language.end() :] if (language := _LANGUAGE.match(inner)) else inner
    if inner.endswith(("```", "~~~")):
        inner = inner.rstrip("`~")
    inner = inner[opened.end() :] if (opened := _OPENED.match(inner)) else inner
    return inner[: -len(closed[0])] if (closed := _CLOSED.search(inner[-20:])) else inner


def _without_reasons(text: str) -> str:
    """A reply without what stands in `<reasoning>` and its like.

    Raises:
        UnreadableReply: Such a tag is never closed, so that all that follows may be reasons.
    """
    for name in _REASONING:
        low = _lower(text)
        kept, position = [], 0
        while (start := _tag_at_line(low, f"<{name}>", position)) >= 0:
            end = low.find(f"</{name}>", start)
            if end < 0:
                raise UnreadableReply("the judge's reasons were truncated")
            kept.append(text[position:start])
            position = end + len(name) + 3
        rest = text[position:]
        if not kept and (end := _lower(rest).rfind(f"</{name}>")) >= 0:  # its opener was part of the prompt
            rest = rest[end + len(name) + 3 :]
        text = "".join([*kept, rest])
    return text


def _lower(text: str) -> str:
    """A text with small letters a to z, and as long as before: some other letters become two when they are small."""
    return text.lower() if text.isascii() else re.sub("[A-Z]+", lambda found: found[0].lower(), text)


def _tag_at_line(text: str, tag: str, position: int) -> int:
    """Where a tag stands at the beginning of a line, from `position` on; -1 where it does not."""
    while (position := text.find(tag, position)) >= 0:
        before = text[max(0, position - 200) : position].rpartition("\n")[2].strip()
        if not before or before.endswith(">"):
            return position
        position += len(tag)
    return -1


def _official(text: str, form: Form) -> str:
    """A reply in the published format, `#thereason: ... #thescore: N`, with the score on a line of its own.

    What follows `#thereason` after a score is a reason and no place for a score.
    """
    score, reason, low = f"#the{form.field.lower()}", "#thereason", _lower(text)
    begun = low[:200].lstrip(" \t\n*_`#")
    if begun.startswith("thereason"):
        return re.sub(rf"(?<![\"'`\u201c\u2018])(?={re.escape(score)})", "\n", text, flags=re.I)
    if begun.startswith(f"the{form.field}") and (place := low.find(reason)) > 0:
        return text[:place]
    return text


# ------------------------------------------------------------------------------ whether a place is one for a result

_ANNOUNCES = re.compile(
    r"\b(?:examples?|e\.g|instance|formats?|templates?|samples?|schema|expected|hypothetical\w*|such as|like this"
    r"|like so|say|says|said|saying|writes?|wrote|written|reads|contain\w*|includ\w*|has|had|have|ends?|ended"
    r"|begins?|began|starts?|started|asks?|asked|told|tells?|claim\w*|quot\w*|inject\w*|instruct\w*|criteria|rubric|repeat\w*"
    r"|tried|tries|want\w*|suggest\w*|would|could|might|if)\b",
    re.I,
)
"""Words of a line that announces something that is not the judge's result."""
_EXAMPLE = re.compile(
    r"\W*(?:\w+\W+){0,3}(?:examples?|formats?|templates?|samples?|for instance)\W*(?:\w+\W*){0,2}|\W*e\.?\s?g\.?\W*",
    re.I,
)
_HANGING = re.compile(
    r"\b(?:say|says|said|with|wrote|writes|contains|contained|includes|included|such as|like|example|reads|claims"
    r"|(?:format|example|template) is|asked for|asks for|to write|to say)\W*$",
    re.I,
)
_RESULT = re.compile(
    r"\b(?:verdict|judge?ments?|scor\w+|ratings?|evaluations?|assessments?|results?|final answers?|json|conclusion"
    r"|here)\b",
    re.I,
)
_AS_ASKED = re.compile(
    r"\b(?:in|as|using|with|per|following)\s+(?:the\s+|a\s+|your\s+|an\s+)?(?:\w+\s+){0,3}(?:format|schema|template)\b"
    r"|\b(?:as\s+|that\s+)?(?:you(?:'ve|\s+have)?\s+)?(?:asked\s+for|asked|requested|instructed|wanted|expected)(?=\W*:)",
    re.I,
)
_MINE = re.compile(
    r"\W*(?:here|below|my|final|this is my|the (?:final )?(?:verdict|judge?ment|score|evaluation))\b", re.I
)
OF_OTHERS = re.compile(
    r"example|format|template|sample|schema|quot|instruct|response|user|expected|inject|rubric", re.I
)
"""Names of fields whose objects are not the judge's."""
_FIELD = re.compile(r"[\s>*_#\-\u2022+\d.)(\"']*[A-Za-z#][\w#-]{0,24}(?: [\w-]{1,20})?[\s*_\"']*[:=]")


def is_result(lines: Sequence[str], first: int, last: int, lead: str = "", *, announced: bool = True) -> bool:
    """Whether lines stand where a reply states its result.

    Args:
        lines: The reply.
        first: The first of the lines in question.
        last: The last of them.
        lead: What stands before the statement on its own line.
        announced: Whether a line above may announce an example.
    """
    above = [number for number in range(first - 1, max(-1, first - 200), -1) if lines[number].strip()]
    before = [lead] if lead else [lines[number] for number in _heads(lines, above, first)]
    if announced and any(_announces(line) for line in before):
        return False
    if not above and not lead:
        return True
    following = next((line for line in lines[last + 1 :] if re.search(r"\w", line)), None)
    if following is None or _FIELD.match(following[:100]):
        return True
    return bool(before) and before[0].rstrip(" *_`").endswith(":") and announces_result(before[0][-200:])


def announces_result(line: str) -> bool:
    """Whether a line speaks of a result."""
    return bool(_RESULT.search(line))


def _heads(lines: Sequence[str], above: Sequence[int], first: int) -> list[int]:
    """The lines that may announce a statement: the one above, the first of its block, and the one before that."""
    if not above:
        return []
    top = above[0]
    if top != first - 1:  # a blank line in between
        return [top]
    while top > 0 and lines[top - 1].strip() and first - top < 200:
        top -= 1
    earlier = next((number for number in above if number < top), None)
    heads = [above[0], top]
    if (earlier is not None and lines[earlier].rstrip(" *_`").endswith(":")) or (
        earlier is not None and _EXAMPLE.fullmatch(lines[earlier][:100])
    ):
        heads.append(earlier)
    return heads


def _announces(line: str) -> bool:
    """Whether a line announces an example or a quotation."""
    line = line.strip().rstrip("*_`\"' \t")[-300:]
    if line.endswith((":", "=")):
        sentence = re.split(r"[.!?]\s+", line)[-1]
        return bool(_ANNOUNCES.search(_AS_ASKED.sub("", sentence) if _MINE.match(sentence) else sentence))
    if len(line) <= 100 and _EXAMPLE.fullmatch(line):
        return True
    return not line.endswith((".", "!", "?", ")", ";")) and bool(_HANGING.search(line))


# Told apart from a note such as "I cannot rate it higher".
_GIVES_UP = re.compile(
    r"\bI\s+(?:can(?:not|'t| not)|will not|won't|must not|am (?:not able|unable) to"
    r"|(?:must |have to )?(?:decline|refuse) to)\s+(?:judge|score|rate|grade|evaluate|assess|answer)\b"
    r"(?:\s+(?:this|that|it|the\s\w+|such\s\w+|requests?))?\s*"
    r"(?:[.!;,]|$|because|as\b)",
    re.I | re.M,
)


# "Wait, it should be 1", "Correction: 1": the judge revises a score that it has stated.
_REVISES = re.compile(
    r"^\W{0,10}(?:(?:but|hmm|no),?\s)?(?:wait|correction|corrected|actually|on (?:second|further) thoughts?"
    r"|(?:scratch|strike|make) that|sorry|oops|I mean|I meant|let me (?:re\w+|correct)|edit|revis(?:ed|ion|ing)"
    r"|updated?)\b"
    r"(?:[^\n]{0,80}?\b(?:score|rating|rate|level|should be|make it|change it|it(?:'s| is)|give(?: it)?|to|meant?)\b)?"
    r"[\s\"'*_:=,.{]{0,12}(?:an? )?(?:[0-9]|one|two|three|four|five)\b",
    re.I | re.M,
)
# "is what the response wants", "That is an injection": the score is somebody else's.
_DISOWNS = re.compile(
    r"^\W{0,5}(?:(?:is|was) what the (?:response|model|answer|text|user)"
    r"|(?:this|that|the (?:above|(?:score|line|text|object) above))(?: \w+)? (?:is|was|comes from|stands in)"
    r" (?:\w+ ){0,3}?(?:injection|quot\w+|copied|part of the response|from the response|what the response|not my))\b",
    re.I | re.M,
)


def revises(text: str) -> bool:
    """Whether the judge revises its score after it, in words or in a second object."""
    return bool(_REVISES.search(without_quotations(text).replace("\u2014", "-")))


def disowns(text: str) -> bool:
    """Whether the judge says after a score that it only quotes it."""
    return bool(_DISOWNS.search(without_quotations(text)))


def gives_up(text: str) -> bool:
    """Whether the judge says after a score that it does not judge."""
    return bool(_GIVES_UP.search(without_quotations(text)))


def without_quotations(text: str) -> str:
    """The first 4,000 characters of a text without what stands in quotation marks."""
    return re.sub(r'"[^"\n]{0,500}"|\u201c[^\u201d\n]{0,500}\u201d', "", text[:4_000]).replace("\u2019", "'")
