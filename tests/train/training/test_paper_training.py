"""`paper_training`: the weights are those of a plain loop with the paper's arithmetic."""

from __future__ import annotations

import json
import os
from math import isfinite
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    TrainerCallback,
    get_cosine_schedule_with_warmup,
)

from sftgen_train.training.config import TrainingConfigError
from sftgen_train.training.paper import require_own_steps
from sftgen_train.training.running import train
from tests import PATIENCE, commands
from tests.ports import own_port
from tests.train.training.test_training import configure, trainer

STEPS, ACCUMULATION = 4, 3
ROWS = [{"prompt": f"{n}?", "completion": "ab" * (n * 7 % 11 + 1)} for n in range(STEPS * ACCUMULATION * 2 * 3)]
FIELDS: dict[str, Any] = {
    "paper_training": True, "max_steps": STEPS, "weight_decay": 0.5, "learning_rate": 0.05, "max_grad_norm": 1.0,
    "warmup_steps": 1, "lr_scheduler_type": "cosine", "train_sampling_strategy": "sequential", "logging_steps": 1,
    "gradient_checkpointing": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def biased(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with biases, which the Trainer gives no decay, as it gives none to norms."""
    folder = tmp_path_factory.mktemp("biased")
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny_model, attention_bias=True))
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.1 if "weight" in name and "norm" not in name else 0.5)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def plain_loop(
    folder: Path,
    tokens: list[dict[str, Any]],
    dtype: torch.dtype = torch.float32,
    *,
    ranks: int = 1,
    steps: int = STEPS,
    skipped: int = -1,
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Train with the paper's arithmetic, without a trainer.

    Micro-batches of two rows go to the ranks in turn. Each rank adds up the gradients of its token means; after each
    micro-batch the gradients are averaged over ranks in float32.

    Returns:
        The weights, and the loss of each step.
    """
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.5)
    schedule = get_cosine_schedule_with_warmup(optimizer, 1, steps)
    losses, place = [], 0
    for step in range(steps):
        kept: dict[str, torch.Tensor] = {}
        total = 0.0
        for _ in range(ACCUMULATION):
            added: list[dict[str, torch.Tensor]] = []
            for _ in range(ranks):
                pair = tokens[place : place + 2]
                place += 2
                width = max(len(row["input_ids"]) for row in pair)
                ids, labels, mask = (
                    torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in pair])
                    for name, fill in (("input_ids", 0), ("labels", -100), ("mask", 0))
                )
                model.zero_grad()
                for name, parameter in model.named_parameters():
                    parameter.grad = kept[name].clone() if name in kept else None
                with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                    logits = model(ids, attention_mask=mask).logits[:, :-1].float()
                    loss = cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
                loss.backward()
                total += loss.item() / (ACCUMULATION * ranks)
                added.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
            for name in added[0]:
                kept[name] = torch.stack([one[name].float() for one in added]).mean(0).to(dtype)
        for name, parameter in model.named_parameters():
            parameter.grad = kept[name]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        assert norm.isfinite()
        if step != skipped:
            optimizer.step()
        schedule.step()
        losses.append(total)
    return dict(model.state_dict()), losses


def tokens_of(made: Any) -> list[dict[str, Any]]:
    return [{**row, "mask": [1] * len(row["input_ids"])} for row in made.train_dataset]


class InfiniteAt(TrainerCallback):
    """Makes one gradient infinite in one step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        parameter = kwargs["model"].model.norm.weight
        if state.global_step == self.step:
            self.hook = parameter.register_hook(lambda gradient: gradient * torch.inf)
        elif state.global_step == self.step + 1:
            self.hook.remove()


@pytest.mark.parametrize("skipped", [-1, 2])
def test_weights_and_losses_are_those_of_a_plain_loop(
    biased: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, skipped: int
) -> None:
    fields = {**FIELDS, "global_batch_size": 2 * ACCUMULATION, "save_strategy": "steps", "save_steps": 3}
    made = trainer(biased, tmp_path, ROWS, **fields)
    weights, losses = plain_loop(biased, tokens_of(made), skipped=skipped)
    if skipped >= 0:
        made.add_callback(InfiniteAt(skipped))
    made.train()
    for name, found in made.model.state_dict().items():
        torch.testing.assert_close(found, weights[name], rtol=0, atol=2e-5, msg=name)
    resumed = trainer(biased, tmp_path, ROWS, **fields)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    for name, found in resumed.model.state_dict().items():
        assert torch.equal(found, made.model.state_dict()[name]), name
    if skipped < 0:
        other = {**fields, "paper_training": False, "resume_from_checkpoint": str(tmp_path / "run" / "checkpoint-3")}
        with pytest.raises(TrainingConfigError, match="set paper_training as it was then"):
            train(configure(biased, tmp_path, ROWS, **other))
    logged = [row for row in made.state.log_history if "loss" in row]
    assert [row["loss"] for row in logged] == pytest.approx(losses, rel=1e-4)
    assert [step for step, row in enumerate(logged) if not torch.tensor(row["grad_norm"]).isfinite()] == (
        [skipped] if skipped >= 0 else []
    )
    assert ("step 3: the norm of the gradients is " in caplog.text) == (skipped == 2)


def test_three_processes_in_bfloat16(biased: Path, tmp_path: Path) -> None:
    """Gradients are averaged in float32 after every micro-batch, and AdamW is not fused.

    With either done otherwise, a fifth of all weights or more differ. Of two processes half the sum in bfloat16 would
    be the same. What three float32 numbers add up to depends on their order, and so on the machine, where some weights
    are rounded otherwise for it (169 of 27,296 on one, none on another). Later steps would make much of them: there
    are two, and the first changes no weight (warm-up).
    """
    steps = 2
    fields = {
        **FIELDS, "global_batch_size": 6 * ACCUMULATION, "dtype": "bfloat16", "dataloader_drop_last": True,
        "max_steps": steps,
    }  # fmt: skip
    made = trainer(biased, tmp_path, ROWS, **{**fields, "global_batch_size": 2 * ACCUMULATION})
    with made.compute_loss_context_manager():
        assert torch.is_autocast_enabled("cpu")
    weights, losses = plain_loop(biased, tokens_of(made), torch.bfloat16, ranks=3, steps=steps)
    arguments = configure(biased, tmp_path, ROWS, **fields, save_strategy="steps", save_steps=steps)
    logs = [tmp_path / f"{rank}.err" for rank in range(3)]
    started = []
    with own_port() as port:
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "3"}
        for rank, log in enumerate(logs):
            env = {**os.environ, **where, "RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"}
            started.append(commands.start("sftgen", "train", *arguments, env=env, err=log))
        for process, log in zip(started, logs, strict=True):
            assert process.wait(PATIENCE) == 0, log.read_text()[-3000:]
    found = load_file(tmp_path / "run" / "model.safetensors")
    different = sum(int((value != weights[name]).sum()) for name, value in found.items())
    assert different < 0.05 * sum(value.numel() for value in found.values())
    state = json.loads((tmp_path / "run" / f"checkpoint-{steps}" / "trainer_state.json").read_text())
    assert [row["loss"] for row in state["log_history"] if "loss" in row] == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"fp16": True, "deepspeed_plugin": None}, "set dtype: bfloat16"),
        ({"fp16": False, "deepspeed_plugin": object()}, "gpu-8-fsdp2"),
    ],
)
def test_what_makes_its_own_steps_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingConfigError, match=says):
        require_own_steps(SimpleNamespace(**given))  # type: ignore[arg-type]


def test_a_loss_that_is_not_finite_is_logged_once(biased: Path, tmp_path: Path) -> None:
    made = trainer(biased, tmp_path, ROWS, **FIELDS, global_batch_size=2 * ACCUMULATION)
    compute, calls = made.compute_loss, []

    def nan_once(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return compute(*arguments, **options) * (torch.nan if len(calls) == ACCUMULATION + 1 else 1)

    made.compute_loss = nan_once
    made.train()
    logged = [row["loss"] for row in made.state.log_history if "loss" in row]
    assert [isfinite(loss) for loss in logged] == [True, False, True, True]
    assert all(value.isfinite().all() for value in made.model.state_dict().values())
