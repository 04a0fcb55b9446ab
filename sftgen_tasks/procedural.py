"""Small tasks with one short answer, made from a seed: a study watches them besides its own domain.

Each task works with any model and costs a few tokens, so checkpoints can be evaluated often. The last
boxed content of the answer part is compared with the answer as text, without spaces.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_tasks.data.generated import Generated, distinct
from sftgen_tasks.readers.boxed import last_boxed
from sftgen_tasks.readers.looks import plain_text

BOX = " Put the answer in \\boxed{}."


def addition(rng: random.Random) -> tuple[str, str]:
    """Add two whole numbers of two digits."""
    a, b = rng.randint(10, 99), rng.randint(10, 99)
    return f"What is {a} + {b}?", str(a + b)


def maximum(rng: random.Random) -> tuple[str, str]:
    """Find the largest of four numbers."""
    numbers = rng.sample(range(10, 100), 4)
    return f"Which is the largest of {_listed(numbers)}?", str(max(numbers))


def reversal(rng: random.Random) -> tuple[str, str]:
    """Write six digits backwards."""
    digits = [str(rng.randint(0, 9)) for _ in range(6)]
    return f"Write the digits {' '.join(digits)} in reverse order.", " ".join(reversed(digits))


def parity(rng: random.Random) -> tuple[str, str]:
    """Say whether a number of three digits is odd or even."""
    number = rng.randint(100, 999)
    return f"Is {number} odd or even?", "odd" if number % 2 else "even"


def digit_sums(rng: random.Random) -> tuple[str, str]:
    """Add up four digits."""
    digits = [rng.randint(0, 9) for _ in range(4)]
    return f"What is the sum of the digits {' '.join(map(str, digits))}?", str(sum(digits))


def make_docs(make: Callable[[random.Random], tuple[str, str]], seed: int = 0, size: int = 500) -> list[dict[str, Any]]:
    """Make `size` different questions of one kind, each with its answer."""
    rng = random.Random(f"{make.__name__}-{seed}")

    def draw() -> dict[str, Any]:
        question, answer = make(rng)
        return {"question": question + BOX, "answer": answer}

    return distinct(draw, size)


def _documents(make: Callable[[random.Random], tuple[str, str]]) -> Callable[..., dict[str, Any]]:
    def docs(seed: int = 0, size: int = 500) -> list[dict[str, Any]]:
        return make_docs(make, seed, size)

    return Generated(f"sftgen_{make.__name__}", docs).documents


addition_documents = _documents(addition)
maximum_documents = _documents(maximum)
reversal_documents = _documents(reversal)
parity_documents = _documents(parity)
digit_sums_documents = _documents(digit_sums)


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """An answer is right if the boxed text is the same; looks, spaces, commas in it and letter case do not matter."""
    answer = last_boxed(response.answer)
    return Verdict.of(response, answer, answer is not None and _plain(answer) == _plain(doc["answer"]))


def _plain(text: str) -> str:
    text = "".join(plain_text(text).split()).strip(".\"'").lower()
    # A thousands separator. Single digits with commas between them are a list.
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))|(?<=\d),(?=\d(?!\d))", "", text)


GRADER = Grader("exact", version=2, grade=grade, canonical=_plain)


def _listed(numbers: list[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
