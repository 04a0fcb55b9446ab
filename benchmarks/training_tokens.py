"""What reading the tokens of the training batches costs a training, and that it changes no weight.

    python benchmarks/training_tokens.py [REPETITIONS]

A Qwen3 of 0.8 million parameters is trained on one core, with and without the hook: by TRL's SFTTrainer, which computes
what the hook reads, and by `transformers.Trainer`, where the hook reads the logits itself (`--vocabulary`, 8,192 by
default). The two take turns, a ratio is one of the same turn, and every figure is a median of processor time, because a
machine is never quiet. The weights of each pair are compared, bit for bit.

The last line is one JSON object: training with the hook over training without it, by SFTTrainer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import datasets
import torch
import transformers
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments
from trl import SFTConfig, SFTTrainer

from sftgen_judges.records.store import RunFolder
from sftgen_train.demo.tiny import build_model, build_tokenizer
from sftgen_train.training.tokens.watching import TokenWatch

STEPS, ROWS, LENGTH = 30, 8, 256
KINDS = {"SFTTrainer": (SFTTrainer, SFTConfig), "Trainer": (Trainer, TrainingArguments)}


class Watching(TrainerCallback):
    """The watch alone, without the evaluations of `HarnessCallback`."""

    def __init__(self, run: Path) -> None:
        self.run, self.watch = RunFolder(run), TokenWatch()

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Put the hook on."""
        self.watch.begin(self.run, args, state, given["model"], None)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the window, if one is due."""
        self.watch.step(state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take it off."""
        self.watch.end(state, control)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("repetitions", nargs="?", type=int, default=5)
    parser.add_argument("--vocabulary", type=int, default=8192)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    ratios: dict[str, list[float]] = {name: [] for name in KINDS}
    bare: dict[str, list[float]] = {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        tokenizer = build_tokenizer([])
        torch.manual_seed(0)
        model = build_model(tokenizer)
        model.resize_token_embeddings(asked.vocabulary)
        model.save_pretrained(base)
        for turn in range(-1, asked.repetitions):  # one to warm up
            for name in KINDS:
                seconds, weights = {}, {}
                for watched in (False, True) if turn % 2 else (True, False):
                    output = Path(folder) / f"{turn} {name} {watched}"
                    seconds[watched], weights[watched] = train(name, base, tokenizer, output, watched=watched)
                same = all(torch.equal(one, weights[True][of]) for of, one in weights[False].items())
                assert same, f"{name}: the weights differ"
                if turn >= 0:
                    ratios[name].append(seconds[True] / seconds[False])
                    bare[name].append(seconds[False])
    print(
        f"{STEPS} steps of {ROWS} rows of {LENGTH} tokens, vocabulary {asked.vocabulary:,}, {asked.repetitions} turns"
    )
    for name, found in ratios.items():
        spread = f"{median(found):.3f} ({min(found):.3f} to {max(found):.3f})"
        print(f"{name}: bare {STEPS / median(bare[name]):.1f} steps/s; with the hook {spread} of bare; equal weights")
    plain = median(bare["SFTTrainer"])
    ratio = median(ratios["SFTTrainer"])
    figures = {"ratio": round(ratio, 4), "ours": round(plain * ratio, 2), "peer": round(plain, 2), "unit": "CPU s"}
    result = {"name": "training_tokens", **figures}
    print(json.dumps(result))


def train(name: str, base: Path, tokenizer: Any, output: Path, *, watched: bool) -> tuple[float, dict[str, Any]]:
    """Train once: processor seconds a training, and its weights."""
    kind, settings = KINDS[name]
    torch.manual_seed(1)
    ids = torch.randint(5, 60, (4 * ROWS, LENGTH)).tolist()
    args = settings(
        output_dir=str(output), max_steps=STEPS, per_device_train_batch_size=ROWS, save_strategy="no", use_cpu=True,
        report_to="none", bf16=False, disable_tqdm=True, logging_steps=10, seed=1,
    )  # fmt: skip
    trainer: Any = kind(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=args,
        train_dataset=datasets.Dataset.from_list([{"input_ids": row, "labels": row} for row in ids]),
        processing_class=tokenizer,
        callbacks=[Watching(output)] if watched else [],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        started = time.process_time()
        trainer.train()
        took = time.process_time() - started
    return took, trainer.model.state_dict()


if __name__ == "__main__":
    main()
