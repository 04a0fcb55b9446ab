"""Checkpoint sources: the layouts of checkpoints that `sftgen watch` knows.

* `trainer`: `checkpoint-N` in Hugging Face format, as transformers.Trainer and TRL write them;
* `steps`: `stepN`, `merged_stepN`, `global_step_N` in that format, also in their folders `huggingface`,
  `actor` or `actor/huggingface`;
* `fsdp`: any of these names with verl's shards `model_world_size_W_rank_R.pt`, which are merged;
* `dcp`: any of these names with a sharded checkpoint of torch.distributed.checkpoint (`.metadata`, `*.distcp`), also
  in a sub-folder, as accelerate writes them under FSDP; merged;
* `hub`: a hub repository with one sub-folder a step, fetched one at a time.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from sftgen_judges import Checkpoint, CheckpointSource
from sftgen_judges.errors import first_line
from sftgen_judges.plugins.manager import lookup, plugins
from sftgen_tasks.harness.preflight import is_local
from sftgen_train.checkpoints.leases import ADAPTER, CheckpointError

_TRAINER = re.compile(r"checkpoint-(\d+)")
_STEPS = re.compile(r"(?:merged_|global_)?step[-_]?(\d+)")
_ANY = re.compile(r"(?:checkpoint-|(?:merged_|global_)?step[-_]?)(\d+)")
_SHARD = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")
_WEIGHTS = re.compile(r"(model|adapter_model|pytorch_model).*\.(safetensors|bin|index\.json)")
NOT_FETCHED = ("*.pth", "*.gguf", "original/*", "*.onnx")
"""Files of a hub repository that hold the same weights once more."""
_INSIDE = (".", "huggingface", "actor/huggingface", "actor")


def list_checkpoints(name: re.Pattern[str], find: Callable[[Path], Path | None], folder: Path) -> list[Checkpoint]:
    """The checkpoints of a folder, by step.

    Args:
        name: Pattern of their folders' names; the step is its only group.
        find: Finds the folder with the weights inside such a folder; None without weights.
        folder: Where to look.
    """
    if not folder.is_dir():
        return []
    named = [(match, path) for path in folder.iterdir() if (match := name.fullmatch(path.name)) and path.is_dir()]
    found = ((int(match[1]), find(path)) for match, path in named)
    return sorted((Checkpoint(step, path) for step, path in found if path), key=lambda checkpoint: checkpoint.step)


def _hugging_face(folder: Path) -> Path | None:
    """The folder with configuration and weights."""
    for inner in (folder / name for name in _INSIDE):
        configured = (inner / "config.json").is_file() or (inner / ADAPTER).is_file()
        if configured and any(_WEIGHTS.fullmatch(path.name) for path in inner.iterdir()):
            return inner
    return None


def _fsdp(folder: Path) -> Path | None:
    """The folder with the shards of every rank."""
    for inner in (folder, folder / "actor"):
        if not _hugging_face(folder) and shards(inner):
            return inner
    return None


def shards(folder: Path) -> list[Path]:
    """The files `model_world_size_W_rank_R.pt` by rank; an empty list while one is missing."""
    if not folder.is_dir():
        return []
    found = {
        int(match[2]): (int(match[1]), path) for path in folder.iterdir() if (match := _SHARD.fullmatch(path.name))
    }
    complete = found and sorted(found) == list(range(found[min(found)][0]))
    return [path for _, (_, path) in sorted(found.items())] if complete else []


def _dcp(folder: Path) -> Path | None:
    """The folder with `.metadata`, which is written last. An optimizer's folder does not count."""
    inner = [folder, *(path for path in sorted(folder.iterdir()) if path.is_dir() and "optim" not in path.name)]
    for path in inner:
        if (path / ".metadata").is_file() and any(path.glob("*.distcp")) and not _hugging_face(folder):
            return path
    return None


def _merge_fsdp(checkpoint: Checkpoint, folder: Path) -> None:
    from sftgen_train.checkpoints.merging import merge_fsdp

    merge_fsdp(shards(checkpoint.path), checkpoint.path, folder)


def _merge_dcp(checkpoint: Checkpoint, folder: Path) -> None:
    from sftgen_train.checkpoints.merging import merge_dcp

    merge_dcp(checkpoint.path, folder)


# ------------------------------------------------------------------------------ the hub


def _list_hub(folder: Path) -> list[Checkpoint]:
    """The sub-folders of a hub repository that hold a model; `organisation/name` as a path."""
    repository = folder.as_posix()
    if is_local(repository):
        return []
    with hub_errors(repository) as hub:
        files = hub.HfApi().list_repo_files(repository)
    return [Checkpoint(step, folder / sub) for step, sub in hub_steps(files)]


def hub_steps(files: Iterable[str]) -> list[tuple[int, str]]:
    """Steps and names of the sub-folders of a repository that hold a model, by step."""
    inside: dict[str, set[str]] = {}
    for name in files:
        sub, _, file = name.rpartition("/")
        inside.setdefault(sub, set()).add(file)
    found = ((step_of(sub), sub) for sub, names in inside.items() if holds_weights(names))
    return sorted((step, sub) for step, sub in found if step is not None)


def holds_weights(names: Iterable[str]) -> bool:
    """Whether one of the files of a folder holds weights, or is their index."""
    return any(_WEIGHTS.fullmatch(name) for name in names)


def step_of(name: str) -> int | None:
    """The step that the name of a checkpoint's folder or revision tells."""
    match = _ANY.fullmatch(name)
    return int(match[1]) if match else None


def _download(checkpoint: Checkpoint, folder: Path) -> None:
    *owner, sub = checkpoint.path.parts
    download("/".join(owner), sub, folder)


def download(repository: str, sub: str, folder: Path, revision: str | None = None) -> None:
    """Fetch one sub-folder of a hub repository into a folder, or all of it where `sub` is empty."""
    with hub_errors(repository) as hub:
        hub.snapshot_download(
            repository, revision=revision, allow_patterns=f"{sub}/*" if sub else None,
            ignore_patterns=None if sub else list(NOT_FETCHED), local_dir=folder,
        )  # fmt: skip
    if sub:
        for path in (folder / sub).iterdir():
            path.replace(folder / path.name)
        shutil.rmtree(folder / sub, ignore_errors=True)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


class hub_errors:  # noqa: N801 - a context manager
    """Turn the hub's errors into `CheckpointError`."""

    def __init__(self, repository: str) -> None:
        self.repository = repository

    def __enter__(self) -> Any:
        import huggingface_hub

        return huggingface_hub

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, CheckpointError) or not isinstance(error, Exception):
            return
        raise CheckpointError(
            f"{self.repository!r}: no such folder here, and the hub says: {first_line(error, kind=True)}"
        ) from error


def known_sources() -> list[CheckpointSource]:
    """Every source; those of plugins come last.

    Raises:
        BrokenTargetError: A plugin's source cannot be loaded.
    """
    return [lookup("checkpoint_source", name) for name in plugins().registered("register_checkpoint_sources")]


TRAINER = CheckpointSource("trainer", list=partial(list_checkpoints, _TRAINER, _hugging_face))
STEPS = CheckpointSource("steps", list=partial(list_checkpoints, _STEPS, _hugging_face))
FSDP = CheckpointSource("fsdp", list=partial(list_checkpoints, _ANY, _fsdp), materialise=_merge_fsdp)
DCP = CheckpointSource("dcp", list=partial(list_checkpoints, _ANY, _dcp), materialise=_merge_dcp)
HUB = CheckpointSource("hub", list=_list_hub, materialise=_download)
