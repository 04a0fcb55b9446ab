"""Word lists for reasoning patterns: a cross-check that is printed with its precision and recall, and nothing more.

Words are a poor sign of a pattern. "Wait for the bus" and "alternatively spliced" are no reasoning, and much
backtracking says none of the usual words. The lists hold the usual words; nothing was fitted to a labelled set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from sftgen_judges.diagnostics.segments import Segment
from sftgen_judges.diagnostics.validation.measuring import covered, units_of
from sftgen_judges.diagnostics.validation.reading import shipped
from sftgen_judges.diagnostics.validation.scores import Counted, Scores, counted, score
from sftgen_judges.plugins.contracts.labelled import LabelledSet, Split


def _list(*phrases: str, start: bool = False) -> re.Pattern[str]:
    begin = r"^\W{0,3}(?:(?:so|but|and|okay|ok|well|now|then|hmm)\b\W{0,3}){0,2}" if start else r"\b"
    return re.compile(rf"{begin}(?:{'|'.join(phrases)})", re.IGNORECASE)


WORDS: Mapping[str, re.Pattern[str]] = {
    "backtracking": _list(
        r"wait\b(?! for| in| at)", "no,", "hmm", "hold on", "hang on", "actually,", "alternatively,", "oops",
        r"that(?:'s| is|) (?:not right|wrong|can't be|cannot be)", "scratch that", r"instead\b",
        "let me (?:re|start over|go back|try another|instead)", start=True,
    ),
    "verification": _list(
        "check", "verif", "make sure", "to be sure", "confirm", "sanity", r"indeed\b", r"test\b",
        r"plug\w* (?:\w+ )?(?:in|back)\b", "it (?:fits|works|matches|holds)", "as (?:it should|wanted|expected)",
    ),
    "subgoal": _list(
        r"first,? i\b", r"next,? (?:i|we)\b", "my plan", "the plan", "plan:", "steps?:", "the (?:goal|aim|idea) is",
        "i(?:'ll| will|'d) (?:first|start|begin)", "let me (?:first|split|break)", "break (?:it|this) (?:down|into)",
    ),
    "backward_chaining": _list(
        "work(?:ing)? back", "from the (?:end|goal)", "what (?:i|we) need", r"i(?:'d)? need\b", r"we need\b", "suffic",
        r"to (?:get|reach|show|find|know|obtain|conclude|end)\b[^.]{0,60}\b(?:need|must|require)",
        "it (?:is|would be) enough",
    ),
    "enumeration": _list(
        r"case\b", "option", "candidate", "possibilit", r"suppose\b", "one way", "another (?:way|is)",
        "could (?:be|also)", r"try\b",
    ),
    "uncertainty": _list(
        "not (?:sure|certain|clear)", "unsure", "uncertain", r"i (?:think|believe|guess|suppose)\b", "perhaps", "maybe",
        "i (?:don't|do not|can't|cannot) (?:know|tell|say|decide|remember)", "might", "if i remember", "as far as i",
    ),
}  # fmt: skip


def found_by_words(texts: Sequence[str]) -> dict[str, list[bool]]:
    """Whether each of some segments has a word of the list, by pattern.

    >>> found_by_words(["Wait, that is wrong.", "We wait for the bus."])["backtracking"]
    [True, False]
    """
    return {name: [bool(words.search(text)) for text in texts] for name, words in WORDS.items()}


@cache
def how_good(split: Split = "test") -> dict[str, Scores]:
    """Precision, recall and F1 of the lists on the labelled set that comes with sftgen."""
    return measure_words(shipped("patterns"), split)


def measure_words(labelled: LabelledSet, split: Split | None = "test") -> dict[str, Scores]:
    """Precision, recall and F1 of the lists on a labelled set, by pattern that it has labels of."""
    counts: dict[str, list[Counted]] = {label: [] for label in labelled.segment_labels if label in WORDS}
    for document in labelled.documents:
        if split not in (None, document.split):
            continue
        cut = units_of(document)
        found = found_by_words([Segment(*pair).of(document.thinking) for pair in cut])
        for label, of in counts.items():
            spans = [(span.start, span.end) for span in document.spans if span.label == label]
            of.append(counted(covered(cut, spans), found[label]))
    return {label: score(of) for label, of in counts.items()}
