"""What a notebook shows of records: tables of a bounded size, escaped, without the texts of prompts and responses."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice
from math import isfinite
from typing import Any, ClassVar, TypeVar

from sftgen_judges.records.schema import printable

MOST_ROWS, MOST_COLUMNS, MOST_TEXT = 20, 24, 120
NAMES = frozenset(
    (
        "run", "folder", "task", "step", "model", "sampling_id", "scorer", "status", "metric", "diagnostic", "level",
        "certainty", "finish_reason", "think", "doc_hash", "doc_id", "cluster", "prompt_hash", "evaluated_at", "at",
        "name", "annotator", "unit",
    )
)  # fmt: skip
"""Columns whose texts are names. Any other text may be a harmful prompt, or what a model answered."""
Element = TypeVar("Element")


class InNotebook:
    """Something that shows itself in a notebook.

    What shows it stands on a higher floor, or in a room above, and is named as plugins name theirs.
    """

    shown_by: ClassVar[str]
    """`package.module:function`, which takes the thing and gives HTML that is safe."""

    def _repr_html_(self) -> str:
        try:
            shown: str = pkgutil.resolve_name(self.shown_by)(self)
        except Exception as error:  # a notebook then shows a traceback in place of the cell's result
            return f"<p>{shown_text(f'{type(self).__name__}: cannot be shown: {error}')}</p>"
        return shown


class Shelf(list[Element], InNotebook):
    """A list whose elements show themselves, one below the other."""

    shown_by = "sftgen_judges.records.display:html_of_each"


def html_of_each(things: Sequence[Any]) -> str:
    """The first elements of a list."""
    left = len(things) - MOST_ROWS
    parts = [thing._repr_html_() for thing in things[:MOST_ROWS]]
    return "\n".join([*parts, f"<p>{left} more</p>"] if left > 0 else parts)


def html_of_query(query: Any) -> str:
    """The first rows of a query's answer (`Table`); of texts only how long they are."""
    found = next(iter(query.batches(MOST_ROWS)), None)
    rows = found.to_pylist() if found is not None else []
    more = len(rows) == MOST_ROWS
    head = list(rows[0]) if rows else []
    cells = [[_cell(name, row[name]) for name in head] for row in rows]
    note = f"The first {MOST_ROWS} rows. " if more else "" if rows else "No rows. "
    hidden = any(isinstance(row[name], str | list | dict) and name not in NAMES for row in rows for name in head)
    note += "Texts are not shown here: rows(), to_pandas() and to_polars() have them." if hidden else ""
    return html_table(head, cells) + (f"<p>{escape(note.strip())}</p>" if note else "")


def html_of_records(records: Any) -> str:
    """The runs, and what was measured in each."""
    rows = records.sql(
        """SELECT run, task, count(DISTINCT step) AS steps, min(step) AS "first", max(step) AS "last",
            max(docs) AS docs, arg_max(mean, coalesce(step, -1)) AS score
        FROM metrics WHERE metric = 'score' AND mean IS NOT NULL GROUP BY ALL ORDER BY ALL"""
    ).rows()
    runs = records.runs.rows()
    head = ("run", "task", "evaluated steps", "first", "last", "documents", "score at the last")
    table = html_table(head, [[_cell("task", value) for value in row.values()] for row in rows])
    folders = ", ".join(str(row["folder"]) for row in runs[:MOST_ROWS])
    names = "samples, metrics, texts, measures, labels, findings, evaluations, runs"
    about = f"{len(runs)} run{'s' * (len(runs) != 1)}: {folders}. Ask with .sql(...) over {names}."
    return f"<p>{shown_text(about, 2000)}</p>{table}"


def html_table(head: Iterable[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A table; rows, columns and cells beyond what a notebook has room for are left out."""
    columns = [f'<th scope="col">{shown_text(str(name))}</th>' for name in islice(head, MOST_COLUMNS)]
    given = list(islice(rows, MOST_ROWS + 1))
    body = "".join(
        f"<tr>{''.join(f'<td>{shown_text(str(cell))}</td>' for cell in row[:MOST_COLUMNS])}</tr>\n"
        for row in given[:MOST_ROWS]
    )
    more = "<p>More rows are not shown.</p>" if len(given) > MOST_ROWS else ""
    return f"<table><thead><tr>{''.join(columns)}</tr></thead><tbody>\n{body}</tbody></table>{more}"


def shown_text(text: str, most: int = MOST_TEXT) -> str:
    """A text as HTML: escaped, bounded, without control codes."""
    kept = printable(text[:most])
    return escape(kept if len(text) <= most else f"{kept}...")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:.4g}" if isfinite(value) else "-"
    if isinstance(value, str):
        return value if name in NAMES else f"text of {len(value):,} characters"
    if isinstance(value, Mapping | list | tuple):
        return f"{len(value)} entries"
    return str(value)
