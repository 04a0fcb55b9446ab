"""Graded responses on their way through lm_eval, and the metrics of a document that they make."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.records.markers import unknown_marker
from sftgen_judges.records.schema import ANSWERED, SCORED, GenerationRecord, Measure, Response

MANY = 0.1
"""Share of responses with an unknown marker from which on it is told."""
logger = logging.getLogger(__name__)


class GradedText(str):
    """A verdict as JSON, for lm_eval's sample log, that remembers the sample it is of.

    To lm_eval it is text like any other; our own code reads the objects.
    """

    sample: Sample
    record: GenerationRecord | None
    marked: bool | None
    """Whether the response begins with what may be an unknown marker; None where few responses to the task do."""

    def __new__(cls, sample: Sample, record: GenerationRecord | None, marked: bool | None = None) -> GradedText:
        """Write the verdict as JSON, without its evidence, which is in the journal."""
        response = sample.response
        said = {name: value for name, value in sample.verdict.to_dict().items() if name != "evidence"}
        extra: dict[str, Any] = {"think": response.think, "truncated": response.truncated, "tokens": response.tokens}
        if marked is not None:
            extra["unknown_marker"] = marked
        made = super().__new__(cls, json.dumps({**said, **extra}, ensure_ascii=False))
        made.sample, made.record, made.marked = sample, record, marked
        return made

    def __getnewargs__(self) -> tuple[Sample, GenerationRecord | None, bool | None]:  # type: ignore[override]
        """What it takes to make it again in another process, which lm_eval may gather it in."""
        return self.sample, self.record, self.marked


@dataclass(frozen=True)
class _Graded:
    """What the metrics of a document need of one response."""

    status: str
    score: float | None
    paper: float | None
    measures: Mapping[str, Measure]
    truncated: bool
    tokens: int | None
    marked: bool | None


def process_results(doc: Mapping[str, Any], results: Any) -> dict[str, Measure]:
    """Metrics of one document from its verdicts.

    Args:
        doc: The document; not looked at, the verdicts say it all.
        results: What `GradeFilter` returned, nested however lm_eval's version nests repeats. Plain JSON text is
            read too: that is what lm_eval's sample log holds.

    Returns:
        Means over repeats. `score` and `score_paper` are left out where no verdict carries one, so a
        failed judgement never becomes a number; `coverage` says how many were scored. So are the
        benchmark's own measures.
    """
    texts = list(flat(results))
    graded = [_read(text) for text in texts]
    metrics: dict[str, Measure] = {
        "answered": fmean(map(_answered, texts, graded)),
        "truncated": fmean(one.truncated for one in graded),
        "coverage": fmean(one.status in SCORED for one in graded),
    }
    of_all: Mapping[str, Sequence[float | None]] = {
        "score": [one.score for one in graded],
        "score_paper": [one.paper for one in graded],
        "response_tokens": [one.tokens for one in graded],
        "unknown_markers": [one.marked for one in graded],
    }
    for metric, values in of_all.items():
        known = [value for value in values if value is not None]
        if known:
            metrics[metric] = fmean(known)
    for metric in dict.fromkeys(name for one in graded for name in one.measures):
        metrics[metric] = _mean([one.measures[metric] for one in graded if metric in one.measures])
    return metrics


def as_samples(results: Any) -> list[Sample]:
    """The graded responses to one document as diagnostics read them.

    Args:
        results: What `GradeFilter` returned for it, in the order of repeats.
    """
    return [text.sample for text in flat(results) if isinstance(text, GradedText)]


def records_of(results: Any) -> list[GenerationRecord]:
    """What was written down of the responses to one document.

    Args:
        results: What `GradeFilter` returned for it.
    """
    return [text.record for text in flat(results) if isinstance(text, GradedText) and text.record]


def lengths(response: Response, count: Callable[[str], int] | None) -> tuple[int | None, int | None]:
    """Tokens of the thinking, markers included, and of the answer.

    Only a response with both is counted again, by its answer, which is the shorter part.

    Args:
        response: The response.
        count: Counts the tokens of a text as the model does; None where no tokenizer is known.
    """
    if response.tokens is None:
        return None, None
    if response.think == "none":
        return 0, response.tokens
    if not response.answer:
        return response.tokens, 0
    if count is None:
        return None, None
    answer = min(count(response.answer), response.tokens)
    return response.tokens - answer, answer


def unknown_markers(responses: Sequence[Response], task: str) -> dict[str, int]:
    """What many responses begin with that looks like a marker of thinking, but was not read as one. Warns of it.

    Args:
        responses: The responses to a task.
        task: Its name.

    Returns:
        Marker to how many responses have it; empty if they are fewer than `MANY` of all.
    """
    found = Counter(marker for response in responses if (marker := unknown_marker(response)))
    if sum(found.values()) < MANY * len(responses) or not found:
        return {}
    [(marker, _)] = found.most_common(1)
    logger.warning(
        "%s: %d of %d responses begin with what may be an unknown marker of thinking, most often %r. If it is one, "
        "thinking was scored as the answer: name the markers with --metadata think_markers=OPENER,CLOSER "
        "(docs/tasks.md, Thinking)",
        task, sum(found.values()), len(responses), marker,
    )  # fmt: skip
    return dict(found.most_common(10))


def flat(results: Any) -> Iterator[str]:
    """The texts of one document, however lm_eval nests them."""
    if isinstance(results, str):
        yield results
    else:
        for result in results:
            yield from flat(result)


def _read(text: str) -> _Graded:
    if isinstance(text, GradedText):
        verdict, response = text.sample.verdict, text.sample.response
        return _Graded(
            verdict.status,
            verdict.score,
            verdict.paper,
            verdict.measures,
            response.truncated,
            response.tokens,
            text.marked,
        )
    said = json.loads(text)
    known = {name: said[name] for name in ("status", "score", "paper", "measures", "truncated", "tokens")}
    return _Graded(**known, marked=said.get("unknown_marker"))


def _answered(text: str, graded: _Graded) -> bool:
    """Whether there is an answer; where grader or judge failed, whether the response has an answer part."""
    if graded.status in SCORED:
        return graded.status in ANSWERED
    if isinstance(text, GradedText):
        response = text.sample.response
        return bool(response.answer) and response.think != "unclosed"
    return not graded.truncated  # a sample log does not hold the answer part


def _mean(values: Sequence[Measure]) -> Measure:
    rows = [value for value in values if isinstance(value, list)]
    return [fmean(column) for column in zip(*rows, strict=True)] if rows else fmean(values)  # type: ignore[arg-type]
