"""What the diagnostics that need no model cost on a long run.

    python benchmarks/diagnosing.py [SHARE] [FOLDER]

The samples of `long_run.py`, 360,000 in all, each with a text of some 500 characters, compacted as a finished run is.
The run is made once in FOLDER, if one is named; its labels are made anew each time. Each line is a child process, so
that its peak memory is its own; imports are counted.

* labels: `sftgen diagnose RUN --only anatomy`, where nothing is labelled yet;
* again: the same once more, where every label is known;
* course: `sftgen diagnose RUN --only stability,consistency`;
* findings: reading the findings of all of them, as the report does;
* validate: `sftgen diagnose --validate anatomy --labels FILE` on a labelled set of 100 MB.

The last line is one JSON object: the highest peak in MB beside the limit, and their quotient.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

from long_run import WORDS, samples, texts

LIMIT_MB = 500
LINES = {
    "labels": ["anatomy"],
    "again": ["anatomy"],
    "course": ["stability", "consistency"],
    "findings": [],
    "validate": [],
}
LABELS = "labels.jsonl"


def make(folder: Path, share: float) -> int:
    """Write the run; returns the number of samples."""
    from sftgen_judges.records.store import RunFolder

    run, made = RunFolder(folder), 0
    run.update_manifest(model="m", tasks=[], in_domain=[])
    for (step, task), of in groupby(samples(share), key=lambda row: (row["step"], row["task"])):
        rows = list(of)
        run.append(run.generations(task), texts(rows, 200, 800))
        run.add_evaluation(rows, [], {"step": step, "status": "ok", "seconds": 1.0, "at": rows[0]["evaluated_at"]})
        made += len(rows)
    run.compact()
    return made


def make_labels(path: Path, megabytes: float) -> None:
    """Write a labelled set of so many MB; one document in ten is of the part that is measured."""
    rng = random.Random(2)
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"labelled_set": "large", "segment_labels": ["loop"]}) + "\n")
        for number in range(round(megabytes * 150)):
            text = " ".join(rng.choices(WORDS, k=1_500))
            row = {
                "id": str(number), "question": "", "thinking": text, "split": "dev" if number % 10 else "test",
                "spans": [{"label": "loop", "start": 10, "end": 90}],
            }  # fmt: skip
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def work(line: str, folder: Path) -> None:
    """One line, in this process: prints its seconds and its peak memory."""
    started = time.perf_counter()
    from sftgen_judges.records.store import RunFolder
    from sftgen_train.cli.main import app
    from sftgen_train.report.findings import read_findings

    if line == "findings":
        found = len(read_findings(RunFolder(folder)))
    elif line == "validate":
        labels = str(folder.parent / LABELS)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            app(["diagnose", "--validate", "anatomy", "--labels", labels, "--format", "json"], standalone_mode=False)
        found = len(json.loads(printed.getvalue())["validations"])
    else:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            only = [part for name in LINES[line] for part in ("--only", name)]
            app(["diagnose", str(folder), "--format", "json", *only], standalone_mode=False)
        told = json.loads(printed.getvalue())
        assert not told["failed"], told["failed"]
        found = len(told["findings"])
    [peak] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())  # ru_maxrss begins with the parent's
    cpu = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    seconds = time.perf_counter() - started
    print(json.dumps({"findings": found, "s": seconds, "cpu_s": cpu, "peak_mb": int(peak) * 1024 / 1e6}))


def main() -> None:
    """All lines, each in a process of its own."""
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    peaks = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else made) / "run"
        if not folder.exists():
            print(f"{make(folder, share):,} samples")
        shutil.rmtree(folder / "labels", ignore_errors=True)
        make_labels(folder.parent / LABELS, 100 * share)
        for line in LINES:
            child = [sys.executable, __file__, "--line", line, str(folder)]
            kept = {**os.environ, "XDG_CACHE_HOME": made}  # what is measured of a diagnostic is kept there
            ended = subprocess.run(child, check=True, capture_output=True, text=True, env=kept)
            told = json.loads(ended.stdout.splitlines()[-1])
            peaks.append(told["peak_mb"])
            print(
                f"{line:9} {told['s']:7.1f} s  {told['cpu_s']:7.1f} s of processor  {told['peak_mb']:5.0f} MB  "
                f"{told['findings']} findings",
                flush=True,
            )
        size = sum(path.stat().st_size for path in (folder / "labels").rglob("*") if path.is_file())
        print(f"labels on disk: {size / 1e6:.0f} MB")
    ours = round(max(peaks))
    told = {"name": "diagnosing", "ratio": round(LIMIT_MB / ours, 2), "ours": ours, "peer": LIMIT_MB, "unit": "MB"}
    print(json.dumps(told))


if __name__ == "__main__":
    work(sys.argv[2], Path(sys.argv[3])) if sys.argv[1:2] == ["--line"] else main()
