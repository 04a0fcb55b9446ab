"""The Slurm example, with Slurm, Ray and the sweep played by scripts that write down how they were called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "slurm" / "sweep.sh"
PLAYED = {
    "scontrol": "printf 'n1\\nn2\\nn3\\n'",
    "srun": 'echo "srun $*" >> log',
    # One node more each time it is asked, up to those that there are.
    "ray": 'echo . >> asked; n=$(wc -l < asked); [ "$n" -gt "$JOINED" ] && n=$JOINED; seq -f " 1 node_%g" "$n"',
    "sleep": ":",
    "sftgen": 'echo "sftgen $* at $RAY_ADDRESS, ${#RAY_AUTH_TOKEN}" >> log',
}  # fmt: skip


def run(folder: Path, *, nodes: int, joined: int) -> tuple[int, str, list[str]]:
    """Exit code, complaints, and how what is played was called, in alphabetical order: steps begin side by side."""
    for name, does in PLAYED.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_NUM_NODES": str(nodes), "SLURM_CPUS_ON_NODE": "8"}
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "JOINED": str(joined), **job}
    # What it prints goes through a pipe that its steps hold too: it has ended when they have.
    done = subprocess.run(
        ["bash", SCRIPT, "sweep.yaml"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr, sorted((folder / "log").read_text().splitlines())


@pytest.mark.parametrize("nodes", [1, 3])
def test_the_sweep_begins_when_all_nodes_have_joined(tmp_path: Path, nodes: int) -> None:
    code, complaints, called = run(tmp_path, nodes=nodes, joined=nodes)
    assert (code, complaints) == (0, "")
    step = "srun --ntasks-per-node=1 --cpus-per-task=8"
    others = f"{step} --nodes=2 --ntasks=2 --exclude=n1 ray start --address=n1:6379 --block"
    assert called == [
        "sftgen sweep sweep.yaml --engine ray at n1:6379, 64",
        f"{step} --nodes=1 --ntasks=1 --nodelist=n1 ray start --head --port=6379 --block",
        *([others] if nodes > 1 else []),
    ]
    assert len((tmp_path / "asked").read_text().splitlines()) == nodes


def test_a_node_that_does_not_join_is_told(tmp_path: Path) -> None:
    code, complaints, called = run(tmp_path, nodes=3, joined=2)
    assert code == 1
    assert "2 of 3 nodes joined the Ray cluster at n1:6379" in complaints
    assert not any(line.startswith("sftgen") for line in called)
