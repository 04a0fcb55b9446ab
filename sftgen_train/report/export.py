"""Sections of a report as files: every figure as CSV, SVG and PNG, every table in Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Block, Figure, Group, Plot, Reported
from sftgen_judges.plugins.contracts import Table as Cells
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.schema import printable
from sftgen_train.report.drawing import drawn, in_house
from sftgen_train.report.findings import shown
from sftgen_train.report.forms import as_csv
from sftgen_train.report.gathering import checked, gathered, left_out
from sftgen_train.report.pictures import browser, pictures
from sftgen_train.report.sections import Section, for_latex, for_markdown

_KEYED = {"showlegend": True, "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"}}
"""What stands beside a figure on the page stands in its picture."""


@dataclass
class Files:
    """What is written.

    Attributes:
        tables: Every table.
        data: The rows of each CSV file, by its name.
        figures: The figure of each picture, by its name.
    """

    tables: list[Section] = field(default_factory=list)
    data: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, reported: Reported) -> Files:
        """The files of all sections; one that fails is named and left out."""
        files = cls()
        for of in gathered(reported, files=True):
            try:
                made = cls.of_blocks(of.blocks, of.section.name, of.section.title)
            except Exception as error:  # for example a figure that Plotly cannot read; the others are still written
                left_out(reported, of.section.name, of.plugin, error)
                continue
            files.tables += made.tables
            for mine, theirs in ((files.data, made.data), (files.figures, made.figures)):
                for name, what in theirs.items():
                    mine[_apart(name, mine)] = what
        return files

    @classmethod
    def of_blocks(cls, blocks: Iterable[Block], name: str, title: str = "") -> Files:
        """The files of one section.

        Args:
            blocks: What it shows, as `checked` gives it.
            name: Its name.
            title: Of tables that have none.
        """
        files = cls()
        for of, heading in _within(blocks, title):
            if isinstance(of, Cells):
                rows = tuple(tuple(shown(cell) for cell in row) for row in of.rows)
                files.tables.append(Section(of.title or heading, of.columns, rows))
            elif isinstance(of, Figure) and of.kind != "tokens":
                about = heading if heading != title else of.title
                files.figures[_apart(f"{name}-{about}", files.figures)] = drawn(of)
                files.data.setdefault(_file(name), []).extend(_rows_of(of, about))
            elif isinstance(of, Plot):
                figure = in_house(of.figure)
                files.figures[_apart(of.name, files.figures)] = figure.update_layout(**_KEYED) if of.keys else figure
                files.data.setdefault(_file(of.data or of.name), []).extend(map(_cells, of.rows))
        return files

    def write(self, folder: Path) -> None:
        """Write the data, a CSV file for each name, and `tables.md` and `tables.tex`.

        Args:
            folder: Where to; files of these names are replaced, others stay.

        Raises:
            OSError: It cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "tables.md", for_markdown(self.tables) + "\n")
        write_atomic(folder / "tables.tex", for_latex(self.tables) + "\n")
        for name, rows in self.data.items():
            if rows:
                write_atomic(folder / f"{name}.csv", as_csv(rows, ()) + "\n")

    def draw(self, folder: Path) -> list[str]:
        """Draw every figure as SVG and PNG.

        Returns:
            The names of figures that the browser could not draw.

        Raises:
            BrowserError: There is no browser, or it drew nothing.
            OSError: The folder cannot be written.
        """
        names, made = list(self.figures), set()
        for place, form, picture in pictures(self.figures.values(), browser()):
            (folder / f"{names[place]}.{form}").write_bytes(picture)
            made.add(names[place])
        return [name for name in names if name not in made]


def files_of(blocks: Iterable[Block], name: str) -> Files:
    """The files of blocks that are no section."""
    return Files.of_blocks(checked(blocks), name)


def _within(blocks: Iterable[Block], heading: str) -> Iterator[tuple[Block, str]]:
    """Every block that is no group, with the heading it stands under; what is folded has that of the fold's group."""
    for of in blocks:
        if isinstance(of, Group):
            yield from _within(of.blocks, heading if of.folded or not of.title else of.title)
        else:
            yield of, heading


def _rows_of(figure: Figure, about: str) -> Iterator[dict[str, Any]]:
    for series in figure.series:
        gaps = [None] * len(series.y)
        for x, y, low, high in zip(series.x, series.y, series.low or gaps, series.high or gaps, strict=False):
            names = {"figure": printable(about), "series": printable(series.name)}
            yield {**names, "x": printable(str(x)), "y": y, "low": low, "high": high}


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        printable(str(name)): value if value is None or isinstance(value, int | float) else printable(str(value))
        for name, value in row.items()
    }


def _file(text: str) -> str:
    """A name of a file: a task's name may hold anything."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:80] or "part"


def _apart(wanted: str, known: Mapping[str, Any]) -> str:
    """A file's name that no other file has."""
    name, number = _file(wanted), 2
    while name in known:
        name, number = f"{_file(wanted)}-{number}", number + 1
    return name
