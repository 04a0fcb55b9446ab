"""How often a response is held in memory, beside what lm_eval itself holds.

    python benchmarks/memory.py [RESPONSES] [CHARACTERS]

2,160 responses of 40,000 characters, four of five of them thinking. The peer is lm_eval's own `evaluate` with its
sample log, on a task without a grader of ours and a model that answers at once. Ours are stored outputs through
`sftgen eval --run --model sftgen-replay`, the same command once more, which takes them from the run, that run through
`sftgen-replay path=RUN`, and `sftgen rescore` of a run with three steps. Each is a process of its own. What a process
needs without responses is taken off: the peak with a quarter of them is subtracted from the peak with all of them.

The last line is one JSON object: bytes a character that the worst of ours holds, beyond lm_eval's where lm_eval runs,
lm_eval's own, and how many times more that is.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

RESPONSES, CHARACTERS = 2_160, 40_000
TASK = "sftgen_addition"
STEPS = (0, 5, 10)
WORDS = ("Let", "x", "be", "the", "sum", "$\\frac{1}{2}$", "so", "that", "wait,", "3.14", "\n")


def texts(count: int, length: int) -> Iterator[str]:
    """Responses, four fifths of them thinking."""
    rng = random.Random(0)
    words = "".join(f"{word} " for word in rng.choices(WORDS, k=length))
    for _ in range(count):
        place = rng.randrange(len(words) - length)
        written = words[place : place + length]
        yield f"<think>{written[: length * 4 // 5]}</think>{written[length * 4 // 5 :]}\\boxed{{42}}"


def options(count: int) -> list[str]:
    """Flags of the commands."""
    return ["--tasks", TASK, "--limit", str(count), "--metadata", json.dumps({"docs_size": count})]


def documents(count: int) -> list[dict[str, Any]]:
    """The documents of the task."""
    from sftgen_tasks import load_tasks

    return [dict(doc) for doc in load_tasks([TASK], {"docs_size": count}).tasks[TASK].test_docs()][:count]


def make(folder: Path, count: int, length: int) -> None:
    """Write the outputs that are replayed."""
    with (folder / "outputs.jsonl").open("w", encoding="utf-8") as file:
        for doc, text in zip(documents(count), texts(count, length), strict=True):
            file.write(json.dumps({"question": doc["question"], "text": text}) + "\n")


def command(*arguments: str) -> None:
    """A command of sftgen in this process."""
    from sftgen_train.cli import main

    sys.argv = ["sftgen", *arguments]
    try:
        main.main()
    except SystemExit as ended:
        if ended.code:
            raise


def own(folder: Path, count: int, length: int) -> None:
    """What lm_eval does without sftgen."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import evaluate
    from lm_eval.loggers import EvaluationTracker
    from recording import task

    import sftgen_train.cli.main  # noqa: F401  what a process of ours has loaded

    class Fixed(LM):  # type: ignore[misc]
        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return list(texts(count, length))

        loglikelihood = loglikelihood_rolling = generate_until

    tracker = EvaluationTracker(output_path=str(folder / "own"))
    found = evaluate(
        Fixed(), {"tasks": task(count), "groups": {}, "group_map": {}}, log_samples=True, bootstrap_iters=0
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    tracker.save_results_samples(task_name="fixed", samples=samples["fixed"])


def replay(folder: Path, count: int, length: int) -> None:
    """Stored outputs into a new run."""
    given = f"path={folder / 'outputs.jsonl'},text=text,key=question:question"
    command("eval", "--run", str(folder / "run"), "--model", "sftgen-replay", "--model_args", given, *options(count))


def again(folder: Path, count: int, length: int) -> None:
    """What is replayed from a run."""
    model = ("--model", "sftgen-replay", "--model_args", f"path={folder / 'run'}")
    command("eval", "--run", str(folder / "second"), *model, *options(count))


def steps(folder: Path, count: int, length: int) -> None:
    """Turn the second run into one with several steps of the same answers."""
    from sftgen_judges.records.store import RunFolder

    run = RunFolder(folder / "second")
    records = [replace(record, step=None) for record in run.read_generations(TASK)]
    for path in (run.path / "generations").iterdir():
        path.unlink()
    for step in STEPS:
        third = [record for number, record in enumerate(records) if number % len(STEPS) == step % len(STEPS)]
        run.add_generations([replace(record, step=step) for record in third])
    for name in ("samples.parquet", "metrics.jsonl", "evaluations.jsonl"):
        (run.path / name).unlink()


def rescore(folder: Path, count: int, length: int) -> None:
    """Score the run with several steps again."""
    command("rescore", str(folder / "second"))


def in_a_child(what: str, folder: Path, count: int, length: int) -> int:
    """Peak bytes of a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    line = [sys.executable, __file__, what, str(folder), str(count), str(length)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{what}: {done.stderr[-2000:]}")
    return int(done.stdout.split()[-1])


CHILDREN = {
    "make": make, "own": own, "replay": replay, "resume": replay, "again": again, "steps": steps, "rescore": rescore
}  # fmt: skip
SHOWN = {
    "own": "lm_eval alone", "replay": "outputs replayed", "resume": "taken from the run", "again": "run replayed",
    "rescore": "scored again",
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] and sys.argv[1] in CHILDREN:
        logging.disable(logging.INFO)
        CHILDREN[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    given = [int(number) for number in sys.argv[1:]]
    count, length = (given + [RESPONSES, CHARACTERS][len(given) :])[:2]
    peaks: dict[str, list[int]] = {name: [] for name in CHILDREN}
    for number in (count // 4, count):
        with tempfile.TemporaryDirectory() as folder:
            for name in CHILDREN:
                peaks[name].append(in_a_child(name, Path(folder), number, length))
    characters = (count - count // 4) * length
    held = {name: (large - small) / characters for name, (small, large) in peaks.items()}
    print(f"{count} responses of {length} characters   peak    bytes a character")
    for name, title in SHOWN.items():
        print(f"{title:<38} {peaks[name][1] / 1e6:8.0f} MB {held[name]:8.2f}")
    beyond = [held[name] - (held["own"] if name != "rescore" else 0) for name in SHOWN if name != "own"]
    ours = max(beyond)
    ratio = {"ratio": round(held["own"] / max(ours, 0.01), 2), "ours": round(ours, 2), "peer": round(held["own"], 2)}
    print(json.dumps({"name": "memory", **ratio, "unit": "bytes/character"}))


if __name__ == "__main__":
    main()
