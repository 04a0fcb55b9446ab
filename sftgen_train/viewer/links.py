"""Where pages lead to: the same templates are served and written into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from sftgen_train.viewer.address import Choice


class Links(Protocol):
    """Addresses of pages. An empty one means that there is no such page here."""

    static: bool

    def file(self, name: str) -> str:
        """One of our own files."""

    def runs(self) -> str:
        """The first page."""

    def grid(self, run: str) -> str:
        """Task x step of a run."""

    def arms(self, task: str = "") -> str:
        """Several runs side by side."""

    def items(self, choice: Choice, **changed: Any) -> str:
        """A list of items."""

    def item(self, choice: Choice, task: str, doc_hash: str, **how: Any) -> str:
        """An item."""

    def part(self, name: str, **query: Any) -> str:
        """A part of a page that is fetched later: `verdicts`, `live`, `thinking`, `text`."""


class Served:
    """Addresses of a viewer that runs."""

    static = False

    def file(self, name: str) -> str:
        """See `Links`."""
        return f"/static/{name}"

    def runs(self) -> str:
        """See `Links`."""
        return "/"

    def grid(self, run: str) -> str:
        """See `Links`."""
        return f"/grid?{urlencode({'run': run})}"

    def arms(self, task: str = "") -> str:
        """See `Links`."""
        return f"/arms?{urlencode({'task': task})}" if task else "/arms"

    def items(self, choice: Choice, **changed: Any) -> str:
        """See `Links`."""
        query = choice.query(**changed)
        return f"/items?{query}" if query else "/items"

    def item(self, choice: Choice, task: str, doc_hash: str, **how: Any) -> str:
        """See `Links`."""
        return "/item?" + "&".join(filter(None, (_plain({"of": task, "doc": doc_hash, **how}), choice.query(page=1))))

    def part(self, name: str, **query: Any) -> str:
        """See `Links`."""
        return f"/{name}?{_plain(query)}"


class Bundled:
    """Addresses of a folder, relative to the page that names them."""

    static = True

    def __init__(self, up: str, items: Mapping[tuple[str, str], str], grids: Mapping[str, str]) -> None:
        """Take note of the pages there are.

        Args:
            up: Leads from the page to the folder: empty, or `../`.
            items: The file of each item, by task and document.
            grids: The file of each run's grid.
        """
        self.up = up
        self.pages = items
        self.grids = grids

    def file(self, name: str) -> str:
        """See `Links`."""
        return f"{self.up}static/{name}"

    def runs(self) -> str:
        """See `Links`."""
        return f"{self.up}index.html"

    def grid(self, run: str) -> str:
        """See `Links`."""
        return self.up + (self.grids.get(run) or next(iter(self.grids.values())))

    def arms(self, task: str = "") -> str:
        """See `Links`."""
        return f"{self.up}arms.html"

    def items(self, choice: Choice, **changed: Any) -> str:
        """See `Links`."""
        return f"{self.up}items.html"

    def item(self, choice: Choice, task: str, doc_hash: str, **how: Any) -> str:
        """See `Links`."""
        name = self.pages.get((task, doc_hash), "")
        return f"{self.up}{name}" if name else ""

    def part(self, name: str, **query: Any) -> str:
        """See `Links`."""
        return ""


def _plain(query: Mapping[str, Any]) -> str:
    return urlencode({name: value for name, value in query.items() if value is not None})
