"""Parts of a text that a page highlights, each with what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sftgen_judges.records.schema import Response

Part = Literal["thinking", "answer"]
READ = "what the grader read as the answer"


@dataclass(frozen=True)
class Span:
    """A labelled part of the thinking or the answer of a response.

    Attributes:
        start: First character.
        end: Character after the last.
        label: What it is, for a person.
    """

    start: int
    end: int
    label: str


def labelled(sample: Mapping[str, Any] | None, response: Response, part: Part) -> list[Span]:
    """The labelled spans of a part of a response, in order: the one place where they come from.

    Args:
        sample: The graded sample; None where it was not graded.
        response: The response, split into thinking and answer.
        part: In which of the two the places are counted.
    """
    return _read_by_grader(sample, response) if part == "answer" else []


def _read_by_grader(sample: Mapping[str, Any] | None, response: Response) -> list[Span]:
    """Where the answer that was graded stands: its last place."""
    answer = (sample or {}).get("answer")
    if not isinstance(answer, str) or not answer.strip() or answer.strip() == response.answer.strip():
        return []
    start = response.answer.rfind(answer)
    return [Span(start, start + len(answer), READ)] if start >= 0 else []
