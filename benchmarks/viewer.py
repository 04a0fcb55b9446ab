"""How long a person waits for a page of `sftgen view` over 360,000 samples, and the memory that it takes.

    python benchmarks/viewer.py [SAMPLES_A_STEP] [ROUNDS]

The run is that of `records_query.py`, compacted, with metrics and with prompts of 600 characters for every document.
The viewer runs as a process of its own on two cores and is asked over HTTP, as a browser asks it: ten kinds of
requests, each ROUNDS times (20 by default) with other values. `first` is the first page of a viewer that has just
printed its address. `CPU` is the viewer's processor time a request, which other work on the machine does not change.
Memory is the peak of the viewer's process, and of the one that works out verdicts beside it.

The peer is the same question without the records' reader: every sample parsed into Python, and the items that were
lost from the first step to the last counted. The last line is one JSON object: how many times longer that takes than
the median of the slowest kind of request.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import requests
from long_run import A_STEP, STEPS, TASKS, samples
from records_query import TEXTS, in_a_child

from sftgen_judges.records.schema import doc_hash

QUESTION = 12 * "x be the sum so that it is a question of its own "


def add_metrics_and_prompts(folder: Path, share: float) -> None:
    """What an evaluation writes beside samples and texts."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in samples(share):
        found[row["task"], row["step"]].append(row)
    rows = [
        {
            "run": "0123456789ab", "model": of[0]["model"], "sampling_id": of[0]["sampling_id"], "step": step,
            "task": task, "status": "ok", "metric": metric, "mean": sum(float(row[name]) for row in of) / len(of),
            "low": 0.0, "high": 1.0, "n": len(of), "docs": len({row["doc_hash"] for row in of}),
            "evaluation_version": 2, "evaluated_at": of[0]["evaluated_at"],
        }
        for (task, step), of in found.items()
        for metric, name in (("score", "score"), ("truncated", "truncated"), ("response_tokens", "tokens"))
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "prompts").mkdir()
    for task in TASKS:
        documents = sorted({row["doc_hash"] for row in found[task, 0]})
        lines = (
            {"task": task, "doc_hash": name, "prompt_hash": name[:16], "prompt": f"{place}: {QUESTION}"}
            for place, name in enumerate(documents)
        )
        (folder / "prompts" / f"{task}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def requests_of(share: float) -> dict[str, Callable[[int], str]]:
    """Ten kinds of requests to a run of a share of all documents; each call gives another address."""
    words = ("sum", "wait,")
    tasks, steps = list(TASKS), [step for step in STEPS if step]

    def task(place: int) -> str:
        return tasks[place % len(tasks)]

    def step(place: int) -> int:
        return steps[place % len(steps)]

    def later(place: int) -> int:
        return 2 + round(30 * share) * (place % 4)

    def item(place: int) -> str:
        return doc_hash({"task": TEXTS, "id": place})

    return {
        "first page": lambda _: "/",
        "grid": lambda _: "/grid",
        "all items": lambda place: f"/items?step={step(place)}",
        "lost at a step": lambda place: f"/items?step={step(place)}&change=lost",
        "won, a task": lambda place: f"/items?task={task(place)}&change=won&sort=gain",
        "truncated, longest": lambda place: f"/items?step={step(place)}&cut=yes&sort=tokens",
        "a later page": lambda place: f"/items?change=kept&page={later(place)}&step={step(place)}",
        "text in responses": lambda place: f"/items?task={TEXTS}&step={step(place)}&q=3.14+{words[place % 2]}",
        "text in questions": lambda place: f"/items?q={place}7:&where=questions",
        "an item": lambda place: f"/item?of={TEXTS}&doc={item(place)}&n={place}&task={TEXTS}",
    }  # fmt: skip


@contextmanager
def viewing(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A viewer on two cores: its address and its process."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    line = [sys.executable, "-m", "sftgen_train", "view", str(folder), "--no-browser"]
    limit = {"preexec_fn": lambda: os.sched_setaffinity(0, cores)}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, **limit) as process:
        assert process.stdout
        try:
            found = re.match(r"http://\S+", process.stdout.readline())
            if not found:
                sys.exit("the viewer did not start")
            yield found[0], psutil.Process(process.pid)
        finally:
            process.terminate()


def peak(process: psutil.Process) -> float:
    """Peak memory of a process in MB; 0 of one that has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    except FileNotFoundError:
        found = None
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def processor(process: psutil.Process) -> float:
    """Seconds of processor time that a process has taken."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(folder: Path, rounds: int, share: float) -> dict[str, list[float]]:
    """Seconds of every request, and the memory in MB."""
    found: dict[str, list[float]] = {}
    with viewing(folder) as (address, process), requests.Session() as session:
        base = address.partition("/?")[0]
        begun = time.perf_counter()
        session.get(address).raise_for_status()

        def seconds(path: str) -> float:
            begun = time.perf_counter()
            answer = session.get(base + path)
            answer.raise_for_status()
            if path.startswith("/items") and "nothing fits" in answer.text:
                sys.exit(f"{path} lists nothing")
            return time.perf_counter() - begun

        seconds("/")
        found["first"] = [time.perf_counter() - begun]
        for kind, path in requests_of(share).items():
            before = processor(process)
            found[kind] = [seconds(path(place)) for place in range(rounds)]
            found[f"{kind}, CPU"] = [(processor(process) - before) / rounds]
        found["MB"] = [peak(process)]
        begun, beside = time.perf_counter(), 0.0
        while "Working out" in session.get(f"{base}/verdicts?run=0123456789ab").text:
            beside = max([beside, *(peak(child) for child in process.children(recursive=True))])
            time.sleep(0.2)
        found["verdicts"], found["beside"] = [time.perf_counter() - begun], [beside]
    return found


def into_python(folder: Path) -> float:
    """Seconds in which plain Python counts the lost items, from the journal."""
    begun = time.perf_counter()
    scores: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (folder / "samples.jsonl").open("rb") as file:
        for line in file:
            row = json.loads(line)
            scores[row["task"], row["doc_hash"]][row["step"]].append(row["score"])
    means = ({step: sum(of) / len(of) for step, of in steps.items()} for steps in scores.values())
    if not sum(steps[STEPS[-1]] < steps[0] for steps in means):
        sys.exit("nothing was lost")
    return time.perf_counter() - begun


def main() -> None:
    """Make the run, ask and print."""
    share = int(sys.argv[1]) / A_STEP if sys.argv[1:] else 1.0
    rounds = int(sys.argv[2]) if sys.argv[2:] else 20
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        count = in_a_child("make", folder, str(share))
        add_metrics_and_prompts(folder / "compacted", share)
        peer = into_python(folder / "journals")
        found = measure(folder / "compacted", rounds, share)
    kinds = {kind: sorted(found[kind]) for kind in requests_of(share)}
    print(f"{count} samples, {rounds} requests of a kind     median       p95       CPU")
    for kind, seconds in kinds.items():
        late, taken = seconds[min(rounds - 1, round(0.95 * rounds))], found[f"{kind}, CPU"][0]
        print(f"{kind:<38} {median(seconds):8.3f} s {late:7.3f} s {taken:7.3f} s")
    print(f"first page of a viewer that just started {found['first'][0]:6.3f} s")
    print(f"verdicts, in the background {found['verdicts'][0]:19.3f} s")
    print(f"memory {found['MB'][0]:.0f} MB, of the process that works out verdicts {found['beside'][0]:.0f} MB")
    slowest = max(median(seconds) for seconds in kinds.values())
    result = {"ratio": round(peer / slowest, 2), "ours": round(slowest, 3), "peer": round(peer, 3), "unit": "s"}
    print(json.dumps({"name": "viewer", **result}))


if __name__ == "__main__":
    main()
