"""Readers of a judge's reply. Judges use them; no benchmark reads a reply.

A reader accepts a verdict only where a reply states its result (`asking.scores`), never one in the judge's thinking.
"""

from __future__ import annotations

import math
import re
from typing import Any

from sftgen_judges.asking.completions import HIDDEN
from sftgen_judges.asking.score_places import Form, UnreadableReply, without_quotations
from sftgen_judges.asking.scores import stated_score
from sftgen_judges.plugins.contracts import Reply
from sftgen_judges.records.markers import THINK_MARKERS, unknown_marker
from sftgen_judges.records.schema import Response
from sftgen_judges.records.thinking import split_thinking

__all__ = ["UnreadableReply", "answer_of", "probability_of_yes", "read_score", "read_yes_no", "score_schema"]

SMALLEST_MASS = 0.1
"""Probability that yes and no must have together; with less the model wanted to say something else."""


def read_score(reply: Reply, scale: tuple[float, float], *, field: str = "score", whole: bool = True) -> float:
    """The one score that a reply states, in one of the forms of `asking.scores`.

    Args:
        reply: The reply; thinking before the answer is ignored.
        scale: Lowest and highest score.
        field: What the score is called.
        whole: Whether the scale has whole numbers only.

    Raises:
        UnreadableReply: The reply states no score, several different scores, or a score that is not on the scale.
    """
    text = answer_of(reply)
    score = stated_score(text, Form(field, scale))
    if score is None:
        raise UnreadableReply("the judge declined" if _declines(text) else "no score in the reply")
    if not scale[0] <= score <= scale[1]:
        raise UnreadableReply(f"out of range: score {score:g} is not in {scale[0]:g} to {scale[1]:g}")
    if whole and not score.is_integer():
        raise UnreadableReply(f"out of range: score {score:g} is not a whole number")
    return score


# "No idea" is no answer, and "yes or no" repeats the question.
_YES_OR_NO = re.compile(
    r"[\W_]{0,40}(?P<word>yes|no)(?![^\W_]|['\u2019-]\w)"
    r"(?!\s+(?:one|idea|comment|answer|opinion|doubt|way|matter|information|verdict|judge?ment)\b)",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"[\W_]{0,10}(?:(?:or|and|but|maybe|perhaps|rather)\b[\W_]{0,10})?(?P<word>yes|no)\b", re.IGNORECASE
)


# "The answer is yes", and nothing that goes on as "no longer" does.
_STATED = re.compile(
    r"\b(?:answer|verdict|judge?ment|conclusion)[*_\"'\s]{0,5}(?:is|would be|:|=)[\s:*_\"'(\[]{0,8}(?P<word>yes|no)\b"
    r"(?=[*_\"')\]]{0,5}\s*(?:$|[.,;:!)\u2013\u2014]|-\s))",
    re.IGNORECASE,
)
_LONGEST_WORDING = 200
"""Characters of a reply's first line in which a yes or no is looked for."""


def read_yes_no(reply: Reply) -> bool:
    """True if a reply says yes, False if it says no; case and punctuation do not matter.

    The first word counts ("No, it is not"), else what the first line calls the answer ("The answer is yes."). Later
    lines do not count: a judge that completes a text often goes on with a question of its own.

    Raises:
        UnreadableReply: The first line says neither, or both: "Yes or no", "No. Yes.", "No, the answer is yes".
    """
    text = answer_of(reply)
    found = _YES_OR_NO.match(text)
    begin = found.end() if found else 0
    line = text[begin : begin + _LONGEST_WORDING].partition("\n")[0]
    said = {match["word"].lower() for match in _STATED.finditer(line)}
    if found:
        said.add(found["word"].lower())
        if other := _OTHER.match(line):
            said.add(other["word"].lower())
    if not said:
        raise UnreadableReply("the judge declined" if _declines(text) else "neither yes nor no")
    if len(said) > 1:
        raise UnreadableReply("both yes and no")
    return said == {"yes"}


def probability_of_yes(reply: Reply) -> float:
    """P(yes) / (P(yes) + P(no)) of the first token, between 0 and 1, where all spellings of a word are summed.

    Raises:
        UnreadableReply: The two words have less than `SMALLEST_MASS` of the probability together, or the server hides
            so much of it that either could be likelier.
    """
    mass = {"yes": 0.0, "no": 0.0}
    for token, logprob in reply.logprobs.items():
        # Two kinds of tokenizers show a space as a letter of their own.
        word = token.strip(" \u0120\u2581").lower()
        if word in mass:
            mass[word] += math.exp(min(logprob, 0.0))
    both = mass["yes"] + mass["no"]
    if not both:
        raise UnreadableReply("no log-probability of yes or no" if reply.logprobs else "no log-probabilities")
    if not both >= SMALLEST_MASS:
        raise UnreadableReply(f"yes and no have {both:.3f} of the probability together, less than {SMALLEST_MASS:g}")
    hidden = math.exp(min(reply.logprobs.get(HIDDEN, -math.inf), 0.0))
    if abs(mass["yes"] - mass["no"]) < hidden:
        raise UnreadableReply(
            "the server hides the probability of tokens that look alike; run the judge in this process"
        )
    return mass["yes"] / both


def answer_of(reply: Reply) -> str:
    """The text of a reply after its thinking.

    Raises:
        UnreadableReply: The reply is empty, the model declined, or the server withheld the text.
    """
    if reply.refusal:
        raise UnreadableReply("the judge declined")
    if reply.finish_reason == "content_filter":
        raise UnreadableReply("held back by the server's filter")
    read = split_thinking(reply.text.removeprefix("\ufeff"))
    if read.think == "unclosed":
        raise UnreadableReply("the judge's thinking was truncated")
    if not read.answer:
        raise UnreadableReply("empty reply")
    return _without_unknown_thinking(read)


_TAG = re.compile(
    r"[\s*_#]{0,10}(?P<tag>[<\[]\s?[\w|: -]{0,30}(?:think|thought|reason|reflect|scratch|monologue|deliberat|ponder)"
    r"[\w|: -]{0,30}[>\]])",
    re.IGNORECASE,
)


def _without_unknown_thinking(read: Response) -> str:
    """The answer of a reply that may have thinking in markers of no known family.

    Raises:
        UnreadableReply: It begins with an opener that is not closed: nobody can say where such thinking ends.
    """
    # A response that begins so and never ends it may be an answer; a judge's score in it is not certain enough.
    opened = (markers for markers in THINK_MARKERS.values() if re.match(rf"\s*(?:{markers.opener})", read.answer))
    if read.think == "none" and any(not re.search(markers.closer, read.answer) for markers in opened):
        raise UnreadableReply("the judge's thinking was truncated")
    begun = _TAG.match(read.answer)
    marker = begun["tag"] if begun else unknown_marker(read)
    if not marker:
        return read.answer
    if marker.startswith(("</", "[/")):  # its opener was part of the prompt
        return read.answer.rpartition(marker)[2].strip()
    pairs = (("<", "</"), ("[", "[/"), ("begin", "end"), ("BEGIN", "END"), ("start", "end"), ("START", "END"))
    closers = {marker.replace(begins, ends, 1) for begins, ends in pairs} - {marker}
    if not any(closer in read.answer for closer in closers):
        raise UnreadableReply("the reply begins like thinking of an unknown kind, which is not closed")
    return read.answer


def score_schema(scale: tuple[int, int], field: str = "score", reason: str = "analysis") -> dict[str, Any]:
    """JSON schema of a reply: first an analysis, then a whole number, so that the model thinks before it scores."""
    values = list(range(scale[0], scale[1] + 1))
    return {
        "type": "object",
        "properties": {reason: {"type": "string"}, field: {"type": "integer", "enum": values}},
        "required": [reason, field],
        "additionalProperties": False,
    }


def _declines(text: str) -> bool:
    """Whether the judge itself declines; what it quotes of a response is not its own."""
    from sftgen_judges.asking.declining import declines_itself  # its patterns take long to compile

    return declines_itself(without_quotations(text))
