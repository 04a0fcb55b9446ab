"""The content ids that sftgen gave to folders before, for what older runs have written down.

They rest on two samples of every tensor, and know neither adapters nor arguments of a model.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from sftgen_judges.records.weights import TRAINING_STATE

FORMER = ("folder:", "hub:", "memory:")
"""How they begin."""
SAMPLE = 4096  # bytes read at the start and in the middle of every tensor


def former_folder_id(folder: Path) -> str:
    """The former id of a folder outside the hub's cache."""
    return f"folder:{_hash_folder(folder)}"


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
