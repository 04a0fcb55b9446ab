"""`sftgen show`: a run's questions and answers in the terminal, over what the viewer reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sftgen_train.cli.completing import complete_task
from sftgen_train.cli.console import console, listed, say

if TYPE_CHECKING:
    from sftgen_train.viewer.library import Edition
    from sftgen_train.viewer.questions import RunOutline

CHANGES = {"right-wrong": "lost", "wrong-right": "won", "right-right": "kept", "wrong-wrong": "missed"}
"""Words of `--changed`, and the viewer's for the same."""
MOST_STEPS = 8
"""Steps of a table where nobody names some."""
LONGEST = 6_000
"""Characters of a question, of an answer and of its thinking that are shown."""
LONGEST_REASON = 500
NARROWEST = 56
"""Columns of the terminal that an answer needs so that the next one stands beside it."""


@dataclass(frozen=True)
class Shown:
    """What is shown of a run.

    Attributes:
        edition: The run's records.
        run: What it holds.
        task: The task.
        steps: Steps, ascending.
        hidden: Whether texts are left out, because the task is a safety task and nobody asked for them.
    """

    edition: Edition
    run: RunOutline
    task: str
    steps: tuple[int, ...]
    hidden: bool


def show_answers(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    *,
    task: Annotated[
        str, typer.Option(help="The task; needed where the run has several.", autocompletion=complete_task)
    ] = "",
    doc: Annotated[str, typer.Option(help="One document: its name, or the beginning of its hash.")] = "",
    steps: Annotated[str, typer.Option(help="Only these steps, for example 0,16,80.")] = "",
    changed: Annotated[
        str, typer.Option(help=f"From the first to the last of these steps: {', '.join(CHANGES)}.")
    ] = "",
    repeat: Annotated[int, typer.Option(min=0, help="With --doc: which of several samples.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Documents of the table.")] = 20,
    thinking: Annotated[bool, typer.Option("--thinking", help="With --doc: show the thinking too.")] = False,
    with_harmful_texts: Annotated[
        bool, typer.Option("--with-harmful-texts", help="Show texts of safety tasks too.")
    ] = False,
) -> None:
    """Show which answers changed from step to step; with --doc one question and its answers.

    The documents that changed most come first. `sftgen view` shows the same in a browser, with differences marked.
    """
    from sftgen_judges.errors import SftgenError, did_you_mean
    from sftgen_judges.records.query import open_records
    from sftgen_train.viewer.library import Edition

    if changed and changed not in CHANGES:
        known = ", ".join(CHANGES)
        raise SftgenError(f"--changed {changed}: expected one of {known}{did_you_mean(changed, CHANGES)}")
    with open_records(run) as records:
        shown = _chosen(Edition(records, 1), run, task, steps, with_harmful_texts)
        if doc:
            _show_document(shown, doc, repeat, thinking=thinking)
        else:
            _show_table(shown, changed, limit)


def _chosen(edition: Edition, path: Path, task: str, steps: str, harmful: bool) -> Shown:
    """What is asked for.

    Raises:
        SftgenError: The run has no such task or step, or several tasks and none is named.
    """
    from sftgen_judges.errors import SftgenError, did_you_mean
    from sftgen_train.viewer.naming import chosen_step

    [run] = edition.outline.runs.values()
    if not run.tasks:
        raise SftgenError(f"{path}: no answer is graded yet; `sftgen queue {path}` says what waits")
    names = [name for name in (task, f"sftgen_{task}") if name in run.tasks] or (
        list(run.tasks) if not task and len(run.tasks) == 1 else []
    )
    if not names:
        given = f"--task {task}: the run has no such task" if task else "--task: name one of the tasks"
        raise SftgenError(f"{given}; it has {', '.join(run.tasks)}{did_you_mean(task, run.tasks)}")
    held = run.tasks[names[0]]
    asked = tuple(sorted({chosen_step(step, held, held[0]) for step in _numbers(steps)})) or held
    return Shown(edition, run, names[0], asked, names[0] in edition.outline.harmful and not harmful)


def _numbers(steps: str) -> list[str]:
    from sftgen_judges.errors import SftgenError
    from sftgen_train.viewer.address import OUTSIDE

    for step in listed(steps):
        if step != OUTSIDE and not (step.isascii() and step.isdecimal()):
            raise SftgenError(f"--steps {steps}: expected steps such as 0,16,80, or {OUTSIDE} (outside of training)")
    return listed(steps)


def _show_table(shown: Shown, changed: str, limit: int) -> None:
    """Documents with their score at each step."""
    from rich import box
    from rich.table import Table

    from sftgen_train.viewer.naming import one_line, score, step_name
    from sftgen_train.viewer.questions import Asked, questions

    run = shown.run.run
    asked = Asked(run, shown.steps[-1], run, shown.steps[0], task=shown.task, change=CHANGES.get(changed, ""))
    rows, total = shown.edition.items(asked, limit=len(shown.edition.index))
    strips = shown.edition.index.strips(rows, [run])
    cells = {key: {cell["at_step"]: cell for cell in strip} for key, strip in strips.items()}
    rows = sorted(rows, key=lambda row: -_range(cells[row["task"], row["doc_hash"]], shown.steps))[:limit]
    places = _spread(shown.steps)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("document", no_wrap=True, max_width=24)
    for step in places:
        table.add_column(step_name(step).removeprefix("step "), justify="right", no_wrap=True)
    asks = {} if shown.hidden else questions(shown.edition.records, rows)
    if asks:
        table.add_column("question")
    # A question that is longer than its room would take the room of the scores.
    names = [one_line(row["doc_id"] or row["doc_hash"][:16], 60) for row in rows]
    taken = min(max(map(len, names), default=0), 24) + sum(max(len(step_name(step)) - 5, 2) + 3 for step in places)
    room = max(console.width - taken - 6, 20)
    for name, row in zip(names, rows, strict=True):
        key = row["task"], row["doc_hash"]
        scores = [cells[key].get(step) for step in places]
        told = [score(cell["score"]) + "*" * bool(cell["cut"]) if cell else "" for cell in scores]
        further = [_text(one_line(asks.get(key, "").strip(), room))] if asks else []
        table.add_row(_text(name), *told, *further)
    first, last = step_name(places[0]), step_name(places[-1]).removeprefix("step ")
    kind = f" ({changed} from {first} to {last})" if changed else ""
    say(f"{shown.task}: {total:,} documents{kind}; score at each step, * = truncated")
    console.print(table)
    if total > len(rows):
        say(f"{total - len(rows):,} more: --limit N shows more")
    if len(places) < len(shown.steps):
        say(f"{len(places)} of {len(shown.steps)} steps: --steps names others")
    _say_hidden(shown)
    say("--doc NAME shows one with its answers")


def _range(cells: dict[int, Any], steps: Sequence[int]) -> float:
    """By how much the score of a document differs between steps at most."""
    found = [cell["score"] for step in steps if (cell := cells.get(step)) and cell["score"] is not None]
    return max(found) - min(found) if found else -1.0


def _spread(steps: Sequence[int]) -> list[int]:
    """So many steps as fit into a table, the first and the last among them."""
    if len(steps) <= MOST_STEPS:
        return list(steps)
    return [steps[round(place * (len(steps) - 1) / (MOST_STEPS - 1))] for place in range(MOST_STEPS)]


def _show_document(shown: Shown, doc: str, repeat: int, *, thinking: bool) -> None:
    """A question, and what was answered at each step."""
    from sftgen_judges.errors import SftgenError
    from sftgen_train.viewer import questions

    doc_hash, name = _document(shown, doc)
    run = shown.run.run
    found = questions.samples(shown.edition.records, shown.task, doc_hash, [run])
    repeats = sorted({row["repeat"] for row in found})
    if repeat not in repeats:
        raise SftgenError(f"--repeat {repeat}: {name} has the samples {', '.join(map(str, repeats))}")
    graded = {row["at_step"]: row for row in found if row["repeat"] == repeat}
    of_many = f", sample {repeat} of {len(repeats)} (--repeat)" if len(repeats) > 1 else ""
    say(f"{shown.task}, {name}{of_many}")
    texts: dict[int, Any] = {}
    if not shown.hidden:
        texts = {
            row["at_step"]: row for row in questions.texts(shown.edition.records, shown.task, doc_hash, repeat, [run])
        }
        _print_question(shown, doc_hash)
    _say_hidden(shown)
    answers = [
        (step, _facts(graded[step], hidden=shown.hidden), _answer(texts.get(step), graded[step], thinking=thinking))
        for step in shown.steps
        if step in graded
    ]
    if not answers:
        raise SftgenError(f"--steps: {name} has no graded answer there; it has at {', '.join(map(str, graded))}")
    _print_answers(answers, beside=not shown.hidden)


def _document(shown: Shown, given: str) -> tuple[str, str]:
    """The hash and the name of the document that is meant.

    Raises:
        SftgenError: No document of the task, or several.
    """
    from sftgen_judges.errors import SftgenError, did_you_mean

    query = "SELECT DISTINCT doc_hash, doc_id FROM samples WHERE task = ? AND run = ? ORDER BY ALL"
    rows = shown.edition.records.sql(query, (shown.task, shown.run.run)).rows()
    named = [row for row in rows if row["doc_id"] == given] or [
        row for row in rows if row["doc_hash"].startswith(given)
    ]
    if len(named) == 1:
        return named[0]["doc_hash"], named[0]["doc_id"] or named[0]["doc_hash"][:16]
    if named:
        raise SftgenError(f"--doc {given}: {len(named)} documents begin so; give more of the hash")
    names = [str(row["doc_id"] or row["doc_hash"][:16]) for row in rows]
    raise SftgenError(
        f"--doc {given}: {shown.task} has no such document{did_you_mean(given, names)}; without --doc they are listed"
    )


def _print_question(shown: Shown, doc_hash: str) -> None:
    from sftgen_judges.records.messages import last_words, messages
    from sftgen_train.viewer import questions

    found = questions.prompt(shown.edition.records, shown.task, doc_hash)
    if found is None:
        say("The question was not written down: the run is of an older version.")
        return
    whole = found["prompt"]
    console.print(_bounded(last_words(whole) if messages(whole) else found["question"].strip()), soft_wrap=True)


def _facts(sample: Any, *, hidden: bool) -> list[str]:
    """What is known of an answer, in lines."""
    from sftgen_train.viewer.naming import one_line, score

    ended = sample["finish_reason"] or ("cut" if sample["truncated"] else "")
    length = f"{sample['tokens']:,} tokens" if sample["tokens"] is not None else ""
    status = "" if sample["status"] == "ok" else str(sample["status"])
    lines = [
        ", ".join(filter(None, [f"score {score(sample['score'])}", status, f"ended: {ended}" * bool(ended), length]))
    ]
    if not hidden:
        lines += [f"read: {one_line(str(sample['answer']), LONGEST_REASON)}"] if sample["answer"] else []
        lines += [f"because: {one_line(sample['reason'], LONGEST_REASON)}"] if sample["reason"] else []
    return lines


def _answer(text: Any, sample: Any, *, thinking: bool) -> list[Any]:
    """The parts of an answer, each a text for the terminal."""
    from sftgen_train.exchange.answers import response_of
    from sftgen_train.viewer.naming import size

    if text is None:
        return []
    response, parts = response_of(text), []
    if response.thinking:
        counted = sample.get("thinking_tokens")
        long = f"{counted:,} tokens" if counted is not None else size(len(response.thinking))
        parts.append(_text(f"[thinking: {long}{'' if thinking else '; --thinking shows it'}]", "dim"))
        if thinking:
            parts.append(_bounded(response.thinking.strip(), "dim"))
    parts.append(_bounded(response.answer.strip()) if response.answer.strip() else _text("[no answer]", "dim"))
    return parts


def _print_answers(answers: Sequence[tuple[int, list[str], list[Any]]], *, beside: bool) -> None:
    """One after the other, or beside each other where the terminal is wide enough."""
    from rich.console import Group
    from rich.rule import Rule
    from rich.table import Table

    from sftgen_train.viewer.naming import step_name

    if beside and len(answers) > 1 and console.width >= NARROWEST * len(answers):
        table = Table(expand=True, show_lines=True)
        for step, _, _ in answers:
            table.add_column(step_name(step), ratio=1, overflow="fold")
        table.add_row(*(_text("\n".join(facts)) for _, facts, _ in answers))
        table.add_row(*(Group(*parts) for _, _, parts in answers))
        console.print(table)
        return
    for step, facts, parts in answers:
        console.print(Rule(_text(step_name(step)), align="left"))
        console.print(_text("\n".join(facts)), soft_wrap=True)
        for part in parts:
            console.print(part, soft_wrap=True)


def _say_hidden(shown: Shown) -> None:
    if shown.hidden:
        say(f"{shown.task} is a safety task: its texts are shown with --with-harmful-texts only")


def _bounded(text: str, style: str = "") -> Any:
    """A text up to `LONGEST` characters, with what is left out in words."""
    from sftgen_train.viewer.naming import size

    left = len(text) - LONGEST
    return _text(text[:LONGEST] + (f"\n[{size(left)} more; sftgen view shows them]" if left > 0 else ""), style)


def _text(text: str, style: str = "") -> Any:
    """A stranger's text for the terminal: it names no style, and no character of it moves the cursor or hides."""
    from rich.text import Text

    from sftgen_train.viewer.writing import visible

    return Text(visible(text), style)
