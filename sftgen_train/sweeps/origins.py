"""Where the checkpoints of a sweep come from: folders, runs, single checkpoints, hub repositories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sftgen_judges import Checkpoint, CheckpointSource
from sftgen_train.checkpoints.leases import ADAPTER, CheckpointError, check_complete, link
from sftgen_train.checkpoints.sizes import Size, bytes_of, size_of
from sftgen_train.checkpoints.sources import (
    HUB,
    STEPS,
    TRAINER,
    download,
    holds_weights,
    hub_errors,
    hub_steps,
    known_sources,
    step_of,
)
from sftgen_train.queue.entries import LEASES
from sftgen_train.queue.watch import LAYOUTS
from sftgen_train.sweeps.schema import Origin, SweepError


@dataclass(frozen=True)
class Found:
    """A checkpoint that a sweep has found.

    Attributes:
        step: Its training step.
        source: Recognised it, and makes its files where they have to be made.
        checkpoint: The checkpoint.
        shown: What a reader knows it by.
        copied: Bytes of it that the sweep writes: 0 where links are enough, None where nobody knows.
        folder: The folder that it may be deleted from, and its own name in it; None for what is not the user's.
    """

    step: int
    source: CheckpointSource
    checkpoint: Checkpoint
    shown: str
    copied: int | None = 0
    folder: tuple[Path, str] | None = None

    def size(self, dtype: str) -> Size | None:
        """What loading it takes, where its files are there."""
        return size_of(self.checkpoint.path, dtype) if self.checkpoint.path.is_dir() else None

    @property
    def bytes(self) -> int | None:
        """Bytes of its weights on disk."""
        return bytes_of(self.checkpoint.path) if self.checkpoint.path.is_dir() else self.copied


@dataclass
class Pins:
    """The commits of the hub that a sweep began with.

    Attributes:
        commits: Commit by `repository@revision`.
    """

    commits: dict[str, str] = field(default_factory=dict)


def find(origin: Origin, out: Path, pins: Pins) -> list[Found]:
    """The checkpoints of one training, by step.

    Args:
        origin: Where they come from.
        out: Where the sweep writes: weights on another file system have to be copied.
        pins: Commits that are known from an earlier start; new ones are added.

    Raises:
        CheckpointError: There are none, or a repository cannot be asked.
    """
    if origin.hub is not None:
        found = list(_of_hub(origin, pins))
    elif origin.folder is not None:
        found = in_folder(Path(origin.folder), out)
        if not found:
            raise CheckpointError(f"{origin.folder!r} holds no checkpoints ({LAYOUTS})")
    else:
        found = [one for name in origin.folders or () for one in single(Path(name), out)]
    by_step: dict[int, Found] = {}
    for one in found:
        other = by_step.setdefault(one.step, one)
        if other is not one:
            raise CheckpointError(f"step {one.step} stands twice: {other.shown} and {one.shown}; leave one out")
    return [by_step[step] for step in sorted(by_step)]


def in_folder(folder: Path, out: Path) -> list[Found]:
    """The checkpoints of a folder, also those that only a run's queue still holds; a model alone is step 0."""
    found: dict[int, Found] = {}
    for source in known_sources():
        for checkpoint in source.list(folder) if source is not HUB else ():
            place = (folder, checkpoint.path.relative_to(folder).parts[0])
            found.setdefault(checkpoint.step, _local(source, checkpoint, out, place))
    for checkpoint in STEPS.list(folder / LEASES):
        found.setdefault(checkpoint.step, _local(STEPS, checkpoint, out, None))
    if not found and ((folder / "config.json").is_file() or (folder / ADAPTER).is_file()):  # a model, of no training
        return [_local(TRAINER, Checkpoint(0, folder), out, None)]
    return list(found.values())


def single(path: Path, out: Path) -> list[Found]:
    """A checkpoint that is named itself, with the step that its name tells.

    Raises:
        CheckpointError: It is no checkpoint, or its name tells no step.
    """
    path = path.absolute()
    for one in in_folder(path.parent, out):
        if one.checkpoint.path.is_relative_to(path):
            return [one]
    raise CheckpointError(f"{str(path)!r} is no checkpoint ({LAYOUTS})")


def grouped(paths: Iterable[str]) -> dict[str, Origin]:
    """What a command line names: folders of checkpoints, checkpoints, models, hub repositories.

    Raises:
        SweepError: A path that is none of these.
    """
    origins: dict[str, Origin] = {}
    beside: dict[Path, list[str]] = {}
    for given in dict.fromkeys(paths):
        path = Path(given)
        if path.is_dir() and step_of(path.name) is not None:
            beside.setdefault(path.absolute().parent, []).append(given)
        elif path.is_dir():
            origins[_free(path.absolute().name, origins)] = Origin(folder=given)
        elif given.count("/") == 1 and not given.startswith((".", "/", "~")):
            origins[_free(given.rpartition("/")[2], origins)] = Origin(hub=given)
        else:
            raise SweepError(f"--checkpoints {given!r}: no such folder, and no hub repository (organisation/name)")
    for parent, names in beside.items():
        origins[_free(parent.name, origins)] = Origin(folders=names)
    return origins


def _free(name: str, taken: Mapping[str, Origin]) -> str:
    """A name for a training that no other has."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name)
    plain = plain.lstrip("._-")[:50] or "training"
    return next(one for one in (plain, *(f"{plain}-{n}" for n in range(2, 10_000))) if one not in taken)


def _local(source: CheckpointSource, checkpoint: Checkpoint, out: Path, place: tuple[Path, str] | None) -> Found:
    path = checkpoint.path
    made = source.materialise is not None or not _same_file_system(path, out)
    return Found(checkpoint.step, source, checkpoint, str(path), bytes_of(path) if made else 0, place)


def _same_file_system(path: Path, out: Path) -> bool:
    there = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    return path.stat().st_dev == there.stat().st_dev


# ------------------------------------------------------------------------------ the hub


def _of_hub(origin: Origin, pins: Pins) -> Iterator[Found]:
    repository = origin.hub or ""
    if origin.revisions is None:
        commit, sizes = _listed(repository, origin.revision or "main", pins)
        steps = hub_steps(sizes)
        if not steps:
            raise CheckpointError(
                f"hub repository {repository!r} has no sub-folder of a step ({LAYOUTS}); where each step is a "
                "revision, write {hub: ..., revisions: all}"
            )
        for step, sub in steps:
            yield _on_hub(repository, commit, sub, step, sum(_within(sizes, sub)))
        return
    for step, revision in sorted(_revisions(repository, origin.revisions, pins).items()):
        commit, sizes = _listed(repository, revision, pins)
        if not holds_weights(sizes):
            raise CheckpointError(f"hub repository {repository!r}, revision {revision!r}: no weights in it")
        yield _on_hub(repository, commit, "", step, sum(_within(sizes, "")))


def _within(sizes: Mapping[str, int], sub: str) -> Iterator[int]:
    return (size for name, size in sizes.items() if name.rpartition("/")[0] == sub)


def _on_hub(repository: str, commit: str, sub: str, step: int, size: int) -> Found:
    shown = f"{repository}@{commit[:12]}{'/' + sub if sub else ''}"
    source = CheckpointSource("hub", list=lambda _: [], materialise=partial(_fetch, repository, commit, sub))
    return Found(step, source, Checkpoint(step, Path(shown)), shown, size or None)


def _revisions(repository: str, given: str | list[str] | dict[int, str], pins: Pins) -> dict[int, str]:
    """Revisions by step."""
    if isinstance(given, dict):
        return given
    if isinstance(given, list):
        named = given
    else:
        known = [key.partition("@")[2] for key in pins.commits if key.startswith(f"{repository}@")]
        named = known or _all_revisions(repository)
    steps = {name: step_of(name) for name in named}
    silent = [name for name, step in steps.items() if step is None]
    if given != "all" and silent:
        raise CheckpointError(
            f"hub repository {repository!r}: the name of revision {silent[0]!r} tells no step; write revisions as "
            f"{{STEP: {silent[0]}}}"
        )
    found = {step: name for name, step in steps.items() if step is not None}
    if not found:
        raise CheckpointError(f"hub repository {repository!r} has no revision whose name tells a step ({LAYOUTS})")
    return found


def _all_revisions(repository: str) -> list[str]:
    with hub_errors(repository) as hub:
        if _offline():
            refs = Path(hub.constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}", "refs")
            return [path.relative_to(refs).as_posix() for path in sorted(refs.rglob("*")) if path.is_file()]
        refs = hub.HfApi().list_repo_refs(repository)
        return [ref.name for ref in (*refs.branches, *refs.tags)]


def _listed(repository: str, revision: str, pins: Pins) -> tuple[str, dict[str, int]]:
    """The commit of a revision, and its files with their sizes (0 where the hub does not tell)."""
    key = f"{repository}@{revision}"
    asked = pins.commits.get(key, revision)
    with hub_errors(repository) as hub:
        if _offline():
            folder = Path(hub.snapshot_download(repository, revision=asked, local_files_only=True))
            files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}
            commit = folder.name
        else:
            info = hub.HfApi().model_info(repository, revision=asked, files_metadata=True)
            commit, files = info.sha, {one.rfilename: one.size or 0 for one in info.siblings or ()}
    pins.commits[key] = commit
    return commit, files


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _fetch(repository: str, commit: str, sub: str, _: Any, folder: Path) -> None:
    """Link a checkpoint out of the hub's cache where it is there, else download it once."""
    import huggingface_hub

    with suppress(huggingface_hub.errors.LocalEntryNotFoundError, CheckpointError):
        cached = Path(huggingface_hub.snapshot_download(repository, revision=commit, local_files_only=True)) / sub
        check_complete(cached, tokenizer=False)
        link(cached, folder)
        return
    download(repository, sub, folder, commit)
