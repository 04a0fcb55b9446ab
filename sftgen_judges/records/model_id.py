"""Content ids of models: the same weights give the same id wherever they lie, other weights another."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sftgen_judges.records.provenance import scrub

_SNAPSHOT = re.compile(r"snapshots/([0-9a-f]{40})")
TRAINING_STATE = ("optimizer", "scheduler", "rng_state", "scaler", "training_args", "global_step")
"""How files and folders begin that a checkpoint holds for going on with training; they are not the model."""
SAMPLE = 4096  # bytes read at the start and in the middle of every tensor


def model_id(model: str, **identity: Any) -> str:
    """Id of a model by name.

    A local folder is identified by what is in it: its configuration and two samples of every tensor,
    since training changes all of them and reading 30 GB for a name would take half a minute. A hub
    model is identified by its commit where it is cached, anything else by its name and `identity`.

    Args:
        model: Folder, hub id or served name.
        identity: What else tells it apart, for example a revision or a server's address.
    """
    folder = Path(model)
    if folder.is_dir():
        snapshot = _SNAPSHOT.search(str(folder.resolve()))
        return f"hub:{snapshot.group(1)}" if snapshot else f"folder:{_hash_folder(folder)}"
    named = hashlib.sha256(json.dumps([model, identity], sort_keys=True, default=str).encode())
    return f"name:{scrub(model)}:{named.hexdigest()[:16]}"


def model_id_in_memory(model: Any) -> str:
    """Id of a torch model by the same two samples of every tensor."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().reshape(-1)
        count = min(flat.numel(), SAMPLE // max(flat.element_size(), 1))
        middle = (flat.numel() - count) // 2
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        for part in (flat[:count], flat[middle : middle + count]):
            digest.update(part.float().cpu().numpy().tobytes())
    return f"memory:{digest.hexdigest()}"


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("config.json", "generation_config.json", "adapter_config.json"):
        if (folder / name).is_file():
            settings = json.loads((folder / name).read_text())
            # Where a model came from and what wrote it are not what it is.
            for key in ("_name_or_path", "transformers_version"):
                settings.pop(key, None)
            digest.update(f"{name} {json.dumps(settings, sort_keys=True)}".encode())
    if (folder / "tokenizer.json").is_file():
        digest.update((folder / "tokenizer.json").read_bytes())
    for path in sorted(folder.rglob("*.safetensors")):
        if path.relative_to(folder).parts[0].startswith(TRAINING_STATE):
            continue
        digest.update(path.relative_to(folder).as_posix().encode())
        for part in _safetensors_samples(path):
            digest.update(part)
    for pattern in ("*.bin", "*.pt", "*.gguf"):
        for path in sorted(folder.glob(pattern)):
            if path.name.startswith(TRAINING_STATE):
                continue
            digest.update(path.name.encode())
            for part in _whole_file(path):
                digest.update(part)
    return digest.hexdigest()


def _safetensors_samples(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = file.read(length)
        yield header
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        for name in sorted(tensors):
            start, end = tensors[name]["data_offsets"]
            for offset in (start, start + max(end - start - SAMPLE, 0) // 2):
                file.seek(8 + length + offset)
                yield file.read(min(SAMPLE, end - start))


def _whole_file(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(1 << 20), b"")
