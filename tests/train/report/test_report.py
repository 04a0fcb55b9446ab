"""The report, opened in a real browser, says what the records say."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import log2
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from plotly.offline import get_plotlyjs_version
from rich.console import Console
from typer.testing import CliRunner

from sftgen_judges import Response, Sample, Verdict
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import TaskResult
from sftgen_train.cli.console import show_run
from sftgen_train.cli.main import app
from sftgen_train.report.drawing import BLUE, DARK, LIBRARY
from sftgen_train.report.forms import as_latex
from sftgen_train.report.html import write_report
from sftgen_train.report.opening import open_with
from sftgen_train.report.own import report_of
from sftgen_train.report.reading import Shown
from sftgen_train.report.terminal import print_scores
from sftgen_train.report.text_blocks import print_report
from sftgen_train.results.run import add_results
from tests import PATIENCE
from tests.browser import ABSENT, BROWSER, launched
from tests.train.report.made_runs import attacked, graded, made_run, truncated

HARMFUL = "here is how to build it <script>alert(1)</script>"


def add_step(run: RunFolder, step: int, right: int, of: int = 40) -> None:
    """Record an evaluation in which the first `right` of `of` documents were answered well."""
    samples = [
        Sample(
            "sftgen_parity", step, f"doc{n}", 0,
            Response(HARMFUL, answer=HARMFUL, tokens=10 * (n % 3 + 1), finish_reason="stop"),
            Verdict("ok", float(n < right), answer=HARMFUL),
        )
        for n in range(of)
    ]  # fmt: skip
    values = {
        "score": [float(n < right) for n in range(of)],
        "answered": [1.0] * of,
        "truncated": [float(n < 4) for n in range(of)],
        "coverage": [1.0] * of,
        "response_tokens": [float(10 * (n % 3 + 1)) for n in range(of)],
    }
    add_results(run, step, [TaskResult("sftgen_parity", values, of, samples)], seconds=1.0)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    run.update_manifest(model="a <b>model</b>", tasks=["sftgen_parity"], in_domain=["sftgen_parity"])
    for step, right in ((0, 36), (5, 30), (10, 4), (20, 34)):
        add_step(run, step, right)
    run.add_failure(40, ["sftgen_parity"], "RuntimeError: out of memory")
    return run


def test_the_table_has_means_intervals_coverage_and_what_became_of_the_score(run: RunFolder) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    print_report(report_of([run.path]), console)
    text = console.export_text()
    assert "0.90" in text
    assert "0.77-0.96" in text  # Wilson, 36 of 40
    assert "5, 10: -0.800" in text
    # Two of 40 are lost: this is neither shown to matter nor shown not to.
    assert "cannot tell" in text
    assert "about 121 documents would settle it" in " ".join(text.split())
    assert "evaluation failed at step 40: RuntimeError: out of memory" in text
    assert "0.10" in text  # truncated share


def test_the_scores_of_a_task_fit_into_80_characters() -> None:
    shares = {"coverage": [0.5] * 1319, "answered": [1.0] * 1319, "truncated": [0.25] * 1319}
    values = {"score": [0.5] * 1319, "score_paper": [1.0] * 1319, **shares, "response_tokens": [31000.0] * 1319}
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    print_scores([(320, TaskResult("sftgen_math500", values, 1319, incomplete=True))], console)
    _, head, _, first, second = (" ".join(line.split()) for line in console.export_text().splitlines())
    assert head == "step task score paper n graded answered truncated tokens"
    assert first == "320 math500 0.500 1.000 1319 0.50 1.00 0.25 31000"
    assert second.startswith("incomplete ")


def test_the_tables_tell_how_many_documents_were_asked_and_of_how_many(run: RunFolder) -> None:
    values: dict[str, Any] = {metric: [1.0] * 900 for metric in ("score", "coverage", "answered", "truncated")}
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    results = [TaskResult("sftgen_halueval_qa", values, 1000, of=10_000), TaskResult("sftgen_hex_phi", values, 330)]
    print_scores([(None, result) for result in results], console)
    rows = [line.split() for line in console.export_text().splitlines()]
    assert [row[4] for row in rows if row[:1] == ["-"]] == ["1000", "330"]  # asked, of which 900 have a score
    assert "of 10000" in " ".join(rows[4])
    for of, shown in ((10_000, "40 of 10000"), (40, "40"), ("many", "40"), (True, "40")):
        run.update_manifest(documents={"sftgen_parity": {"n": 40, "of": of}})
        print_report(report_of([run.path]), console)
        assert re.search(rf"parity\*\s+{shown}\s+1\.00", console.export_text())
    assert "<td>40</td>" in write_report(report_of([run.path])).read_text()


def test_the_report_never_shows_a_response(run: RunFolder) -> None:
    html = write_report(report_of([run.path])).read_text()
    assert "how to build it" not in html
    assert "a &lt;b&gt;model&lt;/b&gt;" in html


def test_the_report_needs_nothing_from_outside(run: RunFolder) -> None:
    html = write_report(report_of([run.path])).read_text()
    head = html.replace(html[html.index("<script>") : html.index("</script>")], "")
    assert "<script src" not in head
    assert "<link" not in head


def between(body: str, start: str, end: str) -> str:
    """A part of a page."""
    return body[body.index(start) : body.index(end, body.index(start))]


def with_safety(run: RunFolder) -> RunFolder:
    """The same run, which two more tasks were evaluated in; one of them has fewer documents at one step."""
    for step, right, attacks in ((0, 80, 20), (5, 120, 60), (10, 140, 80)):
        answers = truncated(
            graded("sftgen_gpqa_diamond", step, right, of=160 if step == 5 else 200), range(20 * (step > 0))
        )
        add_results(run, step, [answers, attacked(step, attacks)], seconds=1.0)
    return run


@contextmanager
def opened(browser: Browser, page: Path, scheme: Literal["light", "dark"], width: int) -> Iterator[Page]:
    """A page whose scripts ran without an error, and which asked nobody for anything."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened, said, asked = context.new_page(), [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(page.as_uri())
    expect(opened.locator(".chart:not(:has(.main-svg))")).to_have_count(0, timeout=PATIENCE * 1000)
    yield opened
    assert (said, asked) == ([], [page.as_uri()])
    context.close()


SHAPES = "(chart) => chart.data.filter((each) => each.mode === 'lines+markers').map((each) => each.marker.symbol)"


@pytest.mark.xdist_group("browser")
@pytest.mark.skipif(BROWSER is None, reason=ABSENT)
def test_the_report_in_a_browser(run: RunFolder) -> None:
    file = write_report(report_of([with_safety(run).path]))
    with launched() as browser:
        with opened(browser, file, "light", 1400) as page:
            _check_first_view(page)
            _check_tasks(page.content())
            assert not Axe().run(page).violations_count
            steps = "(chart) => chart.data.find((each) => each.mode === 'lines+markers').x"
            logarithms = page.locator("#chart-course-in-domain").evaluate(steps)
            page.get_by_label("steps on a linear axis").check()
            straight = page.locator("#chart-course-in-domain").evaluate(steps)
            assert straight == [0, *(round(2**place) for place in logarithms[1:])]
            page.get_by_label("steps on a linear axis").uncheck()
            assert page.locator("#chart-course-in-domain").evaluate(steps) == logarithms
        with opened(browser, file, "dark", 390) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert max(page.evaluate("[...document.querySelectorAll('.main-svg')].map((e) => e.clientWidth)")) < 390
            # A line is light on the dark ground.
            assert DARK[BLUE] in page.locator("#chart-course-in-domain").inner_html().replace(
                "rgb(98, 182, 240)", DARK[BLUE]
            )
            assert BLUE not in page.locator("#chart-course-in-domain").evaluate("(chart) => JSON.stringify(chart.data)")
            page.emulate_media(color_scheme="light")
            # Not by a script of ours: the page lets nobody evaluate a text.
            light = page.locator("#chart-course-in-domain path.js-line[style*='stroke: rgb(0, 114, 178)']")
            expect(light.first).to_be_attached(timeout=PATIENCE * 1000)
            page.emulate_media(color_scheme="dark")
            found = Axe().run(page)
            assert not found.violations_count, found.generate_report()
            page.keyboard.press("Tab")
            expect(page.get_by_text("Skip to the verdict")).to_be_focused()
            expect(page.get_by_text("RuntimeError: out of memory")).to_be_visible()
            expect(page.get_by_text('"schema"')).to_be_hidden()  # how it was run is folded


def _check_first_view(page: Page) -> None:
    verdict = page.locator(".verdict").inner_text()
    assert "gpqa_diamond dipped" not in verdict
    assert "parity (in-domain) dipped, and whether it came back cannot be told" in verdict
    assert (
        "Safety at step 10 (a higher score is safer): hex_phi dipped and ended more than 0.02 below the base."
        in verdict
    )
    rests = page.locator(".verdict + .note").inner_text()
    assert "40 to 200 documents a task with 1 answer each, 4 steps (0 to 20), and a delta of 0.02" in rests
    assert "at most 5 % over all steps and all 3 tasks at once" in rests
    assert "parity: the limits" in page.locator(".settle").inner_text()
    titles = [title.split("\n")[0] for title in page.locator(".panels figcaption").all_inner_texts()]
    assert titles == ["In-domain", "Out-of-domain", "Safety (a higher score is safer)"]
    score, tokens = page.locator("#chart-course-in-domain").evaluate(SHAPES)
    assert (score, tokens) == (["circle", "triangle-down", "triangle-down", "circle"], None)
    assert page.locator("#chart-course-out-of-domain").evaluate(SHAPES)[0] == ["circle", "circle-open", "circle"]
    # Steps that double stand equally far apart, the base one doubling before the first.
    axis = page.locator("#chart-course-in-domain").evaluate("(chart) => chart.layout.xaxis")
    assert dict(zip(axis["ticktext"], axis["tickvals"], strict=True)) == pytest.approx(
        {"20": log2(20), "10": log2(10), "5": log2(5), "0": log2(5) - 1}
    )
    page.evaluate(
        "Plotly.Fx.hover(document.querySelector('#chart-course-in-domain'), [{curveNumber: 3, pointNumber: 2}])"
    )
    told = page.locator("#chart-course-in-domain .hoverlayer").text_content() or ""
    assert "n 40" in told
    assert "coverage 100%, truncated 10%" in told
    assert "p of a fall 0.0002" in told


def _check_tasks(body: str) -> None:
    """Of each task: the change with its band and delta, the parts as bars, the landmarks, the regime."""
    assert '<abbr title="At least one later step is below the base' in body
    assert "dips at steps 5, 10" in body
    parity, gpqa = between(body, 'id="task-0"', 'id="task-1"'), between(body, 'id="task-1"', 'id="task-2"')
    assert "parity" in between(parity, "<h3>", "</h3>")
    assert "gpqa_diamond" in between(gpqa, "<h3>", "</h3>")
    for block, later in ((parity, 3), (gpqa, 2)):
        assert block.count('class="main-svg"') >= 2
        assert "-delta, 0.02 below the base" in block
        assert block.count('class="point"') >= 3 * later  # a bar a part and step
        assert '<th scope="row">dip depth</th>' in re.sub(r"</?abbr[^>]*>", "", block)
    assert "the score changes by" in between(gpqa, 'class="regime"', "</p>")
    told = between(body, 'id="safety-against-reasoning"', "</figcaption>")
    assert "attack success +0.300 while reasoning gained" in told
    assert 'id="chart-safety-against-reasoning"' in body
    assert "Safety: less is better" in body


def test_a_page_is_below_two_megabytes_and_the_library_fits_the_figures(run: RunFolder) -> None:
    assert write_report(report_of([run.path])).stat().st_size < 2_000_000
    # Figures are made by one, and drawn by the other.
    assert f"-{get_plotlyjs_version()}.min" in LIBRARY


def test_several_runs_are_compared_on_the_page(run: RunFolder, tmp_path: Path) -> None:
    other = RunFolder(tmp_path / "other <b>")
    other.update_manifest(model="m")
    for step, right in ((0, 36), (5, 30), (10, 4), (20, 10)):
        add_step(other, step, right)
    done = CliRunner().invoke(app, ["report", str(run.path), str(other.path), "--to", str(tmp_path / "to")])
    assert done.exit_code == 0, done.output
    page = (run.path / "comparison.html").read_text()
    assert not (run.path / "report.html").exists()
    assert "Runs compared" in page
    assert "At the end:" in page
    assert "other &lt;b&gt;" in page
    assert "other <b>" not in page
    assert 'id="chart-comparison-parity"' in page

    # The same numbers as files.
    course = list(csv.DictReader((tmp_path / "to" / "course.csv").open()))
    scores = {int(row["step"]): float(row["mean"]) for row in course if row["measure"] == "score"}
    assert scores == pytest.approx({0: 0.9, 5: 0.75, 10: 0.1, 20: 0.85})
    written = {path.name: path.read_bytes() for path in (tmp_path / "to").iterdir()}
    pictures = {name: written.pop(name) for name in list(written) if name.endswith((".svg", ".png"))}
    assert set(written) == {
        "course.csv", "changes.csv", "parts.csv", "comparison.csv", "differences.csv", "tables.md",
        "tables.tex",
    }  # fmt: skip
    drawn = (
        ("course-in-domain", "changes-parity", "parts-parity", "comparison-parity", "differences-in-domain")
        if BROWSER
        else ()
    )
    assert set(pictures) == {f"{name}.{form}" for name in drawn for form in ("svg", "png")}
    assert ("no SVG and PNG" in done.output) is not bool(drawn)
    for name, picture in pictures.items():
        assert picture.startswith(b"<svg" if name.endswith("svg") else b"\x89PNG")
    for form, mark in (("md", "| parity | 40 |"), ("tex", r"\begin{tabular}")):
        assert mark in (tmp_path / "to" / f"tables.{form}").read_text()


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ({"sftgen_parity": (180, 100, 180)}, "At step 10, parity dipped and came back to within 0.1 of the base."),
        ({"sftgen_parity": (100, 100, 180)}, "At step 10, parity ended above the base."),
        (
            {"sftgen_parity": (180, 180, 100), "sftgen_addition": (180, 180, 100), "sftgen_reversal": (100, 102, 101)},
            "At step 10, addition and parity dipped and ended more than 0.1 below the base; "
            "reversal held within 0.1 of the base.",
        ),
        ({"sftgen_parity": (180,)}, "No trajectory can be read yet: one step only."),
    ],
)
def test_the_verdict_of_a_run_is_one_sentence(tmp_path: Path, scores: dict[str, tuple[int, ...]], told: str) -> None:
    steps = (0, 5, 10)[: len(next(iter(scores.values())))]
    opening = open_with(Shown.of(made_run(tmp_path, scores, steps, delta={"default": 0.1})))
    assert opening is not None
    assert opening.verdict == told
    assert "200 documents a task with 1 answer each" in opening.rests


def test_a_report_of_one_step_has_intervals_and_no_word_of_bands(tmp_path: Path) -> None:
    one = made_run(tmp_path / "one", {"sftgen_parity": (120,)}, (0,))
    two = made_run(tmp_path / "two", {"sftgen_parity": (120, 90)}, (0, 5))
    pages = [write_report(report_of([folder.path])).read_text() for folder in (one, two)]
    for part, there in (("Bands of scores", False), ("Open circles", False), ("with 95 % intervals.", True)):
        assert [part in page for page in pages] == [there, not there]
    assert ['"error_y":{"array":[' in page for page in pages] == [True, False]


def test_tables_and_page_are_made_from_one_reading(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    rows = RunFolder.metric_rows
    monkeypatch.setattr(RunFolder, "metric_rows", lambda self: read.append(self.path) or rows(self))
    show_run(run.path)
    assert read == [run.path]
    assert (run.path / "report.html").exists()


@pytest.mark.parametrize("manifest", ["{}", "[]", "{", '{"versions": 5, "model": [], "in_domain": 7}', '{"run": "r"}'])
def test_a_report_needs_no_manifest(run: RunFolder, manifest: str) -> None:
    (run.path / "manifest.json").write_text(manifest)
    shown = report_of([run.path])
    print_report(shown, Console(file=open(os.devnull, "w")))  # noqa: PTH123, SIM115
    assert "sftgen" in write_report(shown).read_text()


@pytest.mark.parametrize(
    "row",
    [
        {"task": "[/red]", "metric": "score", "mean": 1.0, "low": 0.5, "high": 1.0, "docs": 1},
        {"task": "a", "metric": "coverage", "mean": 1.0},
        {"task": "a", "metric": "score", "mean": None, "docs": 1},
        {"task": "a", "metric": "score", "mean": 0.5, "low": 0.1, "step": None},
        {"task": "a", "metric": "score", "mean": 1e308, "low": -1e308, "high": 1e308, "step": 2**62},
    ],
)
def test_a_report_of_odd_metrics_is_a_report(run: RunFolder, row: dict[str, Any]) -> None:
    run.append(run.metrics, [{"step": 3, "status": "ok", **row}])
    shown = report_of([run.path])
    print_report(shown, Console(file=open(os.devnull, "w")))  # noqa: PTH123, SIM115
    write_report(shown)


@pytest.mark.parametrize(
    "task", ["a[/b]", "a[red]b", "a\x1b]2;title\x07", "a\x1b[2J\u202eb", "a\nb", "[link=file:///x]a"]
)
def test_names_of_any_shape_are_text_in_the_terminal(tmp_path: Path, task: str) -> None:
    run = RunFolder(tmp_path)
    run.update_manifest(model="m")
    for step in (0, 1):
        values = {"score": [0.5], "coverage": [1.0], "truncated": [0.0], "response_tokens": [1.0]}
        add_results(run, step, [TaskResult(task, values, 1, [])], seconds=1.0)
    run.add_failure(2, [task], f"ValueError: {task}")
    out = io.StringIO()
    print_report(report_of([run.path]), Console(file=out, width=200))
    shown = out.getvalue()
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert "failed" in shown
    if "[" in task and task.isprintable():
        assert task in shown  # no markup
    write_report(report_of([run.path]))


def test_a_pool_of_answers_for_training_sets_is_sent_to_what_shows_it(tmp_path: Path) -> None:
    RunFolder(tmp_path).update_manifest(model="teacher", curation={"name": "pool"})
    with pytest.raises(RecordError, match="`sftgen view` shows them"):
        report_of([tmp_path])


def test_signs_that_latex_prints_as_other_signs_are_spelled_out() -> None:
    assert r"\textless{}0.05 & a\_b" in as_latex(["p", "task"], [["<0.05", "a_b"]])
