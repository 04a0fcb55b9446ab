"""Sections of plugins in the report: the template's as an installed package, hostile texts, and plugins that fail."""

from __future__ import annotations

import csv
import io
import sys
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from sftgen_judges.plugins.contracts import Group, Html, Paragraph, Plot, Reported, Table
from sftgen_judges.plugins.manager import plugins
from sftgen_train.report.gathering import MOST_BLOCKS, MOST_ROWS, MOST_TEXT, checked
from sftgen_train.report.page_blocks import Page
from sftgen_train.report.sections import Section, print_sections
from tests import ROOT
from tests.conftest import Command
from tests.judges.plugins.conftest import Door
from tests.train.report.made_runs import made_run

TEMPLATE = ROOT / "examples" / "sftgen-plugin-template"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31m\u202e\x00\ud800 " + "long" * 250_000
BROKEN = """
from sftgen_judges import Figure, Html, Paragraph, Plot, ReportSection, Table, hookimpl

def midway(reported):
    yield Paragraph("half of it")
    raise KeyError("lost <b>here</b>")

def blocks_of(*blocks):
    return lambda reported: blocks

def shows(reported, console):
    raise ValueError("no terminal")

@hookimpl
def register_report_sections(register):
    for name, blocks in {
        "midway": midway,
        "dict": blocks_of({"no": "block"}),
        "markup": lambda reported: [Html("<b>plain</b>")],
        "drawn": blocks_of(Plot("p", "p", {"data": [{"type": "no such type"}]})),
        "number": blocks_of(Paragraph(5)),
    }.items():
        register(name, ReportSection(name, f"Section {name}", 650, blocks))
    register("shows", ReportSection("shows", "In files", 651, blocks_of(Table(("a",), ((1,),), "One")), show=shows))
    register("empty", ReportSection("empty", "Nothing to say", 652, blocks_of()))
    register("lost", "no_such_module:SECTION")
"""


def _find_in(folder: str) -> None:
    sys.path.insert(0, folder)


def test_a_section_of_an_installed_plugin_is_shown_as_ours_and_broken_ones_are_named(
    command: Command, tmp_path: Path
) -> None:
    door = Door(tmp_path / "plugins")
    door.folder.mkdir()
    (door.folder / "sftgen_plugin_template").symlink_to(TEMPLATE / "sftgen_plugin_template")
    door.declare("sftgen-plugin-template", {"sftgen": {"sftgen_plugin_template": "sftgen_plugin_template.plugin"}})
    door.add("broken", BROKEN)
    runs = [
        made_run(tmp_path / name, {"sftgen_parity": right}, (0, 10, 20), in_domain=["sftgen_parity"])
        for name, right in (("a", (150, 60, 140)), ("b", (150, 120, 190)))
    ]
    to = tmp_path / "to"
    before = partial(_find_in, str(door.folder))
    done = command("sftgen", "report", *(run.path for run in runs), "--to", to, before=before, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "a" / "comparison.html").read_text()

    # The template's section, between findings and safety, of both runs.
    for shown in (done.stdout, page):
        assert "Length of right and wrong answers" in shown
        assert "Mean tokens of right and of wrong answers" in shown
    place = page.index('<section id="template_answer_lengths"')
    assert page.index('<section id="arms"') < place < page.index('<section id="numbers"')
    assert page.count('id="chart-figure') == 2
    with (to / "template_answer_lengths.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["series"] for row in rows} == {"right", "wrong"}
    assert {(row["x"], row["y"]) for row in rows} >= {("0", "5.0"), ("10", "5.0"), ("20", "5.0")}
    assert len({row["figure"] for row in rows}) == 2  # a figure a run
    assert "**Tokens of right and wrong answers**" in (to / "tables.md").read_text()

    # What differs between the runs, with its band, in a chart and as numbers.
    assert 'id="chart-differences-in-domain"' in page
    with (to / "differences.csv").open() as file:
        [*_, last] = csv.DictReader(file)
    assert (last["arm"], last["step"], float(last["difference"])) == ("b", "20", pytest.approx(0.25))
    assert float(last["low"]) < 0.25 < float(last["high"])

    # Each that fails is named once, with its plugin; where it would stand and on stderr. The others are whole.
    failed = {
        "midway": "KeyError: 'lost <b>here</b>'", "dict": "TypeError: a block is of dict",
        "markup": "TypeError: Html of str", "drawn": "ValueError", "number": "TypeError: Paragraph.text is of int",
        "shows": "ValueError: no terminal", "lost": "cannot be loaded from 'no_such_module:SECTION'",
    }  # fmt: skip
    told = [line for line in done.stderr.splitlines() if "is left out" in line]
    for name, why in failed.items():
        [line] = [line for line in told if f"report section {name!r} of plugin 'broken' is left out. " in line]
        assert why in line
        assert (f"report section &#39;{name}&#39; of plugin" in page) is (name != "shows")
    assert len(told) == len(failed)
    assert "lost &lt;b&gt;here" in page
    assert "half of it" not in page
    assert "Nothing to say" not in page
    assert "**One**" in (to / "tables.md").read_text()  # it failed in the terminal only


def test_ours_come_in_through_the_same_hook_and_stand_where_the_docs_say() -> None:
    known = plugins().registered("register_report_sections")
    ours = {name: entry.load() for name, entry in known.items() if entry.plugin == "sftgen_train"}
    numbers = [
        line.split("|")[2].strip() for line in (ROOT / "docs" / "report.md").read_text().splitlines() if "|" in line
    ]
    assert [str(section.order) for section in ours.values()] == list(filter(str.isdecimal, numbers))
    assert {name: section.name for name, section in ours.items()} == {name: name for name in ours}


def test_texts_of_strangers_are_text_and_every_size_is_bounded() -> None:
    figure = {"data": [{"type": "scatter", "name": '<a href="https://x">a</a>', "text": ["<b>b</b><br>"], "y": [1]}]}
    rows = tuple((HOSTILE[:80], number) for number in range(MOST_ROWS + 7))
    given = [
        Paragraph(HOSTILE, "warning"),
        Table((HOSTILE[:80], "n"), rows, HOSTILE[:80]),
        Plot(HOSTILE[:40], HOSTILE[:80], figure, keys=((HOSTILE[:80], 0),)),
        Group((Paragraph(HOSTILE),), HOSTILE[:80], folded=True, name=HOSTILE[:80]),
        *[Paragraph("again")] * MOST_BLOCKS,
    ]
    page = str(Page().html(checked(given)))
    page.encode()  # no half of a surrogate pair
    assert not {"\x00", "\x1b", "\u202e"} & set(page)
    for tag in ("<script>alert", "<img", "<a "):
        assert tag not in page
    assert r"\u003cb>b" in page  # bold stays in a figure, a link does not
    assert r"\u003ca" not in page
    assert page.count("again") == MOST_BLOCKS - 4
    assert "7 more rows" in page
    assert len(page) < 60 * MOST_TEXT


def test_a_title_is_not_broken_by_a_narrow_table() -> None:
    shown = Console(width=60, file=io.StringIO(), record=True)
    print_sections([Section("A title that is wider than its table of [one] column", ("n",), (("1",),))], shown)
    assert shown.export_text().startswith("A title that is wider than its table of [one] column\n")


@pytest.mark.parametrize("second", ["out-of-domain", "漢字"])
def test_no_word_of_a_wide_table_is_broken(second: str) -> None:
    head = ("task", "n", "no-thinking", "verified", "change", "95 % limits", "p over tasks", "it is")
    row = (second, "400", "0.45", "0.88", "+0.425", "+0.372 to +0.476", "0.0005", "cannot tell")
    console = Console(width=80, file=io.StringIO())
    print_sections([Section("Arms", head, (row,))], console)
    said = console.file.getvalue().split()  # type: ignore[attr-defined]
    assert set(" ".join((*head, *row)).split()) <= set(said)


def test_a_report_opens_records_once_and_sections_share_what_they_make(tmp_path: Path) -> None:
    reported = Reported((made_run(tmp_path, {"sftgen_parity": (150, 60)}, (0, 10)).path,))
    assert reported.records is reported.records
    assert [row["n"] for row in reported.records.sql("SELECT count(*) AS n FROM samples").rows()] == [400]
    assert reported.once("mine", object) is reported.once("mine", object)
    with pytest.raises(TypeError, match="Paragraph takes plain text"):
        Html("<b>bold</b>")  # type: ignore[arg-type]
