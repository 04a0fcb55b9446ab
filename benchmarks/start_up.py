"""Processor time from the start of a command to the first generation: `sftgen eval --run` over `sftgen_ood`.

    python benchmarks/start_up.py [MEGABYTES_OF_LIVECODEBENCH]

The documents are local files in the hub's layout: `SFTGEN_DATA_DIR` where it is set, otherwise files of the real
sizes that are made here (MMLU-Pro 12,032 rows, HaluEval 3 x 10,000, LiveCodeBench 511 problems, whose tests are
smaller than the real 1.9 GB: 200 MB by default). The model answers at once: it tells the processor time that its
process has used so far, threads and children among it, and ends the process. Reading every file once is measured
by itself, in a process that has imported what it takes, and is no part of the figure. So is `sftgen --help`.

The peer is plain `lm_eval` with the same tasks, documents and model. It indexes its own 13,000 task files first.
Processes take turns, medians count.

The last line is one JSON object: how many times more the peer takes, our seconds beside reading, and the peer's.
"""

from __future__ import annotations

import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROUNDS, LIMIT = 3, 6.0
GROUP = "sftgen_ood"
FIGURE = "processor seconds: "
WORDS = ("Let", "the", "sum", "of", "both", "be", "known", "so", "that", "only", "one", "is", "left", "é", "3.14")


def used() -> float:
    """Processor seconds of this process so far, its children among them."""
    return sum(os.times()[:4])


def told(seconds: float) -> None:
    """Tell the figure and end this process at once."""
    print(f"{FIGURE}{seconds}", flush=True)
    os._exit(0)


# ------------------------------------------------------------------------------ what is measured, in a process each


def sftgen(*arguments: str) -> None:
    """The command of this checkout."""
    from sftgen_train.cli.main import main

    sys.argv = ["sftgen", *arguments]
    main()


def lm_eval(*arguments: str) -> None:
    """lm_eval's own."""
    from lm_eval.__main__ import cli_evaluate

    sys.argv = ["lm_eval", *arguments]
    cli_evaluate()


def answer_at_once() -> None:
    """Make lm_eval's `dummy` a model whose first request ends the process."""
    from lm_eval.models.dummy import DummyLM

    DummyLM.generate_until = lambda *_, **__: told(used())
    DummyLM.apply_chat_template = lambda self, turns, **_: "".join(turn["content"] for turn in turns)
    DummyLM.chat_template = lambda self, name=False: "none"


def run_ours(options: str) -> None:
    """To the first generation of `sftgen eval --run`."""
    answer_at_once()
    with tempfile.TemporaryDirectory() as folder:
        sftgen("eval", "--run", folder, "--model", "dummy", "--tasks", GROUP, "--metadata", options)


def run_peer(options: str) -> None:
    """To the first generation of plain `lm_eval`, with the defaults of `sftgen eval`."""
    from sftgen_tasks.data.task_files import task_configs

    answer_at_once()
    with tempfile.TemporaryDirectory() as folder:
        lm_eval(
            *("--model", "dummy", "--tasks", GROUP, "--metadata", options, "--include_path", str(task_configs())),
            *("--batch_size", "auto", "--apply_chat_template", "--log_samples", "--output_path", folder),
        )


def run_help(_: str) -> None:
    """`sftgen --help`."""
    try:
        sftgen("--help")
    finally:
        told(used())


def run_reading(options: str) -> None:
    """Every file once, as the tasks read it."""
    import pyarrow.parquet  # noqa: F401 - imported before the clock starts

    from sftgen_tasks.data.lcb_tests import read_problems
    from sftgen_tasks.data.tables import SUFFIXES, read_table

    begun = used()
    for path in sorted(Path(json.loads(options)["data_dir"]).rglob("*")):
        if "livecodebench" in str(path) and path.name.endswith((".jsonl", ".jsonl.gz")):
            list(read_problems(path))
        elif path.name.endswith(SUFFIXES):
            read_table(path)
    told(used() - begun)


# ------------------------------------------------------------------------------ the documents


def write_documents(folder: Path, megabytes: int) -> dict[str, Any]:
    """Files of the real sizes in the hub's layout; returns the metadata that points to them."""
    import pyarrow as pa
    from pyarrow import parquet

    from sftgen_tasks import alpaca_eval, gpqa_diamond, halueval, hex_phi, ifeval, livecodebench, mmlu_pro, truthfulqa

    rng = random.Random(0)

    def text(characters: int) -> str:
        return " ".join(rng.choices(WORDS, k=max(characters // 4, 1)))

    def write(path: str, count: int, row: Callable[[int], Mapping[str, Any]]) -> None:
        rows = [dict(row(number)) for number in range(count)]
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".parquet"):
            parquet.write_table(pa.Table.from_pylist(rows), folder / path)
        elif path.endswith(".json"):
            (folder / path).write_text(json.dumps(rows))
        else:
            (folder / path).write_text("".join(json.dumps(row) + "\n" for row in rows))

    subjects = [subject.replace("_", " ") for subject in mmlu_pro.SUBJECTS]
    write(
        f"{mmlu_pro.SOURCE.repo}/data/test-00000-of-00001.parquet",
        12_032,
        lambda n: {
            "question_id": n, "question": f"{n} {text(400)}", "options": [text(60) for _ in range(10)],
            "answer": "ABCDEFGHIJ"[n % 10], "answer_index": n % 10, "cot_content": "",
            "category": subjects[n % len(subjects)], "src": "made",
        },
    )  # fmt: skip
    for kind, shown in halueval.KINDS.items():
        length = {"qa": 100, "dialogue": 300, "summarization": 2000}[kind]
        write(
            f"{halueval.SOURCES[kind].repo}/{kind}_samples/data-00000-of-00001.parquet",
            10_000,
            lambda n, shown=shown, length=length: {
                **{column: f"{n} {text(length)}" for column in shown.fields},
                halueval.LABEL: ("yes", "no")[n % 2],
            },
        )
    tests = [base64.b64encode(rng.randbytes(megabytes * 1_000_000 * 3 // 4 // 511)).decode()[:-8] for _ in range(8)]
    for name, first, last in (("test", 0, 400), ("test2", 400, 511)):
        write(
            f"{livecodebench.SOURCE.repo}/{name}.jsonl",
            last - first,
            lambda n, first=first: {
                "question_id": f"q{first + n}", "question_content": text(2000), "difficulty": "easy",
                "platform": "made", "contest_date": "2024-01-01", "starter_code": "", "metadata": "{}",
                "public_test_cases": json.dumps([{"input": str(n), "output": text(40), "testtype": "stdin"}]),
                "private_test_cases": f"{first + n:08}{tests[n % 8]}",
            },
        )  # fmt: skip
    write(
        f"{gpqa_diamond.SOURCE.repo}/{gpqa_diamond.SOURCE.config}/train.jsonl",
        198,
        lambda n: {
            "Record ID": f"r{n}", "Question": f"{n} {text(600)}",
            **{answer: f"{place} {text(50)}" for place, answer in enumerate(gpqa_diamond.ANSWERS)},
        },
    )  # fmt: skip
    write(
        f"{ifeval.SOURCE.repo}/train.jsonl",
        541,
        lambda n: {
            "key": n, "prompt": f"{n} {text(200)} No commas.", "instruction_id_list": ["punctuation:no_comma"],
            "kwargs": [{}],
        },
    )  # fmt: skip
    write(
        f"{alpaca_eval.SOURCE.repo}/{alpaca_eval.SOURCE.config}/eval.json",
        805,
        lambda n: {"instruction": f"{n} {text(160)}", "dataset": "made", "output": text(1500), "generator": "made"},
    )
    write(
        f"{truthfulqa.SOURCE.repo}/generation/validation-00000-of-00001.parquet",
        817,
        lambda n: {
            "question": f"{n} {text(60)}", "best_answer": text(50), "correct_answers": [text(50) for _ in range(3)],
            "incorrect_answers": [text(50) for _ in range(4)],
        },
    )  # fmt: skip
    write(f"{hex_phi.SOURCE.task}.jsonl", 330, lambda n: {"prompt": f"{n} {text(150)}", "category": "Malware"})
    mmlu_pro.write_subset(folder / "subset.json", data_dir=str(folder / "."))
    subset = folder.with_name(f"{folder.name}-subset.json")
    (folder / "subset.json").replace(subset)
    return {"data_dir": str(folder), "subset": str(subset)}


# ------------------------------------------------------------------------------ the measurement

MEASURED = {"ours": run_ours, "lm_eval": run_peer, "reading": run_reading, "help": run_help}


def measure(name: str, options: Mapping[str, Any]) -> float:
    """Processor seconds as the process tells them."""
    command = [sys.executable, __file__, name, json.dumps(options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith(FIGURE)]
    if not found:
        sys.exit(f"{name} did not get to a generation:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return float(found[0].removeprefix(FIGURE))


def main() -> None:
    """Take turns and print."""
    if sys.argv[1:2] and sys.argv[1] in MEASURED:
        MEASURED[sys.argv[1]](sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as home:
        named = os.environ.get("SFTGEN_DATA_DIR")
        megabytes = int(sys.argv[1]) if sys.argv[1:] else 200
        options = {"data_dir": named} if named else write_documents(Path(home) / "data", megabytes)
        found: dict[str, list[float]] = {name: [] for name in MEASURED}
        print("processor seconds  " + "".join(f"{name:>10}" for name in MEASURED))
        for number in range(ROUNDS):
            for name, seconds in found.items():
                seconds.append(measure(name, options))
            print(f"round {number + 1:<13}" + "".join(f"{seconds[-1]:10.2f}" for seconds in found.values()))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    ours, peer = (medians[name] - medians["reading"] for name in ("ours", "lm_eval"))
    print(f"sftgen --help: {medians['help']:.2f}, at most 0.5; to the first generation: {ours:.2f}, at most {LIMIT:g}")
    facts = {"ratio": round(peer / ours, 2), "ours": round(ours, 2), "peer": round(peer, 2)}
    print(json.dumps({"name": "start_up", **facts, "unit": "CPU seconds"}))


if __name__ == "__main__":
    main()
