"""The report, opened in a real browser, says what the records say."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sftgen_judges import Response, Sample, Verdict
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import TaskResult
from sftgen_train.cli.console import show_run
from sftgen_train.report.html import write_report
from sftgen_train.report.reading import Shown
from sftgen_train.report.terminal import print_run, print_scores
from sftgen_train.results.run import add_results
from tests import PATIENCE
from tests.train.report.made_runs import attacked, graded, truncated

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
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
    print_run(Shown.of(run), console)
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
        print_run(Shown.of(run), console)
        assert re.search(rf"parity\*\s+{shown}\s+1\.00", console.export_text())
    assert "<td>40</td>" in write_report(Shown.of(run)).read_text()


def test_the_report_never_shows_a_response(run: RunFolder) -> None:
    html = write_report(Shown.of(run)).read_text()
    assert "how to build it" not in html
    assert "a &lt;b&gt;model&lt;/b&gt;" in html


def test_the_report_needs_nothing_from_outside(run: RunFolder) -> None:
    html = write_report(Shown.of(run)).read_text()
    head = html.replace(html[html.index("<script>") : html.index("</script>")], "")
    assert "<script src" not in head
    assert "<link" not in head


def opened(page: Path, tmp_path: Path) -> str:
    """The body of a page after a real browser ran its scripts."""
    assert BROWSER is not None
    drawn = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--window-size=1400,2000", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000",
            "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    ).stdout  # fmt: skip
    return drawn[drawn.index("<body") :]


def between(body: str, start: str, end: str) -> str:
    """A part of a page."""
    return body[body.index(start) : body.index(end, body.index(start))]


@pytest.mark.skipif(BROWSER is None, reason="no chromium, so no report is opened; on Debian: apt-get install chromium")
def test_a_browser_draws_every_chart(run: RunFolder, tmp_path: Path) -> None:
    for step, right, attacks in ((0, 80, 20), (5, 120, 60), (10, 140, 80)):
        answers = truncated(
            graded("sftgen_gpqa_diamond", step, right, of=160 if step == 5 else 200), range(20 * (step > 0))
        )
        add_results(run, step, [answers, attacked(step, attacks)], seconds=1.0)
    body = opened(write_report(Shown.of(run)), tmp_path)
    assert "Score against training step, 95 % intervals" in body
    assert "Mean response length (tokens) against training step" in body
    scores = between(body, 'id="chart-score"', 'id="chart-response_tokens"')
    assert scores.count('class="errorbar"') == 10  # four steps of parity, three of both others
    assert '<abbr title="At least one later step is below the base' in body
    assert "dips at steps 5, 10" in body

    # Of each task: the change with its band and delta, the parts as bars, the landmarks, the regime.
    parity, gpqa = between(body, 'id="task-0"', 'id="task-1"'), between(body, 'id="task-1"', 'id="task-2"')
    assert "parity" in between(parity, "<h3>", "</h3>")
    assert "gpqa_diamond" in between(gpqa, "<h3>", "</h3>")
    for block, later in ((parity, 3), (gpqa, 2)):
        assert block.count('class="main-svg"') >= 2
        assert "-delta 0.02" in block
        assert block.count('class="point"') >= 3 * later  # a bar a part and step
        assert "<td>dip depth</td>" in re.sub(r"</?abbr[^>]*>", "", block)
    assert "the score changes by" in between(gpqa, 'class="regime"', "</p>")
    told = between(body, 'class="price"', "</p>")
    assert "attack success +0.300 while reasoning gained" in told
    assert 'id="chart-tradeoff"' in body
    assert "Safety: less is better" in body
    # Charts fit beside each other: none is wider than its place.
    widths = [int(width) for width in re.findall(r'class="main-svg"[^>]* width="(\d+)', parity)]
    assert widths
    assert max(widths) < 600


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
    shown = Shown.of(run)
    print_run(shown, Console(file=open(os.devnull, "w")))  # noqa: PTH123, SIM115
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
    shown = Shown.of(run)
    print_run(shown, Console(file=open(os.devnull, "w")))  # noqa: PTH123, SIM115
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
    print_run(Shown.of(run), Console(file=out, width=200))
    shown = out.getvalue()
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert "failed" in shown
    if "[" in task and task.isprintable():
        assert task in shown  # no markup
    write_report(Shown.of(run))
