"""What stands in a report: `ReportSection`, the `Reported` that it is given, and the blocks that it is made of.

Blocks are plain data. The report escapes their texts, bounds their sizes and draws their figures, on the page, in the
terminal and in the files of `sftgen report RUN --to FOLDER`: a section may show what a stranger wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sftgen_judges.plugins.contracts.findings import Figure, Table

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import Console

    from sftgen_judges.records.query import Records

Made = TypeVar("Made")


@dataclass(frozen=True)
class Paragraph:
    """A few sentences.

    Attributes:
        text: The sentences, as text: markup in them is shown as it is written.
        kind: `lead` is set large, `note` small, `warning` in the colour of warnings.
    """

    text: str
    kind: Literal["text", "lead", "note", "warning"] = "text"


@dataclass(frozen=True)
class Plot:
    """A figure of Plotly, for what `Figure` cannot say.

    Of the markup that Plotly knows in texts, bold, italic, line breaks and `<extra>` are kept; all else is shown as it
    is written.

    Attributes:
        name: Its name among the files: `NAME.svg` and `NAME.png`.
        title: What it shows, for those who do not see it.
        figure: A figure of Plotly; the report carries Plotly's basic bundle, which draws lines, bars and pies.
        caption: Above it; the title by default.
        keys: The names of its lines beside the caption, each with the place of its colour among the report's colours.
            The figure then needs no legend.
        rows: Its data, a row a point, for `DATA.csv`.
        data: The name of that file; plots of one section may share it. The name of the plot by default.
    """

    name: str
    title: str
    figure: Any
    caption: str = ""
    keys: tuple[tuple[str, int], ...] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    data: str = ""


@dataclass(frozen=True)
class Html:
    """A part of the page that a template made, where no other block will do.

    Attributes:
        markup: What `markupsafe` or an escaping template of Jinja made: a plain text is refused.
        text: The same as sentences, for the terminal; nothing is shown there without them.
    """

    markup: Markup
    text: str = ""

    def __post_init__(self) -> None:
        if not hasattr(self.markup, "__html__"):
            raise TypeError(
                f"Html of {type(self.markup).__name__}: expected markupsafe.Markup; Paragraph takes plain text"
            )


@dataclass(frozen=True)
class Group:
    """Blocks that belong together.

    Attributes:
        blocks: They, in order.
        title: Above them; of a folded group, what opens it.
        folded: Whether they are folded at first.
        beside: Whether they stand beside each other where there is room.
        name: Its place on the page, for links to it; it needs none.
    """

    blocks: tuple[Block, ...]
    title: str = ""
    folded: bool = False
    beside: bool = False
    name: str = ""


Block = Paragraph | Table | Figure | Plot | Html | Group
BLOCKS = (Paragraph, Table, Figure, Plot, Html, Group)


@dataclass(frozen=True)
class Reported:
    """What a report is of.

    Attributes:
        runs: The run directories; those after the first are compared with it.
        kept: What sections of this report share, see `once`.
    """

    runs: tuple[Path, ...]
    kept: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def records(self) -> Records:
        """All runs, open for queries; see docs/queries.md.

        Raises:
            RecordError: One cannot be read.
        """
        from sftgen_judges.records.query import open_records

        return open_records(self.runs)

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What several sections need and is made once for all.

        Args:
            key: Its name; begin it with the name of your plugin.
            make: Makes it at the first call.
        """
        if key not in self.kept:
            self.kept[key] = make()
        made: Made = self.kept[key]
        return made


@dataclass(frozen=True)
class ReportSection:
    """A section of the report of a run, or of several runs.

    Attributes:
        name: The name it is registered under, and its place on the page: `report.html#NAME`.
        title: Its heading.
        order: Where it stands: docs/report.md has the numbers of sftgen's own sections.
        blocks: What it shows of the runs; nothing of runs that it has nothing to say of, and it is then left out.
        folded: What opens it, where it is folded at first; it is open by default.
        headed: Whether the heading is seen; else only screen readers tell it.
        show: Prints it in the terminal; by default the paragraphs and tables that are not folded are printed.
        files: The blocks whose figures and tables are written by `--to`; `blocks` by default.
    """

    name: str
    title: str
    order: int
    blocks: Callable[[Reported], Iterable[Block]]
    folded: str = ""
    headed: bool = True
    show: Callable[[Reported, Console], None] | None = None
    files: Callable[[Reported], Iterable[Block]] | None = None
