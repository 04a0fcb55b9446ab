"""Selectors that look at the whole set: strata, budgets, shares of wrong responses, prompts of another set.

Each takes the table of what the steps before have left, one row a candidate, and gives it back in the same order. A
number that cannot be reached is an error that says how many there are; none is reached by taking a row twice.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Candidate, Made, Selector
from sftgen_judges.records.schema import content_hash
from sftgen_train.curation.selecting.selectors import Options

if TYPE_CHECKING:
    import pyarrow as pa


GRADED_RIGHT = "graded_right"
"""1 where a response was graded and is right, 0 where it is wrong."""


class SelectionError(SftgenError):
    """A set that cannot be made of this pool."""


class Strata(Options):
    """Rows by a column, for example its subject or its difficulty.

    Attributes:
        by: A column that the configuration keeps; or `pass_rate`, the difficulty for the teacher, in `bins` of equal
            width.
        rows: How many rows in all.
        shares: `equal`: as many rows of each value; `as in pool`: in the proportions of what is there.
        bins: How many strata `pass_rate` has.
    """

    by: str = Field(min_length=1)
    rows: int = Field(ge=1)
    shares: Literal["equal", "as in pool"] = "equal"
    bins: int = Field(default=4, ge=1)


class Other(Options):
    """A set of the same configuration that is made before this one.

    Attributes:
        of: Its name.
    """

    of: str = Field(min_length=1)


class Budget(Options):
    """How many tokens the responses have in all.

    Attributes:
        of: A set with so many tokens, made before; or
        tokens: their number.
    """

    of: str | None = None
    tokens: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_budget(self) -> Budget:
        if (self.of is None) == (self.tokens is None):
            raise ValueError("expected one of of and tokens")
        return self


class WrongShare(Options):
    """How many of the responses are wrong.

    Attributes:
        share: Share of rows whose response was graded and is wrong.
        rows: How many rows in all; as many as there can be, if none is given.
    """

    share: float = Field(ge=0, le=1)
    rows: int | None = Field(default=None, ge=1)


class Nested(Options):
    """How many rows: a larger set with the same seed holds every row of a smaller one.

    Attributes:
        rows: How many.
    """

    rows: int = Field(ge=1)


# ------------------------------------------------------------------------------ strata


def _stratified(table: pa.Table, options: Strata, rng: random.Random, made: Mapping[str, Made]) -> pa.Table:
    strata: dict[Any, list[int]] = defaultdict(list)
    for row, value in enumerate(table[options.by].to_pylist()):
        strata[_stratum(value, options)].append(row)
    strata.pop(None, None)
    wanted = _shares(options, {value: len(rows) for value, rows in strata.items()})
    short = {value: len(strata[value]) for value, rows in wanted.items() if rows > len(strata[value])}
    if short or not strata:
        found = ", ".join(f"{value}: {rows:,}, {wanted[value]:,} wanted" for value, rows in short.items())
        raise SelectionError(f"stratified by {options.by}: too few rows ({found or 'none has a value'}); ask for fewer")
    chosen = [row for value in sorted(strata, key=str) for row in rng.sample(strata[value], wanted[value])]
    return table.take(sorted(chosen))


def _stratum(value: Any, options: Strata) -> Any:
    if options.by != "pass_rate" or value is None:
        return value
    return min(int(value * options.bins), options.bins - 1)


def _shares(options: Strata, sizes: Mapping[Any, int]) -> dict[Any, int]:
    """Rows of each stratum; what is left by rounding goes to those that lack most, the first of equal ones."""
    total = sum(sizes.values())
    exact = {
        value: options.rows * (1 / len(sizes) if options.shares == "equal" else size / total)
        for value, size in sizes.items()
    }
    found = {value: int(rows) for value, rows in exact.items()}
    order = sorted(exact, key=lambda value: (found[value] - exact[value], str(value)))
    for value in order[: options.rows - sum(found.values())]:
        found[value] += 1
    return found


def _of_strata(options: Strata) -> Sequence[str]:
    return () if options.by == "pass_rate" else (options.by,)


# ------------------------------------------------------------------------------ in the measure of another set


def _other(made: Mapping[str, Made], name: str) -> Made:
    if name not in made:
        known = ", ".join(made) or "none"
        raise SelectionError(f"set {name!r} is not made yet; put it before this one (made before it: {known})")
    return made[name]


def _same_prompts(table: pa.Table, options: Other, rng: random.Random, made: Mapping[str, Made]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(sorted(set(_other(made, options.of).prompts)), pa.int64())
    return table.filter(pc.is_in(table["place"], value_set=wanted))


def _budget(table: pa.Table, options: Budget, rng: random.Random, made: Mapping[str, Made]) -> pa.Table:
    """Rows at random, each one that still fits: less than the tokens of the shortest row left out are missing."""
    lengths = table["tokens"].to_pylist()
    budget = options.tokens if options.of is None else _other(made, options.of).tokens
    if budget is None:
        raise SelectionError(f"set {options.of!r}: not all its responses have their tokens counted")
    if None in lengths:
        raise SelectionError(f"{lengths.count(None):,} rows have no count of tokens; no budget can be kept without")
    if sum(lengths) < budget:
        raise SelectionError(f"a budget of {budget:,} tokens; these {len(lengths):,} rows have {sum(lengths):,}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    chosen, left = [], budget
    for row in order:
        if lengths[row] <= left:
            chosen.append(row)
            left -= lengths[row]
    return table.take(sorted(chosen))


# ------------------------------------------------------------------------------ controls


def _rows_of_prompts(table: pa.Table) -> dict[int, dict[bool, list[int]]]:
    """The rows of each prompt, right and wrong ones."""
    found: dict[int, dict[bool, list[int]]] = {}
    pairs = zip(table["place"].to_pylist(), table[GRADED_RIGHT].to_pylist(), strict=True)
    for row, (place, right) in enumerate(pairs):
        found.setdefault(place, {True: [], False: []})[right == 1].append(row)
    return found


def _graded(candidates: Sequence[Candidate], options: WrongShare) -> Iterator[tuple[int, Mapping[str, float]]]:
    """A response that nobody graded is neither, and is left out."""
    for place, each in enumerate(candidates):
        if each.verdict.score is not None:
            yield place, {GRADED_RIGHT: float(each.right)}


def _wrong_share(table: pa.Table, options: WrongShare, rng: random.Random, made: Mapping[str, Made]) -> pa.Table:
    """One response a prompt, so many of them wrong.

    Prompts with right responses alone and with wrong ones alone are used first for what they have: those with both can
    stand for either.
    """
    prompts = _rows_of_prompts(table)
    places = sorted(prompts)
    rng.shuffle(places)
    alone = {side: [place for place in places if not prompts[place][not side]] for side in (True, False)}
    both = [place for place in places if prompts[place][True] and prompts[place][False]]
    sides = {side: len(alone[side]) + len(both) for side in (True, False)}
    rows = options.rows or _most_rows(options.share, len(places), sides)
    wrong = round(options.share * rows)
    if rows > len(places) or wrong > sides[False] or rows - wrong > sides[True]:
        raise SelectionError(
            f"{rows:,} rows with {wrong:,} wrong ones: of {len(places):,} prompts {sides[False]:,} have a wrong "
            f"response and {sides[True]:,} a right one"
        )
    chosen = []
    for side, count in ((False, wrong), (True, rows - wrong)):
        taken = alone[side][:count]
        taken += both[: count - len(taken)]
        both = both[len(taken) - min(count, len(alone[side])) :]
        chosen += [rng.choice(prompts[place][side]) for place in taken]
    return table.take(sorted(chosen))


def _most_rows(share: float, prompts: int, sides: Mapping[bool, int]) -> int:
    """The largest set with this share of wrong responses."""
    for rows in range(prompts, 0, -1):
        wrong = round(share * rows)
        if wrong <= sides[False] and rows - wrong <= sides[True]:
            return rows
    raise SelectionError(f"a share of {share} wrong responses: no set of these {prompts:,} prompts has it")


def _shuffled(table: pa.Table, options: None, rng: random.Random, made: Mapping[str, Made]) -> pa.Table:
    """Every prompt gets the response of another one: a rotation of all rows, those of one prompt side by side."""
    import pyarrow as pa

    places, repeats = table["answer_place"].to_pylist(), table["repeat"].to_pylist()
    groups: dict[int, list[int]] = {}
    for row, place in enumerate(table["place"].to_pylist()):
        groups.setdefault(place, []).append(row)
    shift = max(map(len, groups.values()), default=0)
    if 2 * shift > len(places):
        raise SelectionError(f"{len(groups):,} prompts cannot all get the response of another one")
    order = sorted(groups)
    rng.shuffle(order)
    rows = [row for place in order for row in groups[place]]
    source = dict(zip(rows, rows[shift:] + rows[:shift], strict=True))
    taken = [source[row] for row in range(len(places))]
    answers = pa.array([places[row] for row in taken], pa.int64())
    table = table.set_column(table.schema.get_field_index("answer_place"), "answer_place", answers)
    others = pa.array([repeats[row] for row in taken], pa.int32())
    table = table.set_column(table.schema.get_field_index("repeat"), "repeat", others)
    # The facts of a response go with it.
    for name in ("tokens", "characters", "right"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].take(pa.array(taken)))
    return table


def _nested(table: pa.Table, options: Nested, rng: random.Random, made: Mapping[str, Made]) -> pa.Table:
    salt = rng.getrandbits(64)
    keys = zip(table["id"].to_pylist(), table["repeat"].to_pylist(), strict=True)
    order = sorted((content_hash(salt, *key), row) for row, key in enumerate(keys))
    if len(order) < options.rows:
        raise SelectionError(f"{options.rows:,} rows: there are {len(order):,}")
    return table.take(sorted(row for _, row in order[: options.rows]))


STRATIFIED = Selector("stratified", 1, choose=_stratified, options=Strata, columns=_of_strata)
SAME_PROMPTS = Selector("same-prompts", 1, choose=_same_prompts, options=Other)
MATCH_TOKENS = Selector("match-tokens", 1, choose=_budget, options=Budget, needs=("tokens",))
WRONG_SHARE = Selector("wrong-share", 1, choose=_wrong_share, options=WrongShare, measure=_graded)
SHUFFLED = Selector("shuffled", 1, choose=_shuffled)
NESTED = Selector("nested", 1, choose=_nested, options=Nested)
