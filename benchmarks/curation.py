"""Curation on the real MATH500: how fast responses are verified, and sets selected and written; what memory it takes.

    python benchmarks/curation.py MATH_FOLDER [--copies 40]

MATH_FOLDER holds `math500_test.jsonl` and stored outputs `rg_*.jsonl.gz` with `gold` and `output` (for example
`$SFTGEN_DATA_DIR/math`). The responses are the stored outputs; in the pool each stands under a number of its own, so
that none is graded twice. Their thinking is repeated until a response has about `--characters` characters.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

Pair = tuple[str, str, str]


def stored(folder: Path) -> list[Pair]:
    """Question, right answer and output of all stored outputs."""
    pairs = []
    for path in sorted(folder.glob("rg_*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                if isinstance(row.get("output"), str) and row.get("gold") not in (None, ""):
                    pairs.append(
                        (str(row.get("question") or row.get("problem") or ""), str(row["gold"]), row["output"])
                    )
    return pairs


def verification(folder: Path) -> dict[str, Any]:
    """Responses a second on all cores (ours) and on one (peer)."""
    from sftgen_judges.plugins.contracts import Item
    from sftgen_judges.plugins.manager import lookup
    from sftgen_judges.records.thinking import split_thinking
    from sftgen_judges.scoring.grading import grade_batch

    with (folder / "math500_test.jsonl").open() as file:
        golds = [json.loads(line) for line in file]
    items = [Item({"answer": gold}, split_thinking(output)) for _, gold, output in stored(folder)]
    items += [Item({"answer": doc["answer"]}, split_thinking(doc["solution"])) for doc in golds]
    grader = lookup("grader", "math_verify")
    cores = len(os.sched_getaffinity(0))
    rates, spent = {}, {}
    for used in (1, cores):
        grade_batch(grader, [Item({"answer": str(n)}, split_thinking(f"\\boxed{{{n}}}")) for n in range(200)])  # warm
        used_before, here, begun = _cpu(), time.process_time(), time.perf_counter()
        if used == 1:
            for item in items:
                grader.grade(item.doc, item.response)
        else:
            grade_batch(grader, items)
        seconds = time.perf_counter() - begun
        rates[used], spent[used] = len(items) / seconds, _cpu() - used_before
        here = time.process_time() - here
        print(
            f"verified {len(items):,} on {used} core(s): {seconds:.1f} s, {rates[used]:.0f}/s, "
            f"{spent[used]:.1f} s of CPU, {here:.1f} s of it in the process that hands out",
            flush=True,
        )
    print(f"{rates[cores] / rates[1]:.2f} x one core on {cores}; load of the machine now: {os.getloadavg()[0]:.1f}")
    # What the cores would do alone: all are busy as long as handing out takes one of them less than its share.
    print(f"by CPU time at most {spent[1] / max(spent[cores] / cores, here):.2f} x", flush=True)
    ratio = round(rates[cores] / rates[1], 3)
    return {"ratio": ratio, "ours": round(rates[cores]), "peer": round(rates[1]), "unit": "responses/s"}


def _cpu() -> float:
    """Seconds of this process and of those that it has started, which live on between two batches."""
    ours = psutil.Process()
    return sum(sum(of.cpu_times()[:2]) for of in (ours, *ours.children(recursive=True)))


def write_pool(folder: Path, pairs: list[Pair], copies: int, characters: int) -> Path:
    """A pool as the harness leaves it, of stored outputs: its records are written without a model."""
    from sftgen_judges.records.schema import GenerationRecord, doc_hash, sampling_id
    from sftgen_judges.records.store import RunFolder
    from sftgen_train.curation.configuration import read_curation
    from sftgen_train.curation.pool import generating, prompts
    from sftgen_train.results.blocks import block_name

    samples, block = 2, 1024

    def rows() -> Iterator[dict[str, Any]]:
        for copy in range(copies):
            for number, (question, gold, _) in enumerate(pairs):
                yield {"problem": f"{copy}.{number}. {question}", "answer": gold, "uuid": f"{copy}-{number}"}

    source = folder / "prompts.jsonl"
    with source.open("w") as file:
        for row in rows():
            file.write(json.dumps(row) + "\n")
    server = {"backend": "sftgen-chat", "model": "stored", "base_url": "http://127.0.0.1:9/v1"}
    config = {
        "out": str(folder / "pool"), "block": block,
        # `exact` has no check of right answers, which `verification` has timed.
        "prompts": {"source": str(source), "id": "uuid", "grader": "exact"},
        "teacher": {**server, "samples": samples},
        "sets": {"random": {"steps": [{"random": {"keep": 2}}]}, "short": {"steps": ["finished", "shortest"]}},
    }  # fmt: skip
    path = folder / "curate.yaml"
    path.write_text(yaml.safe_dump(config))
    curation = read_curation(path)
    documents = prompts.prepare(curation)
    run = RunFolder(curation.folder)
    run.require_usable()
    sampling = {"temperature": 0.6}
    evaluations, index = [], []
    for block_number in range(documents.blocks):
        task = block_name(block_number)
        made = []
        for place, doc in enumerate(documents.read(block_number)):
            question, _, output = pairs[(block_number * block + place) % len(pairs)]
            thinking = f"{question}\n{output}\n" * (characters // (len(output) + len(question) + 2))
            text = f"<think>\n{thinking}</think>\n\n{output}"
            for repeat in range(samples):
                made.append(
                    GenerationRecord(
                        task, None, "stored", doc_hash(doc), repeat, "prompt", sampling, text, "stop", len(text) // 4
                    )
                )
                index.append(
                    {
                        "run": "stored", "model": "stored", "sampling_id": sampling_id(sampling), "task": task,
                        "doc_id": doc["id"], "doc_hash": doc_hash(doc), "repeat": repeat, "prompt_hash": "prompt",
                        "status": "ok", "score": float(repeat == 0), "measures": {}, "truncated": False,
                        "think": "closed", "tokens": len(text) // 4, "finish_reason": "stop", "scorer": "exact",
                        "evaluation_version": 2, "evaluated_at": "2026-01-01T00:00:00+00:00",
                    }
                )  # fmt: skip
        run.add_generations(made)
        run.append(run.samples, index)
        index.clear()
        run.compact()
        evaluations.append(
            {"status": "ok", "tasks": {task: {"docs": documents.size(block_number), "repeats": samples}}}
        )
    run.append(run.evaluations, evaluations)
    facts = {"teacher": curation.teacher.model_dump(mode="json"), "grader": generating.grader_facts(curation)}
    run.update_manifest(model="stored", model_id="stored", curation=facts)
    return path


MAKE = """
import json, resource, sys, time
from pathlib import Path

import psutil

from sftgen_train.curation.configuration import read_curation
from sftgen_train.curation.curate import make_pool, make_sets

def cpu():
    ours = psutil.Process()
    return sum(sum(of.cpu_times()[:2]) for of in (ours, *ours.children(recursive=True)))

if __name__ == "__main__":
    pool = make_pool(read_curation(Path(sys.argv[1])))
    begun, used, rates = time.perf_counter(), cpu(), []
    for written in make_sets(pool, int(sys.argv[2])):
        seconds, spent, rows = time.perf_counter() - begun, cpu() - used, written.made.rows
        rates.append(60 * rows / seconds)
        print(f"  {written.name}: {rows:,} rows in {seconds:.1f} s, {rates[-1]:,.0f} a minute;", end=" ")
        print(f"{spent:.1f} s of CPU of the processes that live on; {written.made.content_hash}")
        begun, used = time.perf_counter(), cpu()
    most = [resource.getrusage(of).ru_maxrss >> 10 for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"  most memory: {most[0]} MiB here, {most[1]} MiB in a worker", flush=True)
    Path(sys.argv[3]).write_text(json.dumps(min(rates)))
"""
"""Makes the sets of a pool in a process of its own, whose memory is its own too."""


def making(pairs: list[Pair], copies: int, characters: int) -> dict[str, Any]:
    """Rows a minute of the slowest set, and the most memory that a process took, at two sizes of the pool."""
    slowest = []
    for size in (copies // 4, copies):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_pool(folder, pairs, size, characters)
            (folder / "make.py").write_text(MAKE)
            texts = sum(path.stat().st_size for path in (folder / "pool" / "generations").glob("*.parquet"))
            print(f"pool of {size * len(pairs) * 2:,} responses, {texts >> 20} MiB of texts on disk", flush=True)
            cores = len(os.sched_getaffinity(0))
            os.spawnv(
                os.P_WAIT,
                sys.executable,
                [
                    sys.executable,
                    *(str(folder / of) for of in ("make.py", "curate.yaml")),
                    str(cores),
                    str(folder / "rate"),
                ],
            )
            slowest.append(json.loads((folder / "rate").read_text()))
    return {"rows_a_minute": round(min(slowest))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--characters", type=int, default=8000)
    parser.add_argument("--only", choices=("verification", "making"))
    given = parser.parse_args()
    found: dict[str, Any] = {}
    if given.only != "making":
        found |= verification(given.folder)
    if given.only != "verification":
        found |= making(stored(given.folder), given.copies, given.characters)
    print(json.dumps({"name": "curation", **found}))
