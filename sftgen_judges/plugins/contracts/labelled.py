"""What a diagnostic is validated on: `LabelledSet`, responses with the labels that are right."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sftgen_judges.records.schema import content_hash_of_list

Split = Literal["dev", "test"]


@dataclass(frozen=True)
class GoldSpan:
    """A stretch of a text that has a label.

    Attributes:
        label: The label.
        start: First character.
        end: Character after the last.
    """

    label: str
    start: int
    end: int


@dataclass(frozen=True)
class LabelledDocument:
    """One response with its labels.

    Attributes:
        id: Its name in the set.
        question: What the model was asked.
        thinking: Its thinking, which the spans are of; of a model without thinking the text that has the reasoning.
        answer: Its answer.
        spans: All stretches that have a label.
        holds: Whether a label holds for the whole response, by label.
        segments: How the annotators saw the text, as start and end. Without them `segments.segments` cuts it.
        measures: Measures of a verdict on it, for example `asr` 1 for an unsafe answer.
        split: `dev` to make a rule or a prompt, `test` to measure it.
    """

    id: str
    question: str
    thinking: str
    answer: str = ""
    spans: tuple[GoldSpan, ...] = ()
    holds: Mapping[str, bool] = field(default_factory=dict)
    segments: tuple[tuple[int, int], ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    split: Split = "test"


@dataclass(frozen=True)
class LabelledSet:
    """Labelled responses, to say how good a diagnostic is.

    Attributes:
        name: Its name; it stands beside every number that was measured on it.
        documents: The responses; those of a large file are read from it each time.
        segment_labels: Labels of stretches: every segment without one is known not to have it.
        response_labels: Labels of whole responses.
        origin: Who wrote the texts, and who labelled them.
        licence: Its licence, an SPDX name, or `none` where it has none.
    """

    name: str
    documents: Collection[LabelledDocument]
    segment_labels: tuple[str, ...] = ()
    response_labels: tuple[str, ...] = ()
    origin: str = ""
    licence: str = ""

    @property
    def hash(self) -> str:
        """Short hash of texts and labels: a number that was measured on others is not shown for these."""
        return content_hash_of_list(map(vars, self.documents))[:16]
