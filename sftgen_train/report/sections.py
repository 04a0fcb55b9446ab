"""Tables with a title: in the terminal and for papers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sftgen_judges.plugins.contracts import Group
from sftgen_judges.plugins.contracts import Table as Cells
from sftgen_judges.records.schema import printable
from sftgen_train.report.forms import as_latex, as_markdown

ELSE = "what else"
"""The last column of a table whose cells are sentences: in the terminal they stand in full below the table."""

LONG = 12
"""A table of more rows is folded on a page."""


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        title: Above it.
        head: Names of the columns.
        rows: The cells.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_table(self, *, words: bool = False) -> Cells:
        """The same as a block of a report; `words` is whether its cells are words."""
        return Cells(self.head, self.rows, self.title, words)

    def as_block(self) -> Cells | Group:
        """The same for a page; a long table is folded, so that what follows is in sight."""
        table = self.as_table()
        return Group((table,), self.title, folded=True) if len(self.rows) > LONG else table

    def filled(self) -> Section:
        """The same without columns that are empty in every row."""
        kept = [place for place in range(len(self.head)) if any(row[place] != "-" for row in self.rows)]
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        return Section(self.title, tuple(self.head[place] for place in kept), rows)


def with_rows(found: Iterable[Section]) -> list[Section]:
    """Those that have rows."""
    return [part for part in found if part.rows]


def print_table(table: Table, console: Console) -> None:
    """Print a table below its title, which is as wide as the screen: Rich would break it at the table's own width."""
    if table.title:
        console.print(Text.from_markup(str(table.title), style="table.title"), highlight=False)
    table.title = None
    console.print(table)


def print_sections(found: Iterable[Section], console: Console) -> None:
    """Print tables; what explains a row stands in full below its table."""
    for part in found:
        told = part.head[-1] == ELSE
        columns = part.head[: len(part.head) - told]
        # Columns stand two blanks apart, or one where no word is broken then.
        apart, widths = next(
            ((gap, fit) for gap in (2, 1) if None not in (fit := _widths(part, len(columns), console.width, gap))),
            (2, [None] * len(columns)),
        )
        table = Table(
            title=plain(part.title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False,
            padding=(0, apart - 1, 0, 0), show_edge=apart > 1,
        )  # fmt: skip
        for column, width in zip(columns, widths, strict=True):
            table.add_column(column, overflow="fold", width=width)
        names = part.head.index("task") + 1 if "task" in part.head else 1
        before: tuple[str, ...] = ()
        for row in part.rows:
            # What the row above says too is not said again.
            same = row[:names] == before
            shown = ("",) * names + row[names:] if same else row
            table.add_row(*map(_cell, shown[: len(row) - told]))
            before = row[:names]
        print_table(table, console)
        for row in part.rows if told else ():
            if row[-1]:
                console.print(f"{plain(' '.join(row[:names]))}: {plain(row[-1])}", highlight=False)


def _widths(part: Section, columns: int, room: int, gap: int) -> list[int | None]:
    """The width of each column, so that no word is broken; what Rich makes of it where not all words have room."""
    cells = [tuple(map(_cell, row[:columns])) for row in (part.head, *part.rows)]
    widths = [max(cell_len(word) for row in cells for word in row[place].split() or [""]) for place in range(columns)]
    lines = [max(cell_len(line) for row in cells for line in row[place].split("\n")) for place in range(columns)]
    spare = room - gap * columns - sum(widths)
    if spare < 0:
        return [None] * columns
    for _ in range(spare):  # to the column whose lines are broken into the most parts
        narrow = max(range(columns), key=lambda place: lines[place] / max(1, widths[place]))
        widths[narrow] += lines[narrow] > widths[narrow]
    return list(widths)


def for_markdown(found: Sequence[Section]) -> str:
    """Tables in Markdown, one below the other."""
    return "\n\n".join(f"**{part.title}**\n\n{as_markdown(part.head, _lines(part))}" for part in found)


def for_latex(found: Sequence[Section]) -> str:
    """Tables in LaTeX, one below the other."""
    return "\n\n".join(f"% {part.title}\n{as_latex(part.head, _lines(part))}" for part in found)


def plain(text: str) -> str:
    """A text that comes from a run, as text: no markup, no control codes."""
    return escape(printable(text))


def _lines(part: Section) -> list[list[str]]:
    """The rows with each cell in one line: a number with its interval in brackets."""
    return [[_one_line(*cell.split("\n")) for cell in row] for row in part.rows]


def _one_line(first: str, *others: str) -> str:
    return f"{first} ({' '.join(others)})" if others else first


def _cell(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))
