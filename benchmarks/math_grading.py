r"""Our math grader and plain math-verify on the same real outputs, in one run.

    SFTGEN_DATA_DIR=/path/to/data python benchmarks/math_grading.py

The outputs are stored responses of public models to school and competition mathematics: `math/rg_*` and
`math/qwen_math_cot_100_samples` of the data folder. The peer is what its users write,
`verify(parse(gold), parse(response))`, one by one in one process. Ours is `grade_batch`: both of our
verdicts, in as many workers as there are cores, their start included. Our `paper` verdict has to be the
peer's on every response.

The last line is one JSON object: how many times faster we are, both times on the clock, and both in seconds
of computing (all processes), which other work on the machine disturbs less.
`docs/math_agreement.md` says what the time goes into.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from math_verify import parse, verify

from sftgen_judges import Item, split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks.aime24 import GRADER
from sftgen_tasks.data.tables import read_table

Pairs = list[tuple[str, str]]


def outputs(folder: Path) -> dict[str, Pairs]:
    """File name to pairs of gold answer and response; the few rows without a gold answer are left out."""
    found: dict[str, Pairs] = {}
    for path in sorted(folder.glob("math/rg_*.jsonl.gz")):
        found[path.name] = [
            (row["gold"], response["output"])
            for row in read_table(path)
            for response in row.get("completions", [row])
            if row["gold"]
        ]
    path = folder / "math/qwen_math_cot_100_samples.jsonl.gz"
    found[path.name] = [(row["answer"], response) for row in read_table(path) for response in row["code"]]
    return found


def plain(pairs: Pairs) -> list[bool]:
    """math-verify as its users call it."""
    return [verify(parse(f"\\boxed{{{gold}}}"), parse(response)) for gold, response in pairs]


def ours(pairs: Pairs) -> list[bool]:
    """The grader as a task calls it."""
    items = [Item({"answer": gold}, split_thinking(response)) for gold, response in pairs]
    return [bool(verdict.paper) for verdict in grade_batch(GRADER, items)]


def timed(grade: Callable[[Pairs], list[bool]], pairs: Pairs) -> tuple[float, list[bool]]:
    """Seconds and verdicts."""
    start = time.perf_counter()
    verdicts = grade(pairs)
    return time.perf_counter() - start, verdicts


def computing() -> float:
    """Seconds that this process and its workers have computed so far."""
    ticks = 0
    for worker in multiprocessing.active_children():
        numbers = Path(f"/proc/{worker.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(numbers[11]) + int(numbers[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Time both, file by file."""
    folder = os.environ.get("SFTGEN_DATA_DIR")
    if not folder:
        sys.exit("benchmarks/math_grading.py needs stored model outputs: set SFTGEN_DATA_DIR to their folder")
    for name in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warm_up = [("1", f"\\boxed{{{number}}}") for number in range(100)]
    start = computing()
    ours_total, ours_computing = timed(ours, warm_up)[0], computing() - start
    plain_total, plain_computing, different = timed(plain, warm_up)[0], computing() - start - ours_computing, 0
    print(f"{'file':<50} responses  plain  ours  ratio")
    print(f"{'start of the workers':<50} {'':>9} {plain_total:6.1f} {ours_total:5.1f}")
    for name, pairs in outputs(Path(folder)).items():
        start = computing()
        our_time, verdicts = timed(ours, pairs)
        middle = computing()
        plain_time, expected = timed(plain, pairs)
        ours_computing, plain_computing = ours_computing + middle - start, plain_computing + computing() - middle
        print(f"{name:<50} {len(pairs):>9} {plain_time:6.1f} {our_time:5.1f} {plain_time / our_time:6.1f}")
        for (gold, _), one, other in zip(pairs, verdicts, expected, strict=True):
            if one != other:
                different += 1
                print(f"  ours {one}, plain {other}: gold {gold}")
        ours_total, plain_total = ours_total + our_time, plain_total + plain_time
    print(f"{different} verdicts differ")
    ratio = {"ratio": round(plain_total / ours_total, 2), "ours": round(ours_total, 2), "peer": round(plain_total, 2)}
    computed = {"ours_computing": round(ours_computing, 2), "peer_computing": round(plain_computing, 2)}
    print(json.dumps({"name": "math_grading", **ratio, **computed, "unit": "s"}))


if __name__ == "__main__":
    main()
