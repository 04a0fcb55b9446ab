"""`sftgen diagnose` through the command: what it finds, keeps, goes on with, and leaves out."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sftgen_judges import Connection, Diagnostic, Finding, History, Labels, Measure, Metric, Probe, Validation
from sftgen_judges.plugins.contracts.findings import Figure, Interval, Pane, Series, Table
from sftgen_judges.plugins.manager import Registered, plugins
from sftgen_judges.records.journal import append_rows
from sftgen_judges.records.query import open_records
from sftgen_judges.records.store import RunFolder
from sftgen_train.cli.main import app
from sftgen_train.diagnosing import probing
from sftgen_train.report.findings import read_findings
from sftgen_train.results.trackers import Trackers
from tests import ROOT
from tests.conftest import Command
from tests.train.diagnosing.written_runs import written_run

TASK = "sftgen_parity"


def texts(step: int, documents: int = 12, repeats: int = 2) -> list[list[str]]:
    """Responses that grow, and loop at the last step."""
    more = "so let me look at it once more, " * (step // 4)
    return [
        [f"<think>{more}we have {n} and {n * repeat}</think>The answer is {n}" for repeat in range(repeats)]
        for n in range(documents)
    ]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return written_run(tmp_path / "run", {step: {TASK: texts(step)} for step in (0, 10, 20)})


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Add diagnostics to those that are registered."""
    known = dict(plugins().registered("register_diagnostics"))

    def add(*diagnostics: Diagnostic, only: bool = True) -> None:
        mine = {diagnostic.name: Registered(diagnostic.name, "mine", diagnostic) for diagnostic in diagnostics}
        monkeypatch.setitem(plugins()._registered, "register_diagnostics", mine if only else known | mine)

    return add


def diagnose(run: RunFolder, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["diagnose", str(run.path), "--format", "json", *arguments])
    assert done.exit_code == code, done.output + repr(done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def metrics(rows: Sequence[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    return {
        (of["diagnostic"], row["task"], row["step"], row["name"]): (row["value"], row["low"], row["high"], row["n"])
        for of in rows
        for row in of["metrics"]
    }


def test_what_is_found_later_is_what_the_evaluation_found(run: RunFolder) -> None:
    rows = {
        (row["step"], row["metric"].removeprefix("anatomy/")): (row["mean"], row["low"], row["high"], row["n"])
        for row in run.metric_rows()
        if str(row["metric"]).startswith("anatomy/")
    }
    assert rows[0, "tokens"][0] < rows[20, "tokens"][0]
    assert rows[20, "loops"][0] == 1
    kept = run.labels("anatomy", TASK).read_text()
    later = metrics(diagnose(run, "--only", "anatomy")["findings"])
    assert {key[2:]: value for key, value in later.items()} == rows
    assert run.labels("anatomy", TASK).read_text() == kept
    for path in run.path.glob("labels/*/*"):
        path.unlink()
    assert metrics(diagnose(run, "--only", "anatomy")["findings"]) == later
    run.compact()
    assert metrics(diagnose(run, "--only", "anatomy")["findings"]) == later


def test_findings_stand_in_the_terminal_the_report_the_records_and_a_tracker(run: RunFolder, register: Any) -> None:
    given: dict[tuple[int, str], float] = {}
    done = CliRunner().invoke(app, ["diagnose", str(run.path)])
    assert done.exit_code == 0, done.output
    assert "From step 0 to 20 tokens rose from" in done.output
    assert "(clear)" in done.output
    assert "measured on 72 responses at 3 steps" in done.output
    assert "not validated: " in done.output
    with open_records(run.path) as records:
        rows = records.sql("SELECT diagnostic, task, certainty FROM findings ORDER BY ALL").rows()
        assert {row["diagnostic"] for row in rows} == {"anatomy", "consistency", "stability"}
        labels = records.sql(
            "SELECT count(*) AS n, avg(score) AS score FROM labels WHERE diagnostic = 'anatomy'"
        ).rows()
        assert labels == [{"n": 72, "score": 1.0}]
    done = CliRunner().invoke(app, ["report", str(run.path)])
    assert "From step 0 to 20 tokens rose from" in done.output
    page = (run.path / "report.html").read_text()
    section = page[page.index('<section id="findings"') :]
    assert section[: section.index("</section>")].count('class="group"') == 4
    trackers = Trackers(run, ["text"])
    trackers._open["text"] = Connection(
        lambda step, values: given.update({(step, name): value for name, value in values.items()}), lambda: None
    )
    trackers.log_new()
    assert given[20, "sftgen/parity/anatomy/loops"] == 1
    assert given[10, "sftgen/parity/stability/won"] == 0
    assert given[10, "sftgen/parity/anatomy/switched_not_validated"] == 0
    assert not [name for _, name in given if name.endswith("anatomy/switched")]


def test_only_what_was_measured_against_labels_stands_without_a_mark(run: RunFolder, register: Any) -> None:
    def labels(batch: Any) -> Any:
        return (Labels({"waits": 1, "waits_a_text": 1, "guesses": 1, "words": 3}) for _ in batch)

    measures = (
        Measure("waits", "w"), Measure("waits_a_text", "w", label="waits"), Measure("guesses", "g"),
        Measure("words", "n", exact=True),
    )  # fmt: skip
    checked = Validation("waits", "mine", "rule", 200, "segments", *[Interval(0.5, 0.4, 0.6)] * 3)
    register(Diagnostic("partly", 1, "sample", (), labels, measures, validated=lambda annotator: [checked]))
    said = " ".join(CliRunner().invoke(app, ["diagnose", str(run.path)]).output.split())
    assert "waits: precision 0.50 (0.40 to 0.60), recall 0.50 (0.40 to 0.60), F1 0.50 (0.40 to 0.60) on 200" in said
    assert "† not validated: guesses" in said
    assert "not validated: guesses," not in said
    assert "guesses †" in said
    assert "waits †" not in said
    assert CliRunner().invoke(app, ["report", str(run.path)]).exit_code == 0
    page = (run.path / "report.html").read_text()
    assert "waits: precision 0.50" in page
    assert "† not validated: guesses<" in page
    given: set[str] = set()
    trackers = Trackers(run, ["text"])
    trackers._open["text"] = Connection(lambda step, values: given.update(values), lambda: None)
    trackers.log_new()
    of = "sftgen/parity/partly/"
    assert {name for name in given if name.startswith(of)} == {
        f"{of}{name}" for name in ("waits", "waits_a_text", "guesses_not_validated", "words")
    }


def test_a_diagnostic_that_fails_is_named_and_the_others_finish(run: RunFolder, register: Any) -> None:
    def labels(batch: Any) -> Any:
        for _ in batch:
            yield Labels({"x": 1})

    def fails(_: Any) -> Any:
        raise ZeroDivisionError("about a response")

    def asks(history: History) -> Any:
        return history.records.sql("SELECT nothing FROM samples").rows()

    x = (Measure("x", "x"),)
    register(
        Diagnostic("first", 1, "sample", (), fails, x),
        Diagnostic("query", 1, "trajectory", (), asks),
        Diagnostic("wrong", 1, "trajectory", (), lambda history: [{"sentence": "?"}]),
        Diagnostic("good", 1, "sample", (), labels, x),
        Diagnostic("judged", 1, "sample", ("judge",), labels, x),
        Diagnostic("probe", 1, "checkpoint", ("model",), fails),
    )  # fmt: skip
    found = diagnose(run, code=1)
    assert [one["diagnostic"] for one in found["findings"]] == ["good"]
    assert found["failed"]["first"] == "raised ZeroDivisionError"
    assert "nothing" in found["failed"]["query"]
    assert found["failed"]["wrong"] == "gave dict, expected Finding"
    assert set(found["failed"]) == {"first", "query", "wrong"}
    # What lacks a judge or weights has not failed, unless it was asked for.
    assert set(found["skipped"]) == {"judged", "probe"}
    assert set(diagnose(run, "--all", code=1)["skipped"]) == {"judged", "probe"}
    with_judge = diagnose(run, "--judge-model", "m", "--judge-base-url", "http://127.0.0.1:9/v1", code=1)
    assert "judged" in {one["diagnostic"] for one in with_judge["findings"]}  # it needs one, and asks nothing
    assert "needs a judge: set SFTGEN_JUDGE_MODEL" in found["skipped"]["judged"]
    assert "name their folder with --checkpoints" in found["skipped"]["probe"]
    assert set(diagnose(run, "--only", "judged,good", code=1)["failed"]) == {"judged"}
    done = CliRunner().invoke(app, ["diagnose", str(run.path), "--only", "nobody"])
    assert "diagnostic 'nobody': no plugin registered it; did you mean 'good'? Known: first, query" in str(
        done.exception
    )


def test_what_a_plugin_says_is_text_and_never_markup(run: RunFolder, register: Any) -> None:
    hostile = "<script>alert(1)</script>[red]\x1b[31m"
    finding = Finding(
        hostile, hostile, "unclear", hostile,
        (Metric(hostile, 1.0, unit=hostile),),
        Table((hostile,), ((hostile,),)),
        Figure("lines", hostile, hostile, hostile, (Series(hostile, (hostile,), (1.0,), (0.5,), (1.5,)),)),
        (Validation(hostile, hostile, hostile, 1, hostile, *[Interval(1.0, 0.5, 1.0)] * 3),),
        hostile,
    )  # fmt: skip
    text = Finding("t", "s", "clear", "m", figure=Figure("tokens", hostile, panes=(Pane(hostile, (hostile,), (0.5,)),)))
    register(Diagnostic("hostile", 1, "trajectory", (), lambda history: [finding, text]))
    assert diagnose(run)["failed"] == {}
    done = CliRunner().invoke(app, ["report", str(run.path)])
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    page = (run.path / "report.html").read_text()
    section = page[page.index('id="findings"') :]
    assert "alert(1)" in section
    assert "<script>alert" not in section


def test_findings_that_are_damaged_are_named_and_left_out(
    run: RunFolder, caplog: pytest.LogCaptureFixture, register: Any
) -> None:
    diagnose(run, "--only", "consistency")
    base = {"diagnostic": "x", "sentence": "s", "certainty": "clear", "title": "t"}
    right = {"title": "t", "sentence": "s", "certainty": "clear", "measured_on": "m"}
    bad: list[Any] = [
        {}, {**right, "certainty": "very"}, {**right, "metrics": 3}, {**right, "metrics": [{"name": 3, "value": 1}]},
        {**right, "metrics": [{"name": "a", "value": "1"}]}, {**right, "table": {"columns": ["a"], "rows": [[1, 2]]}},
        {**right, "figure": {"kind": "lines"}}, {**right, "sentence": ["s"]},
    ]  # fmt: skip
    append_rows(run.findings, [{**base, "found": found} for found in bad])
    assert [one.diagnostic for one in read_findings(run)] == ["consistency"]
    assert f"{len(bad)} findings cannot be read" in caplog.text
    assert CliRunner().invoke(app, ["report", str(run.path)]).exit_code == 0


# ------------------------------------------------------------------------------ going on


def mine(batch: Any) -> Any:
    """Labels that are counted in the run, one file each; the process dies at the number that is named there."""
    folder = Path(os.environ["COUNTED"])
    for answer in batch:
        labelled = len(list(folder.glob("labelled-*")))
        if labelled == 70 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / f"labelled-{labelled}").touch()
        yield Labels({"words": len(answer.response.text.split())})


def with_mine() -> None:
    """Register it, in the process of the command."""
    diagnostic = Diagnostic("mine", 1, "sample", ("text",), mine, (Measure("words", "words"),))
    plugins()._registered["register_diagnostics"] = {"mine": Registered("mine", "me", diagnostic)}


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, command: Command) -> None:
    run = written_run(tmp_path / "run", {0: {TASK: texts(0, documents=100, repeats=1)}})
    (tmp_path / "counted").mkdir()
    env = {**os.environ, "COUNTED": str(tmp_path / "counted")}
    line = ("sftgen", "diagnose", str(run.path), "--format", "json")
    assert command(*line, env=env, before=with_mine).returncode == -signal.SIGKILL
    kept = len(run.labels("mine", TASK).read_text().splitlines())
    assert 0 < kept <= 70
    done = command(*line, env=env, before=with_mine)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "counted").glob("labelled-*"))) == 70 + 100 - kept
    [finding] = json.loads(done.stdout)["findings"]
    assert finding["measured_on"] == "100 responses at 1 step"


# ------------------------------------------------------------------------------ checkpoints and courses


def test_a_checkpoint_is_loaded_and_probed_once_and_its_findings_replaced(
    run: RunFolder, register: Any, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (10, 20):
        (tmp_path / "weights").mkdir(exist_ok=True)
        (tmp_path / "weights" / f"checkpoint-{step}").symlink_to(tiny_model)
    measured: list[int] = []

    def probe(given: Probe) -> Any:
        model, tokenizer = given.load()
        assert given.load()[0] is model

        def measure() -> dict[str, Any]:
            measured.append(given.step)
            return {"size": model.num_parameters(), "tokens": len(tokenizer("1 2 3").input_ids)}

        size = given.once(["size"], measure)["size"]
        metric = Metric("size", size, n=1, step=given.step, exact=True)
        yield Finding("size", f"{size} parameters", "cannot tell", "the weights", (metric,), step=given.step)

    def across(history: History) -> Any:
        rows = history.probes().to_arrow().to_pylist()
        yield Finding("all", f"{len(rows)} measured", "cannot tell", "all")

    def base_of(given: Probe) -> Any:
        given.load(given.base)
        raise RuntimeError("not a model for me")

    loaded: list[str] = []
    real = probing._load
    monkeypatch.setattr(probing, "_load", lambda path, args: loaded.append(Path(path).name) or real(path, args))
    RunFolder(run.path).update_manifest(model=str(tiny_model))
    register(
        Diagnostic("size", 1, "checkpoint", ("model",), probe, summarise=across),
        Diagnostic("fails", 1, "checkpoint", ("model",), base_of),
        Diagnostic("other", 1, "checkpoint", ("model",), base_of),
    )  # fmt: skip
    given = ("--checkpoints", str(tmp_path / "weights"), "--model-args", "device=cpu")
    whole = diagnose(run, *given, code=1)
    found = whole["findings"]
    assert [(one["title"], one["step"]) for one in found] == [("size", 10), ("size", 20), ("all", None)]
    assert whole["failed"] == dict.fromkeys(("fails", "other"), "raised RuntimeError")
    # A checkpoint is loaded once for all that probe it; the base is loaded once for all checkpoints.
    assert loaded == ["checkpoint-10", tiny_model.name, "checkpoint-20"]
    assert diagnose(run, *given, code=1)["findings"] == found
    # Both steps have the same weights: they are measured once.
    assert measured == [10]
    done = CliRunner().invoke(app, ["diagnose", str(run.path), "--checkpoints", str(tmp_path / "none")])
    assert "no such folder; expected one that holds checkpoint-N" in str(done.exception)


def test_the_templates_diagnostics_of_each_level(
    run: RunFolder, register: Any, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "sftgen-plugin-template"))
    from sftgen_plugin_template.cut_answers import CUT_ANSWERS
    from sftgen_plugin_template.repetition import REPETITION
    from sftgen_plugin_template.surprise import SURPRISE

    (tmp_path / "checkpoint-0").symlink_to(tiny_model)
    register(REPETITION, SURPRISE, CUT_ANSWERS)
    found = diagnose(run, "--checkpoints", str(tmp_path), "--model-args", "device=cpu")
    assert found["failed"] == found["skipped"] == {}
    said = {one["diagnostic"]: one["sentence"] for one in found["findings"]}
    assert said.keys() == {"template_repetition", "template_surprise", "template_cut_answers"}
    assert "costs" in said["template_surprise"]
    assert said["template_cut_answers"] == "Most answers are cut off at step 0: 0%."


def test_what_is_dear_runs_only_if_it_is_asked_for(
    run: RunFolder, register: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTGEN_JUDGE_MODEL", "m")
    monkeypatch.setenv("SFTGEN_JUDGE_BASE_URL", "http://127.0.0.1:9/v1")
    (run.path / "checkpoint-0").symlink_to(tiny_model)

    def labels(batch: Any) -> Any:
        return (Labels({"x": 1}) for _ in batch)

    def probed(given: Probe) -> Any:
        yield Finding("p", "s", "clear", "m", step=given.step)

    x = (Measure("x", "x"),)
    register(
        Diagnostic("cheap", 1, "sample", (), labels, x),
        Diagnostic("judged", 1, "sample", ("judge",), labels, x),
        Diagnostic("probe", 1, "checkpoint", ("model", "logprobs"), probed),
    )
    done = CliRunner().invoke(app, ["diagnose", str(run.path)])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "not run: judged asks a judge's model: it runs with --only judged, or with --all" in said
    assert "not run: probe loads the weights: it runs with --only probe, or with --all" in said
    assert {one.diagnostic for one in read_findings(run)} == {"cheap"}
    assert set(diagnose(run, "--model-args", "device=cpu")["skipped"]) == {"judged"}
    assert diagnose(run, "--all")["skipped"] == {}
    assert {one.diagnostic for one in read_findings(run)} == {"cheap", "judged", "probe"}
    done = CliRunner().invoke(app, ["diagnose", str(run.path), "--all", "--only", "cheap"])
    assert "--all and --only name other diagnostics" in str(done.exception)
