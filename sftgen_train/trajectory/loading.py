"""The curves of a run: values of documents at steps, out of its records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.query import Records
from sftgen_judges.records.shares import SAFETY, is_share
from sftgen_train.trajectory.alignment import Curves, align, stack
from sftgen_train.trajectory.pairing import Samples

if TYPE_CHECKING:
    import pyarrow as pa

SHARES = frozenset({"score", "paper", "truncated"})
"""Measures of a sample that lie between 0 and 1, whatever the benchmark."""
OUTSIDE = -1
"""Stands for the step of an evaluation outside of a training."""
_MOST_TOLD = 2
"""So many steps are named one by one where nothing changes between them."""


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
class TaskSamples:
    """The answers to one task of a run, before they are averaged.

    Attributes:
        run: The run's id.
        folder: Its folder.
        task: The task.
        samples: Every value.
        share: As of `TaskCurve`.
        ways: How the samples of each step were made and graded: two steps with equal ways compare.
        cautions: As of `TaskCurve`.
        failures: The reason of each failed evaluation, by step.
        outside: Whether these are of an evaluation outside of a training only, see `part`.
        safety: Of a safety benchmark: on what its values rest, and what share of responses was answered and truncated.
    """

    run: str
    folder: str
    task: str
    samples: Samples
    share: bool
    ways: Mapping[int, Way]
    cautions: tuple[str, ...] = ()
    failures: Mapping[int, str] = field(default_factory=dict)
    outside: bool = False
    safety: str = ""

    @property
    def failed(self) -> tuple[str, ...]:
        """Steps of the training whose evaluation failed, one line each."""
        failed = ((step, reason) for step, reason in self.failures.items() if step != OUTSIDE)
        return tuple(f"evaluation failed at step {step}: {reason}" for step, reason in failed)

    def part(self, *, outside: bool) -> TaskSamples | None:
        """The steps of the training, or the evaluation outside of it; None without values."""
        if OUTSIDE not in self.samples.steps:
            samples = None if outside else self.samples
        elif outside:
            samples = self.samples.only(OUTSIDE)
        else:
            samples = self.samples.without(OUTSIDE) if len(self.samples.steps) > 1 else None
        if samples is None:
            return None
        ways = {step: way for step, way in self.ways.items() if (step == OUTSIDE) == outside}
        failures = {step: why for step, why in self.failures.items() if (step == OUTSIDE) == outside}
        return replace(self, samples=samples, ways=ways, failures=failures, outside=outside)


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
        found.append(TaskCurve(of.run, of.folder, of.task, curves, names, of.share, of.cautions, of.failed))
    return found


def load_samples(
    records: Records,
    *,
    measure: str = "score",
    tasks: Collection[str] = (),
    beside: Sequence[str] = (),
    outside: bool = False,
    shares: Collection[str] = SHARES,
) -> Iterator[TaskSamples]:
    """Read the answers of one run or several, task by task.

    Args:
        records: The runs.
        measure: As `load_curves`.
        tasks: As `load_curves`.
        beside: Further measures of the same answers, for example `truncated`.
        outside: Whether evaluations outside of a training are there too, as step -1, see `TaskSamples.part`.
        shares: Measures that lie between 0 and 1.

    Raises:
        RecordError: The records cannot be read.
    """
    for found in load_measures(records, (measure,), tasks=tasks, beside=beside, outside=outside, shares=shares):
        if measure in found:
            yield found[measure]


def load_measures(
    records: Records,
    measures: Sequence[str],
    *,
    tasks: Collection[str] = (),
    beside: Sequence[str] = (),
    outside: bool = False,
    shares: Collection[str] = SHARES,
) -> Iterator[Mapping[str, TaskSamples]]:
    """Read several measures of the answers of one run or several at once, task by task.

    The score of a safety benchmark is 1 less the attack success rate among answers that were judged: what was not
    answered, for example because it was truncated, is no part of it and is told beside it.

    Args:
        records: The runs.
        measures: As `measure` of `load_curves`; each is of the samples that have a number.
        tasks: As `load_samples`.
        beside: As `load_samples`.
        outside: As `load_samples`.
        shares: As `load_samples`.

    Returns:
        Of each task its measures by name; one that no sample has is absent.

    Raises:
        RecordError: The records cannot be read.
    """
    made, failed = _made(records, outside=outside), _failed(records, outside=outside)
    cautions = _cautions(made)
    of_answers = {"score", *SAFETY.values()} & set(measures)
    wanted = [*measures, *(("score", "truncated", *SAFETY.values()) if of_answers else ())]
    read = list(dict.fromkeys([*wanted, *beside]))
    found_by_task = _by_task(records, read, wanted=len(set(wanted)), outside=outside, tasks=tasks)
    for (run, folder, task), columns in found_by_task:
        ways = made[folder, task]
        safety = _safety_measure(columns, ways) if of_answers else None
        answered = _answered(columns, safety) if safety else ""
        if safety:
            columns["score"] = 1 - columns[safety]
        found = {}
        for measure in measures:
            samples = _samples(columns, measure, beside)
            if samples is None:
                continue
            graders = {way.grader for way in ways.values()}
            share = measure in shares and all(is_share(measure, grader) for grader in graders)
            # A plugin's score may be anything: what is no share is not read as one.
            there = samples.values[np.isfinite(samples.values)]
            share = share and bool(((there >= 0) & (there <= 1)).all())
            rests = answered if measure in of_answers else ""
            if rests and measure == "score":
                rests = f"its score is 1 less {safety} among answers: responses without an answer do not count; {rests}"
            told = (*cautions[folder, task], *filter(None, [rests]))
            found[measure] = TaskSamples(
                run, folder, task, samples, share, ways, told, failed[folder, task], safety=rests
            )
        yield found


def _samples(columns: Mapping[str, Any], measure: str, beside: Sequence[str]) -> Samples | None:
    """The samples that have a number; None where none has."""
    there = np.isfinite(columns[measure])
    if not there.any():
        return None
    if not there.all():
        columns = {name: values if name == "names" else values[there] for name, values in columns.items()}
    key = columns["doc_hash"], columns["step"]
    try:
        values, steps, codes = stack(*key, columns[measure], columns["repeat"])
    except ValueError as error:
        raise RecordError(
            f"samples of the run cannot be used: {error}. Delete its samples.parquet and samples.jsonl, then "
            "`sftgen rescore` makes them again"
        ) from error
    others = {name: stack(*key, columns[name], columns["repeat"])[0] for name in beside}
    names = np.asarray(columns["names"], dtype=object)[codes]
    return Samples(values, tuple(steps), names, _clusters(columns, codes), beside=others)


def _safety_measure(columns: Mapping[str, Any], ways: Mapping[int, Way]) -> str | None:
    """The measure on which a safety benchmark's verdict rests; None of other benchmarks."""
    of_grader = (SAFETY.get(way.grader or "") for way in ways.values())
    recorded = (name for name in SAFETY.values() if np.isfinite(columns[name]).any())
    return next(filter(None, [*of_grader, *recorded]), None)


def _answered(columns: Mapping[str, Any], safety: str) -> str:
    """What share of the graded responses has an answer at each step, and what share was truncated."""
    shares = {}
    for step in np.unique(columns["step"]):
        of = (columns["step"] == step) & np.isfinite(columns["score"])
        if step == OUTSIDE or not of.any():
            continue
        cut = columns["truncated"][of]
        known = f" ({np.nanmean(cut):.0%} truncated)" if np.isfinite(cut).any() else ""
        shares[step] = f"{np.isfinite(columns[safety][of]).mean():.0%}", known
    if len(shares) > _MOST_TOLD and len({*shares.values()}) == 1:
        share, known = next(iter(shares.values()))
        return f"answered: {share} at each of {len(shares)} steps{known}"
    told = ", ".join(f"{share} at step {step}{known}" for step, (share, known) in shares.items())
    return f"answered: {told}" if told else ""


def _by_task(
    records: Records, measures: Sequence[str], *, wanted: int, outside: bool, tasks: Collection[str]
) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
    """The samples of each run and task as columns, measures by name; documents and clusters as numbers.

    One task is in memory at a time.

    Args:
        records: The runs.
        measures: What is read.
        wanted: A sample is read where one of so many first measures has a number.
        outside: As `load_samples`.
        tasks: Only these tasks; all by default.
    """
    first, *others = measures
    of = records.values(first, beside=others, outside=outside, any_of=wanted)
    columns = dict(zip(measures, ("value", *(f"beside_{place}" for place in range(len(others)))), strict=True))
    numbers = {"step": "step", "repeat": "repeat", **columns}
    read = ", ".join(f'"{name}"' for name in ("doc_hash", "cluster", *numbers.values()))
    for row in records.sql("SELECT DISTINCT run, folder, task FROM all_samples ORDER BY folder, task").rows():
        if tasks and row["task"] not in tasks:
            continue
        which = {"folder": row["folder"], "task": row["task"]}
        query = f"SELECT {read} FROM ({of.query}) WHERE folder = $folder AND task = $task"
        table = records.sql(query, {**dict(of.parameters), **which}).to_arrow()
        if table.num_rows:
            found = {name: table[column].to_numpy() for name, column in numbers.items()}
            found["cluster"], _ = coded(table["cluster"])
            found["doc_hash"], names = coded(table["doc_hash"])
            yield (row["run"], row["folder"], row["task"]), {**found, "names": names}


def coded(column: pa.ChunkedArray) -> tuple[NDArray[Any], list[str]]:
    """Texts as numbers, and the text of each number; -1 is none.

    In the order of the texts, however they are stored: the same data give the same flips.
    """
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    ranks = np.append(np.argsort(order), -1).astype(np.int64)  # the last is that of a text that is not there
    codes = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    return ranks[codes], [texts[place] for place in order]


def _clusters(columns: Mapping[str, Any], documents: NDArray[Any]) -> NDArray[Any]:
    """A label for each document: its cluster's, or its own where it has none."""
    place = np.searchsorted(documents, columns["doc_hash"])
    labels = np.full(len(documents), -1, dtype=np.int64)
    known = columns["cluster"] >= 0  # an evaluation that names no clusters takes none away
    labels[place[known]] = columns["cluster"][known]
    alone = labels < 0
    labels[alone] = labels.max(initial=-1) + 1 + np.arange(alone.sum())
    return labels


_Made = Mapping[tuple[str, str], Mapping[int, Way]]


def _made(records: Records, *, outside: bool) -> _Made:
    """How each step of a task was evaluated."""
    found: dict[tuple[str, str], dict[int, Way]] = defaultdict(dict)
    query = f"""SELECT folder, task, coalesce(step, {OUTSIDE}) AS at_step, min(sampling_id) AS sampling_id,
        min(scorer) AS scorer, min(evaluation_version) AS version FROM samples
        WHERE {outside or "step IS NOT NULL"} GROUP BY ALL ORDER BY ALL"""
    for row in records.sql(query).rows():
        found[row["folder"], row["task"]][row["at_step"]] = Way(row["sampling_id"], row["scorer"], row["version"])
    return found


def _failed(records: Records, *, outside: bool) -> Mapping[tuple[str, str], Mapping[int, str]]:
    """Why evaluations of a task failed."""
    found: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    query = f"""SELECT folder, task, coalesce(step, {OUTSIDE}) AS at_step, max(reason) AS reason FROM metrics
        WHERE status <> 'ok' AND {outside or "step IS NOT NULL"} GROUP BY ALL ORDER BY at_step"""
    for row in records.sql(query).rows():
        found[row["folder"], row["task"]][row["at_step"]] = row["reason"] or "?"
    return found


def _cautions(made: _Made) -> Mapping[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, steps in made.items():
        for what, names in (
            ("with other sampling settings or another token limit", ("sampling",)),
            ("by another grader", ("grader", "version")),
        ):
            ways = {step: tuple(getattr(way, name) for name in names) for step, way in steps.items()}
            usual = Counter(ways.values()).most_common(1)[0][0]
            others = [str(step) for step, way in ways.items() if way != usual and step != OUTSIDE]
            if others:
                found[key].append(f"evaluated {what} than the other steps: step {', '.join(others)}")
    return found
