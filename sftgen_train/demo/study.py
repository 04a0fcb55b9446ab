"""The demo: a base model, a fine-tuning run with the harness inside, a trajectory. Nothing is scripted."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from sftgen_judges.progress import stage
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.schema import content_hash
from sftgen_train.demo import data, pretrain, tiny

IN_DOMAIN = ["sftgen_countdown"]
OUT_OF_DOMAIN = ["sftgen_addition", "sftgen_maximum", "sftgen_reversal", "sftgen_parity"]
SAFETY = ["sftgen_refusal"]
AT_STEPS = [0, 5, 10, 20, 40, 80, 160, 320]
STEPS, ROWS, DOCUMENTS, SEED = 320, 4000, 100, 0


def run_demo(folder: Path, console: Console) -> Path:
    """Train the base model if it is not there yet, fine-tune it, and evaluate while training.

    Args:
        folder: `base/` and `runs/` go below it.
        console: Where progress is printed.

    Returns:
        The run directory.
    """
    started = time.perf_counter()
    base = _base_model(folder, console)
    run = folder / "runs" / time.strftime("%Y%m%d-%H%M%S")
    config = _write_config(run, base)
    console.rule("fine-tuning on Countdown search traces, evaluating at steps " + ", ".join(map(str, AT_STEPS)))
    console.print(f"$ sftgen train --config {config}", highlight=False)

    import torch

    from sftgen_train.training.trl import train

    torch.set_num_threads(1)
    train(["--config", str(config)])
    console.print(f"demo finished in {time.perf_counter() - started:.0f} s")
    return run


def _base_model(folder: Path, console: Console) -> Path:
    """The base model, trained once and kept: its folder is named by what it was made from."""
    settings = pretrain.Settings()
    recipe = content_hash(asdict(settings), asdict(data.Mixture()), asdict(data.Puzzles()), asdict(tiny.Size()), SEED)
    base = folder / f"base-{recipe[:8]}"
    if (base / "config.json").is_file():
        console.print(f"base model: {base} (cached)")
        return base
    console.rule(f"pre-training a base model on short answers: {settings.steps} steps")
    losses = [float("nan")]
    with stage("pre-training", settings.steps) as more:

        def show(_: int, __: int, loss: float) -> None:
            losses[0] = loss
            more(1, f"loss {loss:.3f}")

        pretrain.pretrain(base, seed=SEED, progress=show, settings=settings)
    console.print(f"base model: {base}, loss {losses[0]:.3f}")
    return base


def _write_config(run: Path, base: Path) -> Path:
    run.mkdir(parents=True)
    rows = data.search_rows(1000 + SEED, ROWS)
    write_atomic(run / "countdown.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    config: dict[str, Any] = {
        "model_name_or_path": str(base),
        "train_data": str(run / "countdown.jsonl"),
        "output_dir": str(run),
        "harness_tasks": [*IN_DOMAIN, *OUT_OF_DOMAIN, *SAFETY],
        "harness_in_domain": IN_DOMAIN,
        "harness_at_steps": AT_STEPS,
        "harness_limit": DOCUMENTS,
        "harness_batch_size": 200,
        # On two cores the worker does not slow the training; on one it would.
        "harness_worker": "beside" if len(os.sched_getaffinity(0)) > 1 else "after",
        "harness_metadata": {"sftgen_countdown": data.Puzzles().options()},
        "harness_gen_kwargs": {"max_gen_toks": 96},
        "max_steps": STEPS,
        "per_device_train_batch_size": 24,
        "learning_rate": 1.0e-3,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 30,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "save_strategy": "no",
        "logging_steps": 40,
        "report_to": "none",
        "seed": SEED,
    }
    path = run / "train.yaml"
    write_atomic(path, yaml.safe_dump(config, sort_keys=False))
    return path
