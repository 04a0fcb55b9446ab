"""README's last list leads to every page."""

from __future__ import annotations

import re

from tests import ROOT


def test_every_page_is_named_once_under_read_on() -> None:
    _, _, read_on = (ROOT / "README.md").read_text().partition("## Read on\n")
    named = re.findall(r"\]\(docs/(\w+\.md)\)", read_on)
    assert sorted(named) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
