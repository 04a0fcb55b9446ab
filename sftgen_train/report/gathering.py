"""The sections of a report: what each plugin shows of the runs, checked and bounded before anything is made of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any, get_args, get_type_hints

from sftgen_judges.plugins.contracts import KINDS, Block, Figure, Group, Html, Paragraph, Plot, Reported, ReportSection
from sftgen_judges.plugins.contracts import Table as Cells
from sftgen_judges.plugins.contracts.reporting import BLOCKS
from sftgen_judges.plugins.manager import lookup, plugins
from sftgen_judges.records.schema import printable
from sftgen_train.report.findings import require_plain_figure, shown

logger = logging.getLogger(__name__)

MOST_TEXT = 20_000
"""Characters of one text that are shown."""
MOST_ROWS = 2_000
"""Rows of one table that are shown."""
MOST_BLOCKS = 500
"""Blocks of one section, or of one group, that are shown."""
DEEPEST = 4
"""Groups within groups."""


@dataclass(frozen=True)
class Gathered:
    """A section with what it shows.

    Attributes:
        section: The section; where it could not be loaded, one with its name only.
        plugin: Who registered it.
        blocks: What it shows, safe to be drawn.
        problem: Why it is left out; empty if it is not.
    """

    section: ReportSection
    plugin: str
    blocks: tuple[Block, ...] = ()
    problem: str = ""


def sections_in_order(reported: Reported) -> list[Gathered]:
    """Every section that a plugin registered, by its order; one that cannot be loaded has a problem."""
    found = []
    for name, entry in plugins().registered(KINDS["report_section"].hook).items():
        try:
            found.append(Gathered(lookup("report_section", name), entry.plugin))
        except Exception as error:  # as below
            named = ReportSection(name, name, 10_000, lambda _: ())
            found.append(Gathered(named, entry.plugin, problem=left_out(reported, name, entry.plugin, error)))
    return sorted(found, key=lambda of: (of.section.order, of.section.name))


def gathered(reported: Reported, *, files: bool = False) -> list[Gathered]:
    """What every section shows of the runs.

    Args:
        reported: The runs.
        files: Whether it is asked for what is written by `--to`.

    Returns:
        The sections that show something, or failed.
    """
    found = (gathered_one(of, reported, files=files) for of in sections_in_order(reported))
    return [of for of in found if of.blocks or of.problem]


def gathered_one(of: Gathered, reported: Reported, *, files: bool = False) -> Gathered:
    """The same of one section."""
    if of.problem:
        return of
    section = of.section
    make = section.files if files and section.files else section.blocks
    try:
        return replace(of, blocks=checked(make(reported)))
    except Exception as error:  # a plugin may fail in any way; the others are still shown
        return replace(of, problem=left_out(reported, section.name, of.plugin, error))


def left_out(reported: Reported, name: str, plugin: str, error: Exception) -> str:
    """Say once that a section failed.

    Returns:
        The sentence.
    """
    why = printable(" ".join(f"{type(error).__name__}: {error}".split()))[:500]
    told = f"report section {name!r} of plugin {plugin!r} is left out. {why}"
    # The terminal, the page and the files ask the same section.
    if f"sftgen: {name} is left out" not in reported.kept:
        logger.warning("%s", told)
    return reported.once(f"sftgen: {name} is left out", lambda: told)


# ------------------------------------------------------------------------------ checks


def checked(made: Iterable[Block], depth: int = 0) -> tuple[Block, ...]:
    """Blocks with texts that are printable and sizes that are bounded.

    Raises:
        TypeError: Something is no block, or a field of one is of another type.
        ValueError: A field has another value than its contract allows.
    """
    if depth > DEEPEST:
        raise ValueError(f"groups within groups: expected at most {DEEPEST}")
    found = [_bounded(block, depth) for block in islice(made, MOST_BLOCKS + 1)]
    if len(found) > MOST_BLOCKS:
        found[MOST_BLOCKS:] = [Paragraph(f"More than {MOST_BLOCKS} blocks: the others are not shown.", "note")]
    return tuple(found)


def _bounded(block: Any, depth: int) -> Block:
    if not isinstance(block, BLOCKS):
        names = ", ".join(kind.__name__ for kind in BLOCKS)
        raise TypeError(f"a block is of {type(block).__name__}: expected one of {names}")
    if isinstance(block, Figure):
        require_plain_figure(block)
        return block
    texts: dict[str, Any] = {of.name: _text(block, of.name) for of in fields(block) if of.type == "str"}
    if isinstance(block, Paragraph):
        kinds = get_args(get_type_hints(Paragraph)["kind"])
        if block.kind not in kinds:
            raise ValueError(f"a paragraph of kind {block.kind!r}: expected one of {', '.join(kinds)}")
        return replace(block, **texts)
    if isinstance(block, Cells):
        return _bounded_table(block, texts)
    if isinstance(block, Group):
        return replace(block, **texts, blocks=checked(block.blocks, depth + 1))
    if isinstance(block, Plot):
        keys = tuple((_printable(str(name)), int(place)) for name, place in block.keys[:MOST_BLOCKS])
        return replace(block, **texts, keys=keys)
    return replace(block, **texts) if isinstance(block, Html) else block


def _bounded_table(table: Cells, texts: dict[str, Any]) -> Cells:
    rows = tuple(tuple(_printable(shown(cell)) for cell in row) for row in table.rows[:MOST_ROWS])
    left = len(table.rows) - MOST_ROWS
    if left > 0:
        rows += ((f"{left} more rows", *[""] * (len(table.columns) - 1)),)
    return replace(table, **texts, columns=tuple(_printable(str(name)) for name in table.columns), rows=rows)


def _text(block: Any, name: str) -> str:
    text = getattr(block, name)
    if not isinstance(text, str):
        raise TypeError(f"{type(block).__name__}.{name} is of {type(text).__name__}: expected text")
    return _printable(text)


def _printable(text: str) -> str:
    kept = printable(text[:MOST_TEXT])
    return kept if len(text) <= MOST_TEXT else f"{kept} ... ({len(text) - MOST_TEXT:,} more characters)"
