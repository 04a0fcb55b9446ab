"""The prompts of a pool: read, checked, and written as documents in blocks, once.

`documents/curate_00000.parquet` and so on hold what is asked, `documents/aside.jsonl` what is not, with the reason,
and `documents/prompts.json` the counts. Whatever is wrong with the source is told before anything is generated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Grader
from sftgen_judges.records.journal import append_rows, to_json, write_atomic
from sftgen_judges.records.schema import content_hash, doc_hash, well_formed
from sftgen_tasks import countdown
from sftgen_tasks.data.tables import SUFFIXES, DataError, stream_table
from sftgen_tasks.math.grading import INSTRUCTION
from sftgen_train.curation.configuration import Curation, CurationError, Prompts
from sftgen_train.curation.reading import local_files
from sftgen_train.curation.verifying import OF_MATHEMATICS, unusable_golds
from sftgen_train.results.blocks import block_name

FOLDER, SUMMARY, ASIDE = "documents", "prompts.json", "aside.jsonl"
_OWN = ("id", "question", "answer")
Row = dict[str, Any]


@dataclass(frozen=True)
class Documents:
    """The documents of a pool.

    Attributes:
        folder: The pool.
        counts: Rows of the source, what became of them, and what is asked.
        block_size: Documents of a block; the last has fewer.
        kinds: What each of the columns holds that are kept, in words.
        digest: Hash of all documents, in order.
    """

    folder: Path
    counts: Mapping[str, int]
    block_size: int
    kinds: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.counts["asked"] // self.block_size)

    def size(self, number: int) -> int:
        """Documents of a block."""
        return min(self.block_size, self.counts["asked"] - number * self.block_size)

    def read(self, number: int) -> list[Row]:
        """The documents of a block, in order."""
        return [{name: row[name] for name in _OWN} | json.loads(row["kept"]) for row in stream_table(self.path(number))]

    def path(self, number: int) -> Path:
        """The file of a block."""
        return self.folder / FOLDER / f"{block_name(number)}.parquet"


def asked(prompts: Prompts, question: str) -> str:
    """What the teacher is asked."""
    own = f"{{prompt}}\n{INSTRUCTION}" if prompts.grader in OF_MATHEMATICS else "{prompt}"
    return (prompts.ask or own).replace("{prompt}", question)


def prepare(curation: Curation) -> Documents:
    """Read the prompts and write them as documents, unless that was done before.

    Raises:
        DataError: They cannot be read, or a row cannot be used; the message names it.
        CurationError: The pool was begun with other prompts.
    """
    folder = curation.folder
    summary = folder / FOLDER / SUMMARY
    identity = {**curation.prompts.model_dump(mode="json"), "block": curation.block_size}
    if summary.exists():
        known = json.loads(summary.read_text())
        if changed := [name for name in identity if known["prompts"].get(name) != json.loads(to_json(identity))[name]]:
            raise CurationError(
                f"{folder}: was begun with other prompts ({', '.join(changed)} differ); name another folder as `out`"
            )
        return Documents(folder, known["counts"], curation.block_size, known["kinds"], known["digest"])
    made = _written(curation)
    facts = {"prompts": identity, "counts": made.counts, "kinds": made.kinds, "digest": made.digest}
    write_atomic(summary, to_json(facts, indent=1) + "\n")
    return made


def _written(curation: Curation) -> Documents:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = curation.folder / FOLDER
    source = _Source(curation.prompts)
    disputed = source.disputed  # reads all of it: a mistake in the last row is told before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ASIDE).unlink(missing_ok=True)
    counts: Counter[str] = Counter(
        dict.fromkeys(("rows", "same again", "disputed", "too long", "unusable", "asked"), 0)
    )
    documents = _usable(curation, source.documents(), disputed, counts, folder / ASIDE)
    written = Documents(curation.folder, counts, curation.block_size)
    digests: list[str] = []
    for number, block in enumerate(iter(lambda: list(islice(documents, curation.block_size)), [])):
        digests += map(doc_hash, block)
        rows = [{**{name: doc.pop(name) for name in _OWN}, "kept": to_json(doc)} for doc in block]
        beside = written.path(number).with_suffix(".part")
        pq.write_table(pa.Table.from_pylist(rows), beside, compression="zstd")
        beside.replace(written.path(number))
    if not counts["asked"]:
        raise DataError(f"{curation.prompts.source}: none of {counts['rows']} rows can be asked: {_told(counts)}")
    kinds = {name: source.kinds.get(name, ("nothing", 0))[0] for name in curation.prompts.keep}
    return replace(written, counts=dict(counts), kinds=kinds, digest=content_hash(digests))


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if name not in {"rows", "asked"} and count)


def _usable(
    curation: Curation, documents: Iterator[Row], disputed: set[str], counts: Counter[str], aside: Path
) -> Iterator[Row]:
    """The documents that can be asked and verified; the others are written aside."""
    grader, seen = curation.grader, set[str]()

    def leave(why: str, doc: Row, reason: str) -> None:
        counts[why] += 1
        append_rows(aside, [{"id": doc["id"], "why": why, "reason": reason}])

    while batch := list(islice(documents, 4096)):
        counts["rows"] += len(batch)
        asked_once = []
        for doc in batch:
            key = _key(doc["question"])
            if key in disputed:
                leave("disputed", doc, "the same question stands there with another right answer")
            elif key in seen:
                leave("same again", doc, "the same question and right answer stand there before")
            elif len(doc["question"]) > curation.prompts.longest:
                leave("too long", doc, f"{len(doc['question'])} characters; prompts.longest allows fewer")
            else:
                asked_once.append(doc)
            seen.add(key)
        for doc, reason in zip(asked_once, unusable(curation.prompts, grader, asked_once), strict=True):
            if reason:
                leave("unusable", doc, reason)
            else:
                counts["asked"] += 1
                yield doc


def unusable(prompts: Prompts, grader: Grader, docs: list[Row]) -> list[str]:
    """Why responses to each document cannot be verified; empty where they can."""
    if grader.unusable is None:
        return ["" if doc["answer"].strip() or not prompts.gold else "no right answer" for doc in docs]
    return unusable_golds(grader, [graded(grader.name, doc) for doc in docs])


def graded(grader: str, doc: Mapping[str, Any]) -> Row:
    """A document with the columns that a grader of ours reads under other names."""
    if grader in OF_MATHEMATICS:
        return {**doc, "problem": doc["question"], "solution": f"\\boxed{{{doc['answer']}}}"}
    return dict(doc)


def _key(question: str) -> str:
    return content_hash(question)[:24]


@dataclass
class _Source:
    """The rows of the source, checked as they are read; it is read twice."""

    prompts: Prompts
    kinds: dict[str, tuple[str, int]] = field(default_factory=dict)

    @cached_property
    def disputed(self) -> set[str]:
        """Questions that stand there with several right answers.

        Raises:
            DataError: An id stands for several questions.
        """
        golds: dict[str, str] = {}
        ids: dict[str, str] = {}
        disputed: set[str] = set()
        twice: list[str] = []
        for doc in self.documents():
            key = _key(doc["question"])
            gold = content_hash({name: value for name, value in doc.items() if name not in {"id", "question"}})[:24]
            gold = content_hash(doc["answer"])[:24] if self.prompts.gold else gold
            if golds.setdefault(key, gold) != gold:
                disputed.add(key)
            if ids.setdefault(doc["id"], key) != key:
                twice.append(doc["id"])
        if twice:
            shown = ", ".join(map(repr, twice[:3]))
            raise DataError(
                f"{self.prompts.source}: {len(twice)} rows have the id of another question, for example {shown}; "
                "name a column of different values as prompts.id, or none: then a hash of the question is the id"
            )
        return disputed

    def documents(self) -> Iterator[Row]:
        """Every row as a document.

        Raises:
            DataError: A row cannot be used; the message names it.
        """
        number = 0
        for number, row in enumerate(islice(self._rows(), self.prompts.first), 1):
            yield self._document(number, row)
        if not number:
            raise DataError(f"{self.prompts.source}: no rows")

    def _rows(self) -> Iterator[Row]:
        name = self.prompts.source
        if files := local_files(name):
            for path in files:
                yield from stream_table(path)
            return
        from datasets import load_dataset

        chosen = {"split": self.prompts.split, "revision": self.prompts.revision}
        try:
            found = load_dataset(name, self.prompts.subset, **chosen)
        except Exception as error:
            raise DataError(
                f"prompts.source {name!r}: neither a local file ({', '.join(SUFFIXES)}) nor a hub dataset that can be "
                f"loaded here ({type(error).__name__})"
            ) from error
        yield from found

    def _document(self, number: int, row: Mapping[str, Any]) -> Row:
        prompts = self.prompts
        named = {prompts.rename.get(name, name): value for name, value in row.items()}
        kept = {name: self._value(name, number, self._held(named, name, number)) for name in prompts.keep}
        gold = self._held(named, prompts.gold, number) if prompts.gold else ""
        question = self._question(named, kept, number)
        given = self._held(named, prompts.id, number) if prompts.id else None
        answer = "" if gold is None else well_formed(gold if isinstance(gold, str) else json.dumps(gold))
        return {
            "id": _key(question) if given is None else well_formed(str(given)),
            "question": question,
            "answer": answer,
            **kept,
        }

    def _question(self, row: Mapping[str, Any], kept: Mapping[str, Any], number: int) -> str:
        if self.prompts.prompt:
            question = self._held(row, self.prompts.prompt, number)
        elif countdown.unusable(kept):
            raise DataError(f"{self.prompts.source}, row {number}: no question, and {countdown.unusable(kept)}")
        else:
            question = countdown.question(kept["numbers"], kept["target"])
        if not isinstance(question, str) or not question.strip():
            found = "nothing" if not question else type(question).__name__
            where = f"column {self.prompts.prompt!r}"
            raise DataError(f"{self.prompts.source}, row {number}, {where}: expected a question, found {found}")
        return well_formed(question)

    def _held(self, row: Mapping[str, Any], name: str, number: int) -> Any:
        if name not in row:
            raise DataError(
                f"{self.prompts.source}, row {number}: no column {name!r}; found {', '.join(map(str, row))}"
            )
        return row[name]

    def _value(self, name: str, number: int, value: Any) -> Any:
        """A value that is kept: of one kind in all rows, so that each block of them is a table."""
        kind = _kind(value)
        before, where = self.kinds.setdefault(name, (kind, number)) if kind != "nothing" else (kind, number)
        if kind != before:
            raise DataError(
                f"{self.prompts.source}: column {name!r} holds {before} in row {where} and {kind} in row {number}; "
                "expected values of one kind"
            )
        return well_formed(value) if isinstance(value, str) else value


def _kind(value: Any) -> str:
    if value is None or value == []:
        return "nothing"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, list):
        kinds = sorted({_kind(one) for one in value} - {"nothing"})
        return f"a list of {' and '.join(kinds)}" if kinds else "nothing"
    names: dict[type, str] = {str: "text", int: "a whole number", float: "a number", dict: "an object"}
    return next((name for of, name in names.items() if isinstance(value, of)), type(value).__name__)
