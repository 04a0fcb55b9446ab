"""Reading a task's scores over the steps: shapes on made scores, and how often noise is taken for a fall."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import sqrt

import pytest

from sftgen_train.trajectory.shape import read_trajectory

Scores = dict[int, dict[str, float]]


def made(*right: int, documents: int = 100) -> Scores:
    """At steps 0, 10, 20, ... that many documents are right; always the same ones first."""
    return {
        10 * index: {f"d{number}": float(number < count) for number in range(documents)}
        for index, count in enumerate(right)
    }


SHAPES = [
    # documents right at each step, of 100; shape; whether it rose
    ([70, 70], "did not fall", False),
    ([70, 68], "did not fall", False),
    ([70, 90], "did not fall", True),
    ([70, 72, 80, 90], "did not fall", True),
    ([0, 0, 0], "did not fall", False),
    ([70, 90, 70], "did not fall", False),
    ([70, 40, 70], "fell and recovered", False),
    ([70, 40, 67], "fell and recovered", False),
    ([70, 40, 90], "fell and recovered", True),
    ([70, 60, 30, 50, 70, 90], "fell and recovered", True),
    ([90, 30, 60], "fell and recovered in part", False),
    ([90, 60, 30, 40, 60], "fell and recovered in part", False),
    ([70, 40], "fell and did not recover", False),
    ([70, 60, 50, 40], "fell and did not recover", False),
    ([70, 40, 42], "fell and did not recover", False),
    ([70, 90, 30], "fell and did not recover", False),
    ([70, 0, 0], "fell and did not recover", False),
]


@pytest.mark.parametrize(("right", "shape", "rose"), SHAPES, ids=[" ".join(map(str, case[0])) for case in SHAPES])
def test_shapes(right: list[int], shape: str, rose: bool) -> None:
    read = read_trajectory("task", made(*right))
    assert (read.shape, read.rose) == (shape, rose)
    assert (read.base, read.last, read.last_step) == (right[0] / 100, right[-1] / 100, 10 * (len(right) - 1))
    assert (read.lowest, read.lowest_step) == (min(right) / 100, 10 * right.index(min(right)))


SENTENCES = [
    ([70, 72], "did not fall (0.70 at the start, 0.72 at step 10)"),
    ([70, 90], "did not fall and rose (0.70 at the start, 0.90 at step 10)"),
    ([70, 40, 71], "fell and recovered (lowest 0.40 at step 10; 0.70 at the start, 0.71 at step 20)"),
    (
        [70, 40, 90],
        "fell and recovered, now above the start (lowest 0.40 at step 10; 0.70 at the start, 0.90 at step 20)",
    ),
    ([90, 30, 60], "fell and recovered in part (lowest 0.30 at step 10; 0.90 at the start, 0.60 at step 20)"),
    ([70, 40], "fell and did not recover (lowest 0.40 at step 10; 0.70 at the start, 0.40 at step 10)"),
]


@pytest.mark.parametrize(("right", "sentence"), SENTENCES)
def test_sentences(right: list[int], sentence: str) -> None:
    assert read_trajectory("task", made(*right)).sentence() == sentence


def test_steps_are_read_in_order_whatever_the_order_they_come_in() -> None:
    scores = made(70, 40, 90)
    assert read_trajectory("task", dict(reversed(scores.items()))) == read_trajectory("task", scores)


def test_few_documents_prove_nothing() -> None:
    assert read_trajectory("task", made(4, 0, documents=4)).shape == "did not fall"


def test_only_documents_of_both_steps_are_compared() -> None:
    scores = made(70, 40)
    # All that fell is missing at the second step.
    scores[10] = {name: score for name, score in scores[10].items() if score}
    assert read_trajectory("task", scores).shape == "did not fall"
    other = {0: {"a": 1.0}, 10: {"b": 0.0}}
    assert read_trajectory("task", other).shape == "did not fall"


@pytest.mark.parametrize("scores", [{}, {0: {"a": 1.0}}])
def test_one_step_is_no_trajectory(scores: Scores) -> None:
    with pytest.raises(ValueError, match="needs two steps"):
        read_trajectory("task", scores)


# ------------------------------------------------------------------------------ simulation


def sampled(rng: random.Random, shifts: Sequence[float], documents: int, repeats: int) -> Scores:
    """Each document has its own ability, moved by `shifts` at each step, and is answered anew."""
    abilities = [rng.betavariate(2, 2) for _ in range(documents)]

    def answered(p: float) -> float:
        return sum(rng.random() < p for _ in range(repeats)) / repeats

    return {
        step: {f"d{number}": answered(min(1, max(0, p + shift))) for number, p in enumerate(abilities)}
        for step, shift in enumerate(shifts)
    }


@pytest.mark.parametrize(("documents", "repeats", "steps"), [(50, 1, 4), (100, 1, 8), (60, 3, 6)])
def test_flat_noise_is_rarely_called_a_fall(documents: int, repeats: int, steps: int) -> None:
    rng = random.Random(f"{documents}-{repeats}-{steps}")
    runs = 300
    read = [read_trajectory("task", sampled(rng, [0] * steps, documents, repeats)) for _ in range(runs)]
    allowed = 0.05 + 3 * sqrt(0.05 * 0.95 / runs)
    assert sum(found.shape != "did not fall" for found in read) / runs <= allowed
    assert sum(found.rose for found in read) / runs <= allowed


@pytest.mark.parametrize(
    ("shifts", "shape"),
    [
        ([0, -0.1, -0.35, -0.2, 0, 0], "fell and recovered"),
        ([0.2, -0.05, -0.4, -0.3, -0.1], "fell and recovered in part"),
        ([0.1, -0.1, -0.3, -0.3], "fell and did not recover"),
    ],
)
def test_a_true_course_is_read_as_such(shifts: list[float], shape: str) -> None:
    rng = random.Random(shape)
    shapes = [read_trajectory("task", sampled(rng, shifts, 200, 1)).shape for _ in range(60)]
    assert shapes.count(shape) >= 51, shapes  # 85 %


def test_ending_above_the_start_is_seen_after_a_dip() -> None:
    rng = random.Random(0)
    read = [read_trajectory("task", sampled(rng, [-0.1, -0.4, -0.2, 0.25], 200, 1)) for _ in range(60)]
    assert sum(found.rose and found.shape == "fell and recovered" for found in read) >= 54
