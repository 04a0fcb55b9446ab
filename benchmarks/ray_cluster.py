"""The same sets in one process, in two, and on a Ray cluster of two nodes, one of which is killed half-way.

    python benchmarks/ray_cluster.py [--curate] [--sweep]

Two raylets on this machine are the nodes, each with one processor. Countdown rows are written in eight shards; when the
first stands, the second node is killed. With `--curate` an untrained tiny model is the teacher of 24 prompts in six
blocks, and three nodes die: one when the first block stands, one with a block of the selection in its hands, and one
with a shard that it writes. With `--sweep`, in place of these, six checkpoints of a tiny model are evaluated, and the
node dies with one of them in its hands: scores and responses are compared, and nothing may be graded twice. Content
hashes are compared; a difference ends the script with 1. Wants the extra `ray`.

The last line is one JSON object: seconds of the last part on Ray, and in two processes of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sftgen_train.curation.countdown.puzzles import Puzzles, make_puzzles
from sftgen_train.curation.countdown.rows import Recipe, rows_of
from sftgen_train.curation.engines import engine_of, workers
from sftgen_train.curation.sets import write_set

ROWS, SHARDS = 4000, 8


@dataclass
class Where:
    """Where something is made.

    Attributes:
        engine: `local` or `ray`.
        processes: How many, for `local`.
        cluster: The cluster, for `ray`.
        doomed: Its node that is killed next.
        killed: What the killed nodes had in their hands.
    """

    engine: Any
    processes: int
    cluster: Any = None
    doomed: Any = None
    killed: list[str] = field(default_factory=list)

    def kill(self, doing: str) -> None:
        """Kill the second node, once; in a thread, because the caller is in the middle of its work."""
        node, self.doomed = self.doomed, None
        if node is not None:
            self.killed.append(doing)
            threading.Thread(target=self.cluster.remove_node, args=(node, False)).start()

    def renew(self) -> None:
        """Add a node in place of the killed one."""
        self.doomed = self.cluster.add_node(num_cpus=1)


def main() -> None:
    """Print the hashes of each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--curate", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        found = [] if chosen.sweep else [_compare("countdown rows", folder, _countdown)]
        if chosen.curate:
            model, prompts = _teacher(folder), _prompts(folder)
            found.append(_compare("curated rows", folder, partial(_curate, model, prompts)))
        if chosen.sweep:
            checkpoints = _checkpoints(folder / "training")
            found.append(_compare("swept checkpoints", folder, partial(_sweep, checkpoints)))
    print(json.dumps({"name": "ray_cluster", **found[-1], "alike": all(one["alike"] for one in found)}))
    sys.exit(0 if all(one["alike"] for one in found) else 1)


def _compare(what: str, folder: Path, make: Callable[[Path, Where], str]) -> dict[str, Any]:
    """Make it each way, and say the hash and the seconds of each."""
    hashes, seconds, killed = [], [], []
    for name, number in (("one process", 1), ("two processes", 2), ("Ray", 0)):
        with _two_nodes() if not number else _local(number) as where:
            began = time.perf_counter()
            hashes.append(make(folder / f"{what} {name}", where))
            seconds.append(time.perf_counter() - began)
            killed = where.killed
        died = f", {len(killed)} nodes killed ({', '.join(killed)})" if killed else ""
        print(f"{what}: {name} {hashes[-1]} in {seconds[-1]:.0f} s{died}", flush=True)
    if not killed:
        sys.exit(f"{what}: no node was killed, so nothing was tried")
    alike = len(set(hashes)) == 1
    print(f"{what}: {'the same' if alike else 'DIFFERENT'}", flush=True)
    ours, peer = round(seconds[2], 1), round(seconds[1], 1)
    return {"ratio": round(peer / ours, 2), "ours": ours, "peer": peer, "unit": "s", "killed": killed, "alike": alike}


@contextmanager
def _local(processes: int) -> Iterator[Where]:
    yield Where("local", processes)


@contextmanager
def _two_nodes() -> Iterator[Where]:
    """A cluster, whose second node can be killed."""
    from ray.cluster_utils import Cluster

    quiet = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=quiet)
    os.environ["RAY_ADDRESS"] = cluster.address
    where = Where("ray", 1, cluster)
    where.renew()
    try:
        yield where
    finally:
        del os.environ["RAY_ADDRESS"]
        cluster.shutdown()


def _countdown(folder: Path, where: Where) -> str:
    recipe = Recipe(ROWS)
    blocks = list(make_puzzles(ROWS))
    numbers = [block.take(slice(start, None, SHARDS)) for block in blocks for start in range(SHARDS)]
    parts = [(recipe, numbers[start::SHARDS]) for start in range(SHARDS)]
    with workers(where.engine, where.processes) as crew:
        return write_set(
            folder, {"rows": ROWS}, parts, _slowly, shards=SHARDS, crew=crew, done=lambda rows: where.kill("rows")
        ).content_hash


def _slowly(index: int, part: tuple[Recipe, list[Puzzles]]) -> list[dict[str, Any]]:
    time.sleep(1)  # so that a node dies with work in its hands
    return rows_of(index, part)


def _curate(model: Path, prompts: Path, folder: Path, where: Where) -> str:
    from sftgen_train.curation.configuration import Curation
    from sftgen_train.curation.curate import make_pool
    from sftgen_train.curation.making import writing

    writing.SHARD = 4  # six shards of 24 rows
    given = {
        "out": str(folder),
        "prompts": {"source": str(prompts), "prompt": "problem", "gold": "answer"},
        "teacher": {"backend": "sftgen-hf", "model": str(model), "samples": 2, "sampling": {"max_tokens": 24}},
        "sets": {"all": {"steps": ["random"], "form": "messages"}},
        "block": 4,
    }
    pool = make_pool(Curation.model_validate(given), lambda made: where.kill("generation"), engine_of(where.engine))
    with workers(where.engine, where.processes) as crew:
        killing = replace(crew, pool=_Killing(crew.pool, where, folder / "in_hand")) if where.cluster else crew
        return writing.write(pool, "all", {}, crew=killing).made.content_hash


class _Killing(Executor):
    """Hands tasks on; of each kind of task a node dies with one in its hands."""

    def __init__(self, pool: Executor, where: Where, folder: Path) -> None:
        self._pool, self._where, self._folder = pool, where, folder
        self._seen: set[str] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        kind = {"kept": "selection"}.get(getattr(fn, "func", fn).__name__, "writing")
        if kind not in self._seen:
            self._seen.add(kind)
            self._where.renew()
            mark = self._folder / f"{kind}-{self._where.doomed.node_id}"
            threading.Thread(target=self._wait, args=(mark, kind), daemon=True).start()
        return self._pool.submit(_in_hand, self._folder / kind, fn, *args, **kwargs)

    def _wait(self, mark: Path, kind: str) -> None:
        while not mark.exists():
            time.sleep(0.02)
        self._where.kill(kind)


def _in_hand(mark: Path, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Say which node has a task, and give it time to die."""
    import ray

    mark.parent.mkdir(exist_ok=True)
    mark.with_name(f"{mark.name}-{ray.get_runtime_context().get_node_id()}").touch()
    time.sleep(2)
    return fn(*args, **kwargs)


def _sweep(checkpoints: Path, folder: Path, where: Where) -> str:
    from sftgen_judges.records.schema import content_hash
    from sftgen_judges.records.store import RunFolder
    from sftgen_train.queue.entries import Queue
    from sftgen_train.sweeps.executing import Engine
    from sftgen_train.sweeps.planning import plan_sweep
    from sftgen_train.sweeps.running import Outcome, run_sweep
    from sftgen_train.sweeps.schema import Sweep

    given = {
        "checkpoints": {"tiny": {"folder": str(checkpoints)}}, "tasks": ["sftgen_parity"], "limit": 20,
        "gen_kwargs": {"max_gen_toks": 16}, "model_args": {"device": "cpu"},
    }  # fmt: skip
    planned, outcome, ended = plan_sweep(Sweep.model_validate(given), folder), Outcome(), threading.Event()

    def tell() -> None:
        """Wait until both nodes have a checkpoint in their hands."""
        while not ended.wait(0.02):
            if len(Queue(folder).entries("running")) == 2:
                where.kill("evaluation")
                return

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        run_sweep(planned, outcome, Engine(where.engine, max(1, where.processes)))
    finally:
        ended.set()
        thread.join()
    if outcome.problems:
        sys.exit(f"not evaluated: {outcome.problems}")
    run = RunFolder(folder)
    died = [entry.step for entry in Queue(folder).entries("done") if len(entry.attempts) > 1]
    scores = [(row["step"], row["metric"], row["mean"]) for row in run.metric_rows()]
    texts = [(one.step, one.key, one.text) for one in run.read_generations("sftgen_parity")]
    evaluated = [json.loads(line)["step"] for line in run.evaluations.read_text().splitlines()]
    print(
        f"{where.engine}: {len(evaluated)} evaluations, {len(texts)} responses; begun again: {died or 'none'}",
        flush=True,
    )
    if len(set(evaluated)) != len(evaluated):
        sys.exit(f"graded twice: {evaluated}")
    return content_hash({"scores": sorted(scores), "texts": sorted(texts)})


def _checkpoints(folder: Path) -> Path:
    import torch

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    tokenizer = build_tokenizer([])
    for step in range(1, 7):
        torch.manual_seed(step)
        path = folder / f"checkpoint-{step}"
        build_model(tokenizer, Size(hidden=32, inner=64, layers=2, heads=2, head=16)).save_pretrained(path)
        tokenizer.save_pretrained(path)
    return folder


def _teacher(folder: Path) -> Path:
    import torch

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    build_model(tokenizer, Size(hidden=32, inner=64, layers=2, heads=2, head=16)).save_pretrained(folder / "teacher")
    tokenizer.save_pretrained(folder / "teacher")
    return folder / "teacher"


def _prompts(folder: Path) -> Path:
    path = folder / "prompts.jsonl"
    rows = [{"problem": f"What is {number} + {number}?", "answer": str(2 * number)} for number in range(24)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


if __name__ == "__main__":
    main()
