"""README's last list leads to every page."""

from __future__ import annotations

import re

from tests import ROOT


def test_every_page_is_named_once_under_read_on() -> None:
    _, _, read_on = (ROOT / "README.md").read_text().partition("## Read on\n")
    named = re.findall(r"\]\(docs/(\w+\.md)\)", read_on)
    assert sorted(named) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_every_point_of_the_first_user_has_an_end() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| (\S[^|]*) \| .+ \|$", (ROOT / "docs/friction.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 43))
    assert {state for _, state in rows} <= {"mended", "in part", "open"}
