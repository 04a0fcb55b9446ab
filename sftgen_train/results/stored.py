"""The answers of a run that are scored again: chosen by their keys, then read a few documents at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, overload

from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.evaluations import Asked, Origin, asked
from sftgen_judges.records.schema import GenerationRecord, sampling_id
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.thinking import read_record
from sftgen_tasks import Task

CHARACTERS = 16 << 20
"""Characters of text from which on documents are graded before more are read."""

Place = tuple[str, int]
"""Hash of a document, and which sample of it."""
Chunk = dict[str, list[GenerationRecord]]
"""The answers to some documents, by the documents' hashes, one a repeat."""


@dataclass
class Answers:
    """Answers to a task that belong together.

    Attributes:
        origin: What generated them.
        at: The time of the evaluation that they are of; None where they are of none.
        prompts: Which they are: hash of the prompt, by document and repeat.
        lost: How many answers of the evaluation are not there any more.
        lengths: Tokens of thinking and answer, as the model's tokenizer counted them.
    """

    origin: Origin
    at: str | None
    prompts: dict[Place, str]
    lost: int = 0
    lengths: dict[Place, tuple[int, int]] = field(default_factory=dict)

    @property
    def documents(self) -> set[str]:
        """The hashes of their documents."""
        return {document for document, _ in self.prompts}


@dataclass
class _Known:
    """What a run knows of the answers of one origin."""

    stored: dict[Place, dict[str, str | None]] = field(default_factory=lambda: defaultdict(dict))
    """Prompt to template, of what stands in the text table, in the order in which it came."""
    sampled: dict[Place, tuple[str | None, str | None]] = field(default_factory=dict)
    """Prompt and time of evaluation, of what was graded."""
    lengths: dict[Place, tuple[int, int]] = field(default_factory=dict)

    @property
    def last(self) -> str | None:
        """The time of the last evaluation that samples are of."""
        return max((at for _, at in self.sampled.values() if at is not None), default=None)


def find_answers(run: RunFolder, task: str, docs: Sequence[str], template: str | None) -> list[Answers]:
    """The answers of a run to a task: of every origin those that its last evaluation was about.

    Answers that were never part of an evaluation, of a run that was killed, are one more.

    Args:
        run: The run; it is compacted.
        task: The task.
        docs: The hashes of its documents, in their order.
        template: Hash of the chat template of the last evaluation.
    """
    known = _known(run, task)
    evaluations = asked(run, task)
    largest: dict[int | None, int] = {}
    for origin, of in known.items():
        largest[origin.step] = max(len(of.stored), largest.get(origin.step, 0))
    found = []
    for origin, of in known.items():
        about = evaluations.get(origin) or evaluations.get(origin._replace(sampling_id=None))
        # An evaluation of an older run does not name its model: it was about the answers to most documents.
        if about is None and len(of.stored) == largest[origin.step]:
            about = evaluations.get(Origin(origin.step, None, None))
        places, lost = _places(of, about, docs)
        at = about.at if about else of.last
        prompts = {place: _prompt(of, place, template) for place in places if place in of.stored}
        found.append(Answers(origin, at, prompts, lost, of.lengths))
    return found


def _known(run: RunFolder, task: str) -> dict[Origin, _Known]:
    known: dict[Origin, _Known] = defaultdict(_Known)
    shared: dict[str, str] = {}
    ids: dict[str, str] = {}
    for row in run.generation_keys(task):
        settings = repr(row["sampling"])
        if settings not in ids:
            ids[settings] = sampling_id(row["sampling"])
        of = known[Origin(row["step"], row["model"], ids[settings])]
        document = shared.setdefault(row["doc_hash"], row["doc_hash"])
        template = row.get("template_hash")
        prompts = of.stored[document, row["repeat"]]
        prompts.pop(row["prompt_hash"], None)
        prompts[row["prompt_hash"]] = template and shared.setdefault(template, template)
    for row in run.sample_keys(task):
        of = known[Origin.of(row)]
        place = (shared.setdefault(row["doc_hash"], row["doc_hash"]), row["repeat"])
        at = row.get("evaluated_at")
        of.sampled[place] = (row.get("prompt_hash"), at and shared.setdefault(at, at))
        if row.get("thinking_tokens") is not None and row.get("answer_tokens") is not None:
            of.lengths[place] = (row["thinking_tokens"], row["answer_tokens"])
    return known


def _places(of: _Known, about: Asked | None, docs: Sequence[str]) -> tuple[list[Place], int]:
    """Which answers the last evaluation was about, and how many of them are lost."""
    stored: dict[str, list[int]] = defaultdict(list)
    for document, repeat in of.stored:
        stored[document].append(repeat)
    last = of.last
    evaluated = {place for place, (_, at) in of.sampled.items() if at == last and at is not None}
    if about is None or about.docs is None or about.repeats is None:
        if evaluated:
            return sorted(evaluated), len(evaluated - of.stored.keys())
        if of.stored:
            repeats = min(map(len, stored.values()))
            return [(document, repeat) for document, held in stored.items() for repeat in sorted(held)[:repeats]], 0
        return [], len(of.sampled)
    sampled = {document for document, _ in evaluated}
    for documents in (sampled, stored.keys(), docs[: about.docs]):
        if len(documents) == about.docs and about.is_of(documents):
            asked_for = range(min(about.repeats, 1 + max((repeat for _, repeat in of.stored), default=0)))
            places = [(document, repeat) for document in documents for repeat in asked_for]
            return places, about.docs * about.repeats - sum(place in of.stored for place in places)
    places = [place for place in of.stored if place[1] < about.repeats]
    return places, max(about.docs * about.repeats - len(places), 1)


def _prompt(of: _Known, place: Place, template: str | None) -> str:
    """The prompt of the last evaluation, of those that a document was asked with."""
    prompts = of.stored[place]
    sampled, _ = of.sampled.get(place, (None, None))
    if sampled in prompts:
        return sampled
    with_template = [prompt for prompt, its in prompts.items() if its == template]
    return (with_template or list(prompts))[-1]


def chunks(run: RunFolder, task: str, answers: Sequence[Answers]) -> Iterator[dict[Origin, Chunk]]:
    """The texts of answers, so many documents at a time as hold `CHARACTERS`.

    Args:
        run: The run; its text table is sorted by document.
        task: The task.
        answers: Which.

    Raises:
        RecordError: The text table is not sorted by document.
    """
    chunk: dict[Origin, Chunk] = defaultdict(lambda: defaultdict(list))
    size, document = 0, ""
    read: set[str] = set()
    for record, origin in _records(run, task, answers):
        if record.doc_hash != document:
            if size >= CHARACTERS:
                yield chunk
                chunk = defaultdict(lambda: defaultdict(list))
                size = 0
            document = record.doc_hash
            if document in read:
                raise RecordError(
                    f"{run.generations(task).with_suffix('.parquet')}: expected rows that are sorted by document, as "
                    "sftgen writes them; another program wrote this file"
                )
            read.add(document)
        chunk[origin][document].append(record)
        size += len(record.text) + len(record.reasoning or "")
    if chunk:
        yield chunk


def _records(run: RunFolder, task: str, answers: Sequence[Answers]) -> Iterator[tuple[GenerationRecord, Origin]]:
    wanted = {found.origin: found.prompts for found in answers}
    for record in run.compacted_generations(task):
        origin = Origin(record.step, record.model, sampling_id(record.sampling))
        if wanted.get(origin, {}).get((record.doc_hash, record.repeat)) == record.prompt_hash:
            yield record, origin


@dataclass(frozen=True)
class WholeSamples(Sequence[Sample]):
    """Samples with their texts, which are read from disk as they are iterated over.

    Attributes:
        run: The run.
        task: The task, which knows how its responses are read.
        answers: Which answers.
        samples: The samples without their texts.
    """

    run: RunFolder
    task: Task
    answers: Answers
    samples: Mapping[Place, Sample]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        grading = self.task.grading
        for record, _ in _records(self.run, grading.task, [self.answers]):
            sample = self.samples.get((record.doc_hash, record.repeat))
            if sample:
                yield replace(sample, response=read_record(record, grading.markers, grading.think_prefilled))

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: Any) -> Any:
        """One sample, or some: the table is read up to there."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        for sample in islice(self, place, place + 1) if place >= 0 else ():
            return sample
        raise IndexError(index)
