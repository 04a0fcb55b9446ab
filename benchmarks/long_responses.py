"""What a response of 40,000 characters costs from the model's answer to the reader: time and memory a sample.

    python benchmarks/long_responses.py [RESPONSES] [CHARACTERS]

Ours is `sftgen eval --run` on stored outputs, four of five characters thinking: each response is written to disk as it
comes, split, graded in a batch and put into the run's tables; then all texts are read back with their verdicts. The
peer is lm_eval's own way: `evaluate` with a task whose rule looks for the last box, its sample log written and read
again as JSON. Each is a process of its own, with all responses and with a quarter of them: the difference is what the
responses cost, without the start. Medians of three turns count. Both must call half of the responses right.

Ours also labels every response (loops, repetition, endings, scripts), which the peer does not. The time of that is told
apart, as `labelling`; `benchmarks/anatomy.py` compares it.

The last line is one JSON object: milliseconds of processors a sample, ours and the peer's, and bytes of memory.
"""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from memory import TASK, command, documents, options, texts

RESPONSES, CHARACTERS = 400, 40_000
ROUNDS = 3


def answered(count: int, length: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Documents and responses; every second one is right."""
    for number, (doc, text) in enumerate(zip(documents(count), texts(count, length), strict=True)):
        said = doc["answer"] if number % 2 else "nothing"
        yield doc, text.replace("\\boxed{42}", f"\\boxed{{{said}}}")


def ours(folder: Path, count: int, length: int) -> tuple[int, float]:
    """Evaluate into a run, and read it; how many are right, and seconds of labelling."""
    import sftgen_train.results.run as results
    from sftgen_judges.records.query import open_records
    from sftgen_judges.records.store import RunFolder

    spent, label = [0.0], results.diagnosed

    def labelled(*given: Any, **settings: Any) -> Iterator[Any]:
        begun = time.process_time()
        found = list(label(*given, **settings))
        spent[0] += time.process_time() - begun
        return iter(found)

    results.diagnosed = labelled

    given = f"path={folder / 'outputs.jsonl'},text=text,key=question:question"
    command("eval", "--run", str(folder / "run"), "--model", "sftgen-replay", "--model_args", given, *options(count))
    read = sum(len(record.text) for record in RunFolder(folder / "run").read_generations(TASK))
    if read < count * length:
        sys.exit(f"{read} characters were read back of {count * length}")
    with open_records(folder / "run") as records:
        [row] = records.sql("SELECT sum(score) AS rights FROM samples").to_arrow().to_pylist()
    return int(row["rights"]), spent[0]


def peer(folder: Path, count: int, length: int) -> tuple[int, float]:
    """lm_eval's own evaluation, its sample log written and read."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import evaluate
    from lm_eval.loggers import EvaluationTracker
    from recording import task

    import sftgen_train.cli.main  # noqa: F401  what a process of ours has loaded

    answers = [str(doc["answer"]) for doc in documents(count)]

    class Fixed(LM):  # type: ignore[misc]
        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return [text for _, text in answered(count, length)]

        loglikelihood = loglikelihood_rolling = generate_until

    def rule(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
        box = results[0].rpartition("\\boxed{")[2].partition("}")[0]
        return {"long": float(box == answers[int(doc["question"])])}

    tasks = task(count)
    tasks["fixed"].config.process_results = rule
    found = evaluate(Fixed(), {"tasks": tasks, "groups": {}, "group_map": {}}, log_samples=True, bootstrap_iters=0)
    samples = found.pop("samples")
    tracker = EvaluationTracker(output_path=str(folder / "own"))
    tracker.save_results_aggregated(results=found, samples=samples)
    tracker.save_results_samples(task_name="fixed", samples=samples["fixed"])
    del samples
    [log] = (folder / "own").rglob("samples_*.jsonl")
    with log.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return int(sum(row["long"] for row in rows)), 0.0


CHILDREN = {"ours": ours, "peer": peer}


@dataclass(frozen=True)
class Spent:
    """What a process took: seconds of processors, those of labelling apart, and peak bytes; and how many were right."""

    seconds: float
    labelling: float
    peak: int
    right: int


def in_a_child(what: str, folder: Path, count: int, length: int) -> Spent:
    """What a process of its own took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, __file__, what, str(folder), str(count), str(length)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{what}: {done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, right, labelling = done.stdout.split()[-3:]
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(seconds - float(labelling), float(labelling), int(peak), int(right))


def turn(count: int, length: int) -> list[tuple[Spent, Spent]]:
    """Each side with a quarter of the responses, and with all of them."""
    found: dict[str, list[Spent]] = {name: [] for name in CHILDREN}
    for number in (count // 4, count):
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            with (folder / "outputs.jsonl").open("w", encoding="utf-8") as file:
                for doc, text in answered(number, length):
                    file.write(json.dumps({"question": doc["question"], "text": text}) + "\n")
            for name, spent in found.items():
                spent.append(in_a_child(name, folder, number, length))
    if {large.right for _, large in found.values()} != {count // 2}:
        sys.exit(f"right: {[large.right for _, large in found.values()]}, not {count // 2}")
    return [(small, large) for small, large in found.values()]


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] and sys.argv[1] in CHILDREN:
        logging.disable(logging.INFO)
        right, labelling = CHILDREN[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, right, labelling)
        return
    given = [int(number) for number in sys.argv[1:]]
    count, length = (given + [RESPONSES, CHARACTERS][len(given) :])[:2]
    more = count - count // 4
    rounds = [dict(zip(CHILDREN, turn(count, length), strict=True)) for _ in range(ROUNDS)]
    cost, held, labelling = [], [], 0.0
    for name in CHILDREN:
        pairs = [one[name] for one in rounds]
        cost.append(1000 * median(large.seconds - small.seconds for small, large in pairs) / more)
        held.append(round(median(large.peak - small.peak for small, large in pairs) / more))
        labelling += 1000 * median(large.labelling - small.labelling for small, large in pairs) / more
    for name, milliseconds, size in zip(CHILDREN, cost, held, strict=True):
        print(f"{name}: {milliseconds:.2f} ms of processors and {size / 1e3:.0f} kB of memory a sample")
    print(f"labelling: {labelling:.2f} ms more")
    figures = {
        "ratio": round(cost[1] / cost[0], 2), "ours": round(cost[0], 3), "peer": round(cost[1], 3),
        "unit": "CPU ms/sample", "labelling": round(labelling, 2), "ours_bytes": held[0], "peer_bytes": held[1],
    }  # fmt: skip
    print(json.dumps({"name": "long_responses", **figures}))


if __name__ == "__main__":
    main()
