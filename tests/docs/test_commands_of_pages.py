"""Every command in the documentation is known to the command line, and runs: as it stands here, or in another test."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import typer

from sftgen_train.cli.main import app
from tests import ROOT
from tests.commands import few_tasks
from tests.conftest import Command
from tests.docs.commands_of_pages import PAGES, commands, leaf, placeholders
from tests.train.report.made_runs import made_run

KNOWN = {page.name: list(commands(page)) for page in PAGES}
STEPS = (0, 10, 40, 80, 160)
SCORES = {"sftgen_math500": (120, 110, 100, 140, 160), "sftgen_parity": (150, 90, 60, 100, 140)}
OF_THE_DEMO = {"sftgen_countdown": (10, 30, 60, 90, 150), "sftgen_maximum": (190, 20, 5, 150, 180)}
RUNS = {**dict.fromkeys(("RUN", "RUN_A", "RUN_B", "OTHER", "a", "b"), SCORES), "demo/runs/20261126-221125": OF_THE_DEMO}
POLICY = "benchmarks:\n  math500: {tier: critical, max_drop: 0.5, min_pairs: 100}\n"
READING = ("comparing.md", "diagnostics.md", "distance.md", "gate.md", "parts.md", "report.md", "trajectories.md")
"""Pages that read runs: they are there already."""
BEGINNING = ("evaluating.md", "trainers.md")
"""Pages that make their run of a model."""
NOT_HERE = {
    " view ": "answers until it is stopped",
    " selftest ": "takes minutes",
    " --budgets 500,2000": "needs texts",
}
"""Commands of those pages that run in tests of their own only."""
NO_TEST = {"demo": "takes minutes: `make demo`"}
GPU = ("sftgen-vllm", "device=cuda")
"""What needs a device, or stands for one."""
TESTS = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]


@pytest.mark.parametrize("name", KNOWN)
def test_words_are_known(name: str) -> None:
    root = typer.main.get_command(app)
    for line in KNOWN[name]:
        command, words = leaf(root, shlex.split(line.replace("[", "").replace("]", ""))[1:])
        assert not hasattr(command, "resolve_command") or command.invoke_without_command, line
        context = command.context_class(command, **command.context_settings)
        given, _, _ = command.make_parser(context).parse_args(words)
        needed = [option.name for option in command.params if option.required]
        assert set(needed) <= given.keys(), line


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs that pages speak of."""
    folder = tmp_path_factory.mktemp("desk")
    for run, scores in RUNS.items():
        made_run(folder / run, scores, STEPS, paper=True, model="Qwen/Qwen3-4B-Base")
    (folder / "POLICY").write_text(POLICY)
    return folder


@pytest.mark.xdist_group("desk")
@pytest.mark.parametrize("name", READING)
def test_commands_that_read_runs(name: str, desk: Path, tmp_path: Path, command: Command) -> None:
    shutil.copytree(desk, tmp_path, dirs_exist_ok=True)
    _run(name, tmp_path, command)


@pytest.mark.parametrize("name", BEGINNING)
def test_commands_that_evaluate_a_model(name: str, tmp_path: Path, command: Command, tiny_model: Path) -> None:
    for folder in ("MODEL", "CHECKPOINTS/checkpoint-2"):
        shutil.copytree(tiny_model, tmp_path / folder)
        _end_at_once(tmp_path / folder)
    _run(name, tmp_path, command)


def _run(name: str, folder: Path, command: Command) -> None:
    lines = [line for line in KNOWN[name] if _runs_here(line)]
    assert lines
    done = command(sys.executable, "-c", IN_TURN, *lines, cwd=folder, before=few_tasks)
    assert done.returncode == 0, done.stdout + done.stderr


IN_TURN = """
import shlex, sys
from sftgen_train.cli.main import main

for line in sys.argv[1:]:
    sys.argv = shlex.split(line)
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            sys.exit(f"{line}: exit code {ended.code}")
"""


def _end_at_once(model: Path) -> None:
    """Any token ends a response: an untrained model would write to its limit."""
    settings = model / "generation_config.json"
    vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "eos_token_id": list(range(vocabulary))}))


def _runs_here(line: str) -> bool:
    return not placeholders(line) and not any(mark in line for mark in (*NOT_HERE, *GPU))


def test_what_does_not_run_here_is_run_by_another_test() -> None:
    """A test's text has the command and every option of it: it was written for this command."""
    here = {*READING, *BEGINNING, "first_study.md"}  # of the last one tests/train/study runs every command
    lines = {
        line
        for page, known in KNOWN.items()
        for line in known
        if page not in here or (page != "first_study.md" and not _runs_here(line))
    }
    for line in sorted(line for line in lines if shlex.split(line)[1] not in NO_TEST):
        words = [word.strip("[].") for word in shlex.split(line)[1:]]
        wanted = {words[0], *(word for word in words if word.startswith("--"))}
        assert any(all(word in text for word in wanted) for text in TESTS), line
