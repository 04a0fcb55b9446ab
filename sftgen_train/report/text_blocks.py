"""Sections of a report in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console

from sftgen_judges.plugins.contracts import Block, Group, Html, Paragraph, Reported
from sftgen_judges.plugins.contracts import Table as Cells
from sftgen_train.report.findings import shown
from sftgen_train.report.gathering import gathered_one, left_out, sections_in_order
from sftgen_train.report.sections import Section, plain, print_sections

MOST_ROWS = 200
"""Rows of a table that are printed."""


def print_report(reported: Reported, console: Console) -> None:
    """Print every section: as it prints itself, else its paragraphs and tables that are not folded.

    Args:
        reported: The runs, as `report_of` gives them.
        console: Where to.
    """
    for of in sections_in_order(reported):
        section = of.section
        if not of.problem and section.show:
            try:
                section.show(reported, console)
            except Exception as error:  # a plugin may fail in any way; the others are still shown
                left_out(reported, section.name, of.plugin, error)
        elif not section.folded:
            found = gathered_one(of, reported)
            told = tuple(_told(found.blocks))
            if told:
                console.print(f"\n[bold]{plain(section.title)}[/]", highlight=False)
            _print(told, console)


def _told(blocks: Iterable[Block]) -> Iterator[Block]:
    """What a terminal can show of blocks."""
    for block in blocks:
        if isinstance(block, Group):
            inside = () if block.folded else tuple(_told(block.blocks))
            if inside:
                yield from (Paragraph(block.title), *inside) if block.title else inside
        elif isinstance(block, Paragraph | Cells) or (isinstance(block, Html) and block.text):
            yield block


def _print(blocks: Iterable[Block], console: Console) -> None:
    for block in blocks:
        if isinstance(block, Cells):
            rows = tuple(tuple(shown(cell) for cell in row) for row in block.rows[:MOST_ROWS])
            print_sections([Section(block.title, block.columns, rows)], console)
        elif isinstance(block, Paragraph | Html):
            text = plain(block.text)
            warns = isinstance(block, Paragraph) and block.kind == "warning"
            console.print(f"[yellow]{text}[/]" if warns else text, highlight=False)
