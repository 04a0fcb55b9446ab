"""What there is: tasks, published runs, documents; and where `sftgen --help` shows each command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import typer

from sftgen_train.cli.main import PANELS, app
from sftgen_train.training import presets
from tests.conftest import Command


def test_help_has_every_command_in_one_group(command: Command) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    shown = {name for name, each in group.commands.items() if not each.hidden}
    named = [name for names in PANELS.values() for name in names]
    assert sorted(named) == sorted(shown)
    lines = command("sftgen", "--help").stdout.splitlines()
    heads = [panel for line in lines for panel in PANELS if line.startswith(f"╭─ {panel} ")]
    assert heads == list(PANELS)


def test_tasks_are_listed_and_one_is_shown(command: Command) -> None:
    listed = command("sftgen", "tasks")
    assert listed.returncode == 0, listed.stderr
    for part in ("sftgen_math500 ", "sftgen_mmlu_pro (14", "from a seed", "(gated)"):
        assert part in listed.stdout
    one = command("sftgen", "tasks", "countdown")
    assert "scored by: grader countdown" in one.stdout
    assert "write an arithmetic expression that equals" in one.stdout
    group = command("sftgen", "tasks", "sftgen_procedural")
    assert "sftgen_parity" in group.stdout
    assert "The first prompt of sftgen_" in group.stdout


def test_a_harmful_question_is_not_shown_and_a_wrong_name_is_told_the_nearest(command: Command) -> None:
    hidden = command("sftgen", "tasks", "hex_phi")
    assert hidden.returncode == 0, hidden.stderr
    assert hidden.stdout.endswith("Its questions may be harmful: none is shown.\n")
    wrong = command("sftgen", "tasks", "mmlu_proo")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'sftgen_mmlu_pro'?" in wrong.stderr


def test_presets_and_the_former_name_of_documents(command: Command) -> None:
    assert command("sftgen", "presets").stdout.split() == presets.published()
    former, now = (command("sftgen", name, "sftgen_parity", "--limit", "2") for name in ("docs", "documents"))
    assert json.loads(former.stdout) == json.loads(now.stdout)
    assert (former.stderr, now.stderr) == ("sftgen docs is sftgen documents now\n", "")


def test_tasks_say_whether_their_data_are_here(command: Command, tmp_path: Path) -> None:
    (tmp_path / "math500.jsonl").write_text("{}\n")
    env = {**os.environ, "SFTGEN_DATA_DIR": str(tmp_path), "COLUMNS": "200"}
    listed = command("sftgen", "tasks", env=env).stdout.splitlines()
    of = {line.split()[0]: line.rstrip().rpartition("  ")[2] for line in listed if line}
    assert of["sftgen_math500"] == "here"
    assert of["sftgen_gpqa_diamond"] == "gated, absent"
    assert of["sftgen_ifeval"] == "absent"
    assert of["sftgen_countdown"] == "made here"


def test_a_shell_completes_commands_and_names(command: Command) -> None:
    def completed(line: str) -> list[str]:
        asked = {"_SFTGEN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        return command("sftgen", env={**os.environ, **asked}).stdout.split()

    assert completed("sftgen tr") == ["try", "train", "trajectory"]
    assert completed("sftgen try sftgen_pa") == ["sftgen_parity"]
    assert completed("sftgen watch x --tasks sftgen_parity,sftgen_pa") == ["sftgen_parity,sftgen_parity"]
    assert completed("sftgen study plan demo") == ["demo"]
    assert completed("sftgen export every") == ["every_eval_ever"]
    assert completed("sftgen train --preset qwen3-14b/math-cot-2.5k") == [
        name for name in presets.published() if name.startswith("qwen3-14b/math-cot-2.5k")
    ]


def test_the_completion_of_a_shell_is_installed(installed: Command, tmp_path: Path) -> None:
    env = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = installed("sftgen", "--install-completion", "bash", env=env)
    assert done.returncode == 0, done.stderr
    script = tmp_path / ".bash_completions" / "sftgen.sh"
    assert str(script) in (tmp_path / ".bashrc").read_text()
    words = "COMP_WORDS=(sftgen tasks sftgen_pa) COMP_CWORD=2; _sftgen_completion sftgen; echo ${COMPREPLY[*]}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = subprocess.run(
        ["bash", "-c", f"source {script}; {words}"],
        env={**env, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout.split() == ["sftgen_parity"]
