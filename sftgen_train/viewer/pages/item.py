"""One item at every checkpoint, side by side: the first column is what the others are compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from sftgen_judges.records.messages import last_words, messages
from sftgen_judges.records.schema import Response
from sftgen_train.exchange.answers import response_of
from sftgen_train.viewer import questions
from sftgen_train.viewer.address import Choice
from sftgen_train.viewer.differences import difference
from sftgen_train.viewer.errors import MissingError
from sftgen_train.viewer.labels import LEVELS, READ, Diagnosed, labelled
from sftgen_train.viewer.library import Edition
from sftgen_train.viewer.naming import run_names, size, step_in_address, step_name
from sftgen_train.viewer.pages.items import neighbours, resolve
from sftgen_train.viewer.questions import LONGEST, Row
from sftgen_train.viewer.writing import SHOWN, Token, tokens, visible, written


@dataclass(frozen=True)
class Text:
    """A part of a response as a page shows it.

    Attributes:
        html: The text.
        left_out: How much more there is, in words; empty if all is shown.
        why: Why no differences are marked.
        marked: Whether differences are marked.
    """

    html: Markup = field(default_factory=Markup)
    left_out: str = ""
    why: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Column:
    """An answer to the item.

    Attributes:
        run: Id of the run.
        run_name: Its short name.
        step: The step.
        sample: The graded sample; None where there is none.
        found: Whether the response is in the records.
        answer: The answer.
        thinking: Length of the thinking, in words; empty without thinking.
        thought: The thinking, where it was asked for.
        change: From the first column: `won`, `lost`, or empty.
        measures: What else was measured.
        size: Length of the response, in words.
        first: Whether the others are compared with it.
    """

    run: str
    run_name: str
    step: int
    sample: Row | None
    found: bool
    answer: Text
    thinking: str
    thought: Text | None
    change: str
    measures: Sequence[tuple[str, str]]
    size: str
    first: bool

    @property
    def at(self) -> str:
        """The step in an address."""
        return step_in_address(self.step)

    @property
    def heading(self) -> str:
        """The step in words."""
        return step_name(self.step)


@dataclass(frozen=True)
class ItemAsked:
    """Which item, and how it is shown.

    Attributes:
        task: Its task.
        doc_hash: Its document.
        place: Its place in the list that it was opened from; None if it was opened by itself.
        repeat: Which of its samples.
        marks: Whether differences are marked.
        show: Whether harmful texts are shown.
        thinking: Whether the thinking is put into the page.
    """

    task: str
    doc_hash: str
    place: int | None = None
    repeat: int = 0
    marks: bool = True
    show: bool = False
    thinking: bool = False


def item_page(edition: Edition, choice: Choice, asked: ItemAsked) -> dict[str, Any]:
    """What the page of an item shows.

    Raises:
        MissingError: The runs hold no such item.
    """
    outline, names = edition.outline, run_names(edition.outline)
    listed = resolve(edition, choice)
    # The run that is compared with comes first; others that hold the item can be put beside.
    runs = list(dict.fromkeys((listed.before_run, listed.run)))
    rows = questions.samples(edition.records, asked.task, asked.doc_hash, runs)
    if not rows:
        raise MissingError(
            f"{asked.task} has no item {asked.doc_hash[:16]!r} in {', '.join(names[run] for run in runs)}"
        )
    harmful = asked.task in outline.harmful
    hidden = harmful and not asked.show
    diagnosed = {} if hidden else diagnosed_of(edition, asked.task, asked.doc_hash, asked.repeat, runs)
    columns = [] if hidden else _columns(edition, asked, rows, {run: names[run] for run in runs}, diagnosed)
    before, after, total = (None, None, 0) if asked.place is None else neighbours(edition, choice, asked.place)
    return {
        "choice": choice,
        "item": asked,
        "doc_id": next((row["doc_id"] for row in rows if row["doc_id"]), asked.doc_hash[:16]),
        "harmful": harmful,
        "hidden": hidden,
        "columns": columns,
        "several_runs": len(runs) > 1,
        "repeats": sorted({row["repeat"] for row in rows}),
        "scores": _scores(rows),
        "before": before,
        "after": after,
        "total": total,
        "read": READ,
        "levels": LEVELS if any(of.shifts for of in diagnosed.values()) else (),
        "named": any(of.labels for of in diagnosed.values()),
        **({} if hidden else _prompt(edition, asked)),
    }


def _scores(rows: Sequence[Row]) -> dict[int, float | None]:
    """The mean score of every repeat over steps, for its tab."""
    found: dict[int, list[float]] = {}
    for row in rows:
        found.setdefault(row["repeat"], [])
        if row["score"] is not None:
            found[row["repeat"]].append(row["score"])
    return {repeat: sum(scores) / len(scores) if scores else None for repeat, scores in found.items()}


def _prompt(edition: Edition, asked: ItemAsked) -> dict[str, Any]:
    found = questions.prompt(edition.records, asked.task, asked.doc_hash)
    if found is None:
        return {"prompt": None}
    whole = found["prompt"]
    question = last_words(whole) if messages(whole) else found["question"].strip()
    return {
        "prompt": visible(whole[:SHOWN]),
        "prompt_cut": size(len(whole)) if len(whole) > SHOWN else "",
        "messages": [(role, visible(text[:SHOWN])) for role, text in messages(whole)],
        "question": written(tokens(question[:SHOWN])),
        "variants": found["variants"],
    }


def _columns(
    edition: Edition,
    asked: ItemAsked,
    rows: Sequence[Row],
    names: Mapping[str, str],
    diagnosed: Mapping[tuple[str, int], Diagnosed],
) -> list[Column]:
    """The columns of runs, which are given with their names."""
    graded = {(row["run"], row["at_step"]): row for row in rows if row["repeat"] == asked.repeat}
    texts = {
        (row["run"], row["at_step"]): row
        for row in questions.texts(edition.records, asked.task, asked.doc_hash, asked.repeat, list(names))
    }
    steps = {run: edition.outline.runs[run].tasks.get(asked.task, ()) for run in names}
    columns: list[Column] = []
    base: tuple[list[Token], Row | None] | None = None
    for run in names:
        for step in steps[run]:
            sample, text = graded.get((run, step)), texts.get((run, step))
            response = response_of(text) if text else Response("")
            found = tokens(response.answer[:SHOWN])
            said = diagnosed.get((run, step))
            answer = _answer(found, response, sample, None if base is None or not asked.marks else base[0], said)
            column = Column(
                run, names[run], step, sample, text is not None, answer,
                _thinking(sample, response),
                thinking_text(response, sample, said) if asked.thinking else None,
                "" if base is None else _change(base[1], sample),
                _measures(sample),
                size(text["characters"]) if text else "",
                base is None,
            )  # fmt: skip
            columns.append(column)
            if base is None:
                base = found, sample
    return columns


def diagnosed_of(
    edition: Edition, task: str, doc_hash: str, repeat: int, runs: Sequence[str]
) -> dict[tuple[str, int], Diagnosed]:
    """What diagnostics say of the answers to one repeat of an item, by run and step."""
    labels: dict[tuple[str, int], list[Row]] = {}
    for row in questions.labels(edition.records, task, doc_hash, repeat, runs):
        labels.setdefault((row["run"], row["at_step"]), []).append(row)
    shifts: dict[tuple[str, int], list[tuple[int, Row]]] = {}
    for row in questions.shifts(edition.records, task, doc_hash, runs) if repeat == 0 else ():
        kept = json.loads(row["kept"]) if isinstance(row["kept"], str) else row["kept"]
        # The base's answers are read by every checkpoint, and stand in the column of step 0.
        at = {"own answers": int(row["step"]), "base answers": 0}.get(str(kept.get("source")))
        if at is not None:
            shifts.setdefault((row["run"], at), []).append((int(row["step"]), kept))
    return {key: Diagnosed(labels.get(key, ()), shifts.get(key, ())) for key in {*labels, *shifts}}


def _answer(
    found: Sequence[Token],
    response: Response,
    sample: Row | None,
    base: Sequence[Token] | None,
    diagnosed: Diagnosed | None,
) -> Text:
    spans = labelled(sample, response, "answer", diagnosed)
    left_out = _left_out(response.answer, len(response.text) >= LONGEST)
    if base is None or not found:
        return Text(written(found, spans=spans), left_out)
    compared = difference(base, found)
    return Text(written(compared.tokens, compared.marks, spans), left_out, compared.why, marked=any(compared.marks))


def thinking_text(response: Response, sample: Row | None, diagnosed: Diagnosed | None = None) -> Text:
    """The thinking of a response."""
    spans = labelled(sample, response, "thinking", diagnosed)
    return Text(
        written(tokens(response.thinking[:SHOWN]), spans=spans),
        _left_out(response.thinking, len(response.text) >= LONGEST),
    )


def _left_out(text: str, cut: bool) -> str:
    if cut:
        return "Only the beginning of this response is shown"
    return f"The first {SHOWN:,} of {size(len(text))} are shown" if len(text) > SHOWN else ""


def _thinking(sample: Row | None, response: Response) -> str:
    if not response.thinking:
        return ""
    counted = (sample or {}).get("thinking_tokens")
    return f"{counted:,} tokens" if counted is not None else size(len(response.thinking))


def _change(base: Row | None, sample: Row | None) -> str:
    before, after = (base or {}).get("score"), (sample or {}).get("score")
    if before is None or after is None or before == after:
        return ""
    return "won" if after > before else "lost"


def _measures(sample: Row | None) -> list[tuple[str, str]]:
    try:
        found = json.loads((sample or {}).get("measures") or "{}")
    except ValueError:
        return []
    shown = [(name, value) for name, value in found.items() if name != "answered"]
    return [(name, f"{value:g}" if isinstance(value, int | float) else str(value)[:80]) for name, value in shown][:12]
