"""Training in several processes: accelerate configurations, weights in parts, and workers outside the group."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_tasks.harness.shards import Shard

CONFIGS = Path(__file__).with_name("accelerate_configs")
FSDP1, FSDP2, ZERO3 = "FSDP version 1", "FSDP2", "DeepSpeed ZeRO-3"
_LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_LAUNCHED_PREFIXES = ("ACCELERATE_", "FSDP_", "TORCHELASTIC_", "GROUP_", "ROLE_", "MASTER_")


class AcceleratorConfigError(SftgenError, ValueError):
    """A launch configuration that does not exist."""


def accelerate_configs() -> list[str]:
    """The names of the ready configurations."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def accelerate_config(name: str) -> Path:
    """The file of a ready configuration, for `accelerate launch --config_file`.

    Raises:
        AcceleratorConfigError: No configuration has that name.
    """
    path = CONFIGS / f"{name}.yaml"
    if not path.is_file():
        raise AcceleratorConfigError(
            f"no accelerate configuration {name!r}; expected one of {', '.join(accelerate_configs())}"
            f"{did_you_mean(name, accelerate_configs())}"
        )
    return path


def sharding(model: Any) -> str:
    """The method that splits a model's weights over the processes; empty when each process has all of them."""
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    # The weights are asked, not accelerate: its state forgets FSDP when it is made again.
    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return FSDP2
    if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return ZERO3
    return FSDP1 if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()) else ""


def gathered_weights(model: Any) -> dict[str, Any] | None:
    """The whole weights of a sharded model, in the first process's main memory. All processes call this together.

    Returns:
        None when every process has the whole model. An empty mapping in all processes but the first.
    """
    sharded = sharding(model)
    if not sharded:
        return None
    if sharded == ZERO3:
        return _gathered_by_deepspeed(model)
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def _gathered_by_deepspeed(model: Any) -> dict[str, Any]:
    import torch.distributed as dist
    from deepspeed.runtime.zero import GatheredParameters

    first = dist.get_rank() == 0
    whole = {}
    # One parameter at a time: a device needs room for the largest one, not for the model.
    for name, parameter in model.named_parameters():
        with GatheredParameters([parameter]):
            if first:
                whole[name] = parameter.detach().to("cpu", copy=True)
    if first:
        parameters = dict(model.named_parameters(remove_duplicate=False))
        state = model.state_dict()
        whole |= {name: buffer.cpu() for name, buffer in state.items() if name not in parameters}
    return whole


def has_shards(checkpoint: Path) -> bool:
    """Whether a checkpoint has all shards that training resumes from."""
    # FSDP and DeepSpeed each write this file last.
    return (checkpoint / "pytorch_model_fsdp_0" / ".metadata").is_file() or (checkpoint / "latest").is_file()


def shard() -> Shard | None:
    """This process's part of what all processes do together, None when there is one process.

    All processes call this together.
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return None
    # On the CPU and with a long timeout: an evaluation may take hours, and one process longer than another.
    group = dist.new_group(backend="gloo", timeout=timedelta(days=7))
    count = dist.get_world_size()

    def gather(mine: Any) -> list[Any]:
        try:
            sent = pickle.dumps(mine)
        except Exception as error:  # the others must not wait for what cannot be sent
            sent = pickle.dumps((None, f"{type(error).__name__}: {error}"))
        parts: list[Any] = [None] * count
        dist.all_gather_object(parts, sent, group=group)
        return [pickle.loads(part) for part in parts]

    return Shard(dist.get_rank(), count, gather)


def start_worker(run: Path, probes: Sequence[str] = (), keep: str = "") -> subprocess.Popen[bytes]:
    """Start `sftgen worker` in its own process. It ends when training has ended and everything is evaluated.

    Args:
        run: The run directory.
        probes: Diagnostics that measure each checkpoint.
        keep: Which weights stay once they are evaluated, as `--keep` reads it.
    """
    command = [sys.executable, "-m", "sftgen_train", "worker", str(run), "--quiet"]
    command += ["--probe", ",".join(probes)] if probes else []
    command += ["--keep", keep] if keep else []
    return subprocess.Popen(command, env=alone())


def alone() -> dict[str, str]:
    """The environment without the launcher's variables: a child process does not belong to the group."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _LAUNCHED and not name.startswith(_LAUNCHED_PREFIXES)
    }


def wait_for_all() -> None:
    """Wait for every process, then leave the process group."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
