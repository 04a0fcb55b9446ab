"""The published runs: names, steps, what is printed, and that each of them is a configuration that TRL takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from sftgen_train.training import presets
from sftgen_train.training.trl import parse
from tests.conftest import Command

# The released scripts by group, with the steps that their rows, batch and epochs make.
FOURTEEN = {
    "qwen3-14b/math-cot-20k/lr5e-5-ep8-bs256": 640,
    "qwen3-14b/math-cot-20k/lr5e-5-ep1-bs256": 80,
    "qwen3-14b/math-cot-20k/lr1e-5-ep1-bs256": 80,
    "qwen3-14b/math-cot-20k/lr1e-5-ep2-bs256": 160,
    "qwen3-14b/math-cot-20k/lr5e-5-ep16-bs256": 1280,
    "qwen3-14b/math-cot-20k/lr5e-5-ep16-bs256-constant": 1280,
    "qwen3-14b/math-cot-20k/lr1e-4-ep16-bs256-constant": 1280,
    "qwen3-14b/math-cot-2.5k/lr5e-5-ep8-bs32": 640,
    "qwen3-14b/math-cot-20k/lr5e-5-ep1-bs32": 640,
}
USUAL = {
    "qwen3-14b": ("nocot", "numina", "countdown", "r1"),
    "qwen3-8b": ("cot", "nocot", "numina", "countdown", "r1"),
    "qwen3-4b": ("cot", "nocot", "countdown"),
    "qwen3-1.7b": ("cot", "nocot", "countdown"),
    "internlm2.5-20b": ("cot", "nocot", "numina", "countdown", "r1"),
    "qwen2.5-1.5b": ("cot",),
    "qwen2.5-3b": ("cot",),
    "qwen2.5-7b": ("cot",),
    "qwen2.5-14b": ("cot",),
}
DATA = {
    "cot": "math-cot-20k", "nocot": "math-nocot-20k", "numina": "numinamath-20k", "countdown": "countdown-cot-20k",
    "r1": "deepseek-r1-20k",
}  # fmt: skip
SCRIPTS = {
    **FOURTEEN,
    **{f"{model}/{DATA[name]}/lr5e-5-ep8-bs256": 640 for model, names in USUAL.items() for name in names},
}


def test_the_published_runs_are_those_of_the_released_scripts() -> None:
    assert len(SCRIPTS) == 33
    assert sorted(presets.published()) == sorted(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_published_run_is_a_valid_configuration_with_its_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = presets.find(name)
    harness, config, model = parse(["--use_cpu", "true"], preset.fields())
    rows = harness.train_rows or presets.ROWS
    assert harness.global_batch_size
    assert rows // harness.global_batch_size * config.num_train_epochs == SCRIPTS[name]
    assert f"# steps: {SCRIPTS[name]:,} (" in presets.describe(preset, {})
    assert model.model_name_or_path == preset.model.hub
    assert (config.learning_rate, config.weight_decay, config.max_grad_norm) == (
        float(name.rpartition("/")[2].split("-ep")[0].removeprefix("lr")), 0.01, 1.0,
    )  # fmt: skip
    assert config.get_warmup_steps(SCRIPTS[name]) == SCRIPTS[name] / 10
    assert config.lr_scheduler_type == ("constant_with_warmup" if name.endswith("constant") else "cosine")
    assert harness.harness_at_steps is not None
    assert harness.harness_at_steps[-1] == SCRIPTS[name]
    assert "no such run was published" not in preset.differences()[0]


def test_any_model_goes_with_any_data() -> None:
    for model in presets.MODELS:
        for data in presets.DATA:
            assert presets.find(f"{model}/{data}").name.startswith(f"{model}/{data}/")
    assert presets.find("qwen3-4b/numinamath-20k").differences()[0].startswith("no such run was published")


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        ("qwen3-1.7b", 1.72), ("qwen3-4b", 4.02), ("qwen3-8b", 8.19), ("qwen3-14b", 14.77), ("qwen2.5-1.5b", 1.54),
        ("qwen2.5-3b", 3.09), ("qwen2.5-7b", 7.62), ("qwen2.5-14b", 14.77), ("internlm2.5-20b", 19.86),
    ],
)  # fmt: skip
def test_the_sizes_make_the_known_number_of_weights(model: str, billions: float) -> None:
    assert presets.MODELS[model].parameters / 1e9 == pytest.approx(billions, abs=0.006)


def test_what_is_shown_is_a_file_for_config(command: Command, tmp_path: Path) -> None:
    shown = command(
        "sftgen", "train", "--preset", "qwen3-14b/math-cot-20k", "--show", "--set", "lr=1e-5", "epochs=1",
        "harness_tasks=[sftgen_math500, sftgen_gpqa_diamond]",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "# steps: 80 (80 an epoch of 20,480 rows, 256 a step)" in shown.stdout
    assert "# tokens: at most 409,600,000" in shown.stdout
    assert "14.77e9 x 8 bytes = 110 GiB" in shown.stdout
    assert "paper_training: true makes the steps as published" in shown.stdout
    assert "set here: learning_rate, num_train_epochs, harness_tasks" in shown.stdout
    path = tmp_path / "preset.yaml"
    path.write_text(shown.stdout)
    harness, config, _ = parse(["--config", str(path), "--use_cpu", "true"])
    assert (config.learning_rate, config.num_train_epochs) == (1e-5, 1)
    assert harness.harness_tasks == ["sftgen_math500", "sftgen_gpqa_diamond"]
    assert harness.end_token == "<|endoftext|>"


def test_what_still_differs_depends_on_what_is_set() -> None:
    preset = presets.find("qwen3-4b/math-cot-20k")
    off, gradients, on = (
        " ".join(preset.differences(settings)) for settings in ({}, {"paper_gradients": True}, {"paper_training": True})
    )
    for said in ("weight decay leaves out", "no autocast", "not finite is taken", "AdamW is fused", "the logged loss"):
        assert said in off
        assert said in gradients
        assert said not in on
    assert "means over a step's tokens" in off
    assert "means over a step's tokens" not in gradients + on
    for said in ("padded to the longest", "dealt to processes", "attention: sdpa"):
        assert said in on
    flash = {"paper_training": True, "attn_implementation": "flash_attention_2"}
    assert "attention:" not in " ".join(preset.differences(flash))
    assert "8 processes of 4 rows" in on
    assert "8 processes of 2 rows" in " ".join(
        presets.find("internlm2.5-20b/math-cot-20k").differences({"paper_training": True})
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--preset", "qwen3-14b/math-cot"), "the nearest: qwen3-14b/math-cot-20k"),
        (("--preset", "qwen3-14b/math-cot-20k/lr5e-5-ep16"), "qwen3-14b/math-cot-20k/lr5e-5-ep16-bs256"),
        (("--show",), "name one with --preset"),
        (("--preset", "qwen3-4b/math-cot-20k", "--set", "lr"), "expected name=value"),
        (
            ("--preset", "qwen3-4b/math-cot-20k", "--set", "learning_rat=1", "use_cpu=true"),
            "--set learning_rat is unknown; did you mean 'learning_rate'?",
        ),
    ],
)
def test_mistakes(command: Command, arguments: tuple[str, ...], says: str) -> None:
    result = command("sftgen", "train", *arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_preset_trains(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"message": [{"role": "user", "content": f"{n}?"}], "response": str(n)} for n in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = command(
        "sftgen", "train", "--preset", "qwen2.5-1.5b/math-cot-20k", "--set", f"model_name_or_path={tiny_model}",
        f"data={tmp_path / 'rows.jsonl'}", f"output_dir={tmp_path / 'run'}", "bs=4", "epochs=1",
        "dtype=float32",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "<|im_start|>|user\\n|0|?|<|im_end|>|\\n|<|im_start|>|assistant\\n[0|<|endoftext|>]" in result.stdout
    assert (tmp_path / "run" / "checkpoint-2").is_dir()


def test_the_template_without_a_system_turn(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    turns = [{"role": "user", "content": " Hi\n"}, {"role": "assistant", "content": "<think>a</think> b"}]
    template = presets.NO_SYSTEM.read_text()
    asked = tokenizer.apply_chat_template(turns[:1], chat_template=template, tokenize=False, add_generation_prompt=True)
    assert asked == "<|im_start|>user\n Hi\n<|im_end|>\n<|im_start|>assistant\n"
    both = tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False)
    assert both == "<|im_start|>user\n Hi\n<|im_end|>\n<|im_start|>assistant\n<think>a</think> b<|im_end|>\n"
    system = [{"role": "system", "content": "Be brief."}, *turns[:1]]
    assert tokenizer.apply_chat_template(system, chat_template=template, tokenize=False).startswith(
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
    )
