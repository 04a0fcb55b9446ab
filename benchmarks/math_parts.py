"""What each part of the math grader gains in speed, alone and together, over stored outputs of public models.

    SFTGEN_DATA_DIR=/path/to/data python benchmarks/math_parts.py [EVERY]

Only every EVERY-th response is graded, for a shorter run; all without it.

The parts are `latex` (`sftgen_tasks/math/latex.py`: parses faster), `difference` (`difference.py`: compares without
simplification) and `keeping` (`reading.py` keeps what was read). Every combination runs in a process of its own, on the
same responses in turn, so that other work on the machine disturbs all of them alike. A figure is the CPU time of that
process, imports not counted. Two questions are timed apart:

* `paper`: `verify(parse(gold), parse(response))` of math-verify, which is also timed as its users call it (`peer`);
* `both`: the grader as a task calls it, that is, the `paper` and the `strict` rule.

Every combination has to give the same verdicts. The last line is one JSON object with the figures; `ours` is the
question `paper` with all parts.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from math_grading import Pairs, outputs

PARTS = ("latex", "difference", "keeping")
PEER = "peer"
CHUNK = 100
"""Responses after which the next combination has its turn."""

Grade = Callable[[str, str], tuple[Any, ...]]


def grader(variant: str, question: str) -> Grade:
    """The function to be timed in this process, with the parts of `variant` alone switched on."""
    import math_verify
    from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy

    from sftgen_judges import split_thinking
    from sftgen_tasks.math import grading, reading

    if "latex" not in variant:
        reading.latex_reader = lambda: _Latex2Sympy
    if "difference" not in variant:
        reading.differ = lambda gold, answer: False
    if "keeping" not in variant:
        reading.read = reading.read.__wrapped__
        reading.parse_latex = reading.parse_latex.__wrapped__

    def both(gold: str, text: str) -> tuple[Any, ...]:
        verdict = grading.grade(gold, gold, split_thinking(text))
        return verdict.paper, verdict.score, verdict.status

    def paper(gold: str, text: str) -> tuple[Any, ...]:
        return (grading.paper_equivalent(gold, text),)

    def peer(gold: str, text: str) -> tuple[Any, ...]:
        return (math_verify.verify(math_verify.parse(rf"\boxed{{{gold}}}"), math_verify.parse(text)),)

    return peer if variant == PEER else paper if question == "paper" else both


def serve(variant: str, question: str, line: Connection) -> None:
    """Answer chunks of pairs with verdicts and CPU seconds."""
    for name in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(name).setLevel(logging.ERROR)
    grade = grader(variant, question)
    grade(r"\frac{1}{2}", r"\boxed{\frac{x}{2}}")  # imports and tables
    while (pairs := line.recv()) is not None:
        start = time.process_time()
        verdicts = [grade(gold, text) for gold, text in pairs]
        line.send((verdicts, time.process_time() - start))


def measure(pairs: Pairs, variants: list[str], question: str) -> dict[str, float]:
    """CPU seconds of each variant."""
    spawn = multiprocessing.get_context("spawn")
    lines: dict[str, Connection] = {}
    for variant in variants:
        lines[variant], far = spawn.Pipe()
        spawn.Process(target=serve, args=(variant, question, far), daemon=True).start()
    seconds = dict.fromkeys(variants, 0.0)
    for place in range(0, len(pairs), CHUNK):
        chunk, verdicts = pairs[place : place + CHUNK], {}
        for variant, line in lines.items():
            line.send(chunk)
            verdicts[variant], spent = line.recv()
            seconds[variant] += spent
        for (gold, _), *found in zip(chunk, *verdicts.values(), strict=True):
            if len(set(found)) > 1:
                print(f"  gold {gold}: {dict(zip(variants, found, strict=True))}")
    for line in lines.values():
        line.send(None)
    return seconds


def named(parts: set[str]) -> str:
    """A combination in words."""
    return " + ".join(part for part in PARTS if part in parts) or "none"


def main() -> None:
    """Time every combination, for both questions."""
    folder = os.environ.get("SFTGEN_DATA_DIR")
    if not folder:
        sys.exit("benchmarks/math_parts.py needs stored model outputs: set SFTGEN_DATA_DIR to their folder")
    pairs = [pair for found in outputs(Path(folder)).values() for pair in found][
        :: int(sys.argv[1]) if sys.argv[1:] else 1
    ]
    switches = product((True, False), repeat=len(PARTS))
    combinations = [named({part for part, on in zip(PARTS, row, strict=True) if on}) for row in switches]
    figures: dict[str, Any] = {"name": "math_parts", "responses": len(pairs), "unit": "CPU s"}
    for question in ("paper", "both"):
        variants = [*combinations, PEER] if question == "paper" else combinations
        seconds = measure(pairs, variants, question)
        gains = {}
        for part in PARTS:
            alone, others = seconds["none"] / seconds[part], seconds[named(set(PARTS) - {part})]
            gains[part] = {"alone": round(alone, 2), "on top": round(others / seconds[named(set(PARTS))], 2)}
        print(f"{question + ':':<30} seconds  times faster than none")
        for variant, spent in seconds.items():
            print(f"{variant:<30} {spent:7.1f} {seconds['none'] / spent:7.2f}", flush=True)
        if PEER in seconds:
            ours, peer = seconds[named(set(PARTS))], seconds[PEER]
            figures |= {"ratio": round(peer / ours, 2), "ours": round(ours, 2), "peer": round(peer, 2)}
        figures[question] = {"seconds": {one: round(spent, 1) for one, spent in seconds.items()}, "gains": gains}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
