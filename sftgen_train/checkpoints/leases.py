"""Checking that checkpoints are whole, and keeping them until they are evaluated.

A trainer with `save_total_limit` deletes early checkpoints before anybody has measured them. A lease is a
second folder of hard links to the files an evaluation needs: it costs no space while the checkpoint stands,
takes milliseconds, and survives any cleaner. Optimizer state is not leased.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.former_id import former_folder_id
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.model_id import folder_id, is_former
from sftgen_judges.records.weights import TRAINING_STATE
from sftgen_tasks.harness.preflight import TOKENIZER_FILES

STABLE = "STABLE.json"
ADAPTER = "adapter_config.json"
LARGEST_HEADER = 100_000_000
"""Bytes of a safetensors header; the format allows no more."""
_NOT_WHAT_IT_SHOULD_BE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
"""What reading JSON raises that is damaged or a stranger's."""


class CheckpointError(SftgenError, ValueError):
    """A checkpoint that cannot be evaluated."""


def check_complete(folder: Path, *, tokenizer: bool = True) -> None:
    """Check that a checkpoint has its configuration, its tokenizer and every byte of its weights.

    Args:
        folder: The checkpoint.
        tokenizer: Whether it needs a tokenizer.

    Raises:
        CheckpointError: A file is missing or half written; the message names it.
    """
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint {str(folder)!r}: no such folder; was it deleted?")
    adapter = (folder / ADAPTER).is_file()
    if not adapter and not (folder / "config.json").is_file():
        raise CheckpointError(
            f"checkpoint {str(folder)!r} has no config.json: not in Hugging Face format, or half written"
        )
    if tokenizer and not has_tokenizer(folder):
        raise CheckpointError(
            f"checkpoint {str(folder)!r} has no tokenizer (looked for {', '.join(TOKENIZER_FILES)}): "
            "give the trainer its tokenizer (`processing_class`), or copy the base model's files"
        )
    for path in _weights(folder, adapter):
        _check_whole(path)


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint has everything that an evaluation needs."""
    try:
        check_complete(folder)
    except CheckpointError:
        return False
    return True


def _weights(folder: Path, adapter: bool) -> list[Path]:
    stem = "adapter_model" if adapter else "model"
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            return [folder / name for name in sorted(names)]
        except (OSError, *_NOT_WHAT_IT_SHOULD_BE) as error:
            raise CheckpointError(f"{index}: not an index of weights ({error}); half written?") from error
    whole = folder / f"{stem}.safetensors"
    legacy = [*folder.glob("pytorch_model*.bin"), *folder.glob("adapter_model*.bin")]
    if not whole.is_file() and legacy:
        return legacy
    return [whole]


def _check_whole(path: Path) -> None:
    """Check the size of a safetensors file against its header."""
    try:
        size = path.stat().st_size
        if path.suffix != ".safetensors":
            return
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LARGEST_HEADER:
                raise ValueError(length)
            header = json.loads(file.read(length)) if length < size else {}
        tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors), default=-1)
    except OSError as error:
        raise CheckpointError(f"weights {str(path)!r}: {error.strerror}; the checkpoint is half written") from error
    except (struct.error, *_NOT_WHAT_IT_SHOULD_BE) as error:
        raise CheckpointError(f"weights {str(path)!r} are half written or damaged") from error
    if size != 8 + length + end:
        raise CheckpointError(
            f"weights {str(path)!r} are half written: {size} bytes, the header says {8 + length + end}"
        )


def mark_stable(folder: Path) -> dict[str, Any]:
    """Write `STABLE.json` into a complete checkpoint: the sizes of its files and the id of every byte of its model.

    Returns:
        What was written.

    Raises:
        CheckpointError: It is not complete.
    """
    check_complete(folder)
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}
    facts = {"model_id": folder_id(folder), "files": files}
    write_atomic(folder / STABLE, json.dumps(facts, indent=1) + "\n")
    return facts


def verify_stable(folder: Path) -> str:
    """Check a checkpoint against its `STABLE.json`. Every byte is read.

    Returns:
        Its id, in the form that `STABLE.json` has it in.

    Raises:
        CheckpointError: It is not complete, or has changed.
    """
    check_complete(folder)
    try:
        facts = json.loads((folder / STABLE).read_text())
        expected, sizes = str(facts["model_id"]), dict(facts["files"])
        changed = [name for name, size in sizes.items() if not _has_size(folder / name, size)]
    except FileNotFoundError:
        return folder_id(folder, fresh=True)
    except (IsADirectoryError, *_NOT_WHAT_IT_SHOULD_BE) as error:
        raise CheckpointError(f"{folder / STABLE}: cannot be read ({error})") from error
    found = former_folder_id(folder) if is_former(expected) else folder_id(folder, fresh=True)
    if changed or found != expected:
        raise CheckpointError(
            f"checkpoint {str(folder)!r} has changed since it was saved ({', '.join(changed) or 'other weights'})"
        )
    return found


def lease(checkpoint: Path, folder: Path) -> None:
    """Make `folder` hold the files that an evaluation of the checkpoint needs, by hard links where possible.

    A lease of the same name is replaced: a resumed run writes its checkpoints again.
    """
    making = folder.with_name(f".{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    try:
        link(checkpoint, making)
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def link(checkpoint: Path, folder: Path) -> None:
    """Link or copy the files that an evaluation needs into a folder."""
    stable = [checkpoint / STABLE] if (checkpoint / STABLE).is_file() else []
    for path in [*_files(checkpoint), *stable]:
        target = folder / path.relative_to(checkpoint)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(path.resolve())  # the hub's cache consists of links
        except OSError:  # another file system, or one without hard links
            shutil.copy2(path, target)


def release(folder: Path) -> None:
    """Remove a lease; the checkpoint itself is not touched."""
    shutil.rmtree(folder, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    """The files that an evaluation needs."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != STABLE and not path.relative_to(folder).parts[0].startswith(TRAINING_STATE)
    ]


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
