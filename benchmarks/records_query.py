"""What a question to the records of a long run costs, beside reading them into Python.

    python benchmarks/records_query.py [SAMPLES_A_STEP]

The samples of `long_run.py`, 360,000 in all, with texts of 2,000 to 30,000 characters for
MATH500: once as journals alone, once as a training that still goes on leaves them (its samples are compacted as they
come, the last 5,000 are in the journal), once compacted. The peer is what stood before: every line of `samples.jsonl`
parsed into Python, the mean over repeats of each document (`Run.scores`). Each reading is a child
process of its own with two threads, so that its peak memory is its own; imports are counted.

* first: a process that opens the run and asks for the mean score by task and step;
* next: the slowest of six other aggregates by task and step after that;
* document: all texts of one document across all checkpoints.

The last line is one JSON object: how many times longer the peer takes than a first answer from a compacted run.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

from long_run import A_STEP, STEPS, TASKS, samples, texts

from sftgen_judges.records.schema import doc_hash

TEXTS = "sftgen_math500"
SETS = ("journals", "training", "compacted")
FIRST = "SELECT task, step, avg(score) AS mean, count(*) AS n FROM samples GROUP BY ALL"
NEXT = (
    "SELECT task, step, avg(truncated::INT), avg(tokens) FROM samples GROUP BY ALL",
    "SELECT task, step, quantile_cont(tokens, 0.9), max(thinking_tokens) FROM samples GROUP BY ALL",
    "SELECT task, step, status, count(*) FROM samples GROUP BY ALL",
    "SELECT task, step, count(DISTINCT answer), mode(answer) FROM samples GROUP BY ALL",
    "SELECT task, step, measure, avg(value) FROM measures GROUP BY ALL",
    "SELECT task, step, avg(best) FROM (SELECT task, step, doc_hash, max(score) AS best FROM samples GROUP BY ALL) "
    "GROUP BY ALL",
)


def make(folder: Path, share: str) -> int:
    """Write the set into `journals`, `training` and `compacted`; returns the number of samples."""
    import pyarrow as pa
    from pyarrow import parquet

    from sftgen_judges.records.store import RunFolder

    journals, training, compacted = (folder / name for name in SETS)
    for run in (journals, training, compacted):
        (run / "generations").mkdir(parents=True)
        (run / "manifest.json").write_text(json.dumps({"schema": 3, "run": "0123456789ab"}))
    made = list(samples(float(share)))
    for rows in (made[:-5000], made[-5000:]):
        RunFolder(training).add_evaluation(rows, [], {})
    written = list(texts((row for row in made if row["task"] == TEXTS), 2_000, 30_000))
    for rows, name, order, groups in (
        (made, "samples", ("task", "step", "doc_hash", "repeat"), None),
        (written, f"generations/{TEXTS}", ("doc_hash", "repeat", "step"), 2048),
    ):
        with (journals / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if name.startswith("generations"):
            shutil.copy(journals / f"{name}.jsonl", training / f"{name}.jsonl")
        for row in rows:
            row |= {column: json.dumps(row[column]) for column in ("measures", "sampling") if column in row}
        rows.sort(key=lambda row: tuple(row[column] for column in order))
        table = pa.Table.from_pylist(rows)
        parquet.write_table(table, compacted / f"{name}.parquet", compression="zstd", row_group_size=groups)
    return len(made)


def read(folder: Path) -> dict[str, float]:
    """In a process of its own: seconds of each question, and peak memory in MB."""
    started = time.perf_counter()
    from sftgen_judges.records.query import open_records

    def seconds(query: str, *parameters: Any) -> float:
        begun = time.perf_counter()
        if not records.sql(query, parameters).to_arrow().num_rows:
            sys.exit(f"no answer to {query}")
        return time.perf_counter() - begun

    records = open_records(folder)
    seconds(FIRST)
    found = {"first": time.perf_counter() - started, "again": seconds(FIRST), "next": max(map(seconds, NEXT))}
    document = doc_hash({"task": TEXTS, "id": 1})
    for name in ("first_document", "document"):
        begun = time.perf_counter()
        if records.document(TEXTS, document).to_arrow().num_rows != len(STEPS) * TASKS[TEXTS][1]:
            sys.exit("texts of the document are missing")
        found[name] = time.perf_counter() - begun
    return {**found, "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def read_into_python(folder: Path) -> dict[str, float]:
    """In a process of its own: the scores as they were read before there were views."""
    started = time.perf_counter()
    found: dict[tuple[str, int, str], dict[int, float]] = defaultdict(dict)
    with (folder / "samples.jsonl").open("rb") as file:
        for line in file:
            row = json.loads(line.decode("utf-8", "surrogatepass"))
            if row["score"] is not None:
                found[row["task"], row["step"], row["doc_hash"]][row["repeat"]] = row["score"]
    scores: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for (task, step, document), repeats in found.items():
        scores[task][step][document] = fmean(repeats.values())
    means = {(task, step): fmean(of.values()) for task, steps in scores.items() for step, of in steps.items()}
    if len(means) != len(TASKS) * len(STEPS):
        sys.exit("scores are missing")
    seconds = time.perf_counter() - started
    return {"first": seconds, "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_a_child(what: str, folder: Path, *arguments: str) -> Any:
    """What a process of its own says; one that was forked off a large process would begin with that one's peak."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    line = [sys.executable, __file__, what, str(folder), *arguments]
    limit = {"preexec_fn": lambda: os.sched_setaffinity(0, cores)}
    return json.loads(subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, **limit).stdout)


def median(what: str, folder: Path) -> dict[str, float]:
    """What a reading costs: the median of three rounds."""
    rounds = [in_a_child(what, folder) for _ in range(3)]
    return sorted(rounds, key=lambda found: float(found["first"]))[1]


def main() -> None:
    """Make the set, read it and print."""
    if sys.argv[1:2] and sys.argv[1] in CHILDREN:
        print(json.dumps(CHILDREN[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])))
        return
    share = int(sys.argv[1]) / A_STEP if sys.argv[1:] else 1.0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        count = in_a_child("make", folder, str(share))
        for path in sorted(path for path in folder.rglob("*") if path.suffix != ".json" and path.is_file()):
            print(f"{path.stat().st_size / 1e6:8.1f} MB  {path.relative_to(folder)}")
        peer = median("read_into_python", folder / "journals")
        print(f"{count} samples       first    again     next  first document  document     peak")
        print(f"JSONL into Python {peer['first']:7.2f} s {'':41} {peer['MB']:8.0f} MB")
        for name in SETS:
            found = median("read", folder / name)
            print(
                f"{name:<17} {found['first']:7.2f} s {found['again']:6.3f} s {found['next']:6.3f} s "
                f"{found['first_document']:13.3f} s {found['document']:7.3f} s {found['MB']:8.0f} MB"
            )
    ratio = {"ratio": round(peer["first"] / found["first"], 2), "ours": round(found["first"], 3)}
    print(json.dumps({"name": "records_query", **ratio, "peer": round(peer["first"], 3), "unit": "s"}))


CHILDREN = {"make": make, "read": read, "read_into_python": read_into_python}

if __name__ == "__main__":
    main()
