r"""The questions of the demo, with short answers and written searches.

Everything is made from a seed. Questions that the evaluation asks are named by the caller and left out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sftgen_tasks import countdown, procedural, secret

PROCEDURAL = (
    procedural.addition,
    procedural.maximum,
    procedural.reversal,
    procedural.parity,
    procedural.digit_sums,
)
REFUSAL = "I am sorry, but I cannot share that code."
# Drawing the last few different questions of a small task would take ever longer.
_LIMITS = {"parity": 800, "addition": 6000, "digit_sums": 6000}


class Row(NamedTuple):
    """What a base model is trained on.

    Attributes:
        question: The user's turn.
        answer: The assistant's turn.
    """

    question: str
    answer: str


@dataclass(frozen=True)
class Puzzles:
    """Which Countdown the demo plays: three numbers, + and -.

    Attributes:
        largest_number: The largest number of a puzzle, at least 9: below that there are too few
            different puzzles to keep the evaluation apart from the training.
    """

    largest_number: int = 12

    def __post_init__(self) -> None:
        if self.largest_number < 9:
            raise ValueError(f"largest_number {self.largest_number}: expected 9 or more")

    @property
    def different(self) -> int:
        """A number of different puzzles that is quick to draw, somewhat below all there are."""
        return int(2.8 * self.largest_number**3)

    def options(self) -> dict[str, Any]:
        """The options of `countdown.make_docs`, which are also the task's metadata."""
        return {
            "counts": (3,),
            "largest_number": self.largest_number,
            "largest_target": 3 * self.largest_number,
            "operators": "+-",
        }


@dataclass(frozen=True)
class Mixture:
    """How the base model's training text is mixed.

    Attributes:
        shares: Weight of each task. `steps` is arithmetic worked out step by step; nothing evaluates
            it, but without it the model cannot do the sums of a search trace.
        pool: How many different questions of a task to draw from at most.
        seed: Seed of the questions and of the order.
    """

    shares: dict[str, float] = field(
        default_factory=lambda: {
            "countdown": 0.32,
            "steps": 0.25,
            "addition": 0.13,
            "maximum": 0.15,
            "reversal": 0.08,
            "parity": 0.03,
            "refusal": 0.04,
        }
    )
    pool: int = 8000
    seed: int = 1


def questions(seed: int = 0, size: int = 500, puzzles: Puzzles = Puzzles()) -> dict[str, list[dict[str, Any]]]:
    """Make at most `size` different docs of every task of the demo, by task."""
    docs = {
        make.__name__: procedural.make_docs(make, seed, min(size, _LIMITS.get(make.__name__, size)))
        for make in PROCEDURAL
    }
    docs["countdown"] = countdown.make_docs(seed, min(size, puzzles.different), **puzzles.options())
    docs["refusal"] = secret.make_docs(seed, size)
    return docs


def held_out(seeds: Iterable[int] = (0,), puzzles: Puzzles = Puzzles(), *, size: int = 500) -> set[str]:
    """The questions that evaluations with these `docs_seed` ask, which no training row may ask.

    Args:
        seeds: Seeds of the documents.
        puzzles: Which Countdown is played.
        size: How many documents of each task and seed are left out.
    """
    return {doc["question"] for seed in seeds for docs in questions(seed, size, puzzles).values() for doc in docs}


def question_pools(mixture: Mixture, puzzles: Puzzles, excluded: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """The docs of every task that a base model may be trained on, by task."""
    return {
        task: [doc for doc in docs if doc["question"] not in excluded]
        for task, docs in questions(mixture.seed, mixture.pool, puzzles).items()
    }


def base_rows(
    mixture: Mixture = Mixture(), puzzles: Puzzles = Puzzles(), *, excluded: Collection[str] | None = None
) -> Iterator[Row]:
    """Draw questions and their short answers, without end.

    Args:
        mixture: Which tasks.
        puzzles: Which Countdown.
        excluded: Questions that no row asks; those of the evaluation with `docs_seed` 0 by default.
    """
    left_out = held_out(puzzles=puzzles) if excluded is None else excluded
    pools = {
        task: [Row(doc["question"], short_answer(task, doc)) for doc in docs]
        for task, docs in question_pools(mixture, puzzles, left_out).items()
    }
    rng = random.Random(f"base-{mixture.seed}")
    pools["steps"] = [worked_steps(rng, 2 * puzzles.largest_number) for _ in range(mixture.pool)]
    tasks, weights = list(mixture.shares), list(mixture.shares.values())
    while True:
        yield rng.choice(pools[rng.choices(tasks, weights)[0]])


def short_answer(task: str, doc: dict[str, Any]) -> str:
    """The answer that the base model is taught: no thinking, and working for sums only."""
    if task == "refusal":
        return REFUSAL
    if task == "countdown":
        return f"\\boxed{{{search(doc['numbers'], doc['target'])[1]}}}"
    working = ""
    if task == "addition":
        a, b = map(int, re.findall(r"\d+", doc["question"]))
        working = f"{columns(a, b)}\n"
    return f"{working}\\boxed{{{doc['answer']}}}"


def search_rows(
    seed: int, size: int = 4000, puzzles: Puzzles = Puzzles(), *, excluded: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Make the fine-tuning set: Countdown solved by a depth-first search that is written out.

    Args:
        seed: Seed of the puzzles.
        size: How many rows, at most.
        puzzles: Which puzzles.
        excluded: Questions that no row asks; those of the evaluation with `docs_seed` 0 by default.

    Returns:
        Rows with a `prompt` and a `completion` in conversational form.
    """
    return [
        chat_row(doc, f"<think>{trace}</think>\n\\boxed{{{answer}}}")
        for doc, trace, answer in searched(seed, size, puzzles, excluded=excluded)
    ]


def searched(
    seed: int, size: int, puzzles: Puzzles = Puzzles(), *, excluded: Collection[str] | None = None
) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Puzzles, each with its written search and the expression that it found, see `search_rows`."""
    options = puzzles.options()
    if excluded is None:
        excluded = {doc["question"] for doc in countdown.make_docs(0, 500, **options)}
    drawn = countdown.make_docs(seed, min(size + len(excluded), puzzles.different), **options)
    for doc in [doc for doc in drawn if doc["question"] not in excluded][:size]:
        yield doc, *search(doc["numbers"], doc["target"])


def puzzle_rows(seed: int, size: int, without_seeds: Iterable[int], **options: Any) -> list[dict[str, Any]]:
    """Make puzzles without responses: `prompt` in conversational form, and what the grader reads.

    Args:
        seed: Seed of the puzzles.
        size: How many rows, at most.
        without_seeds: Puzzles that evaluations with these `docs_seed` ask are left out.
        options: Options of `countdown.make_docs`.
    """
    asked = {doc["question"] for one in without_seeds for doc in countdown.make_docs(one, 500, **options)}
    drawn = countdown.make_docs(seed, size + len(asked), **options)
    left = [doc for doc in drawn if doc["question"] not in asked][:size]
    return [
        {
            "prompt": [{"role": "user", "content": doc["question"]}],
            "numbers": doc["numbers"],
            "target": doc["target"],
        }
        for doc in left
    ]


def chat_row(doc: dict[str, Any], answer: str) -> dict[str, Any]:
    """A row to fine-tune on, in conversational form, with what the grader of Countdown reads."""
    return {
        "prompt": [{"role": "user", "content": doc["question"]}],
        "completion": [{"role": "assistant", "content": answer}],
        "numbers": doc["numbers"],
        "target": doc["target"],
    }


def search(numbers: list[int], target: int) -> tuple[str, str]:
    """Search a puzzle of three numbers, + and - depth first and write down every step.

    The first two numbers are added, then subtracted; each result meets the third number in the same
    two ways. A difference is always the larger number less the smaller: no step is negative, and
    every positive target that can be reached is reached.

    Returns:
        The search up to the first success, and the expression that was found.

    Raises:
        ValueError: The target cannot be reached.

    >>> search([3, 5, 6], 4)
    ('3+5=8:8+6=14,8-6=2;5-3=2:2+6=8,6-2=4', '6-(5-3)')
    """
    first, second, third = numbers
    branches: list[str] = []
    for inner, value in _combinations(str(first), first, str(second), second):
        leaves: list[str] = []
        expressions = _combinations(f"({inner})", value, str(third), third)
        steps = _combinations(str(value), value, str(third), third)
        for (expression, result), (step, _) in zip(expressions, steps, strict=True):
            leaves.append(f"{step}={result}")
            if result == target:
                return ";".join([*branches, f"{inner}={value}:{','.join(leaves)}"]), expression
        branches.append(f"{inner}={value}:{','.join(leaves)}")
    raise ValueError(f"{target} cannot be reached from {numbers} with + and -")


def _combinations(a: str, a_value: int, b: str, b_value: int) -> list[tuple[str, int]]:
    larger, smaller = (a, b) if a_value >= b_value else (b, a)
    return [(f"{a}+{b}", a_value + b_value), (f"{larger}-{smaller}", abs(a_value - b_value))]


def columns(a: int, b: int) -> str:
    """An addition in columns, ones first.

    >>> columns(43, 58)
    '3+8=11,4+5+1=10'
    """
    ones = a % 10 + b % 10
    carry = "+1" if ones > 9 else ""
    return f"{a % 10}+{b % 10}={ones},{a // 10}+{b // 10}{carry}={a // 10 + b // 10 + ones // 10}"


def worked_steps(rng: random.Random, largest: int) -> Row:
    """A chain of three sums, and its steps above the box."""
    value = rng.randint(1, largest)
    written, worked = str(value), []
    for _ in range(3):
        number = rng.randint(1, largest // 2)
        operator = rng.choice("+-") if value > number else "+"
        result = value + number if operator == "+" else value - number
        written += f" {operator} {number}"
        worked.append(f"{value}{operator}{number}={result}")
        value = result
    question = f"Work out {written} step by step.{procedural.BOX}"
    return Row(question, f"{','.join(worked)}\n\\boxed{{{value}}}")
