"""`sftgen plan`: arithmetic that can be done by hand, from the tasks' own definitions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sftgen_tasks import load_tasks
from sftgen_tasks.data.tables import DataError
from sftgen_train.costs.inputs import DOCUMENTS, read_model, read_work
from sftgen_train.costs.throughput import (
    Assumptions,
    CostError,
    Device,
    Model,
    Work,
    checkpoint_cost,
    estimate,
    throughput,
)
from tests.conftest import Command

DEVICE = Device(memory=100e9, bandwidth=1e12, compute=1e15)
MODEL = Model(parameters=5e9, cache=100_000)
GIVEN = Assumptions(prompt=1000, efficiency=0.5, max_batch=64)


@pytest.mark.parametrize(
    ("mean", "max_batch", "compute", "expected"),
    [
        # 80 GB are free; half-written sequences of 2,000 tokens take 0.2 GB: 64 at once, (10 + 12.8) / 1000 s a step.
        (2000, 64, 1e15, 0.5 * 64 / 0.0228),
        # 15,000 tokens, 1.5 GB: 53 fit.
        (28000, 64, 1e15, 0.5 * 53 / 0.0895),
        # A device that computes slowly: 2 x 5e9 x 64 / 1e12 = 0.64 s.
        (2000, 64, 1e12, 0.5 * 64 / 0.64),
        (2000, 1, 1e15, 0.5 / 0.0102),
    ],
)  # fmt: skip
def test_throughput(mean: float, max_batch: int, compute: float, expected: float) -> None:
    given = Assumptions(prompt=1000, efficiency=0.5, max_batch=max_batch)
    assert throughput(MODEL, Device(100e9, 1e12, compute), mean, given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("work", "mean", "generations", "tokens"),
    [
        ([Work("a", 500, 3, 32768)], 10_000, 1500, 15e6),
        ([Work("a", 500, 3, 32768), Work("b", 100, 1, 4096)], 10_000, 1600, 15e6 + 409_600),
        ([Work("a", 500, 3, 16384)], 28_000, 1500, 1500 * 16384),
    ],
)
def test_a_checkpoint(work: list[Work], mean: float, generations: int, tokens: float) -> None:
    cost = checkpoint_cost(work, MODEL, DEVICE, mean, Assumptions(tokens_per_second=1000, bytes_per_token=4))
    assert (cost.generations, cost.tokens, cost.bytes) == (generations, tokens, 4 * tokens)
    assert cost.hours == pytest.approx(tokens / 1000 / 3600)


def test_a_run_and_its_dip() -> None:
    given = Assumptions(tokens=10_000, dip_tokens=20_000, dip_checkpoints=2, tokens_per_second=1000)
    found = estimate([Work("a", 360, 1, 32768)], MODEL, DEVICE, 9, given)
    assert (found.ordinary.hours, found.dip.hours) == (1.0, 2.0)
    assert found.total("hours") == 7 * 1.0 + 2 * 2.0
    assert estimate([Work("a", 360, 1, 32768)], MODEL, DEVICE, 1, given).at_dip == 1


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(CostError, match=r"60e9 parameters \(120 GB in bfloat16\).* do not fit"):
        throughput(Model(60e9, 1e5), DEVICE, 1000, GIVEN)


def test_documents_repeats_and_limits_come_from_the_tasks() -> None:
    work = {part.task: part for part in read_work(["sftgen_all", "sftgen_parity"], {})}
    assert sum(part.documents for name, part in work.items() if "mmlu_pro" in name) == 1000
    assert work["sftgen_math500"] == Work("sftgen_math500", 500, 3, 32768)
    assert work["sftgen_aime24"].generations == 300
    assert work["sftgen_hex_phi"].judge == "hex_phi"
    assert work["sftgen_parity"].documents == 500
    assert sum(count for name, count in DOCUMENTS.items() if "mmlu_pro_full" in name) == 12032
    assert [part.documents for part in read_work(["sftgen_math500"], {}, limit=20)] == [20]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("Qwen/Qwen3-4B", 4e9), ("Qwen/Qwen3-1.7B-Base", 1.7e9), ("Qwen/Qwen2.5-14B-Instruct-1M", 14e9),
        ("internlm/internlm2_5-20b", 20e9),
    ],
)  # fmt: skip
def test_a_name_tells_the_size(named: str, expected: float) -> None:
    assert read_model(named, None).parameters == expected


def test_a_folder_tells_the_size(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    found = read_model(str(tiny_model), None)
    assert found.parameters == AutoModelForCausalLM.from_pretrained(tiny_model).num_parameters()
    assert found.cache == 2 * 2 * 2 * 1 * 16  # keys and values, bytes, layers, heads, width


def test_the_counts_are_those_of_the_data(data_dir: Path) -> None:
    """Where the machine has the real files; LiveCodeBench's take minutes and gigabytes to read."""
    for task, count in DOCUMENTS.items():
        if task == "sftgen_lcb_v2":
            continue
        try:
            found = load_tasks([task], {"data_dir": str(data_dir)}).tasks[task].test_docs()
        except DataError:
            continue  # this one is not here
        assert (task, len(found)) == (task, count)


def test_the_command(command: Command, installed: Command) -> None:
    line = ["--tasks", "sftgen_ood", "--model", "Qwen/Qwen3-4B", "--device", "h100", "--checkpoints", "9"]
    shown = installed("sftgen", "plan", *line, env={**os.environ, "COLUMNS": "200"})
    assert shown.returncode == 0, shown.stderr
    for part in ("The dip makes a checkpoint", "9 checkpoints, 3 at the dip", "Assumed, not measured", "8.0 GB"):
        assert part in shown.stdout
    rows = [line.split("│") for line in shown.stdout.splitlines() if "mmlu_pro" in line]
    assert [[cell.strip() for cell in row[1:3]] for row in rows] == [["sftgen_mmlu_pro", "1,000"]]  # of 14 subjects
    found: dict[str, Any] = json.loads(command("sftgen", "plan", *line, "--json").stdout)
    assert found["total"]["generations"] == 9 * sum(task["generations"] for task in found["tasks"])
    assert found["dip"]["tokens"] > 2 * found["ordinary"]["tokens"]


def test_a_small_model_on_a_cpu_whose_speed_was_measured(command: Command) -> None:
    line = ("--tasks", "sftgen_parity", "--docs", "sftgen_parity=100", "--params", "8e5", "--device", "cpu")
    shown = command("sftgen", "plan", *line, "--tokens-per-second", "4000", "--tokens", "40", "--dip-tokens", "80")
    assert shown.returncode == 0, shown.stderr
    assert "0.8 million parameters" in shown.stdout
    assert "0.2 min" in shown.stdout  # 48,000 tokens
    assert "1.6 MB a checkpoint" in shown.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tasks", "sftgen_nothing", "--params", "4e9"], "unknown task 'sftgen_nothing'"),
        (["--tasks", "sftgen_id"], "no model: give --model NAME"),
        (["--tasks", "sftgen_id", "--model", "my/model"], "its size is not in its name; give --params"),
        (["--tasks", "sftgen_id", "--params", "4e9", "--device", "tpu"], "expected one of a100, h100"),
        (["--tasks", "sftgen_id", "--params", "4e9", "--docs", "x"], "expected TASK=N"),
    ],
)
def test_mistakes(command: Command, options: list[str], says: str) -> None:
    result = command("sftgen", "plan", *options)
    assert result.returncode == 2
    assert says in result.stderr
