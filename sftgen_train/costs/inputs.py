"""The inputs of `sftgen plan`: the tasks from their definitions, the model from its name or folder."""

from __future__ import annotations

import json
import re
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from sftgen_judges.errors import did_you_mean
from sftgen_judges.plugins.manager import task_directories
from sftgen_tasks import UnknownTaskError, load_tasks
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.harness.catalogue import benchmarks, read_configs
from sftgen_tasks.mmlu_pro import SUBSET
from sftgen_train.costs.throughput import DEVICES, CostError, Device, Model, Work

DOCUMENTS = {
    "sftgen_math500": 500, "sftgen_aime24": 30, "sftgen_gpqa_diamond": 198, "sftgen_lcb_v2": 511,
    "sftgen_ifeval": 541, "sftgen_alpaca_eval": 805, "sftgen_truthfulqa": 817, "sftgen_hex_phi": 330,
    **{f"sftgen_halueval_{kind}": 1000 for kind in ("qa", "dialogue", "summarization")},
    "sftgen_mmlu_pro_full_biology": 717, "sftgen_mmlu_pro_full_business": 789, "sftgen_mmlu_pro_full_chemistry": 1132,
    "sftgen_mmlu_pro_full_computer_science": 410, "sftgen_mmlu_pro_full_economics": 844,
    "sftgen_mmlu_pro_full_engineering": 969, "sftgen_mmlu_pro_full_health": 818, "sftgen_mmlu_pro_full_history": 381,
    "sftgen_mmlu_pro_full_law": 1101, "sftgen_mmlu_pro_full_math": 1351, "sftgen_mmlu_pro_full_other": 924,
    "sftgen_mmlu_pro_full_philosophy": 499, "sftgen_mmlu_pro_full_physics": 1299,
    "sftgen_mmlu_pro_full_psychology": 798,
    **{f"sftgen_halueval_full_{kind}": 10000 for kind in ("qa", "dialogue", "summarization")},
}  # fmt: skip
"""Documents of the tasks whose data comes from elsewhere."""


def read_work(names: Sequence[str], documents: Mapping[str, int], limit: int | None = None) -> list[Work]:
    """What the tasks and groups ask of a checkpoint, from their definitions.

    Args:
        names: Task and group names.
        documents: Numbers of documents, for tasks where they are not known.
        limit: Most documents a task.

    Raises:
        UnknownTaskError: No task or group has this name.
        CostError: A task's number of documents is not known, and its data is not on this machine.
    """
    tasks: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    for folder in task_directories():
        found = read_configs(folder)
        tasks, groups = {**found[0], **tasks}, {**found[1], **groups}

    def leaves(name: str) -> list[str]:
        if name in groups:
            return [leaf for member in groups[name]["task"] for leaf in leaves(member)]
        if name not in tasks:
            known = [*groups, *tasks]
            raise UnknownTaskError(f"unknown task {name!r}{did_you_mean(name, known) or '.'} Known: {', '.join(known)}")
        return [name]

    of = benchmarks({name: group["task"] for name, group in groups.items()})
    work = []
    for task in dict.fromkeys(leaf for name in names for leaf in leaves(name)):
        config = tasks[task]
        count = documents.get(task) or _documents(task)
        settings = config.get("generation_kwargs") or {}
        work.append(
            Work(
                task, min(count, limit or count), config.get("repeats", 1), settings.get("max_gen_toks", 256),
                config.get("judge"), of.get(task, ""),
            )
        )  # fmt: skip
    return work


def _documents(task: str) -> int:
    if task in DOCUMENTS:
        return DOCUMENTS[task]
    subject = task.removeprefix("sftgen_mmlu_pro_")
    if subject != task and not subject.startswith("full_"):
        docs = json.loads(SUBSET.read_text())["docs"]
        named = [row for row in docs if row["category"].replace(" ", "_") == subject]
        if named:
            return len(named)
    try:
        return len(load_tasks([task]).tasks[task].test_docs())
    except DataError as error:
        raise CostError(f"{task}: its number of documents is not known; give --docs {task}=N") from error


def read_model(named: str, parameters: float | None) -> Model:
    """A model's size, from its folder, its name or the number given.

    Raises:
        CostError: None of the three gives the size.
    """
    folder = Path(named)
    count = parameters
    if named and folder.is_dir():
        count = count or sum(map(_count, folder.glob("*.safetensors")))
    if not count:
        found = re.findall(r"(?<![\d.])(\d+(?:\.\d+)?)\s*[bB](?![a-zA-Z])", named)
        count = float(found[-1]) * 1e9 if found else None
    if not count and not named:
        raise CostError("no model: give --model NAME, a folder or a name with the size, or --params, for example 4e9")
    if not count:
        raise CostError(f"model {named!r}: its size is not in its name; give --params, for example --params 4e9")
    if (folder / "config.json").is_file():
        config = json.loads((folder / "config.json").read_text())
        heads = config.get("num_key_value_heads") or config["num_attention_heads"]
        head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        return Model(count, 4.0 * config["num_hidden_layers"] * heads * head, "its configuration")
    # Qwen3-4B: 36 layers, 8 key and value heads of 128; from 1.7B to 14B it grows about with the fifth root.
    return Model(count, 147_456 * (count / 4e9) ** 0.2, "assumed, as Qwen3's")


def _count(path: Path) -> int:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def parse_counts(text: str) -> dict[str, int]:
    """`TASK=N,TASK=N`.

    Raises:
        CostError: The text has another form.
    """
    try:
        pairs = [pair.split("=") for pair in text.split(",") if pair]
        return {task: int(count) for task, count in pairs}
    except ValueError as error:
        raise CostError(f"--docs {text!r}: expected TASK=N, with commas between several") from error


def parse_numbers(option: str, text: str) -> list[int]:
    """`1,8,64`.

    Raises:
        CostError: The text has another form.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1 or max(numbers) > 100_000:
        raise CostError(f"{option} {text!r}: expected whole numbers from 1 on, with commas between them")
    return numbers


def read_device(named: str) -> Device:
    """A device by name; `cpu` is measured: the processors that this process may use.

    Args:
        named: Its name.

    Raises:
        CostError: The name is not known.
    """
    if named.lower() == "cpu":
        return _processors()
    if named.lower() not in DEVICES:
        raise CostError(
            f"device {named!r}: expected one of {', '.join(DEVICES)} or cpu, or give --tokens-per-second"
            f"{did_you_mean(named.lower(), [*DEVICES, 'cpu'])}"
        )
    return DEVICES[named.lower()]


@cache
def _processors() -> Device:
    """Memory, and how fast numpy copies and multiplies here, the best of three times: a quarter of a second."""
    import numpy as np
    import psutil

    long, square = np.ones(16_000_000, np.float32), np.ones((1024, 1024), np.float32)
    copied = 2 * long.nbytes / min(_seconds(long.copy) for _ in range(3))
    multiplied = 2 * 1024**3 / min(_seconds(lambda: square @ square) for _ in range(3))
    return Device(float(psutil.virtual_memory().total), copied, multiplied)


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
