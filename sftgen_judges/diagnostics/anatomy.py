"""The `anatomy` diagnostic: how a response is built. Only its text is read; no model is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sftgen_judges.diagnostics.repetition import N, compression_of, repetition_of
from sftgen_judges.diagnostics.scripts import scripts_of
from sftgen_judges.plugins.contracts import Answer, Batch, Diagnostic, Labels, Measure, Span

LONGEST = 1 << 20
"""Characters of a text that are read."""
LONGEST_ANSWER = 40
"""Characters of an extracted answer that is looked for in the text."""
# How a final answer is announced. A rule of thumb: what it finds is not validated.
_STATED = re.compile(r"\\boxed\s*\{\s*[^\s}]|\banswer\s*(?:is|:|=)\s*\**\s*[^\s.?*]", re.IGNORECASE)


def diagnose(batch: Batch) -> Iterator[Labels]:
    """The measures of each response, and the places of its loops."""
    for answer in batch:
        text = answer.response.text[:LONGEST]
        repeated, compressed, scripts = repetition_of(text), compression_of(text), scripts_of(text)
        values: dict[str, float | None] = {
            **_lengths(answer),
            **_ending(answer, text),
            "repeated_4grams": repeated.ngrams,
            "loops": float(bool(repeated.loops)),
            "looped": repeated.looped,
            "longest_repeat": repeated.longest,
            "compression": compressed,
            "switched": float(scripts.switches > 0),
            "switches": scripts.switches,
            "other_script": scripts.other,
            "answer_first_at": first_stated(answer, text),
        }
        spans = tuple(Span("loop", start, end) for start, end in repeated.loops)
        yield Labels({name: value for name, value in values.items() if value is not None}, spans)


def _lengths(answer: Answer) -> dict[str, float | None]:
    return {
        "tokens": answer.response.tokens,
        "thinking_tokens": answer.thinking_tokens,
        "answer_tokens": answer.answer_tokens,
    }


def _ending(answer: Answer, text: str) -> dict[str, float | None]:
    response = answer.response
    ended = None if response.finish_reason is None else float(response.finish_reason == "stop")
    return {
        "truncated": float(response.truncated),
        "terminated": ended,
        "thinks": float(response.think != "none"),
        "unclosed": float(response.think == "unclosed"),
        "missing_opener": float(response.think == "missing_opener"),
        "answered_before_cut": float(bool(_STATED.search(text))) if response.truncated else None,
    }


def first_stated(answer: Answer, text: str) -> float | None:
    """Where the extracted answer first stands in the text, from 0 to 1.

    None without one, and for an answer that may stand in any text by chance: a single letter, or a long one that is
    no answer but the response itself.
    """
    stated = (answer.verdict.answer or "").strip() if answer.verdict else ""
    if not text or not stated or len(stated) > LONGEST_ANSWER or (len(stated) == 1 and not stated.isdigit()):
        return None
    place = -1
    while (place := text.find(stated, place + 1)) >= 0:
        around = text[place - 1 : place], text[place + len(stated) : place + len(stated) + 1]
        inside = [side.isalnum() and edge.isalnum() for side, edge in zip(around, (stated[0], stated[-1]), strict=True)]
        if not any(inside):  # 12 does not stand in 112
            return place / len(text)
    return None


ANATOMY = Diagnostic(
    "anatomy",
    version=1,
    level="sample",
    needs=("text", "verdict"),
    diagnose=diagnose,
    measures=(
        Measure("tokens", "tokens of a response", unit="tokens", exact=True),
        Measure("thinking_tokens", "tokens of its thinking", unit="tokens", exact=True),
        Measure("answer_tokens", "tokens of its answer", unit="tokens", exact=True),
        Measure("truncated", "share that was cut off", share=True, exact=True),
        Measure("terminated", "share that the model ended by itself", share=True, exact=True),
        Measure("thinks", "share that thinks", share=True, exact=True),
        Measure("unclosed", "share whose thinking never closed", share=True, exact=True),
        Measure("missing_opener", "share whose thinking closes and never opened", share=True, exact=True),
        Measure("answered_before_cut", "share of the truncated that state an answer before the cut", share=True),
        Measure("answer_first_at", "where the final answer first stands, from 0 to 1", share=True),
        Measure("repeated_4grams", f"share of {N}-grams of words that came before", share=True, exact=True),
        Measure("loops", "share with a loop: three copies of a stretch in a row", share=True, exact=True),
        Measure("looped", "share of words in loops", share=True, exact=True),
        Measure("longest_repeat", "longest stretch that stands in it twice", unit="words", exact=True),
        Measure("compression", "compressed size as a share of the size", share=True, exact=True),
        Measure("switched", "share with a change of script", share=True),
        Measure("switches", "changes of script of a response"),
        Measure("other_script", "share of letters in another script than most", share=True),
    ),
)
