"""Merging sharded checkpoints into one folder in Hugging Face format, every value as it was saved."""

from __future__ import annotations

import logging
import pickle
import shutil
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict

from sftgen_judges.errors import first_line
from sftgen_train.checkpoints.leases import CheckpointError

UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)


def merge_fsdp(shards: Sequence[Path], folder: Path, out: Path) -> None:
    """Merge the shards of an FSDP training (`model_world_size_W_rank_R.pt`), one of each rank.

    Args:
        shards: The files, by rank.
        folder: Folder with configuration and tokenizer; its sub-folder `huggingface` is searched too.
        out: The folder to write into.

    Raises:
        CheckpointError: A file cannot be read, or the shards do not fit the model of the configuration.
    """
    import torch.distributed.tensor  # lets the safe loader read DTensor

    about_compiling = logging.getLogger("torch.distributed.device_mesh")
    about_compiling.addFilter(_never)  # a warning that the loaded tensors cannot be compiled
    try:
        # Mapped: two copies of a large model would not fit everywhere.
        parts = [torch.load(path, map_location="cpu", weights_only=True, mmap=True) for path in shards]
    except UNREADABLE as error:
        raise CheckpointError(f"shards in {str(folder)!r} cannot be read: {first_line(error, kind=True)}") from error
    finally:
        about_compiling.removeFilter(_never)
    _take_along(folder, out)
    names = _model_names(parts[0], out, folder)
    _save({name: _whole([part[found] for part in parts], found) for name, found in names.items()}, out)


def _never(_: logging.LogRecord) -> bool:
    return False


def merge_dcp(folder: Path, out: Path) -> None:
    """Merge the model in a checkpoint of torch.distributed.checkpoint; an optimizer beside it is not read.

    Raises:
        CheckpointError: It cannot be read, or does not fit the model of the configuration.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata
    from torch.distributed.checkpoint.state_dict_loader import load

    from sftgen_train.checkpoints.dcp_reader import SafeReader

    try:
        saved = SafeReader(folder).read_metadata().state_dict_metadata
        tensors = {name: facts for name, facts in saved.items() if isinstance(facts, TensorStorageMetadata)}
        _take_along(folder, out)
        names = _model_names(tensors, out, folder)
        state = {
            found: torch.empty(tensors[found].size, dtype=tensors[found].properties.dtype) for found in names.values()
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # here it is disabled on purpose
            load(state, storage_reader=SafeReader(folder), no_dist=True)
    except CheckpointException as error:
        raise CheckpointError(
            f"sharded checkpoint {str(folder)!r} cannot be read: {first_line(error, kind=True)}"
        ) from error
    except UNREADABLE as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"sharded checkpoint {str(folder)!r} cannot be read: {first_line(error, kind=True)}"
        ) from error
    _save({name: state[found] for name, found in names.items()}, out)


def _take_along(folder: Path, out: Path) -> None:
    """Copy configuration and tokenizer from the nearest folder that has a configuration."""
    for near in (folder, folder / "huggingface", folder.parent, folder.parent / "huggingface", folder.parent.parent):
        if (near / "config.json").is_file():
            for path in near.iterdir():
                if path.is_file() and path.suffix in {".json", ".jinja", ".model", ".txt"} and "index" not in path.name:
                    shutil.copy2(path, out / path.name)
            return


def _model_names(saved: Iterable[str], out: Path, folder: Path) -> dict[str, str]:
    """Map each tensor's name in the model to its name in the checkpoint, which may have a prefix."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if not (out / "config.json").is_file():
        raise CheckpointError(
            f"sharded checkpoint {str(folder)!r}: no config.json beside it; "
            "name the model that training began with: --base MODEL"
        )
    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(out))
    except UNREADABLE as error:
        raise CheckpointError(
            f"{out / 'config.json'}: no model can be built: {first_line(error, kind=True)}"
        ) from error
    wanted, known = list(model.state_dict()), set(saved)
    longest = max(wanted, key=len)
    prefixes = sorted((name.removesuffix(longest) for name in known if name.endswith(longest)), key=len)
    names: dict[str, str] = {}
    for prefix in prefixes:
        found = {name: prefix + name for name in wanted if prefix + name in known}
        names = found if len(found) > len(names) else names
    tied = model.config.tie_word_embeddings and model.get_output_embeddings() is not None
    missing = [name for name in wanted if name not in names and not (tied and name == "lm_head.weight")]
    if missing:
        raise CheckpointError(
            f"sharded checkpoint {str(folder)!r} is not the model of its configuration "
            f"({type(model).__name__}): {len(missing)} of {len(wanted)} tensors are missing, {missing[0]} among them"
        )
    return names


def _whole(parts: Sequence[Any], name: str) -> torch.Tensor:
    """Join the ranks' parts of one tensor."""
    first = parts[0]
    placements = getattr(first, "placements", None)
    if placements is None:  # not sharded: every rank has all of it
        return torch.as_tensor(first)
    sharded = [dimension for dimension, placement in enumerate(placements) if placement.is_shard()]
    if not sharded:
        return torch.as_tensor(first.to_local())
    if len(sharded) > 1 or type(placements[sharded[0]]).__name__ != "Shard":
        raise CheckpointError(
            f"tensor {name!r} is sharded over several dimensions of the mesh ({placements}), for example by tensor "
            "parallelism: merge the checkpoint with the trainer's own tool first"
        )
    # One rank for each place along the sharded dimension; the others are replicas.
    mesh = first.device_mesh.mesh.movedim(sharded[0], 0)
    ranks = mesh.reshape(len(mesh), -1)[:, 0].tolist()
    whole = torch.cat([parts[rank].to_local() for rank in ranks], dim=placements[sharded[0]].dim)
    if whole.shape != first.shape:
        raise CheckpointError(f"tensor {name!r}: the shards make {tuple(whole.shape)}, not {tuple(first.shape)}")
    return whole


def _save(state: Mapping[str, torch.Tensor], out: Path) -> None:
    # Clones: tensors that share memory, for example tied embeddings, would be dropped.
    save_torch_state_dict({name: tensor.clone() for name, tensor in state.items()}, out)
