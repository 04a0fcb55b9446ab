"""Trains with and without evaluations by a vLLM engine beside it; `test_colocated.py` runs it where vLLM is.

`python colocated.py FOLDER` leaves a run directory for each training in FOLDER, and what came out in `outcome.json`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
from trl import SFTConfig, SFTTrainer

from sftgen_tasks.harness.backends.vllm_engine import EngineVLLM
from sftgen_train.demo.tiny import BOX, build_tokenizer
from sftgen_train.evaluation import colocated
from sftgen_train.evaluation.colocated import EngineError
from sftgen_train.training.callback import HarnessCallback

CUDA = torch.cuda.is_available()
# vLLM's attention on a GPU computes in half precision.
DTYPE = torch.bfloat16 if CUDA else torch.float32
HARNESS: dict[str, Any] = {
    "tasks": ["sftgen_parity", "sftgen_refusal"], "limit": 8, "gen_kwargs": {"max_gen_toks": 12}, "at_steps": [2, 4],
}  # fmt: skip
ENGINE = {"max_model_len": 256, "enforce_eager": True}


def save_model(folder: Path, *, tied: bool) -> Path:
    """A Qwen3 that says `odd` and `even`, with heads of a size that vLLM takes on a CPU."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer([" odd or even?", "odd", "even"])
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, tie_word_embeddings=tied, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen3ForCausalLM(config).to(DTYPE).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    trainer = sft_trainer(folder, folder, max_steps=30)
    trainer.train()
    trainer.model.save_pretrained(folder)
    return folder


def sft_trainer(model: Path, output: Path, callbacks: Any = (), max_steps: int = 6) -> SFTTrainer:
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=DTYPE, attn_implementation="eager")
    # Dropout draws from the random number generator at every step: a disturbed one would show.
    for layer in loaded.model.layers:
        layer.self_attn.attention_dropout = 0.1
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Is {n} odd or even?"}],
            "completion": [{"role": "assistant", "content": BOX + ("odd}" if n % 2 else "even}")}],
        }
        for n in range(100, 228)
    ]
    config = SFTConfig(
        output_dir=str(output), max_steps=max_steps, per_device_train_batch_size=4, learning_rate=1e-2, bf16=False,
        save_strategy="no", report_to="none", use_cpu=not CUDA, disable_tqdm=True,
    )  # fmt: skip
    return SFTTrainer(
        model=loaded,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(model),
        callbacks=list(callbacks),
    )


def callback(form: Any = "colocated", **options: Any) -> HarnessCallback:
    engine = {"engine": ENGINE} if form == "colocated" else {}
    return HarnessCallback(form=form, **{**HARNESS, **engine, **options})


def train(model: Path, output: Path, form: str | None) -> str:
    """Train with evaluations in a form, or without any; gives the hash of the weights."""
    trainer = sft_trainer(model, output, [callback(form)] if form else [])
    trainer.train()
    digest = hashlib.sha256()
    for name, tensor in sorted(trainer.model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def main(folder: Path) -> None:
    model = save_model(folder / "model", tied=False)
    weights = {"plain": train(model, folder / "plain", None)}
    weights["in_process"] = train(model, folder / "in_process", "in_process")
    with patch.object(EngineVLLM, "generate_each", interrupted_before(EngineVLLM.generate_each)):
        weights["colocated"] = train(model, folder / "colocated", "colocated")
    with patch.object(colocated, "push_weights", only_twice(colocated.push_weights)):
        weights["stale"] = train(model, folder / "stale", "colocated")
    tied, out = save_model(folder / "tied_model", tied=True), folder / "refused"
    refused = {
        "several": refusal(sft_trainer(model, out, [callback(engine={"tensor_parallel_size": 2})])),
        "unknown": refusal(sft_trainer(model, out, [callback(engine={"max_length": 256})])),
        "tied": refusal(sft_trainer(tied, out, [callback()])),
    }
    trainer = sft_trainer(model, out, [callback()])
    trainer.processing_class.add_tokens(["<new>"])
    refused["other tokens"] = refusal(trainer)
    trainer = sft_trainer(model, out, [callback()])
    trainer.model.name_or_path = ""
    refused["in memory"] = refusal(trainer)
    weights["afterwards"] = train(model, folder / "afterwards", None)
    (folder / "outcome.json").write_text(json.dumps({"weights": weights, "refused": refused}))


def refusal(trainer: SFTTrainer) -> str:
    try:
        trainer.train()
    except EngineError as error:
        return str(error)
    return f"trained {trainer.state.global_step} steps"


def interrupted_before(generate_each: Any) -> Any:
    """The same, after a caller that took the first responses and stopped: nothing of that may be left in the engine."""

    def again(self: EngineVLLM, requests: Any, repeats: Any) -> Any:
        begun = generate_each(self, requests, repeats)
        next(begun)
        begun.close()
        assert not self.model.llm_engine.has_unfinished_requests()
        yield from generate_each(self, requests, repeats)

    return again


def only_twice(push: Any) -> Any:
    """The same until the base model has been evaluated, and then nothing: a sync that silently fails."""
    pushed: list[Any] = []

    def stale(generation: Any) -> None:
        pushed.append(generation)
        if len(pushed) <= 2:
            push(generation)
        elif CUDA:
            generation.llm.wake_up(tags=["weights"])

    return stale


if __name__ == "__main__":
    main(Path(sys.argv[1]))
