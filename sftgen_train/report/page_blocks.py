"""Blocks of sections on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from markupsafe import Markup, escape

from sftgen_judges.plugins.contracts import Block, Figure, Group, Html, Pane, Paragraph, Plot
from sftgen_judges.plugins.contracts import Table as Cells
from sftgen_train.report.drawing import COLOURS, drawn, in_house, placed
from sftgen_train.report.findings import MOST_TOKENS, shown
from sftgen_train.report.sections import ELSE

_CLASSES = {"text": "", "lead": "verdict", "note": "note", "warning": "failed"}


@cache
def environment() -> Any:
    """The templates of the report, which escape what they are given."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    return Environment(autoescape=select_autoescape(default=True), loader=PackageLoader("sftgen_train.report", ""))


@dataclass
class Page:
    """Names and labels that the page has already, so that each is there once."""

    names: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)

    def name(self, wanted: str) -> str:
        """A name like the wanted one that no other part of the page has."""
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted)[:80] or "part"
        name, number = plain, 2
        while name in self.names:
            name, number = f"{plain}-{number}", number + 1
        self.names.add(name)
        return name

    def html(self, blocks: Iterable[Block], level: int = 3) -> Markup:
        """Blocks, one below the other.

        Args:
            blocks: They, as `gathered` gives them.
            level: Of the headings of groups and tables.
        """
        return Markup("\n").join(self._block(block, level) for block in blocks)

    def _block(self, block: Block, level: int) -> Markup:
        if isinstance(block, Paragraph):
            kind = _CLASSES[block.kind]
            return Markup("<p{}>{}</p>").format(Markup(' class="{}"').format(kind) if kind else "", block.text)
        if isinstance(block, Cells):
            return _heading(block.title, level) + self._table(block)
        if isinstance(block, Figure):
            return self._figure(block)
        if isinstance(block, Plot):
            return self._plot(block)
        return block.markup if isinstance(block, Html) else self._group(block, level)

    def _table(self, of: Cells) -> Markup:
        """A table in a box of its own that scrolls, with a label that no other box has."""
        kind = "words" if of.words else "told" if of.columns and of.columns[-1] == ELSE else ""
        rows = [[shown(cell) for cell in row] for row in of.rows]
        label = wanted = of.title or ", ".join(of.columns)
        while label in self.labels:
            label = f"{wanted}, table {len(self.labels)}"
        self.labels.add(label)
        return Markup(environment().get_template("tables.html.j2").module.table(label, of.columns, rows, kind))

    def _group(self, block: Group, level: int) -> Markup:
        name = Markup(' id="{}"').format(self.name(block.name)) if block.name else ""
        if block.folded:
            only = block.blocks[0] if len(block.blocks) == 1 else None
            # A table whose title opens the fold says it once.
            told = isinstance(only, Cells) and only.title == block.title
            inside = self._table(only) if isinstance(only, Cells) and told else self.html(block.blocks, level)
            return Markup("<details{}><summary>{}</summary>\n{}\n</details>").format(name, block.title, inside)
        inside = self.html(block.blocks, min(level + bool(block.title), 6))
        if block.beside:
            plots = all(isinstance(of, Plot | Figure) for of in block.blocks)
            kind = "panels" if plots and level == 3 else "pair"
            inside = Markup('<div class="{}">\n{}\n</div>').format(kind, inside)
        group = Markup(' class="group"') if block.title else ""
        return Markup("<div{}{}>{}\n{}\n</div>").format(group, name, _heading(block.title, level), inside)

    def _plot(self, block: Plot) -> Markup:
        keys = Markup("").join(
            Markup('<li class="c{}{}"><i></i>{}</li>').format(
                place % len(COLOURS), " dashed" * (place >= len(COLOURS)), key
            )
            for key, place in block.keys
        )
        listed = Markup('\n<ul class="keys">{}</ul>').format(keys) if keys else ""
        chart = placed(in_house(block.figure), self.name(f"chart-{block.name}"), block.title)
        caption = Markup("<figcaption>{}{}</figcaption>").format(block.caption or block.title, listed)
        return Markup("<figure>{}\n{}</figure>").format(caption, chart)

    def _figure(self, figure: Figure) -> Markup:
        if figure.kind == "tokens":
            return _tokens(figure)
        chart = placed(drawn(figure), self.name("chart-figure"), figure.title)
        return Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(figure.title, chart)


def _heading(title: str, level: int) -> Markup:
    return Markup("<h{0}>{1}</h{0}>\n").format(level, title) if title else Markup()


def _tokens(figure: Figure) -> Markup:
    """Texts side by side, folded: their tokens are coloured by their numbers, white at 0."""
    values = [abs(value) for pane in figure.panes for value in pane.values[:MOST_TOKENS]]
    most = max(values, default=0) or 1.0
    panes = Markup("").join(
        Markup('<div class="pane"><b>{}</b><br>{}</div>').format(pane.title, Markup("").join(_coloured(pane, most)))
        for pane in figure.panes
    )
    about = f"{figure.title}; colour: {figure.y}, up to {shown(most)}" if figure.y else figure.title
    return Markup('<details><summary>{}</summary><div class="panes">{}</div></details>').format(about, panes)


def _coloured(pane: Pane, most: float) -> Iterable[Markup]:
    for token, value in zip(pane.tokens[:MOST_TOKENS], pane.values, strict=False):
        colour = "214,39,40" if value >= 0 else "31,119,180"
        style = f"background:rgba({colour},{min(1.0, abs(value) / most):.2f})"
        yield Markup('<span style="{}" title="{}">{}</span>').format(style, f"{value:.3g}", escape(token))
