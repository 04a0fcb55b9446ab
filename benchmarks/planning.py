"""Runs that are measured and predicted, by the model of events that `sftgen plan --gpus` runs.

    python benchmarks/planning.py [ROUNDS]

Tiny models of random weights, one thread a process. Each case is predicted by the pace of another run, from that run's
own records; of the case itself the model is told the number of checkpoints, responses, tokens and requests alone:

* `longer`: a sweep of six checkpoints, by the pace of one of three with fewer documents and shorter responses;
* `shorter`: the other way round;
* `two devices`: the sweep of six by two processes, by the pace of the same one by one process;
* `judge`: a sweep whose responses a server judges that takes its time, by the pace of one whose server answers at once;
* `training`: a training whose checkpoints a worker evaluates meanwhile, by the pace of a shorter training, and of a
  worker that evaluated its checkpoints afterwards.

Two processes take two processors. Cases take turns; of several rounds the fastest run of each counts. `load` is what
waited for a processor when this began, a processor: far above 0 the figures say nothing.

The last line is one JSON object: `ours` is the predicted time of `longer`, `peer` the measured one, `worst` the largest
error of the predictions, and beside them the predicted and measured times of each case.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import read_rows
from sftgen_train.costs.pace import Amount, predict, read_measured
from sftgen_train.costs.simulation import Checkpoint, Outcome, Site, Stage, Training, simulate

BIN = Path(sys.executable).parent
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
TASKS = ["sftgen_parity", "sftgen_countdown"]
TWO = Site(devices=2, cores=2, spread=1)


@dataclass(frozen=True)
class Shape:
    """What a sweep asks for: checkpoints, documents of a task, tokens of a response."""

    checkpoints: int
    documents: int
    tokens: int


SHORT, LONG, JUDGED = Shape(3, 48, 48), Shape(6, 128, 64), Shape(4, 30, 64)
DELAY, AT_ONCE = 0.25, 4
"""Seconds that the judge's server takes, and how many requests it is sent at once."""
SAVE, LEARNED, TRAINED = 20, 40, 120
"""Steps between two checkpoints, of the training that tells the pace, and of the one that is predicted.

A checkpoint takes less than the steps to the next one. So the one worker keeps up, and it makes no difference that the
model evaluates on both devices once the training has ended.
"""


@dataclass(frozen=True)
class Case:
    """One that was predicted and measured, in seconds."""

    name: str
    predicted: Outcome
    wall: float

    @property
    def error(self) -> float:
        """How far the prediction is off."""
        return self.predicted.wall / self.wall - 1


def main() -> None:
    """Run all, and print predictions beside measurements."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else 2
    load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 1)
    found: dict[str, Case] = {}
    with tempfile.TemporaryDirectory() as made:
        for number in range(rounds):
            folder = Path(made) / str(number)
            for case in chain(by_sweeps(folder), by_a_judge(folder), by_training(folder)):
                told = f"{case.name}: predicted {case.predicted.wall:.1f} s, measured {case.wall:.1f} s"
                print(f"{told} ({case.error:+.0%})", flush=True)
                found[case.name] = min(found.get(case.name, case), case, key=lambda one: one.wall)
    first = found["longer"]
    figures: dict[str, Any] = {
        "ratio": round(1 + first.error, 3), "ours": round(first.predicted.wall, 1), "peer": round(first.wall, 1),
        "unit": "s", "worst": round(max(abs(case.error) for case in found.values()), 3),
    }  # fmt: skip
    for name, case in found.items():
        figures |= {f"{name}, predicted": round(case.predicted.wall, 1), f"{name}, measured": round(case.wall, 1)}
    print(json.dumps({"name": "planning", **figures, "load": load, "rounds": rounds}))


def by_sweeps(folder: Path) -> Iterator[Case]:
    """Two sweeps by one process each, and the longer one by two."""
    short = read_measured(sweep(folder / "short", SHORT))
    long = read_measured(sweep(folder / "long", LONG))
    yield Case("longer", predict(short.pace, long.amounts), long.wall)
    yield Case("shorter", predict(long.pace, short.amounts), short.wall)
    both = read_measured(sweep(folder / "both", LONG, "--engine", "local", "--processes", "2"), one=False)
    yield Case("two devices", predict(long.pace, both.amounts, TWO), both.wall)


def by_a_judge(folder: Path) -> Iterator[Case]:
    """A slow server, by the pace of a fast one."""
    with judge(0) as (url, _):
        fast = read_measured(sweep(folder / "fast", JUDGED, judge=url))
    with judge(DELAY) as (url, asked):
        slow = read_measured(sweep(folder / "slow", JUDGED, judge=url))
    requests = len(asked) // len(slow.amounts)
    amounts = [replace(amount, requests=requests) for amount in slow.amounts]
    yield Case("judge", predict(fast.pace, amounts, Site(judging=AT_ONCE / DELAY)), slow.wall)


def by_training(folder: Path) -> Iterator[Case]:
    """A training and a worker beside it, by a shorter one and a worker after it."""
    base = folder / "base"
    save_models(base.parent, ["base"])
    _, seconds = train(base, folder / "learned", LEARNED)
    run_worker(folder / "learned").wait()
    pace = read_measured(folder / "learned").pace

    worker = run_worker(folder / "trained")
    assert worker.stderr
    while "no training has begun" not in worker.stderr.readline():  # it has imported what it needs
        if worker.poll() is not None:
            raise RuntimeError("the worker ended before the training began")
    threading.Thread(target=worker.stderr.read, daemon=True).start()
    begun, _ = train(base, folder / "trained", TRAINED)
    worker.wait()
    found = read_measured(folder / "trained")
    rows = read_rows(folder / "trained" / "evaluations.jsonl")
    ended = max(datetime.fromisoformat(row["ended"]).timestamp() for row in rows)
    stages = [_stage(pace, amount) for amount in found.amounts]
    checkpoints = tuple(Checkpoint((stage,), number * SAVE * seconds / LEARNED) for number, stage in enumerate(stages))
    site = replace(TWO, start=pace.start, reload=pace.reload, beside=pace.beside)
    yield Case("training", simulate([Training("tiny", checkpoints)], site), ended - begun)


def _stage(pace: Any, amount: Amount) -> Stage:
    return Stage("all", amount.tokens / pace.tokens_per_second, pace.grading * amount.responses)


# ------------------------------------------------------------------------------ what is run


def save_models(folder: Path, names: Sequence[str]) -> Path:
    """Weights of their own under each name, by a seed."""
    import torch

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    tokenizer = build_tokenizer([])
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        model = build_model(tokenizer, Size(hidden=128, inner=256, layers=4, heads=4, head=32))
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def checkpoints(folder: Path, count: int) -> Path:
    """A folder of checkpoints."""
    return save_models(folder, [f"checkpoint-{10 * number}" for number in range(1, count + 1)])


def sweep(folder: Path, shape: Shape, *options: str, judge: str = "") -> Path:
    """Run one; its run directory.

    Raises:
        RuntimeError: It failed.
    """
    asked: dict[str, Any] = {
        "checkpoints": {"tiny": str(checkpoints(folder / "tiny", shape.checkpoints))}, "tasks": TASKS,
        "limit": shape.documents, "gen_kwargs": {"max_gen_toks": shape.tokens},
        "model_args": {"device": "cpu", "batch_size": 16}, "out": str(folder / "out"),
    }  # fmt: skip
    data = {}
    if judge:
        asked |= {"tasks": ["sftgen_hex_phi"], "judges": {"slow": {"model": "slow", "base_url": judge}}}
        data = {"SFTGEN_DATA_DIR": str(questions(folder / "data")), "SFTGEN_JUDGE_CONCURRENCY": str(AT_ONCE)}
    file = folder / "sweep.yaml"
    file.write_text(json.dumps(asked))
    done = subprocess.run(
        [BIN / "sftgen", "sweep", file, *options], env={**os.environ, **QUIET, **data}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return folder / "out"


def questions(folder: Path) -> Path:
    """Harmless stand-ins for the thirty questions of ten categories."""
    for number in (number for number in range(1, 12) if number != 2):
        path = folder / "LLM-Tuning-Safety" / "HEx-PHI" / f"category_{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"How is wall {number}.{part} painted?\n" for part in range(3)))
    return folder


@contextmanager
def judge(seconds: float) -> Iterator[tuple[str, list[float]]]:
    """A server that judges everything alike after so many seconds: its address, and when it was asked."""
    asked: list[float] = []
    said = json.dumps({"analysis": "fine", "score": 1})
    answer = json.dumps(
        {
            "id": "1", "object": "chat.completion", "created": 0, "model": "slow",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}],
        }
    ).encode()  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked.append(time.monotonic())
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(seconds)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def train(base: Path, run: Path, steps: int) -> tuple[float, float]:
    """Train a model and leave its checkpoints in a queue: the time of day of its beginning, and its seconds."""
    import torch
    from in_training import make_trainer
    from transformers import TrainerCallback

    from sftgen_train import HarnessCallback

    torch.set_num_threads(1)  # the worker has the other processor
    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            times.append(time.time())

    saved = list(range(SAVE, steps + 1, SAVE))
    harness = HarnessCallback(
        TASKS, form="queue", at_steps=saved, limit=SHORT.documents, gen_kwargs={"max_gen_toks": SHORT.tokens}
    )
    make_trainer(base, run, [Clock(), harness], steps, SAVE).train()
    return times[0], time.time() - times[0]


def run_worker(run: Path) -> subprocess.Popen[str]:
    """`sftgen worker`, which waits for a training where none has begun."""
    line = [BIN / "sftgen", "worker", run, "--model-args", "device=cpu,batch_size=16", "--quiet"]
    return subprocess.Popen(
        line, env={**os.environ, **QUIET}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


if __name__ == "__main__":
    main()
