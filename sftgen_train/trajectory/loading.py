"""The curves of a run: values of documents at steps, out of its records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.records.query import Records
from sftgen_judges.records.shares import LOGITS
from sftgen_train.trajectory.alignment import Curves, align, stack

SHARES = frozenset({"score", "paper", "truncated"})
"""Measures of a sample that lie between 0 and 1, whatever the benchmark."""


@dataclass(frozen=True)
class TaskCurve:
    """One task of a run.

    Attributes:
        run: The run's id.
        folder: Its folder.
        task: The task.
        curves: Its values, aligned.
        documents: The hash of each document of `curves`.
        share: Whether the values lie between 0 and 1: the measure says so, not the data.
        cautions: What a reader has to know first: steps that were evaluated in another way.
        failures: Steps whose evaluation failed.
    """

    run: str
    folder: str
    task: str
    curves: Curves
    documents: NDArray[Any]
    share: bool = True
    cautions: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


def load_curves(
    records: Records, *, measure: str = "score", tasks: Collection[str] = (), complete: bool = False
) -> list[TaskCurve]:
    """Read the curves of one run or several.

    Args:
        records: The runs.
        measure: What of a sample: `score`, `paper`, `truncated`, `tokens`, or a measure of a benchmark.
        tasks: Only these; all by default.
        complete: Whether documents that lack a repeat somewhere are left out, see `align`.

    Raises:
        RecordError: The records cannot be read.
    """
    made = _made(records)
    cautions, failures = _cautions(made), _failures(records)
    found = []
    for (run, folder, task), columns in _by_task(records, measure):
        if tasks and task not in tasks:
            continue
        values, steps, codes = stack(columns["doc_hash"], columns["step"], columns["value"], columns["repeat"])
        clusters = _clusters(columns, codes)
        curves = align(values, steps, clusters=clusters, complete=complete)
        names = np.asarray(columns["names"], dtype=object)[codes[curves.kept]]
        graders = {ways["scorer"] for ways in made[folder, task].values()}
        share = measure in SHARES and not (measure != "truncated" and graders & LOGITS)
        # A plugin's score may be anything: what is no share is not read as one.
        share = share and bool(((curves.values >= 0) & (curves.values <= 1)).all())
        said = (tuple(cautions[folder, task]), tuple(failures[folder, task]))
        found.append(TaskCurve(run, folder, task, curves, names, share, *said))
    return found


def _by_task(records: Records, measure: str) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
    """The samples of each run and task as columns; documents and clusters as numbers."""
    table = records.values(measure).to_arrow().combine_chunks()
    numbers = {name: table[name].to_numpy() for name in ("step", "repeat", "value")}
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


_Made = Mapping[tuple[str, str], Mapping[int, Mapping[str, Any]]]


def _made(records: Records) -> _Made:
    """How each step of a task was evaluated."""
    found: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = defaultdict(dict)
    query = """SELECT folder, task, step, min(sampling_id) AS sampling_id, min(scorer) AS scorer,
        min(evaluation_version) AS version FROM samples WHERE step IS NOT NULL GROUP BY ALL ORDER BY step"""
    for row in records.sql(query).rows():
        found[row["folder"], row["task"]][row["step"]] = row
    return found


def _cautions(made: _Made) -> Mapping[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, steps in made.items():
        for what, names in (
            ("with other sampling settings or another token limit", ("sampling_id",)),
            ("by another grader", ("scorer", "version")),
        ):
            ways = {step: tuple(row[name] for name in names) for step, row in steps.items()}
            usual = Counter(ways.values()).most_common(1)[0][0]
            others = [str(step) for step, way in ways.items() if way != usual]
            if others:
                found[key].append(f"evaluated {what} than the other steps: step {', '.join(others)}")
    return found


def _failures(records: Records) -> Mapping[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    failed = """SELECT folder, task, step, max(reason) AS reason FROM metrics
        WHERE status <> 'ok' AND step IS NOT NULL GROUP BY ALL ORDER BY step"""
    for row in records.sql(failed).rows():
        found[row["folder"], row["task"]].append(f"evaluation failed at step {row['step']}: {row['reason'] or '?'}")
    return found
