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
from sftgen_train.trajectory.pairing import Samples

SHARES = frozenset({"score", "paper", "truncated"})
"""Measures of a sample that lie between 0 and 1, whatever the benchmark."""
OUTSIDE = -1
"""Stands for the step of an evaluation outside of a training."""


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


@dataclass(frozen=True)
class TaskSamples:
    """The answers to one task of a run, before they are averaged.

    Attributes:
        run: The run's id.
        folder: Its folder.
        task: The task.
        samples: Every value.
        share: As of `TaskCurve`.
        ways: For each step, how it was evaluated: sampling_id, scorer, version.
        cautions: As of `TaskCurve`.
        failures: As of `TaskCurve`.
    """

    run: str
    folder: str
    task: str
    samples: Samples
    share: bool
    ways: Mapping[int, Mapping[str, Any]]
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
    found = []
    for of in load_samples(records, measure=measure, tasks=tasks):
        samples = of.samples
        curves = align(samples.values, samples.steps, clusters=samples.clusters, complete=complete)
        names = samples.documents[curves.kept]
        found.append(TaskCurve(of.run, of.folder, of.task, curves, names, of.share, of.cautions, of.failures))
    return found


def load_samples(
    records: Records, *, measure: str = "score", tasks: Collection[str] = (), outside: bool = False
) -> Iterator[TaskSamples]:
    """Read the answers of one run or several, task by task.

    Args:
        records: The runs.
        measure: As `load_curves`.
        tasks: As `load_curves`.
        outside: Whether an evaluation outside of a training counts, as the only step, -1, of a task that has no other.

    Raises:
        RecordError: The records cannot be read.
    """
    made = _made(records, outside=outside)
    cautions, failures = _cautions(made), _failures(records)
    for (run, folder, task), columns in _by_task(records, measure, outside=outside):
        if tasks and task not in tasks:
            continue
        values, steps, codes = stack(columns["doc_hash"], columns["step"], columns["value"], columns["repeat"])
        ways = made[folder, task]
        graders = {way["scorer"] for way in ways.values()}
        share = measure in SHARES and not (measure != "truncated" and graders & LOGITS)
        # A plugin's score may be anything: what is no share is not read as one.
        there = values[np.isfinite(values)]
        share = share and bool(((there >= 0) & (there <= 1)).all())
        names = np.asarray(columns["names"], dtype=object)[codes]
        samples = Samples(values, tuple(steps), names, _clusters(columns, codes))
        if len(steps) > 1 and steps[0] == OUTSIDE:
            samples, ways = samples.without(OUTSIDE), {step: way for step, way in ways.items() if step != OUTSIDE}
        said = (tuple(cautions[folder, task]), tuple(failures[folder, task]))
        yield TaskSamples(run, folder, task, samples, share, ways, *said)


def _by_task(records: Records, measure: str, *, outside: bool) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
    """The samples of each run and task as columns; documents and clusters as numbers."""
    table = records.values(measure, outside=outside).to_arrow().combine_chunks()
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


def _made(records: Records, *, outside: bool) -> _Made:
    """How each step of a task was evaluated."""
    found: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = defaultdict(dict)
    query = f"""SELECT folder, task, coalesce(step, {OUTSIDE}) AS step, min(sampling_id) AS sampling_id,
        min(scorer) AS scorer, min(evaluation_version) AS version FROM samples
        WHERE {outside or "step IS NOT NULL"} GROUP BY ALL ORDER BY ALL"""
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
            others = [str(step) for step, way in ways.items() if way != usual and step != OUTSIDE]
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
