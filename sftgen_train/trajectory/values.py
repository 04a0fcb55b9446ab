"""The values of samples at steps with further measures beside them, before they are aligned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.records.query import Records
from sftgen_judges.records.shares import LOGITS
from sftgen_train.trajectory.alignment import Floats, stack
from sftgen_train.trajectory.loading import OUTSIDE
from sftgen_train.trajectory.loading import SHARES as OF_SAMPLES

SHARES = OF_SAMPLES | {"asr", "asr_4"}
"""Measures of a sample that lie between 0 and 1."""


@dataclass(frozen=True)
class Way:
    """How the samples of a step were made and graded.

    Attributes:
        sampling: Id of the generation settings, the token limit among them.
        grader: Name of the scorer.
        version: Of the benchmark's evaluation.
    """

    sampling: str | None
    grader: str | None
    version: int | None


@dataclass(frozen=True)
class TaskValues:
    """The samples of one task of a run, not aligned yet.

    Attributes:
        run: The run's id.
        folder: Its folder.
        task: The task.
        steps: Its steps.
        values: Documents x steps x repeats; NaN where there is no sample.
        documents: The hash of each document.
        clusters: The label of each document's cluster.
        beside: Further numbers of the samples by name, in the shape of `values`.
        ways: How the samples of each step were made and graded: two steps with equal ways compare.
        failures: The reason of each failed evaluation, by step.
        outside: Whether the samples are of an evaluation outside training; its step is given as 0.
    """

    run: str
    folder: str
    task: str
    steps: tuple[int, ...]
    values: Floats
    documents: NDArray[Any]
    clusters: NDArray[Any]
    beside: Mapping[str, Floats]
    ways: Mapping[int, Way]
    failures: Mapping[int, str]
    outside: bool = False

    def share(self, measure: str) -> bool:
        """Whether values lie between 0 and 1: the measure says so, and values beyond refute it."""
        graders = {way.grader for way in self.ways.values()}
        known = measure in SHARES and not (measure != "truncated" and graders & LOGITS)
        # A plugin's score may be anything: what is no share is not read as one.
        there = self.values[np.isfinite(self.values)]
        return known and bool(((there >= 0) & (there <= 1)).all())


def load_values(
    records: Records,
    *,
    measure: str = "score",
    tasks: Collection[str] = (),
    beside: Sequence[str] = (),
    outside: bool = False,
) -> Iterator[TaskValues]:
    """Read the samples of one run or several, task by task.

    Args:
        records: The runs.
        measure: As `sftgen_train.trajectory.loading.load_curves`.
        tasks: As `sftgen_train.trajectory.loading.load_curves`.
        beside: Further measures, for example `truncated`.
        outside: Only evaluations outside training, as step 0.

    Raises:
        RecordError: The records cannot be read.
    """
    made, failed = _made(records, outside), _failed(records, outside)
    for (run, folder, task), columns in _by_task(records, measure, beside, outside):
        if tasks and task not in tasks:
            continue
        key = columns["doc_hash"], columns["step"]
        values, steps, codes = stack(*key, columns["value"], columns["repeat"])
        others = {
            name: stack(*key, columns[f"beside_{place}"], columns["repeat"])[0] for place, name in enumerate(beside)
        }
        names = np.asarray(columns["names"], dtype=object)[codes]
        about = made[folder, task], failed[folder, task], outside
        yield TaskValues(run, folder, task, tuple(steps), values, names, _clusters(columns, codes), others, *about)


def _by_task(
    records: Records, measure: str, beside: Sequence[str], outside: bool
) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
    """The samples of each run and task as columns; documents and clusters as numbers."""
    table = records.values(measure, beside=beside, outside=outside).to_arrow().combine_chunks()
    if outside:
        table = table.filter(np.asarray(table["step"].to_numpy() == OUTSIDE))
    read = ("step", "repeat", "value", *(f"beside_{place}" for place in range(len(beside))))
    numbers = {name: table[name].to_numpy() for name in read}
    if outside:
        numbers["step"] = np.zeros_like(numbers["step"])
    coded: dict[str, NDArray[Any]] = {}
    names: list[str] = []
    for name in ("run", "folder", "task", "doc_hash", "cluster"):
        column = table[name].combine_chunks().dictionary_encode()
        coded[name] = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        if name == "doc_hash":
            # In the order of their hashes, however they are stored: the same data give the same flips.
            found = column.dictionary.to_pylist()
            order = sorted(range(len(found)), key=found.__getitem__)
            names = [found[place] for place in order]
            coded[name] = np.argsort(order)[coded[name]] if order else coded[name]
    labels = {name: table[name] for name in ("run", "folder", "task")}
    changes = np.flatnonzero(np.diff(coded["folder"]) | np.diff(coded["task"])) + 1
    for start, end in zip([0, *changes], [*changes, table.num_rows], strict=True):
        if end > start:
            part = {name: values[start:end] for name, values in (numbers | coded).items()}
            key = tuple(labels[name][int(start)].as_py() for name in labels)
            yield (key[0], key[1], key[2]), {**part, "names": names}


def _clusters(columns: Mapping[str, Any], documents: NDArray[Any]) -> NDArray[Any]:
    """A label for each document: its cluster's, or its own where it has none."""
    place = np.searchsorted(documents, columns["doc_hash"])
    labels = np.full(len(documents), -1, dtype=np.int64)
    labels[place] = columns["cluster"]
    alone = labels < 0
    labels[alone] = labels.max(initial=-1) + 1 + np.arange(alone.sum())
    return labels


def _made(records: Records, outside: bool) -> Mapping[tuple[str, str], dict[int, Way]]:
    """How each step of a task was evaluated."""
    found: dict[tuple[str, str], dict[int, Way]] = defaultdict(dict)
    query = f"""SELECT folder, task, coalesce(step, 0) AS at_step, min(sampling_id) AS sampling_id,
        min(scorer) AS scorer, min(evaluation_version) AS version FROM samples
        WHERE step {_there(outside)} GROUP BY ALL ORDER BY at_step"""
    for row in records.sql(query).rows():
        found[row["folder"], row["task"]][row["at_step"]] = Way(row["sampling_id"], row["scorer"], row["version"])
    return found


def _failed(records: Records, outside: bool) -> Mapping[tuple[str, str], dict[int, str]]:
    found: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    query = f"""SELECT folder, task, coalesce(step, 0) AS at_step, max(reason) AS reason FROM metrics
        WHERE status <> 'ok' AND step {_there(outside)} GROUP BY ALL ORDER BY at_step"""
    for row in records.sql(query).rows():
        found[row["folder"], row["task"]][row["at_step"]] = row["reason"] or "?"
    return found


def _there(outside: bool) -> str:
    return "IS NULL" if outside else "IS NOT NULL"
