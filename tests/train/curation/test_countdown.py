"""Countdown by the million, against a solver that shares no code with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftgen_judges.records.thinking import split_thinking
from sftgen_tasks import countdown
from sftgen_train.curation.countdown.difficulty import levels_of
from sftgen_train.curation.countdown.kinds import LEVELS, CountdownError, Kind
from sftgen_train.curation.countdown.puzzles import is_test, make_puzzles
from sftgen_train.curation.countdown.rows import Recipe, rows_of
from sftgen_train.curation.countdown.traces import STYLES, search


def reachable(values: tuple[Fraction, ...]) -> Iterator[Fraction]:
    """Everything that can be made of all values, by trying all."""
    if len(values) == 1:
        yield values[0]
    for i, j in permutations(range(len(values)), 2):
        rest = tuple(value for place, value in enumerate(values) if place not in (i, j))
        a, b = values[i], values[j]
        for result in (a + b, a - b, a * b, *([a / b] if b else [])):
            yield from reachable((*rest, result))


def level_of(numbers: list[int], target: int) -> str:
    """The level as the docs state it, by writing every expression of a form as text and evaluating it."""
    if target in _values(_sums(numbers)):
        return "sum"
    if target in _values(_factored(numbers, single=True)):
        return "product"
    return "bracket" if target in _values(_factored(numbers, single=False)) else "nested"


def _sums(numbers: list[int]) -> Iterator[str]:
    for signs in product("+-", repeat=len(numbers)):
        yield "0" + "".join(f"{sign}{number}" for sign, number in zip(signs, numbers, strict=True))


def _factored(numbers: list[int], *, single: bool) -> Iterator[str]:
    places = range(len(numbers))
    for size in range(2, len(numbers) + 1):
        for inside in combinations(places, 2 if single else size):
            for cut in range(1, len(inside)):
                for left in combinations(inside, cut):
                    right = [numbers[place] for place in inside if place not in left]
                    rest = [numbers[place] for place in places if place not in inside]
                    for a, b in product(_sums([numbers[place] for place in left]), _sums(right)):
                        for operator, sum_of_rest in product("*/", _sums(rest)):
                            yield f"({a}){operator}({b})+({sum_of_rest})"


def _values(expressions: Iterator[str]) -> Iterator[Fraction]:
    for expression in expressions:
        try:
            yield eval(re.sub(r"(\d+)", r"Fraction(\1)", expression), {"Fraction": Fraction})
        except ZeroDivisionError:
            continue


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_every_puzzle_has_the_solution_it_was_made_from(count: int) -> None:
    blocks = list(make_puzzles(200, seed=count, kind=Kind(counts=(count,))))
    rows = [row for block in blocks for row in block.rows()]
    assert len(rows) == 200
    for numbers, target, plan, _ in rows:
        found = search(numbers, target, plan, "none")
        value, used = countdown.evaluate(found.solution)
        assert (value, sorted(used)) == (target, sorted(numbers))
        assert target not in numbers


@settings(max_examples=25, deadline=None)
@given(numbers=st.lists(st.integers(1, 13), min_size=3, max_size=4), target=st.integers(1, 60))
def test_the_level_is_that_of_the_simplest_of_all_solutions(numbers: list[int], target: int) -> None:
    level = LEVELS[levels_of(np.array([numbers]), np.array([target]))[0]]
    assert level == level_of(numbers, target)


def test_a_made_puzzle_is_solvable_by_trying_all() -> None:
    (block,) = make_puzzles(12, seed=5, kind=Kind(counts=(4,), whole=False, levels=("nested",)))
    for numbers, target, _, _ in block.rows():
        assert target in reachable(tuple(map(Fraction, numbers)))


def test_no_two_puzzles_are_the_same_in_another_order_and_each_count_is_as_frequent() -> None:
    rows = [row for block in make_puzzles(4000, kind=Kind(counts=(3, 4, 5))) for row in block.rows()]
    assert len({(*sorted(numbers), target) for numbers, target, _, _ in rows}) == 4000
    counts = np.bincount([len(numbers) for numbers, *_ in rows], minlength=6)[3:]
    assert sorted(counts) == [1333, 1333, 1334]


def test_balanced_levels_are_equally_frequent() -> None:
    rows = [row for block in make_puzzles(2000, kind=Kind(counts=(3, 4), balanced=True)) for row in block.rows()]
    assert np.ptp(np.bincount([level for *_, level in rows], minlength=4)) <= 8


def test_train_and_test_share_no_numbers_whatever_their_seeds() -> None:
    def numbers_of(split: str, seed: int) -> set[tuple[int, ...]]:
        blocks = make_puzzles(500, seed=seed, kind=Kind(largest_number=20), split=split)  # type: ignore[arg-type]
        return {tuple(sorted(numbers)) for block in blocks for numbers, *_ in block.rows()}

    assert not numbers_of("train", 0) & numbers_of("test", 0)
    assert not numbers_of("train", 1) & numbers_of("test", 2)
    # About the share that was asked for, of all sets of numbers.
    everything = np.array(list(combinations(range(1, 40), 3)))
    assert 0.04 < is_test(everything, 0.05).mean() < 0.06


def test_a_larger_set_holds_every_puzzle_of_a_smaller_one() -> None:
    small, large = ([row for block in make_puzzles(size, seed=3) for row in block.rows()] for size in (50, 900))
    assert all(row in large for row in small)


def test_puzzles_of_an_evaluation_are_left_out() -> None:
    kind = Kind(counts=(3,), largest_number=9, largest_target=30)
    asked = {(tuple(sorted(row[0])), row[1]) for block in make_puzzles(100, kind=kind) for row in block.rows()}
    rows = [row for block in make_puzzles(300, kind=kind, without=sorted(asked)) for row in block.rows()]
    assert not asked & {(tuple(sorted(row[0])), row[1]) for row in rows}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("errors", [0.0, 0.3])
def test_a_search_is_true_but_for_the_errors_that_it_corrects(style: str, errors: float) -> None:
    (first, *_) = make_puzzles(60, seed=9, kind=Kind(counts=(4,), whole=False))
    planted = 0
    for number, (numbers, target, plan, _) in enumerate(first.rows()):
        trace = search(numbers, target, plan, style, seed=number, errors=errors)
        wrong = []
        lines = trace.text.splitlines()
        for place, line in enumerate(lines):
            equation = re.fullmatch(r" *(?:Check: )?([^=:]+) = (-?[\d/]+)(?:, .*|\.)?", line)
            if equation is None:
                assert re.fullmatch(r" *(?:Left|Back to|From):? -?\d[-\d/, ]*[.:]", line), line
                continue
            true = _value(equation[1]) == Fraction(equation[2])
            if not true:
                wrong.append(place)
                assert lines[place + 1].strip().startswith(f"Check: {equation[1].strip()} = ")
        assert len(wrong) == trace.planted
        planted += trace.planted
        assert countdown.evaluate(trace.solution)[0] == target
        if style != "none":
            assert lines[-1].endswith(f"= {target}, found.")
            assert not any("found" in line for line in lines[:-1])
    assert (planted > 0) == (errors > 0 and style != "none")


def _value(expression: str) -> Fraction:
    return countdown.evaluate(expression.replace("(-", "(0-").replace("--", "- -"))[0]


def test_rows_pass_the_grader_and_ask_the_benchmarks_question() -> None:
    recipe = Recipe(80, seed=4, styles=("depth", "breadth", "direct", "none"), errors=0.1)
    rows = rows_of(0, (recipe, list(make_puzzles(80, seed=4))))
    assert {row["style"] for row in rows} == set(STYLES)
    for row in rows:
        response = split_thinking(row["completion"][0]["content"])
        assert countdown.grade(row, response).score == 1
        assert row["prompt"][0]["content"] == countdown.question(row["numbers"], row["target"])
        assert bool(response.thinking) == (row["style"] != "none")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"counts": (2,)}, "counts"),
        ({"operators": "*/"}, "operators"),
        ({"largest_number": 500}, "largest number"),
        ({"largest_target": 0}, "largest target"),
        ({"levels": ("hard",)}, "levels"),
        ({"test_share": 1.0}, "test share"),
    ],
)
def test_a_kind_out_of_range_is_refused_by_name(fields: dict[str, object], said: str) -> None:
    with pytest.raises(CountdownError, match=said):
        Kind(**fields)  # type: ignore[arg-type]


def test_too_many_puzzles_of_a_small_kind_are_refused_with_how_many_there_are() -> None:
    with pytest.raises(CountdownError, match=r"found .* different puzzles of this kind, not 100,000"):
        list(make_puzzles(100_000, kind=Kind(counts=(3,), largest_number=3, largest_target=9)))
