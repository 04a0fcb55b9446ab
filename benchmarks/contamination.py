r"""How well each method finds planted MATH500 questions among 20,000 rows, and what it costs.

    SFTGEN_DATA_DIR=DATA python benchmarks/contamination.py [--embedder MODEL] [--likeness 0.75] [--judge NAME]

The rows are MMLU-Pro's questions with the answers of two models. 20 MATH500 questions are copied into prompts with
other words after them, 20 more with every number changed, 20 more as the paraphrases below. Printed as a table: recall
of each kind, precision (planted rows among those found), and microseconds a row and benchmark of one core, for as many
benchmarks as DATA holds. `numbers` is meant to find questions with other numbers, the others are not.

With an embedder, paraphrases are searched too: `embedding` takes every pair from a cosine on. Only for that method the
rows are 1,000, because an encoder on a CPU takes milliseconds. With `--judge` (for example `same-question`; its model
and server are those of the environment, see docs/judges.md) one more line measures what the judge leaves of these
pairs, and the pairs without a judgement are counted.

The last line is one JSON object: `ours` is the time of the slowest method without an encoder, in microseconds of one
core a row and benchmark, `peer` the limit of 50; and for each method what it found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sftgen_train.cli.contamination import judge_of
from sftgen_train.curation.contamination.benchmarks import Item, load_items
from sftgen_train.curation.contamination.paraphrases import LIKENESS, Encoder, Paraphrases
from sftgen_train.curation.contamination.search import METHODS, search
from sftgen_train.training.rows import Row, read_row

ROWS, PLANTED, ROWS_EMBEDDED = 20_000, 20, 1_000
LIMIT = 50.0
"""Microseconds a row and benchmark that the search may take; decon, written in Rust, says 34 a document."""
PARAPHRASES = {
    "test/algebra/2584.json": (
        "Let f map x to 3x - 2 over x - 2. Add up what f gives at the three whole numbers from minus two to zero. "
        "Write the total as a fraction in lowest terms."
    ),
    "test/prealgebra/1622.json": (
        "Six triangles with equal sides fit together into a hexagon with equal sides. Walking once around one of "
        "the triangles is 21 inches. How many inches is it once around the hexagon?"
    ),
    "test/number_theory/515.json": (
        "Among the cubes 1, 8, 27 and so on, which is the first one that equals a number plus its two successors?"
    ),
    "test/algebra/2036.json": (
        "How far apart are (2, -6) and (-4, 3) in the plane? Give an exact value with a simplified root."
    ),
    "test/number_theory/1032.json": (
        "Find the smallest number above zero that 30 divides and whose decimal notation uses no digits besides 2 and 0."
    ),
    "test/intermediate_algebra/607.json": (
        "Raise the sum of the square roots of five and seven to the sixth power. Without a calculator, name the "
        "largest whole number below the result."
    ),
    "test/precalculus/779.json": (
        "Turn the point 7 + 2i of the complex plane a quarter turn against the clock about zero. Where does it end up?"
    ),
    "test/algebra/1072.json": (
        "A sequence starts 125/9, 25/3, 5, 3 and each term is a fixed multiple of the one before. Write its term "
        "number 8 as a fraction."
    ),
    "test/number_theory/627.json": (
        "A whole number leaves 2 when divided by 7. Increase it by 2, by 4 and by 6 and multiply the three "
        "results. What does that product leave when divided by 7?"
    ),
    "test/geometry/967.json": (
        "By how many degrees at least do you have to turn a five-sided polygon with equal sides and angles about "
        "its middle so that it looks as before?"
    ),
    "test/algebra/24.json": (
        "Peaches in a small can have 40 calories, which is two percent of what someone needs in a day. How many "
        "calories does this person need daily?"
    ),
    "test/number_theory/45.json": ("Determine the largest number that divides both 132 and 6432, and add 11 to it."),
    "test/algebra/2214.json": (
        "All x with twice (x - 1) strictly between -4 and 8 form an interval from a to b. Compute a plus b."
    ),
    "test/geometry/178.json": (
        "A triangle has its right angle at B, and the sine of its angle at A is two times the cosine of the same "
        "angle. Determine the tangent of that angle."
    ),
    "test/algebra/1265.json": ("To which exponent must 4 be raised to get 8? Answer with a fraction."),
    "test/precalculus/1105.json": ("Which angle, measured in radians, does the inverse sine assign to minus one half?"),
    "test/algebra/769.json": ("Adding up 1 + 3 + 5 + ... one gets 121 after N terms. Determine N."),
    "test/number_theory/516.json": ("Rewrite the base-two numeral 10101001110 as an octal numeral."),
    "test/geometry/456.json": (
        "For a certain ball, the number of square units on its surface and the number of cubic units inside are "
        "the same. Determine the distance from its centre to its surface."
    ),
    "test/counting_and_probability/1114.json": (
        "Somebody rolls two ordinary dice and multiplies what they show. How likely is it, as a fraction, that 5 "
        "divides the product?"
    ),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", default=",".join(METHODS), help="some of them, separated by commas")
    parser.add_argument("--tasks", default="sftgen_all")
    parser.add_argument("--embedder", default="")
    parser.add_argument("--likeness", type=float, default=LIKENESS)
    parser.add_argument("--judge", default="", help="decides the pairs that the embedder finds")
    chosen = parser.parse_args()
    judge = judge_of(chosen.judge, chosen.embedder)
    data = Path(os.environ["SFTGEN_DATA_DIR"])
    items, left_out = load_items(chosen.tasks.split(","))
    math = [json.loads(line) for line in (data / "math/math500_test.jsonl").read_text().splitlines()]
    rows, planted = _rows(data, math)
    count = len({item.benchmark for item in items})
    print(f"{len(rows):,} rows, {len(items):,} questions of {count} benchmarks ({len(left_out)} without data)\n")
    print("| method | copies | changed numbers | paraphrases | other rows | precision | µs a row a benchmark |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    figures = {}
    for name in filter(None, chosen.methods.split(",")):
        figures[name] = _measure(name, rows, planted, items, lambda rows, name=name: search(rows, items, [name]))
    slowest = max((found["microseconds"] for found in figures.values()), default=0.0)
    if chosen.embedder:
        kept = ROWS_EMBEDDED - 3 * PLANTED
        few = rows[:kept] + rows[-3 * PLANTED :]
        moved = {row - len(rows) + ROWS_EMBEDDED: kind for row, kind in planted.items()}
        questions, encoder = [item.question for item in items], Encoder(chosen.embedder)
        for decides in dict.fromkeys((None, judge)):
            made = Paraphrases(questions, encoder, judge=decides, likeness=chosen.likeness)
            name = f"embedding, cosine {chosen.likeness}, {len(few):,} rows{f', {decides.name}' if decides else ''}"
            look = lambda rows, made=made: search(rows, items, [], {"embedding": made})  # noqa: E731
            figures[name] = _measure(name, few, moved, items, look, warm=decides is None)
            if decides:
                print(f"\n{made.asked:,} pairs asked about, {made.undecided:,} without a judgement")
    if not judge:
        print("\nA judge of paraphrases: not measured, because none was named (--embedder and --judge).")
    ratio = {"ratio": round(LIMIT / slowest, 2) if slowest else None, "ours": slowest, "peer": LIMIT}
    print(json.dumps({"name": "contamination", **ratio, "unit": "µs a row a benchmark", "methods": figures}))


def _measure(
    name: str,
    rows: Sequence[tuple[str, Row]],
    planted: dict[int, str],
    items: Sequence[Item],
    look: Callable[[Sequence[tuple[str, Row]]], Any],
    *,
    warm: bool = True,
) -> dict[str, Any]:
    if warm:
        look(rows[:100])  # tables that every batch shares
    began = time.process_time()
    found = look(rows)
    seconds = time.process_time() - began
    hit = {match.row for match in found.matches}
    of_kind = {
        kind: sum(row in hit for row, of in planted.items() if of == kind) for kind in ("copy", "changed", "para")
    }
    others = len(hit - planted.keys())
    precision = f"{len(hit & planted.keys()) / len(hit):.2f}" if hit else "-"
    cost = 1e6 * seconds / len(rows) / len({item.benchmark for item in items})
    cells = [f"{of_kind[kind]} of {PLANTED}" for kind in ("copy", "changed", "para")]
    print(f"| `{name}` | {' | '.join(cells)} | {others} | {precision} | {cost:.1f} |", flush=True)
    return {**of_kind, "other rows": others, "precision": precision, "microseconds": round(cost, 1)}


def _rows(data: Path, math: Sequence[dict[str, Any]]) -> tuple[list[tuple[str, Row]], dict[int, str]]:
    """The rows, and which of them were planted: the last sixty."""
    rows = [_row(prompt, answer) for prompt, answer in _answers(data)][: ROWS - 3 * PLANTED]
    by_id = {doc["unique_id"]: doc["problem"] for doc in math}
    assert PARAPHRASES.keys() <= by_id.keys()
    others = [
        doc["problem"] for doc in math if doc["unique_id"] not in PARAPHRASES and re.search(r"\d", doc["problem"])
    ]
    random.Random(0).shuffle(others)
    kinds = {
        "copy": [f"{text}\nPlease reason step by step." for text in others[:PLANTED]],
        "changed": [re.sub(r"\d+", _changed, text) for text in others[PLANTED : 2 * PLANTED]],
        "para": list(PARAPHRASES.values()),
    }
    planted = {}
    for kind, texts in kinds.items():
        for text in texts:
            planted[len(rows)] = kind
            rows.append(_row(text, "Let us think step by step."))
    return rows, planted


def _changed(number: re.Match[str]) -> str:
    return str(int(number[0]) + 1 + len(number[0]))


def _answers(data: Path) -> list[tuple[str, str]]:
    found = []
    for path in sorted((data / "mmlu_pro").glob("*.zip")):
        with zipfile.ZipFile(path) as packed:
            for row in json.loads(packed.read(packed.namelist()[0])):
                prompt = row["question"] + "\n" + "\n".join(row["options"])
                found.append((prompt, row.get("model_outputs") or row.get("generated_text") or ""))
    random.Random(1).shuffle(found)
    return found


def _row(prompt: str, answer: str) -> tuple[str, Row]:
    return "", read_row({"prompt": [{"role": "user", "content": prompt}], "completion": answer}, "row")


if __name__ == "__main__":
    main()
