"""Reading a checkpoint of torch.distributed.checkpoint, whose metadata is a pickle and may name any code."""

from __future__ import annotations

import enum
import pickle
from dataclasses import is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch.distributed.checkpoint import filesystem, metadata
from torch.distributed.checkpoint.filesystem import FileSystemReader

from sftgen_train.checkpoints.leases import CheckpointError

LARGEST = 1 << 30
"""Bytes of metadata that are read. That of a model of 100 GB is some megabytes."""
_MODULES = {module.__name__: module for module in (metadata, filesystem)}
_VALUES = (torch.dtype, torch.layout, torch.memory_format)


class SafeReader(FileSystemReader):
    """torch's reader, whose metadata may hold descriptions of tensors and nothing else."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Any:
        """The metadata.

        Raises:
            CheckpointError: It names code, or a file outside of its folder.
        """
        path = Path(self.path) / ".metadata"
        if path.stat().st_size > LARGEST:
            raise CheckpointError(f"{path}: larger than {LARGEST} bytes; not the metadata of a checkpoint")
        with path.open("rb") as file:
            found = _Descriptions(file).load()
        if not isinstance(found, metadata.Metadata):
            raise CheckpointError(f"{path}: expected the metadata of a checkpoint, found {type(found).__name__}")
        for info in (found.storage_data or {}).values():
            parts = PurePosixPath(str(info.relative_path))
            if parts.is_absolute() or ".." in parts.parts:
                raise CheckpointError(f"{path}: names a file outside of its folder: {str(parts)[:100]!r}")
        found.storage_meta = getattr(found, "storage_meta", None) or metadata.StorageMeta()
        found.storage_meta.load_id = self.load_id
        return found


class _Descriptions(pickle.Unpickler):
    """Builds plain values, torch's descriptions of tensors, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {
            ("torch", "Size"),
            ("collections", "OrderedDict"),
            ("torch.serialization", "_get_layout"),
        }:
            return super().find_class(module, name)
        if module.split(".", maxsplit=1)[0] == "pathlib" and name.endswith("Path"):
            return PurePosixPath  # where the checkpoint was once; nobody opens it
        if module == "torch" and isinstance(getattr(torch, name, None), _VALUES):
            return getattr(torch, name)
        found = getattr(_MODULES.get(module), name, None)
        if isinstance(found, type) and (is_dataclass(found) or issubclass(found, enum.Enum)):
            return found
        raise pickle.UnpicklingError(f"it names code: {module}.{name}"[:100])
