"""Figures as SVG and PNG, drawn by a browser that is there: nothing is downloaded."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from sftgen_judges.errors import SftgenError
from sftgen_train.report.drawing import as_data, library

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 640
"""Pixels of a picture; a PNG has twice as many."""
SECONDS = 120
"""A browser that has not drawn by then is ended."""
_DRAWN = re.compile(r'<output id="([0-9]+)-(svg|png)">([^<]*)</output>')
_PAGE = """<!doctype html><meta charset="utf-8"><script>{library}</script><body><script>
(async () => {{
  const figures = {figures};
  for (const [place, figure] of figures.entries()) {{
    for (const format of ["svg", "png"]) {{
      const size = {{ format, width: {width}, height: figure.layout.height || 400, scale: format === "png" ? 2 : 1 }};
      const drawn = document.createElement("output");
      drawn.id = `${{place}}-${{format}}`;
      const layout = {{ ...figure.layout, paper_bgcolor: "#fff" }};
      try {{
        drawn.textContent = await Plotly.toImage({{ data: figure.data, layout }}, size);
        document.body.append(drawn);
      }} catch {{
        // One figure that cannot be drawn takes no other with it.
      }}
    }}
  }}
}})();
</script>"""


class BrowserError(SftgenError):
    """A browser is not there, or did not draw."""


def browser() -> str:
    """A browser on the path.

    Raises:
        BrowserError: There is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise BrowserError(f"none of {', '.join(BROWSERS)} is installed; on Debian: apt-get install chromium")
    return found


def pictures(figures: Iterable[Any], using: str) -> Iterator[tuple[int, str, bytes]]:
    """Draw figures.

    Args:
        figures: Of Plotly.
        using: The browser, see `browser`.

    Yields:
        The place of a figure, `svg` or `png`, and the picture; of a figure that cannot be drawn, nothing.

    Raises:
        BrowserError: The browser failed, or took too long.
    """
    given = list(figures)
    data = f"[{','.join(map(as_data, given))}]"
    with tempfile.TemporaryDirectory(prefix="sftgen-pictures-") as folder:
        page = Path(folder) / "figures.html"
        page.write_text(_PAGE.format(library=library(), figures=data, width=WIDTH))
        drawn = _DRAWN.findall(_dumped(using, page))
    if given and not drawn:
        raise BrowserError(f"{using} drew none of {2 * len(given)} pictures")
    for place, form, address in drawn:
        head, _, body = address.replace("&amp;", "&").partition(",")
        yield int(place), form, base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)


def _dumped(using: str, page: Path) -> str:
    """The page after its scripts ran."""
    asked = [
        using, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
        "--disable-component-update", f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=60000",
        # Chromium's own sandbox does not start for root, who is common in containers. The page is ours.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BrowserError(f"{using} drew no pictures ({type(error).__name__})") from error
    return done.stdout
