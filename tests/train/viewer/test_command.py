"""`sftgen view`: what it prints, its mistakes, and runs of which something is amiss."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sftgen_judges.records.store import RunFolder
from sftgen_train.cli.main import main
from tests import ROOT
from tests.conftest import Command
from tests.train.viewer.conftest import answering, viewing
from tests.train.viewer.made import PARITY, make_run
from tests.train.viewer.test_guarding import ask

pytestmark = pytest.mark.xdist_group("viewer")


def test_the_terminal_gets_one_line_and_nothing_is_written_into_the_run(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in runs[0].rglob("*")}
    with viewing(tmp_path, runs[0]) as viewer:
        for path in ("/", "/grid", "/items", "/arms"):
            assert ask(viewer, path)[0].status == 200
    # SIGINT ended it, quietly: `viewing` checks the exit code and what it said of errors.
    assert viewer.out.read_text() == f"{viewer.address}  (Ctrl-C ends it)\n"
    assert (tmp_path / "err").read_text() == ""
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in runs[0].rglob("*")} == before


@pytest.mark.parametrize(
    "mistake",
    [
        (["nowhere"], "nowhere"),
        (["."], "is not a run directory"),
        (["{run}", "--bundle", "{full}"], "holds other files"),
        (["{run}", "--port", "{taken}"], "--port {taken}: it is taken"),
        (["{newer}"], "has schema 99"),
        (["{run}", "{copy}"], "are copies of one run"),
    ],
)
def test_a_mistake_is_one_line(
    runs: tuple[Path, Path],
    tmp_path: Path,
    mistake: tuple[list[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, said = mistake
    full, newer, copy = (tmp_path / name for name in ("full", "newer", "copy"))
    for folder in (full, newer, copy):
        folder.mkdir()
    (full / "mine.txt").write_text("mine")
    (newer / "manifest.json").write_text(json.dumps({"schema": 99}))
    for name in ("manifest.json", "metrics.jsonl", "samples.parquet"):
        (copy / name).write_bytes((runs[0] / name).read_bytes())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        places = {"run": runs[0], "full": full, "newer": newer, "copy": copy, "taken": listener.getsockname()[1]}
        given = [part.format(**places) for part in arguments]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["sftgen", "view", *given, "--no-browser"])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command sets its own
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert [said.format(**places) in line for line in err.splitlines()] == [True], err
    assert (full / "mine.txt").read_text() == "mine"


def without_samples(run: RunFolder) -> str:
    run.sample_index.unlink()
    return "no graded answers"


def damaged(run: RunFolder) -> str:
    run.sample_index.write_bytes(b"PAR1 no table")
    return "The records cannot be read"


def only_begun(run: RunFolder) -> str:
    for path in (run.sample_index, run.metrics, run.evaluations, *(run.path / "generations").iterdir()):
        path.unlink()
    return "No answer of this run is graded yet"


def locked(run: RunFolder) -> str:
    (run.path / ".lock").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    (run.path / ".write.lock").touch()
    return "3 steps, 0 to 40"


def torn(run: RunFolder) -> str:
    run.metrics.write_text(run.metrics.read_text()[:-40])
    with run.samples.open("a") as file:
        file.write('{"task": "sftgen_parity", "doc_')
    return "parity"


@pytest.mark.parametrize("harm", [without_samples, damaged, only_begun, locked, torn])
def test_a_run_of_which_something_is_amiss_has_a_page_that_says_so(
    tmp_path: Path, harm: Callable[[RunFolder], str]
) -> None:
    run = make_run(tmp_path / "run", safety=False)
    run.compact()
    said = harm(run)
    with answering(run.path) as viewer:
        pages = {path: ask(viewer, path) for path in ("/", "/grid", "/items", f"/items?task={PARITY}")}
    assert any(said in text for _, text in pages.values()), said
    assert all("<h1" in text for _, text in pages.values())


def test_a_run_from_before_prompts_were_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", safety=False)
    run.prompts(PARITY).unlink()
    with answering(run.path) as viewer:
        _, text = ask(viewer, f"/items?task={PARITY}")
        _, item = ask(viewer, text.split('class="open" href="')[1].partition('"')[0].replace("&amp;", "&"))
    assert "The prompt is not in the records" in item


def test_of_a_response_of_five_megabytes_a_page_shows_the_beginning_and_a_file_holds_all(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=(0,), safety=False)
    record = next(each for each in run.read_generations(PARITY) if each.repeat == 0)
    whole = record.text + " and so on" * 500_000
    run.add_generations([replace(record, text=whole)])
    of = f"of={PARITY}&doc={record.doc_hash}"
    with answering(run.path) as viewer:
        _, item = ask(viewer, f"/item?{of}")
        _, text = ask(viewer, f"/text?{of}&step=0&repeat=0")
        _, found = ask(viewer, f"/items?task={PARITY}&q=and+so+on+and")
    assert "Only the beginning of this response is shown" in item
    assert len(item) < 200_000
    assert text == whole
    assert '<b id="total">1</b>' in found


def test_a_viewer_whose_run_is_deleted_goes_on(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", safety=False)
    with answering(run.path) as viewer:
        assert ask(viewer, "/items")[0].status == 200
        for path in sorted(run.path.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        run.path.rmdir()
        response, text = ask(viewer, "/items")
        assert response.status in {200, 500}
        assert "<h1" in text


def test_a_bundle_is_written_by_the_command(command: Command, runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = command("sftgen", "view", *runs, "--bundle", tmp_path / "out", "--items", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"3 items -> {tmp_path / 'out' / 'index.html'}\n"
    assert (tmp_path / "out" / "arms.html").is_file()
    assert len(list((tmp_path / "out" / "items").iterdir())) == 3


def test_the_server_is_imported_by_view_alone() -> None:
    code = "import sys, sftgen, sftgen_train.cli.main; print({'starlette', 'uvicorn', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"
