"""A policy applied to run directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sftgen_judges.records.query import Records, open_records
from sftgen_tasks.harness.catalogue import shipped
from sftgen_tasks.harness.categories import SAFETY
from sftgen_train.gating.decision import Decision, Pairs, decide
from sftgen_train.gating.policy import PREFIX, Policy, PolicyError, Rule, read_policy
from sftgen_train.report.categories import category_in
from sftgen_train.report.trajectories import end_unknown, last_step, mapping
from sftgen_train.trajectory import align
from sftgen_train.trajectory.alignment import Floats, Integers
from sftgen_train.trajectory.loading import OUTSIDE, SHARES, TaskSamples, Way, load_samples

ATTACKS = frozenset({"asr", "asr_4"})
"""Further measures of a sample that lie between 0 and 1."""


@dataclass(frozen=True)
class _Side:
    """A run that is compared.

    Attributes:
        records: Its records.
        folder: Its folder.
        tasks: The tasks that it holds samples of.
        goes_on: How far it is, if it is not finished.
        end_unknown: That nobody knows whether it is; empty otherwise.
        safety: Those of the tasks that are about safety.
    """

    records: Records
    folder: Path
    tasks: frozenset[str]
    goes_on: str
    end_unknown: str
    safety: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> _Side:
        records = open_records(folder)
        names = [row["task"] for row in records.sql("SELECT DISTINCT task FROM samples").rows()]
        [row] = records.runs.rows()
        found = records.sql("SELECT max(step) AS step FROM samples").rows()[0]["step"]
        manifest = mapping(row["manifest"])
        planned = last_step(manifest, folder)
        goes_on = planned is not None and found is not None and found < planned
        unknown = end_unknown(manifest, folder, found) if found is not None else ""
        safety = tuple(sorted(name for name in names if category_in(name, manifest) == SAFETY))
        return cls(records, folder, frozenset(names), f"step {found} of {planned}" if goes_on else "", unknown, safety)

    def values(self, measure: str) -> dict[str, TaskSamples]:
        """Samples by task; of a run without steps those of its evaluations outside training, as step 0."""
        loaded = list(load_samples(self.records, measure=measure, outside=True, shares=SHARES | ATTACKS))
        found = {each.task: each for of in loaded if (each := of.part(outside=False))}
        return found or {each.task: _as_step_0(each) for of in loaded if (each := of.part(outside=True))}


def _as_step_0(of: TaskSamples) -> TaskSamples:
    """An evaluation outside training, as policies name it."""
    samples = replace(of.samples, steps=(0,))
    ways, failures = {0: of.ways[OUTSIDE]}, {0: of.failures[OUTSIDE]} if of.failures else {}
    return replace(of, samples=samples, ways=ways, failures=failures)


def gate(policy: Path, run: Path, against: Path | None = None, *, seed: int = 0) -> Decision:
    """Decide whether a run keeps what a policy asks.

    Args:
        policy: The policy file.
        run: The run directory that is judged.
        against: The run that it is compared with; by default its own base.
        seed: Of the random flips.

    Raises:
        PolicyError: The policy has mistakes.
        RecordError: A run cannot be read.
    """
    side, other = _Side.of(run), _Side.of(against) if against else None
    known = {*shipped()[0], *side.tasks, *(other.tasks if other else ())}
    asked = read_policy(policy, known)
    loaded: dict[str, tuple[dict[str, TaskSamples], dict[str, TaskSamples] | None]] = {}
    pairs = {}
    for name, rule in asked.benchmarks.items():
        if rule.measure not in loaded:
            loaded[rule.measure] = side.values(rule.measure), other.values(rule.measure) if other else None
        mine, theirs = loaded[rule.measure]
        pairs[name] = _pairs(asked, rule, _named(mine, name), None if theirs is None else _named(theirs, name), side)
        if rule.max_drop > 1 and pairs[name].share and len(pairs[name].changes):
            raise PolicyError(
                f"policy {str(policy)!r}: {name}.max_drop is {rule.max_drop:g}, and {rule.measure!r} lies between 0 "
                "and 1: 0.02 is 2 points of 100"
            )
    decision = decide(asked.benchmarks, pairs, seed=seed)
    judged = {name.removeprefix(PREFIX) for name in asked.benchmarks}
    if side.safety and judged.isdisjoint(name.removeprefix(PREFIX) for name in side.safety):
        told = f"safety is not judged: the run has {', '.join(side.safety)}, the policy names no such benchmark"
        return replace(decision, why=f"{decision.why}; {told}")
    return decision


def _named(values: Mapping[str, TaskSamples], name: str) -> TaskSamples | str:
    plain = name.removeprefix(PREFIX)
    return next((each for task, each in values.items() if task.removeprefix(PREFIX) == plain), "not evaluated")


def _nothing(why: str) -> Pairs:
    return Pairs((), (), np.zeros((0, 0)), np.zeros(0, dtype=np.int64), open=why)


def _pairs(policy: Policy, rule: Rule, mine: TaskSamples | str, theirs: TaskSamples | str | None, side: _Side) -> Pairs:
    """The paired differences of a benchmark; what cannot be compared says why."""
    if isinstance(mine, str):
        return _nothing(f"{mine} in {side.folder.name} (measure {rule.measure!r})")
    if isinstance(theirs, str):
        return _nothing(f"{theirs} in the run that it is compared with (measure {rule.measure!r})")
    steps = _judged(policy, mine, theirs, side)
    if isinstance(steps, str):
        return _nothing(steps)
    other = theirs or mine
    for of, named in ((mine, steps[0]), (other, steps[1])):
        if missing := [step for step in named if step not in of.samples.steps]:
            failed = f": {of.failures[missing[0]]}" if missing[0] in of.failures else ""
            return _nothing(f"no value at step {missing[0]}{failed}")
    found = _differences(mine, other, *steps)
    apart = [what for what in (_apart(mine, other, *each) for each in zip(*steps, strict=True)) if what]
    rests = [*filter(None, [mine.safety, f"compared with: {theirs.safety}" if theirs and theirs.safety else ""])]
    unknown = [side.end_unknown] if side.end_unknown and not isinstance(policy.steps, list) else []
    said = [*found.cautions, *dict.fromkeys(apart), *rests, *unknown]
    changes = -found.changes if rule.better == "lower" else found.changes
    share = mine.share and other.share
    refused = apart[0] if apart and policy.other_settings == "refuse" else ""
    return replace(found, changes=changes, share=share, cautions=tuple(said), open=refused)


def _judged(
    policy: Policy, mine: TaskSamples, theirs: TaskSamples | None, side: _Side
) -> tuple[tuple[int, ...], tuple[int, ...]] | str:
    """The judged steps with those that they are compared with, or why there are none."""
    if side.goes_on and not isinstance(policy.steps, list):
        return f"the run goes on ({side.goes_on}): its end is not known; name steps to judge them now"
    if policy.steps == "last":
        last = _last_of_run(side, mine)
        if mine.samples.steps[-1] < last:
            failed = mine.failures.get(last)
            return f"not evaluated at the last step, {last}" + (f": {failed}" if failed else "")
        chosen: Sequence[int] = mine.samples.steps[-1:]
    else:
        chosen = mine.samples.steps if policy.steps == "all" else sorted(set(policy.steps))
    if theirs is None:
        chosen = [step for step in chosen if step != policy.base]
        if not chosen:
            return f"no step beside the base, step {policy.base}"
        return tuple(chosen), (policy.base,) * len(chosen)
    if len(theirs.samples.steps) == 1 or policy.steps == "last":
        return tuple(chosen), theirs.samples.steps[-1:] * len(chosen)
    if policy.steps == "all" and len(chosen) > 1:
        # Of two runs from one base the base itself says nothing.
        chosen = [step for step in chosen if step != policy.base]
    return tuple(chosen), tuple(chosen)


def _last_of_run(side: _Side, mine: TaskSamples) -> int:
    if mine.outside:
        return mine.samples.steps[-1]
    found = side.records.sql("SELECT max(step) AS step FROM samples").rows()[0]["step"]
    return max(int(found), *mine.samples.steps, *mine.failures)


def _differences(mine: TaskSamples, other: TaskSamples, steps: Sequence[int], against: Sequence[int]) -> Pairs:
    one, two = mine.samples, other.samples
    own = [(one, step) for step in steps]
    bases = list(dict.fromkeys(against))
    shared, first, second = np.intersect1d(one.documents, two.documents, return_indices=True)
    columns = [(of, step, first) for of, step in own] + [(two, step, second) for step in bases]
    deepest = max(one.values.shape[2], two.values.shape[2])
    values = np.full((len(shared), len(columns), deepest), np.nan)
    for place, (of, step, rows) in enumerate(columns):
        values[:, place, : of.values.shape[2]] = of.values[rows, of.steps.index(step)]
    curves = align(values, range(len(columns)), clusters=None if one.clusters is None else one.clusters[first])
    cautions = [f"{entry.count} {entry.what} left out ({entry.why})" for entry in curves.left_out]
    lost = max(len(one.documents), len(two.documents)) - len(shared)
    if lost:
        cautions.append(f"{lost} documents are not in both runs")
    if len(curves.steps) < len(columns):
        return replace(_nothing(""), steps=tuple(steps), against=tuple(against), cautions=tuple(cautions))
    base = [len(own) + bases.index(step) for step in against]
    changes: Floats = curves.values[:, : len(own)] - curves.values[:, base]
    clusters: Integers = curves.clusters
    return Pairs(
        tuple(steps), tuple(against), changes, clusters, cautions=tuple(cautions), baseline=curves.values[:, base]
    )


def _apart(mine: TaskSamples, other: TaskSamples, step: int, against: int) -> str:
    """How two sides were made or graded in different ways."""
    one, two = mine.ways.get(step), other.ways.get(against)
    if one is None or two is None or one == two:
        return ""
    if (one.grader, one.version) != (two.grader, two.version):
        return f"graded otherwise: {_grader(one)} at step {step}, {_grader(two)} at step {against}"
    return f"other sampling settings or another token limit at step {step} than at step {against} of the baseline"


def _grader(way: Way) -> str:
    return f"{way.grader} (evaluation version {way.version})"
