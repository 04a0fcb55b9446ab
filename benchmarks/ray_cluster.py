"""The same sets on this machine and on a Ray cluster of two nodes, one of which is killed half-way.

    python benchmarks/ray_cluster.py [--curate] [--sweep]

Two raylets on this machine are the nodes, each with one processor. Countdown rows are written in eight shards; when the
first stands, the second node is killed. With `--curate` an untrained tiny model is the teacher of 24 prompts in six
blocks, and the node dies when the first block stands: generation, verification, selection and writing are tasks then.
With `--sweep`, in place of these, six checkpoints of a tiny model are evaluated, and the node dies with one of them in
its hands: scores and responses are compared, and nothing may be graded twice. Content hashes are compared; a difference
ends the script with 1. Wants the extra `ray`.
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sftgen_train.curation.countdown.puzzles import Puzzles, make_puzzles
from sftgen_train.curation.countdown.rows import Recipe, rows_of
from sftgen_train.curation.engines import workers
from sftgen_train.curation.sets import write_set

ROWS, SHARDS = 4000, 8


def main() -> None:
    """Print the hashes of each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--curate", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        alike = [] if chosen.sweep else [_compare("countdown rows", folder, _countdown)]
        if chosen.curate:
            model, prompts = _teacher(folder), _prompts(folder)
            alike.append(_compare("curated rows", folder, lambda *given: _curate(model, prompts, *given)))
        if chosen.sweep:
            checkpoints = _checkpoints(folder / "training")
            alike.append(_compare("swept checkpoints", folder, lambda *given: _sweep(checkpoints, *given)))
    sys.exit(0 if all(alike) else 1)


def _compare(what: str, folder: Path, make: Callable[[Path, str, Callable[[int], None]], str]) -> bool:
    began = time.perf_counter()
    alone = make(folder / f"{what} local", "local", lambda rows: None)
    local = time.perf_counter() - began
    with _two_nodes() as kill:
        began = time.perf_counter()
        done: list[int] = []

        def tell(rows: int) -> None:
            done.append(rows)
            if len(done) == 1:
                kill()

        shared = make(folder / f"{what} ray", "ray", tell)
        ray = time.perf_counter() - began
    print(
        f"{what}: local {alone} in {local:.0f} s, Ray with a killed node {shared} in {ray:.0f} s: "
        f"{'the same' if alone == shared else 'DIFFERENT'}",
        flush=True,
    )
    return alone == shared


@contextmanager
def _two_nodes() -> Iterator[Callable[[], None]]:
    """A cluster; what is yielded kills its second node."""
    from ray.cluster_utils import Cluster

    quiet = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=quiet)
    second = cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        # In a thread: the caller is in the middle of its work.
        yield lambda: threading.Thread(target=cluster.remove_node, args=(second, False)).start()
    finally:
        del os.environ["RAY_ADDRESS"]
        cluster.shutdown()


def _countdown(folder: Path, engine: Any, done: Callable[[int], None]) -> str:
    recipe = Recipe(ROWS)
    blocks = list(make_puzzles(ROWS))
    numbers = [block.take(slice(start, None, SHARDS)) for block in blocks for start in range(SHARDS)]
    parts = [(recipe, numbers[start::SHARDS]) for start in range(SHARDS)]
    with workers(engine, 2) as crew:
        return write_set(folder, {"rows": ROWS}, parts, _slowly, shards=SHARDS, crew=crew, done=done).content_hash


def _slowly(index: int, part: tuple[Recipe, list[Puzzles]]) -> list[dict[str, Any]]:
    time.sleep(1)  # so that a node dies with work in its hands
    return rows_of(index, part)


def _curate(model: Path, prompts: Path, folder: Path, engine: Any, done: Callable[[int], None]) -> str:
    from sftgen_train.curation.configuration import Curation
    from sftgen_train.curation.curate import make_pool, make_sets

    given = {
        "out": str(folder),
        "prompts": {"source": str(prompts), "prompt": "problem", "gold": "answer"},
        "teacher": {"backend": "sftgen-hf", "model": str(model), "samples": 2, "sampling": {"max_tokens": 24}},
        "sets": {"all": {"steps": ["random"], "form": "messages"}},
        "block": 4,
    }
    curation = Curation.model_validate(given)
    (written,) = make_sets(make_pool(curation, done, engine), 2, engine)
    return written.made.content_hash


def _sweep(checkpoints: Path, folder: Path, engine: Any, done: Callable[[int], None]) -> str:
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
                done(1)
                return

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        run_sweep(planned, outcome, Engine(engine, 2))
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
    print(f"{engine}: {len(evaluated)} evaluations, {len(texts)} responses; begun again: {died or 'none'}", flush=True)
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
