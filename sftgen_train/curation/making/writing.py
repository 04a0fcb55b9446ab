"""A set written: its rows in shards, its manifest with every count from prompts to rows, its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.plugins.contracts import Candidate, Made, Workers
from sftgen_judges.records.journal import naming
from sftgen_train.curation.engines import HERE
from sftgen_train.curation.making.choosing import choose, rewritten
from sftgen_train.curation.making.rows import Row, row_of, schema_of
from sftgen_train.curation.pool.candidates import Key, Pool
from sftgen_train.curation.pool.generating import earlier_graders, grader_facts, teacher_identity
from sftgen_train.curation.selecting.recipes import Plan
from sftgen_train.curation.sets import MANIFEST, SetError, TrainingSet, read_manifest, write_set

if TYPE_CHECKING:
    import pyarrow as pa

SHARD = 2048
"""Rows of a shard, whatever blocks they come from: responses are long, and a shard is in memory as a whole."""
Part = list[tuple[int, int, int]]
"""The rows of a shard: place, repeat and place of the response."""


@dataclass(frozen=True)
class Written:
    """A set that stands.

    Attributes:
        name: Its name.
        made: The set.
        counts: Every count from prompts to rows.
        before: Whether it stood before.
    """

    name: str
    made: TrainingSet
    counts: Mapping[str, int]
    before: bool = False


def write(
    pool: Pool,
    name: str,
    made: dict[str, Made],
    *,
    crew: Workers = HERE,
    reverified: bool = False,
    done: Callable[[int], None] = lambda rows: None,
) -> Written:
    """Make a set of a pool and write it; one that stands is only read.

    Args:
        pool: The pool.
        name: The set, as the configuration has it.
        made: The sets before it; this one is added.
        crew: Who does the work.
        reverified: A set that was chosen by verdicts of an earlier version of the grader is moved aside.
        done: Told the rows of each shard that stands.

    Raises:
        SetError: Its folder holds something else.
        TooFewRowsError: The pool has fewer rows than it is to have.
    """
    plan, folder = pool.curation.plan(name), pool.curation.set_folder(name)
    recipe = {"pool": pool_facts(pool), **plan.to_dict()}
    if (folder / MANIFEST).exists() and not (reverified and _moved_aside(folder, recipe)):
        return _standing(pool, name, recipe, made)
    table, counts = choose(pool, name, made, crew)
    counts = {**pool.documents.counts, **counts}
    whole = write_set(
        folder,
        recipe,
        _parts(table),
        partial(rows_of, pool, name),
        shards=-(-len(table) // SHARD),
        card=card(pool, plan, counts),
        schema=schema_of(plan.form, pool.documents.kinds),
        facts={
            "teacher": teacher_facts(pool),
            "earlier_graders": earlier_graders(pool.run),
            "made_of": counts,
            **_matching(table),
        },
        crew=crew,
        done=done,
    )
    made[name] = _as_made(whole.rows, _matching(table))
    return Written(name, whole, counts)


def _standing(pool: Pool, name: str, recipe: Mapping[str, Any], made: dict[str, Made]) -> Written:
    folder = pool.curation.set_folder(name)
    facts = read_manifest(folder)
    if facts.get("recipe") != recipe:
        if earlier := _earlier_version(facts.get("recipe"), recipe):
            raise SetError(
                f"{folder}: its rows were chosen by verdicts of version {earlier} of the grader: --reverify writes it "
                "again, and keeps this one beside it"
            )
        raise SetError(f"{folder}: holds a finished set of another recipe; name another folder, or delete this one")
    made[name] = _as_made(facts["rows"], facts)
    whole = TrainingSet(folder, facts["rows"], facts["content_hash"], facts["counts"])
    return Written(name, whole, facts["made_of"], before=True)


def _moved_aside(folder: Path, recipe: Mapping[str, Any]) -> bool:
    """Rename the folder of a set that was chosen by verdicts of an earlier version; whether it was one."""
    earlier = _earlier_version(read_manifest(folder).get("recipe"), recipe)
    if earlier is None:
        return False
    aside = folder.with_name(f"{folder.name}.{recipe['pool']['grader']['name']}-{earlier}")
    if aside.exists():
        raise SetError(f"{aside}: is there already, and the set before this one goes there; rename it, or delete it")
    with naming(folder):
        folder.rename(aside)
    return True


def _earlier_version(known: Any, recipe: Mapping[str, Any]) -> int | None:
    """The version of the grader that a set was verified by, if that is all that tells its recipe from this one."""
    pool, now = known.get("pool") if isinstance(known, dict) else None, recipe["pool"]["grader"]
    if not isinstance(pool, dict) or {**known, "pool": {**pool, "grader": now}} != recipe:
        return None
    before = pool.get("grader")
    if not isinstance(before, dict) or before == now or before.get("name") != now["name"]:
        return None
    version = before.get("version")
    return version if isinstance(version, int) else None


def _matching(table: pa.Table) -> dict[str, Any]:
    """What later sets are matched with."""
    import pyarrow.compute as pc

    known = table["tokens"].null_count == 0
    tokens = pc.sum(table["tokens"]).as_py() if known else None
    return {"tokens": tokens, "prompts": pc.unique(table["place"]).to_pylist()}


def _as_made(rows: int, facts: Mapping[str, Any]) -> Made:
    return Made(rows, facts["tokens"], facts["prompts"])


def _parts(table: pa.Table) -> Iterator[Part]:
    for start in range(0, len(table), SHARD):
        part = table.slice(start, SHARD)
        yield list(zip(*(part[name].to_pylist() for name in ("place", "repeat", "answer_place")), strict=True))


def rows_of(pool: Pool, name: str, index: int, part: Part) -> list[Row]:
    """The rows of a shard. Any process may make them."""
    plan = pool.curation.plan(name)
    found = _responses(pool, [(answer, repeat) for _, repeat, answer in part])
    docs = _documents(pool, [place for place, _, _ in part])
    rows = []
    for place, repeat, answer in part:
        candidate = _rewritten(plan, found[answer, repeat], 0, plan.first_choice)
        if candidate and place != answer:
            candidate = replace(candidate, place=place, doc=docs[place])
        candidate = candidate and _rewritten(plan, candidate, plan.first_choice, len(plan.steps))
        if candidate is None:
            raise SetError(
                f"set {name!r}: a step after the choice leaves out the response to prompt {place}; put it before those "
                "that choose of the whole set"
            )
        rows.append(row_of(candidate, plan.form, pool.curation.prompts, plan.thinking))
    return rows


def _rewritten(plan: Plan, candidate: Candidate, first: int, end: int) -> Candidate | None:
    found: Candidate | None = candidate
    for step in plan.steps[first:end]:
        if step.selector.rewrite and found:
            found = rewritten(plan, step, found)
    return found


def _responses(pool: Pool, wanted: Sequence[Key]) -> dict[Key, Candidate]:
    by_block: dict[int, list[Key]] = {}
    for key in wanted:
        by_block.setdefault(pool.block_of(key[0]), []).append(key)
    return {
        (one.place, one.repeat): one
        for number, keys in by_block.items()
        for candidates in pool.candidates(number, keys)
        for one in candidates
    }


def _documents(pool: Pool, places: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    size = pool.documents.block_size
    return {
        number * size + place: doc
        for number in sorted({pool.block_of(place) for place in places})
        for place, doc in enumerate(pool.documents.read(number))
    }


def pool_facts(pool: Pool) -> dict[str, Any]:
    """What tells pools apart: the same prompts, teacher, sampling and grader make the same sets."""
    prompts = pool.curation.prompts.model_dump(mode="json") | {"source": shown(pool.curation.prompts.source)}
    prompts["sha256"] = pool.documents.digest
    return {"prompts": prompts, "teacher": teacher_facts(pool), "grader": grader_facts(pool.curation)}


def teacher_facts(pool: Pool) -> dict[str, Any]:
    """The teacher with its revision, its sampling and its id."""
    teacher = pool.curation.teacher
    known = pool.run.manifest()
    identity = known.get("model_id") or teacher_identity(teacher).id
    facts = teacher.model_dump(mode="json", exclude={"args", "base_url"})
    return {**facts, "model": shown(teacher.model), "id": identity}


def shown(name: str) -> str:
    """A name for others: of a path of this machine the last part, as whoever reads a set has not the rest."""
    path = Path(name)
    return path.name if path.is_absolute() or path.exists() else name


def card(pool: Pool, plan: Plan, counts: Mapping[str, int]) -> str:
    """What the card of a set says, as Markdown."""
    teacher = pool.curation.teacher
    sampling = teacher.sampling
    grader = grader_facts(pool.curation)
    before = "".join(f", before by version {one.get('version')}" for one in earlier_graders(pool.run)[-1:])
    revision = f" at `{teacher.revision}`" if teacher.revision else ""
    steps = ", ".join(f"`{step.selector.name}`" for step in plan.steps)
    rows = "".join(f"| {name} | {count:,} |\n" for name, count in counts.items())
    return (
        f"{plan.recipe.about}\n\n"
        f"* Prompts: `{shown(pool.curation.prompts.source)}`.\n"
        f"* Teacher: `{shown(teacher.model)}`{revision}, {teacher.samples} samples a prompt, "
        f"temperature {sampling.temperature}, top_p {sampling.top_p}, top_k {sampling.top_k}, min_p {sampling.min_p}, "
        f"at most {sampling.max_tokens:,} tokens, seed {teacher.seed}.\n"
        f"* Verified by `{grader['name']}`, version {grader['version']}{before}.\n"
        f"* Recipe `{plan.recipe.name}`, version {plan.recipe.version}: {steps}; seed {plan.seed}.\n\n"
        f"| from prompts to rows | |\n| --- | --- |\n{rows}"
    )
