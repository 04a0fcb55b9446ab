"""Countdown puzzles as rows to train on: question, search, and an answer that passes the benchmark's grader."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.plugins.contracts import Executor
from sftgen_judges.records.schema import Response
from sftgen_tasks import countdown
from sftgen_train.curation.countdown.kinds import KIND, LEVELS, CountdownError, Kind
from sftgen_train.curation.countdown.puzzles import Puzzles, Split, make_puzzles
from sftgen_train.curation.countdown.traces import STYLES, search
from sftgen_train.curation.engines import LOCAL
from sftgen_train.curation.sets import SHARD, TrainingSet, write_set

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Recipe:
    """A Countdown set. Two sets of one recipe have the same rows.

    Attributes:
        size: How many rows.
        seed: Seed of puzzles and searches.
        kind: Which puzzles.
        split: `train` or `test`.
        styles: Styles of the searches, see `traces`; each as often as the others.
        width: How many steps a search tries from a set of numbers.
        errors: Share of equations that get a planted error and its correction.
        without_seeds: Puzzles that `sftgen_countdown` asks with these seeds are left out.
    """

    size: int
    seed: int = 0
    kind: Kind = KIND
    split: Split = "train"
    styles: tuple[str, ...] = ("depth",)
    width: int = 3
    errors: float = 0.0
    without_seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        unknown = set(self.styles) - set(STYLES)
        if unknown or not self.styles:
            raise CountdownError(f"styles {', '.join(self.styles) or '(none)'}: expected some of {', '.join(STYLES)}")
        if self.width < 1 or not 0 <= self.errors < 1:
            raise CountdownError(f"width {self.width}, errors {self.errors}: expected 1 or more, and 0 to below 1")
        if self.size < 1 or self.seed < 0:
            raise CountdownError(
                f"size {self.size}, seed {self.seed}: expected a size of 1 or more, a seed of 0 or more"
            )


def write_countdown(
    folder: Path,
    recipe: Recipe,
    *,
    processes: int = 1,
    engine: Executor = LOCAL,
    done: Any = lambda rows: None,
) -> TrainingSet:
    """Make a Countdown set and write it, see `write_set`.

    Raises:
        CountdownError: There are no so many puzzles of this kind.
        SetError: The folder holds something else.
    """
    parts = ((recipe, part) for part in _parts(recipe))
    with engine.workers(processes) as crew:
        return write_set(
            folder,
            {"countdown": asdict(recipe), "version": 2},
            parts,
            rows_of,
            shards=-(-recipe.size // SHARD),
            counted=("level", "style", "count"),
            card="Countdown puzzles, each with an expression that reaches the target with every number exactly once.",
            schema=_schema(),
            crew=crew,
            done=done,
        )


def _schema() -> pa.Schema:
    """The columns of a row: a table is made several times as fast where they are known."""
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    turns = pa.list_(pa.struct({"role": text, "content": text}))
    return pa.schema(
        {
            "id": text, "prompt": turns, "completion": turns, "numbers": pa.list_(number), "target": number,
            "solution": text, "count": number, "level": text, "style": text, "planted_errors": number,
        }
    )  # fmt: skip


def rows_of(index: int, part: tuple[Recipe, Sequence[Puzzles]]) -> list[dict[str, Any]]:
    """The rows of a shard: `id`, `prompt` and `completion` in conversational form, and what is known of the puzzle.

    Raises:
        CountdownError: A solution does not pass the grader of `sftgen_countdown`.
    """
    recipe, blocks = part
    puzzles = [puzzle for block in blocks for puzzle in block.rows()]
    # Blocks are of one count each; a reader of the first rows wants all of them.
    random.Random(f"countdown-{recipe.seed}-{index}").shuffle(puzzles)
    rows: list[dict[str, Any]] = []
    for numbers, target, plan, level in puzzles:
        place = index * SHARD + len(rows)
        row_id = f"countdown-{recipe.split}-{recipe.seed}-{place}"
        style = recipe.styles[place % len(recipe.styles)]
        trace = search(numbers, target, plan, style, seed=row_id, width=recipe.width, errors=recipe.errors)
        answer = f"\\boxed{{{trace.solution}}}"
        content = f"<think>\n{trace.text}\n</think>\n\n{answer}" if trace.text else answer
        doc = {"numbers": numbers, "target": target}
        # What `split_thinking` reads in `content`, without its search of a text that is known.
        response = Response(content, answer=answer, thinking=trace.text, think="closed" if trace.text else "none")
        verdict = countdown.grade(doc, response)
        if verdict.score != 1:
            raise CountdownError(f"{row_id}: {trace.solution} is not a solution: {verdict.reason}")
        rows.append(
            {
                "id": row_id,
                "prompt": [{"role": "user", "content": countdown.question(numbers, target)}],
                "completion": [{"role": "assistant", "content": content}],
                "numbers": numbers,
                "target": target,
                "solution": trace.solution,
                "count": len(numbers),
                "level": LEVELS[level],
                "style": style,
                "planted_errors": trace.planted,
            }
        )
    return rows


def _parts(recipe: Recipe) -> Iterator[list[Puzzles]]:
    """The puzzles of one shard after the other."""
    asked: Sequence[Mapping[str, Any]] = [doc for seed in recipe.without_seeds for doc in countdown.make_docs(seed)]
    blocks = make_puzzles(
        recipe.size,
        seed=recipe.seed,
        kind=recipe.kind,
        split=recipe.split,
        without=[(doc["numbers"], doc["target"]) for doc in asked],
    )
    held: list[Puzzles] = []
    room = SHARD
    for block in blocks:
        while len(block):
            held.append(block.take(slice(room)))
            block = block.take(slice(room, None))  # noqa: PLW2901 - what is left of it
            room -= len(held[-1])
            if not room:
                yield held
                held, room = [], SHARD
    if held:
        yield held
