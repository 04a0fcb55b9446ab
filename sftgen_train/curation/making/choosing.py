"""The steps of a recipe: prompt by prompt, a block at a time, then over the whole set, as a table without texts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Candidate, Made, Workers
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.schema import content_hash
from sftgen_train.curation.engines import HERE
from sftgen_train.curation.pool.candidates import Pool
from sftgen_train.curation.selecting.recipes import Plan, Step

if TYPE_CHECKING:
    import pyarrow as pa

OWN = ("place", "repeat", "answer_place", "tokens", "characters", "right", "pass_rate", "id")


class TooFewRowsError(SftgenError):
    """A pool that has fewer rows than a set is to have."""


@dataclass(frozen=True)
class Kept:
    """What the steps that look at one prompt leave of a block.

    Attributes:
        table: One row a candidate, with the columns that `Selector.choose` names.
        counts: Responses of the block by what became of them, and what each step left.
    """

    table: pa.Table
    counts: Mapping[str, int]


def kept(pool: Pool, name: str, number: int) -> Kept:
    """Take a block through the steps that look at one prompt. Any process may do that.

    Args:
        pool: The pool.
        name: The set.
        number: Which block.
    """
    plan = pool.curation.plan(name)
    counts: Counter[str] = Counter()
    prompts: list[list[Candidate]] = []
    for candidates in pool.candidates(number):
        counts += _fates(candidates)
        prompts.append(candidates)
    for step in plan.steps[: plan.first_choice]:
        prompts = [left for left in _through(pool, plan, step, prompts, counts) if left]
        counts[f"step {step.number} {step.selector.name}: prompts"] += len(prompts)
        counts[f"step {step.number} {step.selector.name}: responses"] += sum(map(len, prompts))
    for step in plan.steps[plan.first_choice :]:
        if step.selector.choose and step.selector.measure:
            prompts = list(_measured(pool, step, prompts, counts))
    return Kept(_table([one for candidates in prompts for one in candidates], plan), dict(counts))


def _fates(candidates: Sequence[Candidate]) -> Counter[str]:
    fates: Counter[str] = Counter(prompts=1)
    for one in candidates:
        said = "not graded" if one.verdict.score is None else "right" if one.right else "not right"
        truncated, empty = one.response.truncated, not (one.response.answer or one.response.thinking)
        fates.update(["generated", said, *["truncated"] * truncated, *["empty"] * empty, *["finished"] * one.finished])
    return fates


def _through(
    pool: Pool, plan: Plan, step: Step, prompts: Sequence[Sequence[Candidate]], counts: Counter[str]
) -> Iterator[list[Candidate]]:
    if step.selector.measure:
        prompts = list(_measured(pool, step, prompts, counts))
    for candidates in prompts:
        if not candidates:
            yield []
        elif step.selector.select:
            rng = _rng(plan, step, candidates[0].doc["id"])
            yield list(step.selector.select(candidates, step.options, rng))
        else:
            yield [other for one in candidates if (other := rewritten(plan, step, one))]


def rewritten(plan: Plan, step: Step, candidate: Candidate) -> Candidate | None:
    """A candidate after a step that rewrites."""
    assert step.selector.rewrite
    return step.selector.rewrite(candidate, step.options, _rng(plan, step, candidate.doc["id"], candidate.repeat))


def _rng(plan: Plan, step: Step, *of: Any) -> random.Random:
    """Random numbers that depend on the seed, the step and the prompt alone."""
    return random.Random("/".join(map(str, (plan.seed, step.number, step.selector.name, *of))))


def _measured(
    pool: Pool, step: Step, prompts: Sequence[Sequence[Candidate]], counts: Counter[str]
) -> Iterator[list[Candidate]]:
    """Candidates with what a selector measures of them; those that it cannot measure are left out."""
    assert step.selector.measure
    journal = pool.run.path / "measures" / f"{step.selector.name}.jsonl"
    known = {row["key"]: row["numbers"] for row in read_rows(journal, valid=_is_measure)}
    candidates = [one for of_prompt in prompts for one in of_prompt]
    keys = [content_hash(step.to_dict(), one.doc["question"], one.response.text) for one in candidates]
    missing = [place for place, key in enumerate(keys) if key not in known]
    for position, numbers in step.selector.measure([candidates[place] for place in missing], step.options):
        key = keys[missing[position]]
        known[key] = dict(numbers)
        pool.run.append(journal, [{"key": key, "numbers": known[key]}])
    found = iter(keys)
    for of_prompt in prompts:
        with_numbers = [(one, known.get(next(found))) for one in of_prompt]
        counts["unmeasured"] += sum(numbers is None for _, numbers in with_numbers)
        yield [
            replace(one, measures={**one.measures, **numbers}) for one, numbers in with_numbers if numbers is not None
        ]


def _is_measure(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("key"), str) and isinstance(row.get("numbers"), dict)


def _table(candidates: Sequence[Candidate], plan: Plan) -> pa.Table:
    import pyarrow as pa

    columns = sorted(plan.columns - {"id"})
    measures = sorted({name for one in candidates for name in one.measures})
    kinds = {"pass_rate": pa.float64(), "right": pa.bool_(), "id": pa.string(), "repeat": pa.int32()}
    fields = [(name, kinds.get(name, pa.int64())) for name in OWN]
    fields += [(name, pa.string()) for name in columns] + [(name, pa.float64()) for name in measures]
    rows = [
        {
            "place": one.place,
            "repeat": one.repeat,
            "answer_place": one.place,
            "tokens": one.response.tokens,
            "characters": len(one.response.thinking) + len(one.response.answer),
            "right": one.right,
            "pass_rate": one.pass_rate,
            "id": one.doc["id"],
            **{name: None if one.doc.get(name) is None else str(one.doc[name]) for name in columns},
            **one.measures,
        }
        for one in candidates
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def choose(pool: Pool, name: str, made: Mapping[str, Made], crew: Workers = HERE) -> tuple[pa.Table, dict[str, int]]:
    """Take a whole pool through all steps of a set.

    Args:
        pool: The pool.
        name: The set.
        made: The sets that were made before.
        crew: Who looks at blocks; a step that measures does so in this process.

    Returns:
        The rows of the set, as `Kept.table`, and the counts of all blocks and steps.

    Raises:
        TooFewRowsError: There are fewer than the set is to have.
    """
    import pyarrow as pa

    plan = pool.curation.plan(name)
    measures = any(step.selector.measure for step in plan.steps)
    counts: Counter[str] = Counter()
    tables = []
    for block in (HERE if measures else crew).map(partial(kept, pool, name), range(pool.documents.blocks)):
        tables.append(block.table)
        counts.update(block.counts)
    table = pa.concat_tables(tables, promote_options="default")
    for step in plan.steps[plan.first_choice :]:
        if step.selector.choose:
            table = _checked(step, table, step.selector.choose(table, step.options, _rng(plan, step), made))
            counts[f"step {step.number} {step.selector.name}: responses"] = len(table)
    if plan.rows is not None:
        if len(table) < plan.rows:
            raise TooFewRowsError(
                f"set {name!r}: the steps leave {len(table):,} rows, {plan.rows:,} are asked for: set `rows` to fewer, "
                "or ask for more samples or prompts"
            )
        places = sorted(random.Random(f"{plan.seed}/rows").sample(range(len(table)), plan.rows))
        table = table.take(pa.array(places, pa.int64()))
    if not len(table):
        raise TooFewRowsError(f"set {name!r}: the steps leave no row: {told(counts)}")
    counts["selected"] = len(table)
    return table, dict(counts)


def told(counts: Mapping[str, int]) -> str:
    """Counts in one line."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _checked(step: Step, before: pa.Table, after: Any) -> pa.Table:
    """What a plugin's step has chosen, if it is a table of rows that were there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    where = f"selector {step.selector.name!r}"
    if not isinstance(after, pa.Table) or not {"place", "repeat", "answer_place"} <= set(after.column_names):
        raise SftgenError(f"{where}: expected a table with the columns that it was given")
    for name in ("place", "answer_place"):
        if not pc.all(pc.is_in(after[name], before["place"].combine_chunks())).as_py() and len(after):
            raise SftgenError(f"{where}: column {name!r} holds prompts that were not there")
    return after
