"""The fields of a training: known without TRL, and all mistakes told at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from trl import DistillationConfig, GRPOConfig, ModelConfig, SFTConfig

from sftgen_train.training import fields, trl
from sftgen_train.training.config import HarnessConfig, TrainingConfigError
from tests.conftest import Command

FILE = """model_name_or_path: nowhere
learning_rat: 1e-4
max_steps: 8.5
warmup_steps: 1e-1
per_device_train_batch_size: four
save_strategy: no
harness_tasks: sftgen_mathh500
harness_in_domain: [sftgen_math500, "sftgen_mmlu*", mine]
harness_worker: besides
harness_schedule: log-space
optim: adamw
report_to: [none]
harness_metadata: {docs_seed: 7}
harness_delta: 0.02
seed: 1
seed: 2
"""
TOLD = """training configuration: 12 mistakes:
FILE:2: learning_rat is unknown; did you mean 'learning_rate'?
FILE:3: max_steps: '8.5': input should be a valid integer, got a number with a fractional part
FILE:5: per_device_train_batch_size: 'four': input should be a valid integer, unable to parse string as an integer
FILE:6: save_strategy: 'False': input should be 'no', 'steps', 'epoch' or 'best'; YAML reads no as true or false: put it into quotes
FILE:7: harness_tasks: 'sftgen_mathh500': input should be a valid list; write [sftgen_mathh500]
FILE:7: harness_tasks: no task or group 'sftgen_mathh500'; did you mean 'sftgen_math500'?
FILE:8: harness_in_domain: no task or group 'mine'; `sftgen tasks` lists them
FILE:9: harness_worker: 'besides': input should be 'beside', 'after' or 'none'; did you mean 'beside'?
FILE:10: harness_schedule: schedule 'log-space': no plugin registered it; did you mean 'log-spaced'? Known: at_steps, every, log-spaced. `sftgen plugins` shows what was loaded and what was left out.
FILE:11: optim: 'adamw': input should be one of 41 words, for example 'adamw_torch'; did you mean 'adamw_torch'?
FILE:16: seed stands twice
--max_stepz is unknown; did you mean 'max_steps'?
train_data is missing: a parquet, jsonl, json or csv file, or a hub id of the rows to train on
"""  # noqa: E501


def test_the_table_is_trls_own() -> None:
    table = json.loads(fields.TABLE.read_text())
    assert table["versions"] == fields.versions(), "write it anew: trl.trl_fields says how"
    assert table == {"versions": fields.versions(), **trl.trl_fields()}
    for method, config in {"sft": SFTConfig, "distillation": DistillationConfig, "grpo": GRPOConfig}.items():
        named = {
            field.name for each in (config, ModelConfig) for field in each.__dataclass_fields__.values() if field.init
        }
        assert table[method].keys() == named
        known = fields.known_fields(method)
        assert known
        assert known.keys() == named | HarnessConfig.__dataclass_fields__.keys()


def test_other_versions_get_a_table_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fields, "versions", lambda: {"trl": "9.0", "transformers": "9.0"})
    assert fields.known_fields() is None
    fields.keep({"sft": {"of_nine": {"types": ["int"]}}})
    with pytest.raises(TrainingConfigError, match="--of_nine: 'x': input should be a valid integer"):
        fields.require_right_fields(["--of_nine", "x", "--train_data", "a", "--model_name_or_path", "b"])


def test_every_default_and_every_preset_is_right() -> None:
    """What TRL fills in itself, and what we publish, is not called a mistake."""
    known = fields.known_fields()
    assert known
    defaults = {
        name: field.default
        for each in (HarnessConfig, SFTConfig, ModelConfig)
        for name, field in each.__dataclass_fields__.items()
        if field.init and isinstance(field.default, (str, int, float, bool))
    }
    needed = {"train_data": "made/rows", "model_name_or_path": "model"}
    fields.require_right_fields([], {**defaults, **needed})
    from sftgen_train.training import presets

    for name in presets.published():
        fields.require_right_fields([], {**presets.find(name).fields(), **needed})


def test_all_mistakes_at_once_before_torch(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(FILE)
    result = command("sftgen", "train", "--config", path, "--max_stepz", "3")
    assert (result.returncode, result.stdout) == (2, "")
    # The word before the message and the wrapping of lines are the console's.
    assert " ".join(TOLD.replace("12", "13").replace("FILE", str(path)).split()) in " ".join(result.stderr.split())


def test_nothing_large_is_imported(installed: Command, tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("max_step: 1\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, sftgen_train.cli.main as main\n"
        "try:\n    main.app(['train', '--config', sys.argv[1]], standalone_mode=False)\n"
        "except Exception as error:\n    print(error)\n"
        "print(sorted({'torch', 'transformers', 'trl', 'datasets', 'lm_eval', 'numpy'} & sys.modules.keys()))\n"
    )
    done = installed(Path(sys.executable).name, script, path)
    assert "did you mean 'max_steps'?" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_a_bare_command_says_what_to_give(command: Command) -> None:
    result = command("sftgen", "train")
    assert result.returncode == 2
    assert "give a file, `sftgen train --config train.yaml`" in " ".join(result.stderr.split())


TIERS = [
    {"tasks": ["sftgen_parity"], "at_steps": [4], "limit": 5},
    {"tasks": ["sftgen_parityy"], "at_step": [4]},
    {"tasks": ["sftgen_parity"], "every": 2, "at_steps": [4]},
    {"tasks": ["sftgen_parity"], "schedule": "sometimes"},
    "sftgen_parity",
]


def test_tiers_and_diagnostics_are_checked_as_all_fields_are() -> None:
    found = fields.mistakes_in({"harness_tiers": TIERS, "harness_diagnostics": ["consistancy", "consistency"]})
    told = {mistake.place: mistake.text for mistake in found}
    assert "did you mean 'at_steps'?" in told["harness_tiers", 1, "at_step"]
    assert told["harness_tiers", 1, "tasks", 0].endswith(
        "no task or group 'sftgen_parityy'; did you mean 'sftgen_parity'?"
    )
    assert "at_steps=[4] and every=2: give one of them" in told["harness_tiers", 2]
    assert "schedule 'sometimes': no plugin registered it" in told["harness_tiers", 3, "schedule"]
    assert "harness_tiers.4: 'sftgen_parity': expected tasks" in told["harness_tiers", 4]
    assert "did you mean 'consistency'?" in told["harness_diagnostics", 0]
    assert len(told) == 6
