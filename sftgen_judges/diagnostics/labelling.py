"""Labels of responses: what is known is looked up by content, what is new is on disk as soon as it exists."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from math import isfinite
from typing import Any, TypeVar

from sftgen_judges.asking.ask import ask_model
from sftgen_judges.asking.settings import settings_for, with_options
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Answer, Batch, Diagnostic, Judge, Labels, Sample
from sftgen_judges.plugins.contracts.diagnosing import Ask
from sftgen_judges.records.columns import LABELS
from sftgen_judges.records.journal import clean, parsed, placed_rows
from sftgen_judges.records.schema import Response, content_hash
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.tables import PlacedRows

CHARACTERS = 1 << 17
"""Characters of text from which on a rule labels what it has: it gains nothing from more at once."""
ASKED_CHARACTERS = 4 << 20
"""Characters that a judge is asked about together, at most."""
ANSWERS = 256
"""Responses that are labelled together, at most."""
_AT_ONCE = 32  # rows of a rule that are written together

Row = dict[str, Any]
Of = TypeVar("Of")


class DiagnosticError(SftgenError):
    """A diagnostic that cannot go on; others can."""


@dataclass(frozen=True)
class Annotator:
    """Who labels: a rule, or a judge's model.

    Attributes:
        name: `rule`, or the model.
        identity: What a label depends on beside its text; empty for a rule.
        ask: Asks the model; None for a rule.
    """

    name: str = "rule"
    identity: Mapping[str, Any] = field(default_factory=dict)
    ask: Ask | None = None


def annotator_of(diagnostic: Diagnostic, options: Mapping[str, Any] | None = None) -> Annotator:
    """Who labels for a diagnostic.

    Args:
        diagnostic: The diagnostic.
        options: Settings of its judge, named `judge_<field>`.

    Raises:
        DiagnosticError: It needs a judge, and none is set.
        SettingsError: A setting cannot be used.
    """
    if "judge" not in diagnostic.needs:
        return Annotator()
    judge = Judge(
        diagnostic.name, diagnostic.version, scale=(0, 1), success=1, prompt=_never, read=_never, needs=("chat",),
        model=diagnostic.judge_model,
    )  # fmt: skip
    settings = settings_for(with_options(judge, options or {}))
    if settings.missing:
        raise DiagnosticError(f"needs a judge: {settings.missing}")
    return Annotator(settings.model or "", settings.identity, lambda requests: ask_model(settings, requests))


def _never(*_: Any) -> Any:
    raise AssertionError("a diagnostic asks by itself")


def answer_of(diagnostic: Diagnostic, sample: Sample, doc: Mapping[str, Any] | None = None, prompt: str = "") -> Answer:
    """What a diagnostic is shown of a sample: nothing that it does not need, so that labels depend on nothing else."""
    needs = diagnostic.needs
    response = sample.response if "text" in needs else replace(sample.response, text="", thinking="", answer="")
    return Answer(
        sample.task, response, sample.thinking_tokens, sample.answer_tokens,
        verdict=replace(sample.verdict, reason="", evidence={}) if "verdict" in needs else None,
        doc=dict(doc or {}) if "question" in needs else {},
        prompt=prompt if "prompt" in needs else "",
    )  # fmt: skip


def key_of(diagnostic: Diagnostic, answer: Answer, annotator: Annotator) -> str:
    """What is equal for two responses that get the same labels."""
    shown = clean({name: getattr(answer, name) for name in ("task", "thinking_tokens", "answer_tokens", "prompt")})
    verdict = clean(asdict(answer.verdict)) if answer.verdict else None
    return content_hash(
        diagnostic.name, diagnostic.version, shown, asdict(answer.response), verdict, dict(answer.doc),
        dict(annotator.identity),
    )  # fmt: skip


Labelled = tuple[Sample, Mapping[str, float] | None]
"""A sample, without its texts, with the numbers of its labels; None where there are none."""


def label_samples(
    run: RunFolder,
    diagnostic: Diagnostic,
    task: str,
    samples: Iterable[Sample],
    *,
    annotator: Annotator,
    seen: Callable[[Sample], tuple[Mapping[str, Any], str]] = lambda _: ({}, ""),
    numbers: bool = True,
) -> Iterator[Labelled]:
    """Label the responses to a task. Memory is that of some responses, however many there are.

    Args:
        run: Where labels are kept.
        diagnostic: The diagnostic, of level `sample`.
        task: The task.
        samples: The responses, with their texts if they are needed.
        annotator: Who labels.
        seen: The document of a sample and the prompt, if they are needed.
        numbers: Whether the numbers of labels that are known are read.

    Yields:
        The samples that it is about, each once.

    Raises:
        DiagnosticError: It failed. What it had labelled before is kept.
    """
    known = _Known(run, diagnostic, task, annotator)
    pairs: Iterator[tuple[Sample, Answer]]
    pairs = ((sample, answer_of(diagnostic, sample, *seen(sample))) for sample in samples)
    if diagnostic.of:
        pairs = (pair for pair in pairs if _is_of(diagnostic, pair[1]))
    if diagnostic.most is not None:
        pairs = _some_of_each_step(pairs, diagnostic.most)
    most = ASKED_CHARACTERS if annotator.ask else CHARACTERS
    for some in chunks(pairs, lambda pair: len(pair[1].response.text), most):
        keys = [key_of(diagnostic, answer, annotator) for _, answer in some]
        missing = {key: answer for key, (_, answer) in zip(keys, some, strict=True) if key not in known}
        places: dict[str, list[Sample]] = {}
        for key, (sample, _) in zip(keys, some, strict=True):
            places.setdefault(key, []).append(sample)
        for key in places.keys() - missing.keys():
            known.copy(key, places[key], numbers=numbers)
        order = list(missing)
        for position, labels in _labels(diagnostic, list(missing.values()), annotator):
            known.add(order[position], places[order[position]], labels)
        known.flush()
        for key, (sample, _) in zip(keys, some, strict=True):
            yield without_texts(sample), known.numbers.get(key)
        known.numbers.clear()
    run.compact_labels(diagnostic.name, task)


def without_texts(sample: Sample) -> Sample:
    """The sample without its texts."""
    return replace(sample, response=replace(sample.response, text="", thinking="", answer=""))


def _is_of(diagnostic: Diagnostic, answer: Answer) -> bool:
    assert diagnostic.of
    try:
        return bool(diagnostic.of(answer))
    except Exception as error:  # a plugin's
        raise DiagnosticError(f"`of` raised {type(error).__name__}") from error


def _some_of_each_step(pairs: Iterable[tuple[Sample, Answer]], most: int) -> Iterator[tuple[Sample, Answer]]:
    """At most so many of each step, chosen by hash: the same at each step, as far as they are there."""
    kept: dict[tuple[Any, ...], list[tuple[int, int, tuple[Sample, Answer]]]] = {}
    for place, pair in enumerate(pairs):
        sample = pair[0]
        heap = kept.setdefault((sample.step, sample.model, sample.sampling_id), [])
        by_chance = int(content_hash(sample.doc_hash, sample.repeat), 16)
        heapq.heappush(heap, (-by_chance, place, pair))
        if len(heap) > most:
            heapq.heappop(heap)
    for heap in kept.values():
        yield from (pair for _, _, pair in sorted(heap, reverse=True))


def chunks(things: Iterable[Of], size_of: Callable[[Of], int], most: int) -> Iterator[list[Of]]:
    """Things a few at a time: at most `ANSWERS`, and no more once their sizes reach `most`."""
    chunk: list[Of] = []
    size = 0
    for thing in things:
        chunk.append(thing)
        size += size_of(thing)
        if size >= most or len(chunk) >= ANSWERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _labels(diagnostic: Diagnostic, answers: Sequence[Answer], annotator: Annotator) -> Iterator[tuple[int, Labels]]:
    """A place and labels for each answer.

    Raises:
        DiagnosticError: The plugin raised, or gave something else.
    """
    if not answers:
        return
    left = dict.fromkeys(range(len(answers)))
    try:
        for given in diagnostic.diagnose(Batch(answers, annotator.ask)):
            place, labels = given if isinstance(given, tuple) else (next(iter(left)), given)
            if not isinstance(labels, Labels):
                raise DiagnosticError(f"gave {type(labels).__name__}, expected Labels")
            del left[place]
            yield place, checked(diagnostic, answers[place], labels)
            if not left:
                return
    except DiagnosticError:
        raise
    except SftgenError as error:
        raise DiagnosticError(str(error)) from error
    except Exception as error:  # a plugin's; its message may quote a response
        raise DiagnosticError(f"raised {type(error).__name__}") from error
    raise DiagnosticError(f"gave labels for {len(answers) - len(left)} of {len(answers)} responses")


def checked(diagnostic: Diagnostic, answer: Answer, labels: Labels) -> Labels:
    """The labels, or why they cannot be used: a number that is none, or a span that is not in the text."""
    if labels.failed:
        return Labels(failed=labels.failed[:200], evidence=labels.evidence)
    known = {measure.name for measure in diagnostic.measures} | {measure.per for measure in diagnostic.measures}
    if unknown := [name for name in labels.values if name not in known]:
        raise DiagnosticError(
            f"labels hold {', '.join(map(repr, unknown))}; its measures are {', '.join(sorted(filter(None, known)))}"
        )
    values = {}
    for name, value in labels.values.items():
        number = float(value)
        if not isfinite(number):
            return Labels(failed=f"{name} is no finite number", evidence=labels.evidence)
        values[name] = number
    for span in labels.spans:
        if not 0 <= span.start < span.end <= len(_part(answer.response, span.part)):
            return Labels(failed=f"a span of {span.label} is not in the text", evidence=labels.evidence)
    return replace(labels, values=values)


def _part(response: Response, part: str) -> str:
    return str(getattr(response, part))


_PLACE = ("step", "model", "sampling_id", "doc_hash", "repeat")


class _Known:
    """The labels of a diagnostic for one task: an index of its journal and its table, not their rows."""

    def __init__(self, run: RunFolder, diagnostic: Diagnostic, task: str, annotator: Annotator) -> None:
        self.run, self.diagnostic, self.task, self.annotator = run, diagnostic, task, annotator
        self.path = run.labels(diagnostic.name, task)
        self.numbers: dict[str, Mapping[str, float]] = {}
        self._held: list[Row] = []
        self._asked: dict[str, Row] = {}  # what a judge said in this process is not asked again
        self._index()

    def _index(self) -> None:
        """Find out what is known. The journal goes before the table: its rows are the later ones."""
        self._rows: dict[bytes, tuple[int, int]] = {}
        self._at: dict[bytes, bytes] = {}
        self._table = PlacedRows(self.path.with_suffix(".parquet"), LABELS)
        for number, row in self._table.every(("content", "failed", *_PLACE)):
            self._note(row, (-1, number))
        for place, length, row in placed_rows(self.path, LABELS) if self.path.exists() else ():
            self._note(row, (place, length))

    def _note(self, row: Mapping[str, Any], where: tuple[int, int]) -> None:
        if not row.get("failed") and isinstance(row.get("content"), str):
            content = _short(row["content"])
            self._rows[content] = where
            self._at[_short(repr(tuple(row.get(name) for name in _PLACE)))] = content

    def __contains__(self, key: str) -> bool:
        return _short(key) in self._rows or key in self._asked

    def copy(self, key: str, samples: Sequence[Sample], *, numbers: bool) -> None:
        """Take labels that are known, for these responses too."""
        elsewhere = [sample for sample in samples if self._at.get(_short(repr(_place(sample)))) != _short(key)]
        if not (elsewhere or numbers):
            return
        row = self._asked.get(key) or self._read(key)
        self.numbers[key] = {name: float(value) for name, value in (row.get("numbers") or {}).items()}
        for sample in elsewhere:
            self._hold({**row, **dict(zip(_PLACE, _place(sample), strict=True))}, at_once=False)

    def _read(self, key: str) -> Row:
        row = self._row(key)
        if row.get("content") != key:  # another process has compacted the journal since
            self._index()
            row = self._row(key)
        return row

    def _row(self, key: str) -> Row:
        place, length = self._rows.get(_short(key), (0, 0))
        try:
            if place < 0:
                return self._table.row(length)
            with self.path.open("rb") as file:
                file.seek(place)
                return parsed(file.read(length)) or {}
        except (FileNotFoundError, ValueError):
            return {}

    def add(self, key: str, samples: Sequence[Sample], labels: Labels) -> None:
        """Write new labels."""
        row = {
            "content": key, "diagnostic": self.diagnostic.name, "version": self.diagnostic.version,
            "annotator": self.annotator.name, "task": self.task,
            "numbers": dict(labels.values), "spans": [asdict(span) for span in labels.spans],
            "failed": labels.failed or None, "evidence": dict(labels.evidence) or None,
        }  # fmt: skip
        at_once = self.annotator.ask is not None
        if not labels.failed:
            self.numbers[key] = labels.values
            if at_once:
                self._asked[key] = row
        for sample in samples:
            self._hold({**row, **dict(zip(_PLACE, _place(sample), strict=True))}, at_once=at_once)

    def _hold(self, row: Row, *, at_once: bool) -> None:
        self._held.append(row)
        if at_once or len(self._held) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            self.run.append(self.path, self._held)
            self._held = []


def _short(text: str) -> bytes:
    """Sixteen bytes that stand for a text: an index of many rows stays small."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


def _place(sample: Sample) -> tuple[Any, ...]:
    return sample.step, sample.model, sample.sampling_id, sample.doc_hash, sample.repeat
