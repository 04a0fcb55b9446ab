"""`sftgen data`: training data that is made and checked here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_judges.progress import stage
from sftgen_train.cli.audit import diff_data, report_data, verify_data
from sftgen_train.cli.check import check_data
from sftgen_train.cli.console import console, listed
from sftgen_train.cli.contamination import show_contamination
from sftgen_train.cli.recipes import show_recipes

app = typer.Typer(help="Make and check training data.", no_args_is_help=True)
app.command("check")(check_data)
app.command("report")(report_data)
app.command("verify")(verify_data)
app.command("diff")(diff_data)
app.command("contamination")(show_contamination)
app.command("recipes")(show_recipes)


@app.command("countdown")
def make_countdown(
    out: Annotated[Path, typer.Argument(help="Folder of the new set.")],
    *,
    size: Annotated[int, typer.Option(min=1, help="How many rows.")] = 20_000,
    numbers: Annotated[str, typer.Option(help="How many numbers a puzzle has: some of 3,4,5,6.")] = "3,4",
    style: Annotated[str, typer.Option(help="How the search is written: some of depth,breadth,direct,none.")] = "depth",
    errors: Annotated[
        float, typer.Option(help="Share of equations that get a planted error and its correction.")
    ] = 0.0,
    level: Annotated[str, typer.Option(help="Only these levels: some of sum,product,bracket,nested.")] = "",
    balanced: Annotated[bool, typer.Option("--balanced", help="As many puzzles of each level.")] = False,
    operators: Annotated[str, typer.Option(help="What solutions may use.")] = "+-*/",
    largest_number: Annotated[int, typer.Option(help="Largest number of a puzzle.")] = 99,
    largest_target: Annotated[int, typer.Option(help="Largest target.")] = 999,
    fractions: Annotated[
        bool, typer.Option("--fractions", help="Solutions may pass through fractions and negative numbers.")
    ] = False,
    split: Annotated[
        str, typer.Option(help="train or test: no two puzzles of the same numbers are in both.")
    ] = "train",
    test_share: Annotated[
        float, typer.Option(help="Share of all sets of numbers that belongs to the test split.")
    ] = 0.05,
    width: Annotated[int, typer.Option(min=1, help="How many steps a search tries from a set of numbers.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of puzzles and searches.")] = 0,
    without_seeds: Annotated[
        str, typer.Option(help="Leave out the puzzles that sftgen_countdown asks with these seeds (docs_seed).")
    ] = "0",
    processes: Annotated[int, typer.Option(min=0, help="How many processes; 0: one a core.")] = 0,
    engine: Annotated[str, typer.Option(help="local, ray or a plugin's: as tasks of a cluster.")] = "local",
) -> None:
    """Make different, solvable Countdown puzzles with written searches. After a stop the same command goes on."""
    from sftgen_judges.errors import SftgenError
    from sftgen_train.curation.countdown.kinds import LEVELS, Kind
    from sftgen_train.curation.countdown.rows import Recipe, write_countdown
    from sftgen_train.curation.engines import engine_of

    if split not in ("train", "test"):
        raise SftgenError(f"--split {split}: expected train or test")
    where = engine_of(engine)
    kind = Kind(
        counts=_numbers(numbers, "--numbers"),
        largest_number=largest_number,
        largest_target=largest_target,
        operators=operators,
        whole=not fractions,
        levels=tuple(listed(level)) or LEVELS,
        balanced=balanced,
        test_share=test_share,
    )
    recipe = Recipe(
        size,
        seed=seed,
        kind=kind,
        split="test" if split == "test" else "train",
        styles=tuple(listed(style)),
        width=width,
        errors=errors,
        without_seeds=_numbers(without_seeds, "--without-seeds"),
    )
    with stage("rows", size) as done:
        count = processes or len(os.sched_getaffinity(0))
        made = write_countdown(out, recipe, processes=count, engine=where, done=done)
    levels = ", ".join(f"{made.counts.get(f'level={name}', 0):,} {name}" for name in LEVELS)
    console.print(f"{made.rows:,} rows ({levels}) -> {out}\ncontent hash {made.content_hash}", soft_wrap=True)


@app.command("gym")
def make_gym(
    task: Annotated[str, typer.Argument(help="A task of reasoning-gym, for example leg_counting.")],
    *,
    to: Annotated[Path, typer.Option(help="Folder of the new set.")],
    rows: Annotated[int, typer.Option(min=1, help="How many different questions.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generator.")] = 0,
    option: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="A field of the task's own configuration, NAME=VALUE; may be repeated."),
    ] = None,
) -> None:
    """Make questions of one of reasoning-gym's tasks, each with an answer that the library's own rule verifies."""
    from rich.markup import escape

    from sftgen_train.curation.gym import write_gym

    made = write_gym(to, task, rows=rows, seed=seed, options=dict(map(_field, option or [])))
    told = f"{made.rows:,} rows -> {to}\ncontent hash {made.content_hash}"
    console.print(escape(told), soft_wrap=True, highlight=False)


def _field(given: str) -> tuple[str, object]:
    from sftgen_judges.errors import SftgenError

    name, equals, value = given.partition("=")
    if not (name and equals):
        raise SftgenError(f"--option {given}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _numbers(given: str, option: str) -> tuple[int, ...]:
    from sftgen_judges.errors import SftgenError

    try:
        return tuple(map(int, listed(given)))
    except ValueError:
        raise SftgenError(f"{option} {given}: expected whole numbers, separated by commas") from None
