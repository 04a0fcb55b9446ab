"""What there is: tasks, published runs, documents; and where `sftgen --help` shows each command."""

from __future__ import annotations

import json

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
