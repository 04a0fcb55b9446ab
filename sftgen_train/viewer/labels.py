"""Parts of a text that a page highlights, each with what it is called.

They come from three places: what the grader read as the answer, the spans of diagnostics' labels, and how far each
token is from the base, where `token_shift` read this very text. A run may be a stranger's: places outside of the text,
and rows that cannot be read, are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

from sftgen_judges.diagnostics.token_shift.summary import Shift
from sftgen_judges.records.schema import Response, text_hash

Part = Literal["thinking", "answer"]
READ = "what the grader read as the answer"
LEVELS = (0.1, 0.5, 2.0, 5.0)
"""Nats from which on a token has the next stronger colour."""
MOST_SPANS = 2_000
"""Spans of a response that are shown."""


@dataclass(frozen=True)
class Span:
    """A labelled part of the thinking or the answer of a response.

    Attributes:
        start: First character.
        end: Character after the last.
        label: What it is, for a person.
        level: Strength of its colour, from 1; 0 for a label, which has one colour.
    """

    start: int
    end: int
    label: str
    level: int = 0


@dataclass(frozen=True)
class Diagnosed:
    """What diagnostics say of one response.

    Attributes:
        labels: Rows of the view `labels`.
        shifts: What `token_shift` keeps of this text, with the step of the checkpoint that read it.
    """

    labels: Sequence[Mapping[str, Any]] = ()
    shifts: Sequence[tuple[int, Mapping[str, Any]]] = field(default_factory=tuple)


def labelled(
    sample: Mapping[str, Any] | None, response: Response, part: Part, diagnosed: Diagnosed | None = None
) -> list[Span]:
    """The labelled spans of a part of a response: the one place where they come from. Earlier ones go before later.

    Args:
        sample: The graded sample; None where it was not graded.
        response: The response, split into thinking and answer.
        part: In which of the two the places are counted.
        diagnosed: What diagnostics say of it.
    """
    found = _read_by_grader(sample, response) if part == "answer" else []
    if diagnosed:
        begin = _begin(response, part)
        length = len(getattr(response, part))
        for span in (*_of_labels(diagnosed, response, part, begin), *_of_shift(diagnosed, response, begin)):
            start, end = max(span.start, 0), min(span.end, length)
            if start < end and len(found) < MOST_SPANS:
                found.append(Span(start, end, span.label, span.level))
    return found


def _read_by_grader(sample: Mapping[str, Any] | None, response: Response) -> list[Span]:
    """Where the answer that was graded stands: its last place."""
    answer = (sample or {}).get("answer")
    if not isinstance(answer, str) or not answer.strip() or answer.strip() == response.answer.strip():
        return []
    start = response.answer.rfind(answer)
    return [Span(start, start + len(answer), READ)] if start >= 0 else []


def _begin(response: Response, part: Part) -> int | None:
    """Where a part stands in the whole text; None where it was put together of several pieces."""
    whole = getattr(response, part)
    place = response.text.find(whole) if part == "thinking" else response.text.rfind(whole)
    return place if whole and place >= 0 else None


def _of_labels(diagnosed: Diagnosed, response: Response, part: Part, begin: int | None) -> Iterator[Span]:
    for row in diagnosed.labels:
        for span in _spans(row.get("spans")):
            if span.get("part") == part:
                shift = 0
            elif span.get("part") == "text" and begin is not None:
                shift = -begin
            else:
                continue
            try:
                start, end = int(span["start"]) + shift, int(span["end"]) + shift
                told = f"{row['diagnostic']}: {str(span['label'])[:80]}"
            except (KeyError, TypeError, ValueError):
                continue
            note = f" ({str(span['note'])[:120]})" if span.get("note") else ""
            yield Span(start, end, f"{told}{note}, by {row.get('annotator') or 'rule'}")


def _spans(given: Any) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return []
    return [span for span in found[:MOST_SPANS] if isinstance(span, dict)] if isinstance(found, list) else []


def _of_shift(diagnosed: Diagnosed, response: Response, begin: int | None) -> Iterator[Span]:
    """The tokens of a text that are far from the base, as the last checkpoint that read it has them."""
    for step, kept in sorted(diagnosed.shifts, key=lambda pair: -pair[0]):
        try:
            same = kept["key"][3] == text_hash(response.text)
            shift = Shift.unpacked(kept["arrays"])
        except (KeyError, TypeError, ValueError, IndexError):
            continue
        if not same or begin is None or "characters" not in shift:
            continue
        what = "KL to the base" if "kl" in shift else "loss against the base"
        ends = list(accumulate(shift["characters"].tolist()))
        for start, end, value in zip([0, *ends], ends, shift.distance.tolist(), strict=False):
            level = sum(abs(value) >= least for least in LEVELS)
            if level:
                yield Span(start - begin, end - begin, f"{what} {value:.2f} nats at step {step}", level)
        return
