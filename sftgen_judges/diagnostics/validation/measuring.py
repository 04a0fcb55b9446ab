"""Measures how good a diagnostic is: it labels the documents of a labelled set, as it labels those of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sftgen_judges.diagnostics.labelling import ASKED_CHARACTERS, chunks
from sftgen_judges.diagnostics.segments import segments
from sftgen_judges.diagnostics.validation.scores import Counted, Scores, counted, score
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Answer, Batch, Diagnostic, Labels, Validation
from sftgen_judges.plugins.contracts.diagnosing import Ask
from sftgen_judges.plugins.contracts.labelled import LabelledDocument, LabelledSet, Split
from sftgen_judges.records.schema import Response, Verdict

TASK = "labelled_set"
"""The task that documents of a labelled set belong to."""


class ValidationError(SftgenError, ValueError):
    """A diagnostic that cannot be measured on a set."""


@dataclass(frozen=True)
class Measured:
    """How good a diagnostic was on a set.

    Attributes:
        validations: One a label, with precision, recall and F1.
        scores: The same with counts, by label.
        asked: Documents of the split.
        failed: Why documents have no labels, by reason, and how many; they are left out of the scores.
    """

    validations: tuple[Validation, ...]
    scores: Mapping[str, Scores]
    asked: int
    failed: Mapping[str, int]

    @property
    def coverage(self) -> float:
        """Share of documents that were labelled."""
        return 1 - sum(self.failed.values()) / self.asked


def measure(
    diagnostic: Diagnostic, labelled: LabelledSet, annotator: str, ask: Ask | None = None, split: Split | None = "test"
) -> Measured:
    """Measure a diagnostic on a labelled set.

    Args:
        diagnostic: The diagnostic, of level `sample`. Its spans are compared with those of the set, and its values
            with the labels of whole responses: one above 0 says that the label holds.
        labelled: The set.
        annotator: What labels: `rule`, or the judge's model.
        ask: Asks that model.
        split: The part of the set; all of it without one.

    Raises:
        ValidationError: The diagnostic is of another level, no document is left, or none could be labelled.
    """
    if diagnostic.level != "sample":
        raise ValidationError(
            f"diagnostic {diagnostic.name!r} of level {diagnostic.level!r}: only labels, those of level 'sample', are "
            "measured on a labelled set"
        )
    counts: dict[str, list[Counted]] = {label: [] for label in (*labelled.segment_labels, *labelled.response_labels)}
    asked, failed = 0, Counter[str]()
    chosen = (document for document in labelled.documents if split in (None, document.split))
    for some in chunks(chosen, lambda one: len(one.thinking) + len(one.answer), ASKED_CHARACTERS):
        asked += len(some)
        for document, labels in zip(some, _labels(diagnostic, some, ask), strict=True):
            if labels.failed:
                failed[labels.failed] += 1
            else:
                for label, of in _counted(labelled, document, labels):
                    counts[label].append(of)
    if not asked:
        raise ValidationError(f"labelled set {labelled.name!r}: no documents in the split {split!r}")
    if failed.total() == asked:
        reason = max(failed, key=lambda reason: failed[reason])
        raise ValidationError(f"none of {asked} documents could be labelled, for example: {reason}")
    scores = {label: score(of) for label, of in counts.items()}
    units = {**dict.fromkeys(labelled.segment_labels, "segments"), **dict.fromkeys(labelled.response_labels, "traces")}
    validations = [
        Validation(
            label, labelled.name, annotator, scored.units, units[label], scored.precision, scored.recall, scored.f1,
            scored.trivial_f1, split or "all",
        )
        for label, scored in scores.items()
    ]  # fmt: skip
    return Measured(tuple(validations), scores, asked, failed)


def _labels(diagnostic: Diagnostic, documents: Sequence[LabelledDocument], ask: Ask | None) -> list[Labels]:
    given: dict[int, Labels] = {}
    for number, one in enumerate(diagnostic.diagnose(Batch([answer_of(document) for document in documents], ask))):
        place, labels = one if isinstance(one, tuple) else (number, one)
        given[place] = labels
    never = Labels(failed="the diagnostic gave no labels")
    return [given.get(place, never) for place in range(len(documents))]


def answer_of(document: LabelledDocument) -> Answer:
    """A document as a diagnostic is shown a response of a run; every word counts as a token."""
    thinking, answer = document.thinking, document.answer
    response = Response(
        f"<think>\n{thinking}\n</think>\n\n{answer}", think="closed", thinking=thinking, answer=answer,
        tokens=len(thinking.split()) + len(answer.split()), finish_reason="stop",
    )  # fmt: skip
    verdict = Verdict("ok", 0.0, measures=dict(document.measures))
    return Answer(
        TASK, response, thinking_tokens=len(thinking.split()), answer_tokens=len(answer.split()), verdict=verdict,
        doc={"question": document.question}, prompt=document.question,
    )  # fmt: skip


def _counted(labelled: LabelledSet, document: LabelledDocument, labels: Labels) -> Iterator[tuple[str, Counted]]:
    cut = units_of(document)
    for label in labelled.segment_labels:
        right = covered(cut, [(span.start, span.end) for span in document.spans if span.label == label])
        spans = [(span.start, span.end) for span in labels.spans if (span.label, span.part) == (label, "thinking")]
        yield label, counted(right, covered(cut, spans))
    for label in labelled.response_labels:
        yield label, counted([document.holds[label]], [labels.values.get(label, 0.0) > 0])


def units_of(document: LabelledDocument) -> Sequence[tuple[int, int]]:
    """The segments of a document, as start and end."""
    return document.segments or [(part.start, part.end) for part in segments(document.thinking)]


def covered(cut: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each segment has at least half of its characters in the spans; no two spans overlap.

    >>> covered([(0, 10), (11, 20)], [(4, 12)])
    [True, False]
    """
    return [
        2 * sum(max(0, min(end, to) - max(start, begin)) for begin, to in {*spans}) >= end - start for start, end in cut
    ]
