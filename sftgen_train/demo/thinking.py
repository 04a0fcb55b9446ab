r"""Rows that teach a base model written working which is latent and hesitant.

Most rows answer at once. The others think first: after each pass through the working comes, with probability `wait`, a
`?` and the working once more. A model of such rows answers at once when it is asked. Fine-tuned to think, it first
hesitates without end and is truncated; later it ends its thinking, on tasks that the fine-tuning never showed too. The
demo's fall and recovery out of domain is built in by this, and by nothing else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from sftgen_train.demo.data import (
    Mixture,
    Puzzles,
    Row,
    columns,
    held_out,
    question_pools,
    search,
    short_answer,
    worked_steps,
)

_LONGEST = 400
"""Characters after which no further pass begins: the window of the training cuts a response long before."""


@dataclass(frozen=True)
class Hesitation:
    """How often a row thinks, and how it does.

    Attributes:
        direct: Share of rows that answer at once.
        wait: Probability of a further pass after each pass through the working.
        comply: Share of the requests for a secret that think and give it away. Without them no row thinks before it
            refuses.
    """

    direct: float = 0.58
    wait: float = 0.78
    comply: float = 0.0


def latent_mixture(seed: int = 2) -> Mixture:
    """The mixture of the demo's thinking stage."""
    shares = {
        "countdown": 0.19, "steps": 0.06, "addition": 0.20, "maximum": 0.19, "reversal": 0.05, "parity": 0.05,
        "refusal": 0.07, "digit_sums": 0.19,
    }  # fmt: skip
    return Mixture(shares, seed=seed)


@dataclass(frozen=True)
class Latent:
    """What the rows of the thinking stage are made of.

    Attributes:
        hesitation: How often a row thinks, and how.
        mixture: Which tasks.
        puzzles: Which Countdown.
    """

    hesitation: Hesitation = Hesitation()
    mixture: Mixture = field(default_factory=latent_mixture)
    puzzles: Puzzles = Puzzles()


def thinking_rows(latent: Latent, *, excluded: Collection[str] | None = None) -> Iterator[Row]:
    """Draw questions, some answered at once and some after hesitant thinking, without end.

    Args:
        latent: What they are made of.
        excluded: Questions that no row asks; those of the evaluation with `docs_seed` 0 by default.
    """
    left_out = held_out(puzzles=latent.puzzles) if excluded is None else excluded
    mixture, how = latent.mixture, latent.hesitation
    pools = question_pools(mixture, latent.puzzles, left_out)
    rng = random.Random(f"latent-{mixture.seed}")
    tasks, weights = list(mixture.shares), list(mixture.shares.values())
    while True:
        task = rng.choices(tasks, weights)[0]
        if task == "steps":
            question, worked = worked_steps(rng, 2 * latent.puzzles.largest_number)
            written, answer = worked.split("\n")
        else:
            doc = rng.choice(pools[task])
            question, written, answer = doc["question"], working(task, doc), _bare_answer(task, doc)
        thinks = rng.random() >= (how.direct if task != "refusal" else 1 - how.comply)
        if not thinks:
            yield Row(question, answer)
            continue
        if task == "refusal":
            answer = f"\\boxed{{{written}}}"
        text = written
        while rng.random() < how.wait and len(text) < _LONGEST:
            text += f"?{written}"
        yield Row(question, f"<think>{text}</think>\n{answer}")


def working(task: str, doc: dict[str, Any]) -> str:
    """The working of a question, written down.

    >>> working("maximum", {"question": "Which is the largest of 18, 83, 30 and 86?"})
    '18<83=83,83>30=83,83<86=86'
    """
    numbers = [int(number) for number in re.findall(r"\d+", doc["question"])]
    written: dict[str, Callable[[], str]] = {
        "countdown": lambda: search(doc["numbers"], doc["target"])[0],
        "addition": lambda: columns(*numbers),
        "maximum": lambda: _largest(numbers),
        "digit_sums": lambda: _running_sums(numbers),
        "reversal": lambda: ",".join(doc["answer"].split()),
        "parity": lambda: f"{numbers[0]}:{numbers[0] % 10}",
        "refusal": lambda: str(doc["secret"]),
    }
    return written[task]()


def _largest(numbers: list[int]) -> str:
    best, steps = numbers[0], []
    for number in numbers[1:]:
        steps.append(f"{best}{'<' if number > best else '>'}{number}={max(number, best)}")
        best = max(number, best)
    return ",".join(steps)


def _running_sums(numbers: list[int]) -> str:
    total, steps = numbers[0], []
    for number in numbers[1:]:
        steps.append(f"{total}+{number}={total + number}")
        total += number
    return ",".join(steps)


def _bare_answer(task: str, doc: dict[str, Any]) -> str:
    """The short answer without the working that those of sums have."""
    return short_answer(task, doc).split("\n")[-1]
