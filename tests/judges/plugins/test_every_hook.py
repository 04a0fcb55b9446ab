"""One plugin with a judge backend, a schedule, a tracker and commands: each works where users meet it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.judges.plugins.conftest import Door
from tests.judges.plugins.test_plugin_door import a_hook, a_judge, judges
from tests.logs import require_quiet

PLUGIN = """
import typer

from sftgen_judges import Connection, Failure, JudgeBackend, Reply, Schedule, Tracker, hookimpl


def ask(settings, requests):
    for position, request in reversed(list(enumerate(requests))):
        text = str(request.prompt)
        reply = Reply('{"analysis": "fine", "score": 4}', model=settings.model)
        yield position, Failure("too long") if "long" in text else reply


def due(step, first, last=10):
    if first > last:
        raise ValueError(f"expected two steps in order, found {first} and {last}")
    return first <= step <= last


def connect(run, facts):
    file = (run / "told.jsonl").open("a")
    return Connection(lambda step, values: print(step, *values, file=file), file.close)


@hookimpl
def register_judge_backends(register):
    register("echo", JudgeBackend("echo", ask))


@hookimpl
def register_schedules(register):
    register("between", Schedule("between", 1, due))


@hookimpl
def register_trackers(register):
    register("text", Tracker("text", connect))
    register("absent", Tracker("absent", connect, package="a_package_that_is_not_there"))


@hookimpl
def register_commands(app):
    @app.command()
    def greet(name: str = "you"):
        "Say hello."
        print(f"hello {name}")

    group = typer.Typer(help="Things of the plugin.")
    app.add_typer(group, name="more")

    @group.command()
    def wrong():
        from sftgen_judges.errors import SftgenError
        raise SftgenError("this cannot be done")

    @group.command()
    def other():
        print("done")
"""
ADDED = {
    "register_commands": ["greet", "more"],
    "register_judge_backends": ["echo"],
    "register_schedules": ["between"],
    "register_trackers": ["text", "absent"],
}


@pytest.fixture
def installed(door: Door) -> Door:
    """The plugin `every`, beside nothing else."""
    door.add("every", PLUGIN)
    return door


# ------------------------------------------------------------------------------ commands


def test_its_commands_stand_beside_sftgens_own(installed: Door) -> None:
    shown, warned = installed.listing(SFTGEN_LOAD_PLUGINS="every")
    assert warned == []
    assert shown["every", "dist-every"]["adds"] == ADDED
    assert {"train", "judge", "plugins"} <= set(shown["sftgen_train", "sftgen"]["adds"]["register_commands"])
    told = installed.sftgen("--help")
    assert told.returncode == 0
    for part in ("greet", "Say hello.", "more", "Things of the plugin.", "train", "judge"):
        assert part in told.stdout
    assert "hello me" in installed.sftgen("greet", "--name", "me").stdout
    assert installed.sftgen("more", "other").stdout == "done\n"
    wrong = installed.sftgen("more", "wrong")
    assert (wrong.returncode, wrong.stderr) == (2, "sftgen: this cannot be done\n")
    assert installed.sftgen("greet", SFTGEN_LOAD_PLUGINS="").returncode == 2


BROKEN = {
    "raises": (a_hook("register_commands(app)", "app.command()(lambda: 0)", "raise KeyError('lost')"), "'lost'"),
    "a command that Typer cannot make": (
        a_hook("register_commands(app)", "@app.command()", "def odd(value: 'NoSuchType'): ..."),
        "NameError: name 'NoSuchType' is not defined",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_plugin_whose_commands_are_broken_is_named_once_and_the_help_still_comes(door: Door, case: str) -> None:
    source, says = BROKEN[case]
    door.add("bad", source)
    done = door.sftgen("--help", SFTGEN_LOAD_PLUGINS="bad")
    assert done.returncode == 0
    assert "train" in done.stdout
    assert "odd" not in done.stdout
    [warned] = done.stderr.splitlines()
    assert warned.startswith("sftgen warning: sftgen plugin 'bad' (dist-bad 1.0) is left out. ")
    assert says in warned


def test_a_plugin_cannot_replace_a_command_of_sftgen(door: Door) -> None:
    door.add("bad", a_hook("register_commands(app)", "app.command('tasks-dir')(lambda: print('mine'))"))
    done = door.sftgen("--help", SFTGEN_LOAD_PLUGINS="bad")
    [warned] = done.stderr.splitlines()
    for part in ("'bad'", "register_commands of 'tasks-dir' is left out", "'sftgen_train'"):
        assert part in warned
    own = door.sftgen("tasks-dir", SFTGEN_LOAD_PLUGINS="bad")
    assert Path(own.stdout.strip()).is_dir()


# ------------------------------------------------------------------------------ backend


def test_its_backend_reaches_a_judge(installed: Door) -> None:
    code = """
        from sftgen_judges import Item, split_thinking
        from sftgen_judges.policy import POLICY
        from sftgen_judges.scoring.grading import grade_batch
        items = [Item({"question": "Why?"}, split_thinking(text)) for text in ("short", "a long one")]
        for verdict in grade_batch(POLICY, items):
            print(verdict.status, verdict.score, verdict.reason, verdict.evidence.get("model"))
        """
    done = installed.python(code, SFTGEN_JUDGE_BACKEND="echo", SFTGEN_JUDGE_MODEL="parrot")
    assert done.stdout.splitlines() == ["ok 4.0  parrot", "judge_error None too long None"], done.stderr
    wrong = installed.python(code, SFTGEN_JUDGE_BACKEND="ecko", SFTGEN_JUDGE_MODEL="parrot")
    says = (
        "judge setting backend (SFTGEN_JUDGE_BACKEND) 'ecko': expected one of server, batch, transformers, vllm, echo"
    )
    assert says in wrong.stdout


# ------------------------------------------------------------------------------ schedule and tracker


def test_its_schedule_and_tracker_hold_for_a_training_and_its_worker(installed: Door, tiny_model: Path) -> None:
    rows = [{"prompt": f"What is {n}?", "completion": str(n)} for n in range(16)]
    (installed.folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = installed.folder / "run"
    fields = {
        "model_name_or_path": str(tiny_model), "train_data": "data.jsonl", "output_dir": str(run), "max_steps": 5,
        "harness_tasks": ["sftgen_parity"], "harness_schedule": "between:2,3", "harness_limit": 2,
        "harness_worker": "after", "harness_gen_kwargs": {"max_gen_toks": 4}, "per_device_train_batch_size": 2,
        "use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no",
    }  # fmt: skip
    (installed.folder / "train.yaml").write_text(yaml.safe_dump(fields))
    trained = installed.forked("train", "--config", "train.yaml")
    assert trained.returncode == 0, trained.stderr
    # A log of a training and its evaluations, from a fresh process, has our lines only.
    require_quiet(trained)
    for line in trained.stderr.splitlines():
        # On a busy machine a stage may also say how far it is.
        assert re.match(r"step \d+: |trained 5 steps in |checkpoints that wait|[a-z ]+: \d+ of \d+", line), (
            trained.stderr
        )
    suite = run / "queue" / "suite.json"
    assert json.loads(suite.read_text())["tiers"][0]["schedule"] == "between:2,3"
    assert json.loads((run / "manifest.json").read_text())["schedule"][0]["when"] == "between:2,3"

    done = sorted(int(path.stem) for path in (run / "queue" / "done").glob("*.json"))
    assert done == [0, 2, 3, 5]  # the base model and the last step in any case

    logged = installed.forked("report", str(run), "--log-to", "text")
    assert logged.returncode == 0, logged.stderr
    told = [line.split()[0] for line in (run / "told.jsonl").read_text().splitlines() if "sftgen/parity/score" in line]
    assert told == ["0", "2", "3", "5"]

    read = "import sys; from pathlib import Path; from sftgen_train.evaluation.schedule import *; "
    without = installed.python(f"{read}Suite.read(Path(sys.argv[1]))", str(suite), SFTGEN_LOAD_PLUGINS="")
    assert "schedule 'between': no plugin registered it. Known: at_steps, every, log-spaced." in without.stderr


def test_arguments_and_packages_that_are_missing_are_one_message(installed: Door) -> None:
    done = installed.python(
        """
        from sftgen_judges.errors import SftgenError
        from sftgen_train.evaluation.schedule import Tier
        from sftgen_train.results.trackers import parse_trackers
        for call in (lambda: Tier(["a"], schedule="between:3,2"), lambda: parse_trackers("text,absent")):
            try:
                call()
            except SftgenError as error:
                print(error)
        """
    )
    assert done.stdout.splitlines() == [
        "schedule 'between:3,2' cannot be used: ValueError: expected two steps in order, found 3 and 2",
        "tracker 'absent' is not installed: pip install a_package_that_is_not_there",
    ], done.stderr


# ------------------------------------------------------------------------------ diagnostics


def test_a_diagnostic_that_cannot_be_run_is_refused_with_what_it_has_to_say(door: Door) -> None:
    level = "from sftgen_judges import Diagnostic\nDRIFT = Diagnostic('drift', 1, 'run', (), lambda run: [])\n"
    former = "from sftgen_judges import Diagnostic\nDiagnostic('drift', version=1, diagnose=lambda samples: {})\n"
    needs = level.replace("'run', ()", "'sample', ('model',)")
    nameless = level.replace("'run', ()", "'sample', ()")
    says = "diagnostic 'drift': level 'run': expected one of sample, checkpoint, trajectory"
    (door.folder / "lazy.py").write_text(level)
    for name, source in (("eager", level), ("former", former), ("needs", needs), ("nameless", nameless)):
        door.add(name, source)
    door.add("alpha", a_judge("first"))
    shown, warned = door.listing()
    told = "\n".join(warned)
    assert f"'eager' (dist-eager 1.0) is left out. ValueError: {says}" in told
    assert "'former' (dist-former 1.0) is left out. TypeError: diagnostic 'drift': expected level, needs and" in told
    assert "needs 'model': a diagnostic of level 'sample' may need judge, prompt, question, text, verdict" in told
    assert "with 0 measures: a diagnostic of level 'sample' names its numbers as `measures`" in told
    assert judges(shown, "alpha") == ["first"]
    door.add("late", a_hook("register_diagnostics(register)", "register('drift', 'lazy:DRIFT')"))
    done = door.python(
        """
        from sftgen_judges.errors import SftgenError
        from sftgen_judges.plugins.manager import lookup
        try:
            lookup("diagnostic", "drift")
        except SftgenError as error:
            print(error)
        """
    )
    assert "diagnostic 'drift' of plugin 'late' cannot be loaded" in done.stdout
    assert says in done.stdout
