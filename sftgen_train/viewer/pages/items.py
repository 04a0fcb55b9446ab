"""Items: which of them were won, lost or kept, found by filters that stand in the address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sftgen_judges.records.messages import last_words
from sftgen_train.viewer import questions
from sftgen_train.viewer.address import CHANGES, CUTS, PLACES, SCORES, SORTS, STATUSES, Choice
from sftgen_train.viewer.errors import MissingError
from sftgen_train.viewer.library import Edition
from sftgen_train.viewer.naming import chosen_step, one_line, run_names, run_of, score, step_in_address, step_name
from sftgen_train.viewer.questions import PAGE, Asked, Row, RunOutline

EXCERPT = 180
"""Characters of a question in the list."""


@dataclass(frozen=True)
class Beat:
    """A step of an item in the small strip of its scores.

    Attributes:
        css: Its class.
        title: What it says.
    """

    css: str
    title: str


@dataclass(frozen=True)
class ItemLine:
    """An item in the list.

    Attributes:
        place: Its place in the whole list, from 0.
        row: Its numbers, see `ItemIndex.items`.
        question: The beginning of its question; empty where nobody wrote it down.
        harmful: Whether texts are shown on demand only.
        strip: Its score at every step.
        strip_text: The same in words.
    """

    place: int
    row: Row
    question: str
    harmful: bool
    strip: Sequence[Beat]
    strip_text: str


def resolve(edition: Edition, choice: Choice) -> Asked:
    """What a choice asks of these runs; what it leaves open gets its default.

    Raises:
        MissingError: It names a run, task or step that is not there.
    """
    outline = edition.outline
    of = run_of(outline, choice.run)
    other = run_of(outline, choice.before_run or of.run)
    step = _step(choice.step, of, choice.task, last=True)
    before = _step(choice.before or (str(step) if other is not of and step in other.steps else ""), other, choice.task)
    return Asked(
        of.run, step, other.run, before,
        choice.task, choice.status, choice.cut, choice.score, choice.change, choice.q, choice.where, choice.sort,
    )  # fmt: skip


def _step(given: str, of: RunOutline, task: str, *, last: bool = False) -> int:
    """The step that is named, if the task has it, or the first or last one that it has."""
    if task and task not in of.tasks:
        raise MissingError(
            f"task {task!r} has no graded answers in {of.folder}; {', '.join(of.tasks) or 'no task'} has"
        )
    own = of.tasks[task] if task else of.steps
    step = chosen_step(given, of.steps, -1)
    return step if given and step in own else own[-1 if last else 0] if own else 0


def items_page(edition: Edition, choice: Choice) -> dict[str, Any]:
    """What the list shows.

    Raises:
        MissingError: The choice names what is not there.
    """
    asked = resolve(edition, choice)
    outline = edition.outline
    offset = PAGE * (max(1, choice.page) - 1)
    rows, total = edition.items(asked, limit=PAGE, offset=offset)
    of, other = outline.runs[asked.run], outline.runs[asked.before_run]
    return {
        "choice": choice,
        "asked": asked,
        "lines": lines_of(edition, asked, rows, offset),
        "total": total,
        "first": offset + 1 if rows else 0,
        "last": offset + len(rows),
        "more": offset + len(rows) < total,
        "compared": (asked.run, asked.step) != (asked.before_run, asked.before),
        "runs": run_names(outline),
        "tasks": sorted(of.tasks),
        "steps": [(step_in_address(step), step_name(step)) for step in of.steps],
        "before_steps": [(step_in_address(step), step_name(step)) for step in other.steps],
        "step": step_in_address(asked.step),
        "before": step_in_address(asked.before),
        "empty": not of.samples,
        "options": {
            "change": CHANGES, "sort": SORTS, "score": SCORES, "cut": CUTS, "where": PLACES,
            "status": {"": "any status"} | {name: name.replace("_", " ") for name in STATUSES},
        },
    }  # fmt: skip


def lines_of(edition: Edition, asked: Asked, rows: Sequence[Row], offset: int) -> list[ItemLine]:
    """Items with their questions and strips."""
    harmful = edition.outline.harmful
    runs = list(dict.fromkeys((asked.before_run, asked.run)))
    strips = edition.index.strips(rows, runs)
    asked_for = [row for row in rows if row["task"] not in harmful]
    texts = questions.questions(edition.records, asked_for)
    lines = []
    for place, row in enumerate(rows):
        key = row["task"], row["doc_hash"]
        beats = [_beat(of, several=len(runs) > 1, names=run_names(edition.outline)) for of in strips.get(key, [])]
        excerpt = one_line(last_words(texts.get(key, "")), EXCERPT)
        line = ItemLine(offset + place, row, excerpt, row["task"] in harmful, beats, "; ".join(b.title for b in beats))
        lines.append(line)
    return lines


def _beat(row: Row, *, several: bool, names: dict[str, str]) -> Beat:
    found = row["score"]
    css = "none" if found is None else "full" if found >= 1 else "zero" if found <= 0 else "half"
    title = f"{step_name(row['at_step'])}: {score(found)}"
    if row["cut"]:
        css, title = f"{css} cut", f"{title}, truncated"
    return Beat(css, f"{names[row['run']]}, {title}" if several else title)


def neighbours(
    edition: Edition, choice: Choice, place: int
) -> tuple[tuple[Row, int] | None, tuple[Row, int] | None, int]:
    """The items before and after one in the list, with their places, and how many there are."""
    asked = resolve(edition, choice)
    start = max(0, place - 1)
    rows, total = edition.items(asked, limit=place - start + 2, offset=start)
    before = (rows[0], place - 1) if place and rows else None
    after = (rows[place - start + 1], place + 1) if len(rows) > place - start + 1 else None
    return before, after, total
