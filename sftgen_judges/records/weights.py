"""Ids of weights: every byte of every tensor, however they are cut into files, on disk or in memory."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sftgen_judges.records.hash_cache import Leaves, cached_leaves
from sftgen_judges.records.schema import content_hash

TRAINING_STATE = ("optimizer", "scheduler", "rng_state", "scaler", "training_args", "global_step")
"""How files and folders begin that a checkpoint holds for going on with training; they are not the model."""
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
CHUNK = 64 << 20
"""Bytes in memory at a time, enough to keep all cores hashing."""
LARGEST_HEADER = 100 << 20

# torch's names of number formats, as safetensors writes them. Others keep torch's.
_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip


def weights_id(folder: Path, *, only: str = "", fresh: bool = False) -> str:
    """Id of the weights in a folder, by the name, format, shape and bytes of every tensor.

    It does not depend on how they are cut into safetensors files. Other formats are taken file by file: a file of
    pickles is not opened.

    Args:
        folder: The folder; folders in it are not looked at.
        only: Name of the one file that counts.
        fresh: Whether every byte is read again, whatever the cache knows.

    Raises:
        OSError: A file cannot be read.
    """
    files = [folder / only] if only else weight_files(folder)
    leaves = {path.name: cached_leaves(path, file_leaves, fresh=fresh) for path in files}
    named = Counter(name for found in leaves.values() for name, _ in found)
    twice = {file for file, found in leaves.items() if any(named[name] > 1 for name, _ in found)}
    flat = [
        # Where two files hold a tensor of one name, it matters which file it is.
        [f"{file}/{name}" if file in twice else name, found]
        for file, parts in leaves.items()
        for name, found in parts
    ]
    if not only:
        flat += _indices(folder, {name: file for file, parts in leaves.items() for name, _ in parts})
    return content_hash(sorted(flat))


def _indices(folder: Path, places: Mapping[str, str]) -> Leaves:
    """The indices of a folder that say something else than the files themselves: what they leave out is not loaded."""
    found = []
    for path in sorted(folder.glob("*.index.json")):
        try:
            listed = json.loads(path.read_bytes())["weight_map"]
        except (ValueError, KeyError, TypeError, RecursionError):
            listed = path.read_bytes().hex()
        if listed != places:
            found.append([path.name, content_hash(listed)])
    return found


def weights_id_in_memory(model: Any) -> str:
    """Id of the weights of a torch model: that of a folder which `save_pretrained` writes.

    It is another one where transformers saves tensors under other names, or a model was cut into shards: a mixture
    of experts whose experts are one tensor in memory, an adapter with its base.
    """
    state = {_plain(name): tensor for name, tensor in model.state_dict().items()}
    tied = _tied(model, state)
    return content_hash(
        sorted([name, _leaf(name, *_of_tensor(tensor))] for name, tensor in state.items() if name not in tied)
    )


def weight_files(folder: Path) -> list[Path]:
    """The files of weights directly in a folder."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in SUFFIXES and path.is_file() and not path.name.startswith(TRAINING_STATE)
    ]


def file_leaves(path: Path) -> Leaves:
    """Hash a whole file: a safetensors file tensor by tensor, another one as it stands."""
    with path.open("rb") as file:
        size = path.stat().st_size
        tensors = _header(file, size) if path.suffix == ".safetensors" else None
        if tensors is not None:
            return [
                [name, _leaf(name, dtype, shape, _hash(_read(file, length)))] for name, dtype, shape, length in tensors
            ]
        file.seek(0)
        return [[path.name, _hash(iter(lambda: file.read(CHUNK), b""))]]


def _header(file: Any, size: int) -> list[tuple[str, str, list[int], int]] | None:
    """Tensors in the order of their bytes, with the number of these; None unless they are all that the file holds."""
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size - 8, LARGEST_HEADER):
            return None
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        found = sorted(
            (*tensor["data_offsets"], name, str(tensor["dtype"]), list(tensor["shape"]))
            for name, tensor in header.items()
        )
        end = 0
        for start, stop, *_ in found:
            if start != end or stop < start:
                return None
            end = stop
        # The file stands at the first tensor now.
        whole = 8 + length + end == size
        return [(name, dtype, shape, stop - start) for start, stop, name, dtype, shape in found] if whole else None
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _read(file: Any, length: int) -> Iterator[bytes]:
    while length > 0:
        part = file.read(min(CHUNK, length))
        if not part:
            raise OSError(f"{file.name} became shorter while it was read")
        length -= len(part)
        yield part


def _hash(parts: Iterable[Any]) -> str:
    from blake3 import blake3

    hasher = blake3(max_threads=blake3.AUTO)
    for part in parts:
        hasher.update(part)
    found: str = hasher.hexdigest()
    return found


def _leaf(name: str, dtype: str, shape: Iterable[int], found: str) -> str:
    return content_hash(name, dtype, list(shape), found)


def _of_tensor(tensor: Any) -> tuple[str, list[int], str]:
    import torch

    if not isinstance(tensor, torch.Tensor):  # what a layer of another library keeps beside its weights
        return type(tensor).__name__, [], content_hash(repr(tensor))
    flat = tensor.detach().reshape(-1)
    step = max(1, CHUNK // max(flat.element_size(), 1))
    parts = (
        flat[start : start + step].cpu().contiguous().view(torch.uint8).numpy() for start in range(0, len(flat), step)
    )
    dtype = str(tensor.dtype).removeprefix("torch.")
    return _DTYPES.get(dtype, dtype), list(tensor.shape), _hash(parts)


def _plain(name: str) -> str:
    """Without what data parallelism and compilation put before a name."""
    return name.removeprefix("module.").removeprefix("_orig_mod.")


def _tied(model: Any, state: Mapping[str, Any]) -> set[str]:
    """The names that `save_pretrained` leaves out: a tensor of the same storage is saved under another name."""
    inner = getattr(model, "module", model)
    declared = getattr(inner, "all_tied_weights_keys", None) or getattr(inner, "_tied_weights_keys", None) or ()
    places = {
        name: tensor.untyped_storage().data_ptr()
        for name, tensor in state.items()
        if hasattr(tensor, "untyped_storage")
    }
    shared = Counter(places.values())
    return {name for name in declared if shared[places.get(name, -1)] > 1}
