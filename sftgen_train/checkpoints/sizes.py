"""How large a checkpoint is: its weights by their files' headers, and the keys and values of one token."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import no_link
from sftgen_judges.records.weights import LARGEST_HEADER, SUFFIXES, TRAINING_STATE

LARGEST = 8 << 20
"""Bytes of a configuration that is read."""
_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}
_NAMES = {
    "float64": "F64", "double": "F64", "float32": "F32", "float": "F32", "bfloat16": "BF16", "float16": "F16",
    "half": "F16",
}  # fmt: skip
"""Names of number formats as models take them, and as safetensors writes them."""


@dataclass(frozen=True)
class Size:
    """What a model needs beside its activations.

    Attributes:
        weights: Bytes of its weights, in the format that they are loaded in.
        format: That format; `mixed` where there are several.
        cache: Bytes of keys and values a token; None where the configuration does not tell.
    """

    weights: int
    format: str
    cache: int | None

    def needed(self, tokens: int) -> int:
        """Bytes of the weights and of one sequence of so many tokens."""
        return self.weights + (self.cache or 0) * tokens


def size_of(folder: Path, dtype: str = "auto") -> Size | None:
    """The size of a model's folder, by the headers of its safetensors files.

    Args:
        folder: The folder.
        dtype: The format that it is loaded in; `auto` is that of its files.

    Returns:
        None where it has no such files, or one that cannot be read: loading it will say what is wrong.
    """
    try:
        counts = _sum(_counts(path) for path in folder.glob("*.safetensors"))
        config = _read_json(folder / "config.json")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, struct.error):
        return None
    if not counts:
        return None
    asked = _NAMES.get(dtype.removeprefix("torch."))
    numbers = {name: (bytes_, count) for name, (bytes_, count) in counts.items()}
    weights = sum(
        count * _BYTES[asked] if asked and name in _BYTES else bytes_ for name, (bytes_, count) in numbers.items()
    )
    found = asked or (next(iter(counts)) if len(counts) == 1 else "mixed")
    return Size(weights, found, _cache(config, _BYTES.get(found, 2)))


def bytes_of(folder: Path, *, everything: bool = False) -> int:
    """Bytes of a folder's weights on disk, in every layout; links are followed, as when they are copied.

    Args:
        folder: The folder.
        everything: Whether all else in it counts too, for example what an optimizer needs to go on; then a link to
            something outside counts for nothing.
    """
    total = 0
    for path in folder.rglob("*"):
        try:
            if everything:
                total += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
            elif path.suffix in {*SUFFIXES, ".distcp"} and path.is_file() and not path.name.startswith(TRAINING_STATE):
                total += path.stat().st_size
        except OSError:  # being moved or deleted
            continue
    return total


def _counts(path: Path) -> dict[str, tuple[int, int]]:
    """Bytes and numbers of a file's tensors, by format."""
    found: dict[str, tuple[int, int]] = {}
    for tensor in _header(path).values():
        begin, end = tensor["data_offsets"]
        bytes_, count = found.get(tensor["dtype"], (0, 0))
        found[tensor["dtype"]] = bytes_ + end - begin, count + prod(tensor["shape"])
    return found


def _header(path: Path) -> dict[str, Any]:
    """Format, shape and place of a file's tensors by name."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LARGEST_HEADER:
            raise ValueError(f"{path}: a header of {length} bytes")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header


def tensors_of(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Format and shape of a folder's tensors by name, by the headers of its safetensors files.

    Returns:
        Nothing where there are no such files, or one cannot be read.
    """
    try:
        return {
            name: (str(tensor["dtype"]), tuple(tensor["shape"]))
            for path in sorted(folder.glob("*.safetensors"))
            for name, tensor in _header(path).items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
        return {}


def _sum(parts: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    total: dict[str, tuple[int, int]] = {}
    for part in parts:
        for name, (bytes_, count) in part.items():
            before = total.get(name, (0, 0))
            total[name] = before[0] + bytes_, before[1] + count
    return total


def _cache(config: Mapping[str, Any], number: int) -> int | None:
    """Keys and values of every layer: a bound for models that keep some layers' short."""
    try:
        heads = int(config.get("num_key_value_heads") or config["num_attention_heads"])
        head = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
        return 2 * int(config["num_hidden_layers"]) * heads * head * number
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        text = file.read(LARGEST + 1)
    found = json.loads(text) if len(text) <= LARGEST else {}
    return found if isinstance(found, dict) else {}


def read_facts(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """A JSON mapping of so many bytes that stands in a folder of others; empty where there is none.

    No link is followed.
    """
    try:
        with open(path, encoding="utf-8", opener=no_link) as file:
            text = file.read(largest + 1)
        found = json.loads(text) if len(text) <= largest else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
