"""Two sweeps, measured and predicted: the pace of each, by its own records, predicts the other.

    python benchmarks/planning.py

A tiny model of random weights and two tasks: three checkpoints with few documents, and six with many and with longer
responses. Each is a `sftgen sweep` of its own; each is run twice in turns, and the faster run counts. The model of
events that `sftgen plan --gpus` runs is given the pace of one run, and of the other the number of checkpoints,
responses and tokens alone. Its time and idle share stand beside what was measured. Both runs have one device; how
several share graders, judge and disk is not compared.

The last line is one JSON object: `ours` is the predicted time of the second run, `peer` the measured one, and `worst`
the larger error of the two predictions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sftgen_train.costs.pace import Measured, predict, read_measured

ROUNDS = 2
TASKS = "sftgen_parity,sftgen_countdown"
SHAPES = ((3, 48, 48), (6, 128, 64))
"""Checkpoints, documents of a task, and tokens of a response."""


def checkpoints(folder: Path, count: int) -> Path:
    """Weights of their own at each step, by a seed."""
    import torch

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    tokenizer = build_tokenizer([])
    for number in range(1, count + 1):
        torch.manual_seed(number)
        path = folder / f"checkpoint-{10 * number}"
        build_model(tokenizer, Size(hidden=128, inner=256, layers=4, heads=4, head=32)).save_pretrained(path)
        tokenizer.save_pretrained(path)
    return folder


def sweep(folder: Path, out: Path, documents: int, tokens: int) -> Measured:
    """Run one, and read how long it took.

    Raises:
        RuntimeError: It failed.
    """
    line = [
        Path(sys.executable).with_name("sftgen"), "sweep", "--checkpoints", folder, "--tasks", TASKS, "--limit",
        documents, "--gen-kwargs", json.dumps({"max_gen_toks": tokens}), "--model-args", "device=cpu,batch_size=16",
        "--out", out,
    ]  # fmt: skip
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        list(map(str, line)), env={**os.environ, **quiet}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return read_measured(out)


def main() -> None:
    """Run both, and print predictions beside measurements."""
    measured: list[list[Measured]] = [[], []]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for number in range(ROUNDS):
            for place, (count, *shape) in enumerate(SHAPES):
                trained = checkpoints(folder / f"training-{number}-{count}", count)
                measured[place].append(sweep(trained, folder / f"out-{number}-{count}", *shape))
    runs = [min(of, key=lambda run: run.wall) for of in measured]
    told = [predict(other.pace, run.amounts) for run, other in zip(runs, reversed(runs), strict=True)]
    for (count, documents, tokens), run, one in zip(SHAPES, runs, told, strict=True):
        print(
            f"{count} checkpoints, {documents} documents a task, {tokens} tokens a response: predicted "
            f"{one.wall:.1f} s, measured {run.wall:.1f} s ({one.wall / run.wall - 1:+.0%}); idle predicted "
            f"{one.idle:.0%}, measured {run.idle:.0%}; {run.pace.tokens_per_second:,.0f} tokens/s"
        )
    ratios = [one.wall / run.wall for one, run in zip(told, runs, strict=True)]
    worst = max(abs(ratio - 1) for ratio in ratios)
    figures = {"ours": round(told[1].wall, 1), "peer": round(runs[1].wall, 1), "unit": "s", "worst": round(worst, 3)}
    print(json.dumps({"name": "planning", "ratio": round(ratios[1], 3), **figures}))


if __name__ == "__main__":
    main()
