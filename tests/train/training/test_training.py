"""`sftgen train`: what is trained on, token by token, and with which gradients."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import yaml
from pyarrow import parquet
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTTrainer

from sftgen_judges import Diagnostic, Finding, Metric, Probe
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.manager import Registered, plugins
from sftgen_train.training.config import TrainingConfigError
from sftgen_train.training.running import train
from sftgen_train.training.trl import build_trainer, parse
from tests.conftest import Command
from tests.logs import require_quiet

END = "<|endoftext|>"  # the demo's tokenizer ends with <|im_end|>


def row(n: int) -> dict[str, Any]:
    """A row with the columns of the published sets."""
    response = f"<think>\nLet me see: {'so ' * (n % 5)}</think>\n\nIt is \\boxed{{{n}}}"
    return {
        "data_source": "made", "question": f"What is {n}?", "answer": str(n),
        "message": [{"role": "user", "content": f"What is {n}?\nThink."}],
        "response": response, "response_length": len(response), "advantage": 1.0,
    }  # fmt: skip


def configure(model: Path, folder: Path, rows: Sequence[dict[str, Any]], **fields: Any) -> list[str]:
    """The arguments of a small training."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {
        "model_name_or_path": str(model), "train_data": str(folder / "rows.jsonl"), "output_dir": str(folder / "run"),
        "max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 1.0e-3, "use_cpu": True, "bf16": False,
        "report_to": "none", "disable_tqdm": True, "save_strategy": "no", **fields,
    }  # fmt: skip
    (folder / "train.yaml").write_text(yaml.safe_dump(config))
    return ["--config", str(folder / "train.yaml")]


def trainer(model: Path, folder: Path, rows: Sequence[dict[str, Any]], **fields: Any) -> SFTTrainer:
    return build_trainer(*parse(configure(model, folder, rows, **fields)))


# ------------------------------------------------------------------------------ tokens and loss mask


def published(model: Path, prompt: str, response: str, end: str) -> tuple[list[int], list[int]]:
    """A row as the paper's trainer reads it, from its description: one templated turn, the response, one end."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    asked = tokenizer.encode(f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)
    said = [*tokenizer.encode(response, add_special_tokens=False), tokenizer.convert_tokens_to_ids(end)]
    return [*asked, *said], [-100] * len(asked) + said


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(("named", "end"), [(END, END), (None, "<|im_end|>")])
def test_rows_of_the_published_sets(tiny_model: Path, tmp_path: Path, suffix: str, named: str | None, end: str) -> None:
    rows = [row(n) for n in range(8)]
    data = tmp_path / f"rows.{suffix}"
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    made = trainer(tiny_model, tmp_path, rows, train_data=str(data), end_token=named)
    assert len(made.train_dataset) == 8
    for given, found in zip(rows, made.train_dataset, strict=True):
        expected = published(tiny_model, given["message"][0]["content"], given["response"], end)
        assert (found["input_ids"], found["labels"]) == expected
    # Generation stops where the model was taught to.
    tokenizer = made.processing_class
    stops = made.model.generation_config.eos_token_id
    assert tokenizer.convert_tokens_to_ids(end) in (stops if isinstance(stops, list) else [stops])
    [batch] = [made.data_collator([made.train_dataset[0], made.train_dataset[4]])]
    assert batch["labels"][0].ne(-100).sum() == sum(label != -100 for label in made.train_dataset[0]["labels"])


FORMS = {
    "prompt and completion, turns": {
        "prompt": [{"role": "user", "content": "Hi"}],
        "completion": [{"role": "assistant", "content": "<think>a</think>b"}],
    },
    "messages": {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>a</think>b"}]
    },
    "message and response": {"message": [{"role": "user", "content": "Hi"}], "response": "<think>a</think>b"},
}


@pytest.mark.parametrize("given", FORMS.values(), ids=FORMS)
def test_every_form_of_a_chat_is_the_same_row(tiny_model: Path, tmp_path: Path, given: dict[str, Any]) -> None:
    made = trainer(tiny_model, tmp_path, [given], end_token=END)
    assert (made.train_dataset[0]["input_ids"], made.train_dataset[0]["labels"]) == published(
        tiny_model, "Hi", "<think>a</think>b", END
    )


def test_plain_text_and_a_response_that_has_its_end(tiny_model: Path, tmp_path: Path) -> None:
    made = trainer(tiny_model, tmp_path, [{"prompt": "1+1=", "completion": f"2{END}"}], end_token=END)
    tokenizer = made.processing_class
    said = tokenizer.encode(f"2{END}")
    assert made.train_dataset[0]["input_ids"] == [*tokenizer.encode("1+1="), *said]
    assert [label for label in made.train_dataset[0]["labels"] if label != -100] == said


def test_the_command_shows_a_row_before_the_first_step(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    rows = [row(n) for n in range(6)]
    arguments = configure(tiny_model, tmp_path, rows, end_token=END, max_length=60, max_steps=1)
    result = command("sftgen", "train", *arguments)
    assert result.returncode == 0, result.stderr
    require_quiet(result)
    assert result.stderr.splitlines()[-1].startswith("trained 1 step in ")
    assert "rows.jsonl: 6 rows" in result.stdout
    assert "rows are longer than max_length 60: truncated there, without an end token" in result.stdout
    assert "assistant\\n[<think>|\\n|L|e|t|" in result.stdout
    assert f"|\\boxed{{|0|}}|{END}]" in result.stdout
    assert f"End token: '{END}', id 256 (eos is '<|im_end|>'); the chat template ends a turn with" in result.stdout
    assert (tmp_path / "run" / "model.safetensors").is_file()


# ------------------------------------------------------------------------------ fields of TRL


def test_an_adapter_is_trained_and_saved(tiny_model: Path, tmp_path: Path) -> None:
    lora = {"use_peft": True, "lora_r": 2, "lora_target_modules": ["q_proj"], "gradient_checkpointing": True}
    train(configure(tiny_model, tmp_path, [row(n) for n in range(8)], **lora))
    weights = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert {name.rsplit(".", 2)[1] for name in weights} == {"lora_A", "lora_B"}
    assert any(value.abs().max() > 0 for name, value in weights.items() if "lora_B" in name)


MARKERS = (
    "{% for turn in messages %}<|im_start|>{{ turn['role'] + '\n' }}{% if turn['role'] == 'assistant' %}"
    "{% generation %}{{ turn['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ turn['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
)


def test_a_template_without_markers_says_how_to_get_them(tiny_model: Path, tmp_path: Path) -> None:
    """The tiny model's own template has them."""
    marked = trainer(tiny_model, tmp_path, [row(1)], assistant_only_loss=True)
    counted = [token for token in marked.train_dataset[0]["labels"] if token != -100]
    assert marked.processing_class.decode(counted) == f"{row(1)['response']}<|im_end|>"
    path = tmp_path / "bare.jinja"
    path.write_text(re.sub(r"{% (end)?generation %}", "", MARKERS))
    with pytest.raises(TrainingConfigError, match=r"put {% generation %} before .* chat_template_path: FILE"):
        trainer(tiny_model, tmp_path, [row(1)], assistant_only_loss=True, chat_template_path=str(path))


@pytest.mark.parametrize(
    "fields",
    [
        {"packing": True, "packing_strategy": "wrapped", "max_length": 64},
        {"packing": True, "max_length": 128},
        {"padding_free": True, "max_length": None},
        {"completion_only_loss": False},
        {"assistant_only_loss": True, "chat_template_path": "markers.jinja"},
        {"loss_type": "dft", "gradient_checkpointing": False, "eval_strategy": "steps", "eval_steps": 1},
    ],
    ids=lambda fields: next(iter(fields)) + str(len(fields)),
)
def test_fields_that_change_what_a_batch_is(tiny_model: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    if "eval_strategy" in fields:
        fields = {**fields, "eval_data": str(tmp_path / "rows.jsonl")}
    if "chat_template_path" in fields:
        path = tmp_path / fields["chat_template_path"]
        path.write_text(MARKERS)
        fields = {**fields, "chat_template_path": str(path)}
    made = trainer(tiny_model, tmp_path, [row(n) for n in range(16)], **fields)
    made.train()
    losses = [entry["train_loss"] for entry in made.state.log_history if "train_loss" in entry]
    assert losses
    assert 0 < losses[0] < 20
    assert bool([entry for entry in made.state.log_history if "eval_loss" in entry]) == ("eval_strategy" in fields)
    labels = made.train_dataset[0]["labels"]
    assert (labels[0] == -100) == ("completion_only_loss" not in fields)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "liger": ({"use_liger_kernel": True}, "pip install liger-kernel"),
    "quantised": ({"load_in_4bit": True}, "pip install bitsandbytes"),
    "flash attention": ({"attn_implementation": "flash_attention_2"}, "pip install flash-attn"),
    "end token": ({"end_token": "<|im_ends|>"}, "'<|im_ends|>' is not in the vocabulary. Special tokens: '<|im_end|>'"),
    "batch": ({"global_batch_size": 5}, "5 is not a multiple of per_device_train_batch_size 2 x 1 processes"),
    "rows": ({"train_rows": 9}, "8 rows; train_rows asks for 9"),
    "length": ({"max_length": 5}, "every prompt fills max_length 5"),
    "together": ({"padding_free": True}, "`max_length` is not enforced"),
}


@pytest.mark.parametrize(("fields", "says"), MISTAKES.values(), ids=MISTAKES)
def test_what_cannot_be_is_said(tiny_model: Path, tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    absent = says.rpartition(" ")[2].replace("-", "_")
    if says.startswith("pip") and importlib.util.find_spec(absent):
        pytest.skip(f"{absent} is installed here")
    with pytest.raises(SftgenError) as caught:
        train(configure(tiny_model, tmp_path, [row(n) for n in range(8)], **fields))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, "columns messages"),
        ({"prompt": "a", "completion": None}, "columns prompt, completion"),
        ({"text": "a"}, "columns text; expected prompt and completion"),
    ],
)
def test_a_row_of_another_form_is_named(tiny_model: Path, tmp_path: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(SftgenError, match="row 3: " + says):
        trainer(tiny_model, tmp_path, [row(1), row(2), given])


def test_a_chat_template_of_ones_own(tiny_model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare)
    (bare / "chat_template.jinja").unlink()
    template = tmp_path / "own.jinja"
    template.write_text("{% for turn in messages %}Q: {{ turn['content'] }}\n{% endfor %}A: ")
    made = trainer(bare, tmp_path, [row(1)], chat_template_path=str(template))
    shown = made.processing_class.decode(made.train_dataset[0]["input_ids"])
    assert shown.startswith("Q: What is 1?\nThink.\nA: <think>\nLet me see")


# ------------------------------------------------------------------------------ fields of the evaluation


def test_the_evaluation_is_what_the_file_says(tiny_model: Path, tmp_path: Path) -> None:
    tiers = [{"tasks": ["sftgen_refusal"], "at_steps": [2], "limit": 3}]
    evaluation = {
        "harness_tasks": ["sftgen_parity"], "harness_at_steps": [1], "harness_limit": 4, "harness_tiers": tiers,
        "harness_run_dir": str(tmp_path / "records"), "harness_seed": 11, "harness_diagnostics": ["anatomy"],
        "harness_chat_template": False, "harness_form": "in_process", "harness_gen_kwargs": {"max_gen_toks": 4},
    }  # fmt: skip
    line = configure(tiny_model, tmp_path, [row(n) for n in range(4)], **evaluation)
    run = train(line)
    assert run
    assert run.path == tmp_path / "records"
    found = {(row["task"], row["step"]): row["docs"] for row in run.metric_rows() if row["metric"] == "score"}
    parity, refusal = "sftgen_parity", "sftgen_refusal"
    assert found == {
        **{(parity, step): 4 for step in (0, 1, 2)}, **{(refusal, step): 3 for step in (0, 2)}
    }  # fmt: skip
    manifest = run.read_manifest()
    assert manifest["seeds"]["sampling"] == 11
    assert {finding["diagnostic"] for finding in run.finding_rows()} >= {"anatomy"}
    prompts = (run.path / "prompts" / f"{parity}.jsonl").read_text()
    assert "<|im_start|>" not in prompts
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert train(line)  # it has ended: nothing is trained, and the records are found again


def test_a_diagnostic_of_checkpoints_measures_each_while_its_weights_are_there(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def norm(probe: Probe) -> Iterator[Finding]:
        model, _ = probe.load()
        metric = Metric("norm", model.lm_head.weight.norm().item(), n=1, step=probe.step, exact=True)
        yield Finding("norm", "of the head", "cannot tell", "the weights", (metric,), step=probe.step)

    known = plugins().registered("register_diagnostics")
    made = Registered("norm", "me", Diagnostic("norm", 1, "checkpoint", ("model",), norm))
    monkeypatch.setitem(plugins()._registered, "register_diagnostics", {**known, "norm": made})
    run = train(
        configure(
            tiny_model, tmp_path, [row(n) for n in range(4)], harness_tasks=["sftgen_parity"], harness_limit=1,
            harness_at_steps=[1], harness_gen_kwargs={"max_gen_toks": 1}, harness_diagnostics=["norm"],
            harness_keep=[1], learning_rate=0.1,
        )
    )  # fmt: skip
    assert run
    norms = {
        found["step"]: found["found"]["metrics"][0]["value"] for found in run.finding_rows()
        if found["diagnostic"] == "norm"
    }  # fmt: skip
    assert sorted(norms) == [0, 1, 2]
    assert len(set(norms.values())) == 3  # each of its own weights
    assert [path.name for path in (run.path / "leases").iterdir()] == ["step-1"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"harness_keep": ["log3"]}, "harness_keep .'log3'.: expected one of all, log2, verdict, or steps"),
        ({"harness_keep": ["log2"], "harness_form": "in_process"}, "harness_keep: it is about weights that wait"),
        ({"harness_keep": ["log2"], "harness_worker": "none"}, "sftgen worker RUN --keep"),
        ({"harness_form": "in_process", "harness_diagnostics": ["token_shift"]}, "set harness_form: queue"),
        ({"harness_worker": "none", "harness_diagnostics": ["consistency"]}, "sftgen worker RUN --probe"),
        ({"harness_tasks": [], "harness_diagnostics": ["consistency"]}, "expected harness_tasks beside them"),
    ],
)
def test_what_nobody_in_this_command_would_do_is_refused(
    fields: dict[str, Any], says: str, tiny_model: Path, tmp_path: Path
) -> None:
    given = {"harness_tasks": ["sftgen_parity"], **fields}
    with pytest.raises(TrainingConfigError, match=says):
        train(configure(tiny_model, tmp_path, [row(1)], **given))
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------ seeds, resuming


def test_a_seed_is_the_whole_difference(tiny_model: Path, tmp_path: Path) -> None:
    weights = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(configure(tiny_model, tmp_path, [row(n) for n in range(16)], seed=seed, output_dir=str(tmp_path / name)))
        weights[name] = (tmp_path / name / "model.safetensors").read_bytes()
    assert weights["a"] == weights["b"]
    assert weights["a"] != weights["c"]


# ------------------------------------------------------------------------------ gradients


class Gradients(TrainerCallback):
    """Keeps the gradients of each step as the optimizer gets them."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        named = kwargs["model"].named_parameters()
        self.steps.append({name: value.grad.clone() for name, value in named if value.grad is not None})


@pytest.mark.parametrize("paper", [False, True])
def test_the_gradient_of_a_step(tiny_model: Path, tmp_path: Path, paper: bool) -> None:
    """By default of the mean over all tokens of the step; as published the sum of the micro-batches' means."""
    rows = [{"prompt": f"{n}?", "completion": "ab" * length} for n, length in enumerate((1, 2, 9, 12, 3, 30))]
    made = trainer(
        tiny_model, tmp_path, rows, paper_gradients=paper, global_batch_size=6, max_steps=1, max_grad_norm=0.0,
        train_sampling_strategy="sequential", gradient_checkpointing=False,
    )  # fmt: skip
    kept = Gradients()
    made.add_callback(kept)
    made.train()
    [found] = kept.steps

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    losses, tokens = [], []
    for start in (0, 2, 4):
        summed, count = torch.zeros(()), 0
        for place in (start, start + 1):
            ids, labels = (torch.tensor(made.train_dataset[place][key]) for key in ("input_ids", "labels"))
            logits = model(ids[None]).logits[0, :-1]
            wanted = labels[1:]
            summed = summed + torch.nn.functional.cross_entropy(logits, wanted, ignore_index=-100, reduction="sum")
            count += int((wanted != -100).sum())
        losses.append(summed)
        tokens.append(count)
    whole = torch.stack(losses).sum() / sum(tokens)
    means = sum(loss / count for loss, count in zip(losses, tokens, strict=True))
    (means if paper else whole).backward()
    expected = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert found.keys() == expected.keys()
    off = torch.cat([(found[name] - expected[name]).flatten() for name in expected]).norm()
    assert off / torch.cat([value.flatten() for value in expected.values()]).norm() < 1e-5
