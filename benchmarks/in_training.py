"""What evaluation costs a training: bare, with the queue (worker idle, or busy on the other core), in process.

    python benchmarks/in_training.py [REPETITIONS]

A Qwen3 of 0.8 million parameters is trained by TRL's SFTTrainer on one core; all forms save the same checkpoints, so
the write of a checkpoint is in every time. Only the base model is written by the queue form alone: that write is
measured by itself and taken off. In process, what remains of an evaluation of 50 documents beside the model's own
generating is its overhead. The forms take turns, a ratio is one of the same turn, and every figure is a median, because
a machine is never quiet; processor time is less disturbed than wall time.

The last line is one JSON object: training with the queue and an idle worker over bare training, in wall time.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
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
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from sftgen_tasks.harness.backends.hf import RecordingHFLM
from sftgen_train import HarnessCallback
from sftgen_train.demo.tiny import build_model, build_tokenizer

STEPS, SAVE = 40, 20
FORMS = ("bare", "queue, worker idle", "queue, worker busy", "in process")
HARNESS: dict[str, Any] = {"at_steps": [20, 40], "limit": 25, "gen_kwargs": {"max_gen_toks": 16}}
TASKS = ["sftgen_parity", "sftgen_addition"]
CORES = sorted(os.sched_getaffinity(0))


class Evaluating(HarnessCallback):
    """Tells how long its evaluations take, and how long training is in its hands."""

    seconds, count, inside = 0.0, 0, 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._evaluating = self._measuring._evaluate
        self._measuring._evaluate = self._evaluate  # type: ignore[method-assign]

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Timed, as the others."""
        self._timed(super().on_train_begin, args, kwargs)

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Timed."""
        self._timed(super().on_step_end, args, kwargs)

    def on_save(self, *args: Any, **kwargs: Any) -> None:
        """Timed."""
        self._timed(super().on_save, args, kwargs)

    def on_log(self, *args: Any, **kwargs: Any) -> None:
        """Timed: the last step is measured here."""
        self._timed(super().on_log, args, kwargs)

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Timed."""
        self._timed(super().on_train_end, args, kwargs)

    def _timed(self, hook: Any, args: Any, kwargs: Any) -> None:
        started = time.perf_counter()
        hook(*args, **kwargs)
        self.inside += time.perf_counter() - started

    def _evaluate(self, *args: Any, **kwargs: Any) -> None:
        started = time.perf_counter()
        self._evaluating(*args, **kwargs)
        self.seconds += time.perf_counter() - started
        self.count += 1


class Worker(TrainerCallback):
    """Starts `sftgen worker` on the other core, when training begins."""

    process: subprocess.Popen[bytes]

    def __init__(self, run: Path) -> None:
        self.run = run

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start it; it imports and evaluates while the training goes on."""
        command = ["taskset", "-c", str(CORES[-1]), sys.executable, "-m", "sftgen_train", "worker", str(self.run)]
        self.process = subprocess.Popen([*command, "--quiet"], stderr=subprocess.DEVNULL)


def main() -> None:
    """Run and print."""
    repetitions = int(sys.argv[1]) if sys.argv[1:] else 5
    os.sched_setaffinity(0, {CORES[0]})
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    generating = _time_generation()
    times: dict[str, list[tuple[float, float]]] = {form: [] for form in FORMS}
    overhead: list[float] = []
    inside: list[float] = []
    writes: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        tokenizer = build_tokenizer([])
        torch.manual_seed(0)
        build_model(tokenizer).save_pretrained(base)
        tokenizer.save_pretrained(base)
        for turn in range(-1, repetitions):  # one to warm up
            for form in FORMS[turn % 4 :] + FORMS[: turn % 4]:
                output = Path(folder) / f"{turn} {form}"
                wall, processor, write, harness = train(base, output, form)
                if turn >= 0:
                    writes.append(write)
                    generated = [sum(spent) for spent in zip(*generating, strict=True)] or [0.0, 0.0]
                    own = [write, write] if form.startswith("queue") else generated
                    times[form].append((wall - own[0], processor - own[1]))
                    if harness and form == "in process":
                        overhead.append(1000 * (harness.seconds - generated[0]) / harness.count)
                    elif harness:
                        inside.append(100 * (harness.inside - write) / (wall - harness.inside))
                generating.clear()
    print(f"{STEPS} steps, {STEPS // SAVE} checkpoints, {repetitions} turns: medians (lowest to highest)")
    for form in FORMS:
        for place, what in enumerate(("wall", "processor")):
            ratios = [ours[place] / bare[place] for ours, bare in zip(times[form], times["bare"], strict=True)]
            took = median(taken[place] for taken in times[form])
            print(f"{form}, {what}: {took:.2f} s, {_spread(ratios, '.3f')} of bare")
    print(f"queue, share of the training that the callback takes beside that write: {_spread(inside, '.2f')} %")
    print(f"one checkpoint's own write, taken off: {1000 * median(writes):.0f} ms")
    print(f"in process, an evaluation beside its generating, which is taken off: {_spread(overhead, '.0f')} ms")
    pairs = list(zip(times["queue, worker idle"], times["bare"], strict=True))
    facts = {"ratio": round(median(ours[0] / bare[0] for ours, bare in pairs), 4)}
    for name, form in (("ours", "queue, worker idle"), ("peer", "bare")):
        facts[name] = round(median(wall for wall, _ in times[form]), 3)
    print(json.dumps({"name": "in_training", **facts, "unit": "s"}))


def train(base: Path, output: Path, form: str) -> tuple[float, float, float, Evaluating | None]:
    """Train once; wall and processor seconds, those of writing one checkpoint, and the callback."""
    harness, callbacks = None, []
    if form != "bare":
        harness = Evaluating(TASKS, form="in_process" if form == "in process" else "queue", **HARNESS)
        callbacks = [harness, *([Worker(output)] if form == "queue, worker busy" else [])]
    trainer = make_trainer(base, output, callbacks)
    started, ran = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train()
    wall, processor = time.perf_counter() - started, time.process_time() - ran
    started = time.perf_counter()
    trainer.model.save_pretrained(output / "written")
    trainer.processing_class.save_pretrained(output / "written")
    write = time.perf_counter() - started
    for worker in callbacks[1:]:
        worker.process.wait()
    return wall, processor, write, harness


def _spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def make_trainer(
    base: Path, output: Path, callbacks: list[TrainerCallback], steps: int = STEPS, save: int = SAVE
) -> SFTTrainer:
    """A trainer that begins at the same weights each time."""
    rows = [{"prompt": f"What is {n} + {n + 1}? " * 3, "completion": f"{2 * n + 1} " * 8} for n in range(256)]
    config = SFTConfig(
        output_dir=str(output), max_steps=steps, save_strategy="steps", save_steps=save, per_device_train_batch_size=16,
        report_to="none", use_cpu=True, bf16=False, disable_tqdm=True, logging_strategy="no", seed=1,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    return SFTTrainer(
        model=model,
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=callbacks,
    )


def _time_generation() -> list[tuple[float, float]]:
    """Wall and processor seconds of every call of the model's own generating, from now on."""
    times: list[tuple[float, float]] = []
    real = RecordingHFLM._model_generate

    def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
        started, ran = time.perf_counter(), time.process_time()
        try:
            return real(self, *args, **kwargs)
        finally:
            times.append((time.perf_counter() - started, time.process_time() - ran))

    RecordingHFLM._model_generate = timed
    return times


if __name__ == "__main__":
    main()
