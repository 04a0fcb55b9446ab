"""Runs as a static folder: any web server shows it, and a browser without one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import resources
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.query import open_records
from sftgen_train.report.trajectories import trajectory
from sftgen_train.viewer.address import Choice
from sftgen_train.viewer.errors import ViewError
from sftgen_train.viewer.library import Edition
from sftgen_train.viewer.links import Bundled
from sftgen_train.viewer.pages.arms import arms_page
from sftgen_train.viewer.pages.grid import grid_page
from sftgen_train.viewer.pages.item import ItemAsked, item_page
from sftgen_train.viewer.pages.items import items_page, lines_of, resolve
from sftgen_train.viewer.pages.runs import runs_page
from sftgen_train.viewer.pages.verdicts import verdict_lines
from sftgen_train.viewer.questions import Asked, Row
from sftgen_train.viewer.rendering import page
from sftgen_train.viewer.verdicts import Waiting

MARK = "sftgen-bundle.json"
"""The file by which a folder is known as a bundle, so that a new one may take its place."""
_FILES = ("viewer.css", "viewer.js", "icon.svg")
_FOLDERS = ("static", "items", "grids")


def write_bundle(
    folders: Sequence[Path],
    into: Path,
    *,
    most: int = 500,
    harmful: bool = False,
    waiting: Waiting | None = None,
) -> int:
    """Write runs into a folder: verdicts, grids, and the items that changed most, at every step.

    Args:
        folders: Run directories. With two or more, items of the second are compared with the first.
        into: The folder; one that stands must be empty or an earlier bundle.
        most: How many items.
        harmful: Whether texts that may be harmful are in it, folded.
        waiting: How many checkpoints of a run wait.

    Returns:
        How many items it holds.

    Raises:
        RecordError: A run cannot be read.
        ViewError: The folder holds something else.
        OSError: It cannot be written.
    """
    with ExitStack() as stack:
        edition = Edition(stack.enter_context(open_records(folders)), 1)
        runs = list(edition.outline.runs)
        choice = Choice(run=runs[1], before_run=runs[0]) if len(runs) > 1 else Choice(run=runs[0])
        asked = resolve(edition, choice)
        rows = most_changed(edition, asked, most)
        _make_room(into)
        bundle = _Bundle(edition, into, choice=choice, asked=asked, rows=rows, harmful=harmful)
        bundle.write(waiting)
    return len(rows)


def most_changed(edition: Edition, asked: Asked, most: int) -> list[Row]:
    """The items of every task in turn, in each the most lost and the most won in turn, then the others."""
    of_tasks = []
    tasks = edition.outline.runs[asked.run].tasks
    for task, steps in tasks.items():
        step = asked.step if asked.step in steps else steps[-1]
        before = asked.before
        if asked.before_run == asked.run and before not in steps:
            before = steps[0]
        in_task = replace(asked, task=task, step=step, before=before)
        lost, _ = edition.items(replace(in_task, sort="change"), limit=most)
        won, _ = edition.items(replace(in_task, sort="gain"), limit=most)
        both = chain.from_iterable(zip_longest(lost, won))
        of_tasks.append(list({row["doc_hash"]: row for row in both if row}.values()))
    in_turn = (row for same_place in zip_longest(*of_tasks) for row in same_place if row)
    return [row for row, _ in zip(in_turn, range(most), strict=False)]


def _make_room(into: Path) -> None:
    """Make the folder, or empty an earlier bundle of its own files.

    Raises:
        ViewError: It holds something else.
    """
    if into.is_symlink() or (into.exists() and not into.is_dir()):
        raise ViewError(f"--bundle {into}: expected a folder, or a path where none stands")
    if into.is_dir() and any(into.iterdir()):
        if not (into / MARK).is_file():
            raise ViewError(f"--bundle {into}: the folder holds other files; name a new folder, or an earlier bundle")
        for name in _FOLDERS:
            if (into / name).is_dir() and not (into / name).is_symlink():
                shutil.rmtree(into / name)
    for name in _FOLDERS:
        (into / name).mkdir(parents=True, exist_ok=True)
    write_atomic(into / MARK, json.dumps({"made_by": "sftgen view --bundle"}) + "\n")


class _Bundle:
    """A folder while it is written."""

    def __init__(
        self, edition: Edition, into: Path, *, choice: Choice, asked: Asked, rows: Sequence[Row], harmful: bool
    ) -> None:
        self.edition = edition
        self.into = into
        self.choice = choice
        self.asked = asked
        self.rows = rows
        self.harmful = harmful
        width = len(str(len(rows)))
        names = {(row["task"], row["doc_hash"]): f"items/{place:0{width}}.html" for place, row in enumerate(rows)}
        self.grids = {run: f"grids/{place}.html" for place, run in enumerate(edition.outline.runs)}
        self.top, self.inner = Bundled("", names, self.grids), Bundled("../", names, self.grids)

    def write(self, waiting: Waiting | None) -> None:
        """Write all of it."""
        static = resources.files("sftgen_train.viewer") / "static"
        for name in _FILES:
            (self.into / "static" / name).write_bytes((static / name).read_bytes())
        verdicts = {run: self._verdicts(run, waiting) for run in self.edition.outline.runs}
        self._page("index.html", "runs", **runs_page(self.edition), verdicts=verdicts)
        for run, name in self.grids.items():
            self._page(name, "grid", **grid_page(self.edition, run))
        if len(self.edition.outline.runs) > 1:
            self._page("arms.html", "arms", **arms_page(self.edition, ""))
        listed = items_page(self.edition, self.choice)
        listed |= {"lines": lines_of(self.edition, self.asked, self.rows, 0), "total": len(self.rows)}
        listed |= {"tasks": sorted({row["task"] for row in self.rows})}
        self._page("items.html", "items", **listed)
        for place, row in enumerate(self.rows):
            self._item(place, row)

    def _item(self, place: int, row: Row) -> None:
        asked = ItemAsked(row["task"], row["doc_hash"], show=self.harmful, thinking=True)
        found = item_page(self.edition, self.choice, asked)
        ends = {
            "before": (self.rows[place - 1], place - 1) if place else None,
            "after": (self.rows[place + 1], place + 1) if place + 1 < len(self.rows) else None,
            "total": len(self.rows),
            "item": replace(asked, place=place),
        }
        self._page(self.inner.pages[row["task"], row["doc_hash"]], "item", **found | ends)

    def _verdicts(self, run: str, waiting: Waiting | None) -> Markup:
        of = self.edition.outline.runs[run]
        try:
            [found] = trajectory([of.folder], waiting=waiting)
        except (SftgenError, ValueError) as error:
            return Markup(page("verdicts", links=self.top, of=of, lines=[], found=None, problem=str(error)))
        return Markup(page("verdicts", links=self.top, of=of, lines=verdict_lines(found), found=found, problem=""))

    def _page(self, file: str, template: str, /, **context: Any) -> None:
        links = self.inner if "/" in file else self.top
        several = len(self.edition.outline.runs) > 1
        write_atomic(self.into / file, page(template, links=links, edition=0, several=several, **context))
