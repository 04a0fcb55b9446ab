"""Saves a model as FSDP trainings do, with real ranks and real shards.

Call it as `python -m tests.train.training.sharded MODEL FOLDER WORLD`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.distributed import checkpoint
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM


def save(rank: int, world: int, model: str, folder: str) -> None:
    """One rank: verl's files into `verl`, those of torch.distributed.checkpoint into `dcp`."""
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    loaded = AutoModelForCausalLM.from_pretrained(model)
    fully_shard(loaded, mesh=init_device_mesh("cpu", (world,)))
    verl = Path(folder) / "verl"
    verl.mkdir(exist_ok=True)
    state = loaded.state_dict()
    torch.save(state, verl / f"model_world_size_{world}_rank_{rank}.pt")
    optimizer = {name: torch.zeros(3) for name in state}
    checkpoint.save({"model": state, "optimizer": {"exp_avg": optimizer}}, checkpoint_id=f"{folder}/dcp")
    dist.destroy_process_group()


if __name__ == "__main__":
    model, folder, world = sys.argv[1], sys.argv[2], int(sys.argv[3])
    multiprocessing.start_processes(save, (world, model, folder), nprocs=world, start_method="fork")
