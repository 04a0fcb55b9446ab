"""What stands in the records of a pool, as candidates: one block of prompts at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sftgen_judges.plugins.contracts import Candidate
from sftgen_judges.records.markers import think_markers
from sftgen_judges.records.schema import GenerationRecord, Verdict, sampling_id
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.thinking import read_record
from sftgen_train.curation.configuration import Curation, CurationError
from sftgen_train.curation.pool.prompts import Documents
from sftgen_train.results.blocks import block_name

Key = tuple[int, int]
"""Place of a prompt in the pool, and which of its samples."""


@dataclass(frozen=True)
class Pool:
    """A pool whose responses stand.

    Attributes:
        curation: Its configuration.
        documents: Its prompts.
    """

    curation: Curation
    documents: Documents

    @property
    def run(self) -> RunFolder:
        """Its records."""
        return RunFolder(self.curation.folder)

    def block_of(self, place: int) -> int:
        """The block that a prompt is in."""
        return place // self.documents.block_size

    def candidates(self, number: int, wanted: Collection[Key] | None = None) -> Iterator[list[Candidate]]:
        """The candidates of each prompt of a block, in the order of the prompts and of their samples.

        Args:
            number: Which block.
            wanted: Only these; all by default. Prompts without one are left out.

        Raises:
            CurationError: A response of the block is not in the records.
        """
        docs = self.documents.read(number)
        first = number * self.documents.block_size
        places = {doc["id"]: first + place for place, doc in enumerate(docs)}
        samples = self._samples(number, places)
        chosen = samples.keys() if wanted is None else samples.keys() & set(wanted)
        records = self._records(number, {samples[key]["doc_hash"] for key in chosen})
        for place, doc in enumerate(docs, first):
            own = [(place, repeat) for repeat in range(self.curation.teacher.samples)]
            if not any(key in chosen for key in own):
                continue
            rate = _pass_rate([samples[key] for key in own if key in samples])
            yield [self._candidate(key, doc, samples[key], records, rate) for key in own if key in chosen]

    def _samples(self, number: int, places: Mapping[str, int]) -> dict[Key, dict[str, Any]]:
        rows = self.run.sample_rows(block_name(number))
        found = {(places[row["doc_id"]], row["repeat"]): row for row in rows if row.get("doc_id") in places}
        expected = len(places) * self.curation.teacher.samples
        if len(found) != expected:
            raise CurationError(
                f"{self.curation.folder}: {block_name(number)} has {len(found)} verified responses, expected "
                f"{expected}: run `sftgen curate` again"
            )
        return found

    def _records(self, number: int, hashes: Collection[str]) -> dict[tuple[Any, ...], GenerationRecord]:
        """The generations of some documents, by what their samples know of them."""
        task, run = block_name(number), self.run
        live = run.read_generations(task) if run.generations(task).exists() else ()
        read = chain(run.compacted_generations(task), live)
        return {
            (record.doc_hash, record.repeat, record.model, sampling_id(record.sampling)): record
            for record in read
            if record.doc_hash in hashes
        }

    def _candidate(
        self,
        key: Key,
        doc: Mapping[str, Any],
        sample: Mapping[str, Any],
        records: Mapping[tuple[Any, ...], GenerationRecord],
        pass_rate: float | None,
    ) -> Candidate:
        place, repeat = key
        record = records.get((sample["doc_hash"], repeat, sample.get("model"), sample.get("sampling_id")))
        if record is None:
            raise CurationError(
                f"{self.curation.folder}: sample {repeat} of prompt {doc['id']!r} was verified, but its text is not in "
                "the records; delete samples.parquet there and run `sftgen curate` again"
            )
        named = self.curation.teacher.think_markers
        return Candidate(
            place,
            repeat,
            doc,
            read_record(record, think_markers(named) if named else None, None),
            _verdict(sample),
            pass_rate,
            logprob=record.logprob,
            entropy=record.entropy,
            thinking_tokens=sample.get("thinking_tokens"),
            answer_tokens=sample.get("answer_tokens"),
        )


def _verdict(sample: Mapping[str, Any]) -> Verdict:
    reason, measures = sample.get("reason") or "", sample.get("measures") or {}
    return Verdict(sample["status"], sample.get("score"), sample.get("paper"), sample.get("answer"), reason, measures)


def _pass_rate(samples: list[dict[str, Any]]) -> float | None:
    scores = [sample["score"] for sample in samples if sample.get("score") is not None]
    return sum(score >= 1 for score in scores) / len(scores) if scores else None
