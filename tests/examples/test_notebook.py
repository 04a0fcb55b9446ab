"""The notebook runs, and what it shows is bounded, escaped and without what models wrote."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

import sftgen
from sftgen_judges.plugins.contracts import Finding
from sftgen_judges.records.display import MOST_ROWS, MOST_TEXT
from sftgen_judges.records.store import RunFolder
from tests import ROOT
from tests.train.report.made_runs import made_run
from tests.train.report.test_report import HARMFUL, add_step

SCORES = {"sftgen_parity": (150, 60, 140), "sftgen_math500": (120, 100, 160)}


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the cells of the example define, of two runs."""
    runs = [made_run(tmp_path / name, SCORES, (0, 10, 20)).path for name in ("a", "b <i>")]
    runs[0].joinpath("manifest.json").write_text('{"run": "a", "model": "m"}')
    finding = Finding("t", "A <b>claim</b>.", "unclear", "9 responses", task="sftgen_parity")
    folder = RunFolder(runs[0])
    row = {"diagnostic": "mine", "version": 1, "level": "trajectory", "sentence": "", "certainty": "unclear"}
    folder.append(folder.findings, [{**row, "title": "t", "found": finding.to_dict()}])
    path = ROOT / "examples" / "notebook.py"
    spec = importlib.util.spec_from_file_location("notebook", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, runs)])
    _, definitions = module.app.run()
    return dict(definitions)


def test_every_cell_of_the_notebook_shows_something(cells: dict[str, Any]) -> None:
    shown = {name: cells[name]._repr_html_() for name in ("records", "explained", "lengths", "comparison", "findings")}
    for html in shown.values():
        assert "cannot be shown" not in html
        assert "<i>" not in html
        assert "<script" not in html
        assert len(html) < 100_000
    assert shown["records"].count("<td>sftgen_math500</td>") == 2
    assert "b &lt;i&gt;" in shown["records"]
    assert "dips" in shown["explained"]
    assert "<polyline" in shown["explained"]  # the scores as a drawing
    assert "above base" in shown["explained"]
    assert shown["lengths"].count("<tr><td>") == 6
    assert "Differences" in shown["comparison"] or "differences" in shown["comparison"]
    assert "A &lt;b&gt;claim&lt;/b&gt;. (unclear)" in shown["findings"]
    assert "9 responses" in shown["findings"]


def test_texts_of_models_are_not_shown_and_long_answers_are_cut(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.update_manifest(model="m")
    add_step(run, 0, 36)
    with sftgen.load_run(tmp_path) as records:
        shown = records.samples._repr_html_()
        assert HARMFUL[:20] not in shown
        assert "text of" in shown
        assert "Texts are not shown here" in shown
        assert shown.count("<tr><td>") == MOST_ROWS
        long = records.sql(f"SELECT repeat('<b>', 5000) AS task, repeat('y', {MOST_TEXT}) AS step FROM range(3)")
        html = long._repr_html_()
        assert "<b>" not in html.replace("<p><b>", "")
        assert len(html) < 4000
        query = records.samples
        assert "No rows." in records.sql("SELECT 1 AS a WHERE false")._repr_html_()
    # A cell's result is never a traceback.
    assert "Table: cannot be shown: " in query._repr_html_()
    [verdicts] = [sftgen.trajectory(tmp_path)]
    assert "parity" in verdicts._repr_html_()
