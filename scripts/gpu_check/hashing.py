"""The id of a model, hashed where its weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.gpu_check.bench import GB, Bench, require


def hashing(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """The id of a model on the GPU is that of the same model on the CPU and on disk."""
    import torch

    from sftgen_judges.records.weights import weights_id, weights_id_in_memory

    for dtype in (torch.bfloat16, torch.float32):
        name = str(dtype).removeprefix("torch.")
        model = bench.model(dtype)
        size = sum(value.numel() * value.element_size() for value in model.parameters())
        bench.timed(lambda model=model: weights_id_in_memory(model))
        spent, here = bench.timed(lambda model=model: weights_id_in_memory(model))
        model.save_pretrained(folder / name)
        spent_there, there = bench.timed(lambda model=model: weights_id_in_memory(model.cpu()))
        spent_on_disk, on_disk = bench.timed(lambda name=name: weights_id(folder / name, fresh=True))
        found[name] = {
            "gb": round(size / GB, 3), "seconds": round(spent, 3), "gb_per_second": round(size / GB / spent, 2),
            "seconds_with_copy_to_cpu": round(spent_there, 3), "seconds_on_disk": round(spent_on_disk, 3),
        }  # fmt: skip
        require(here == there == on_disk, f"{name}: the ids of GPU, CPU and disk differ")
