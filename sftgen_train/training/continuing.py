"""What a run directory knows of the training that writes it: its settings, its process, and whether it has ended.

A training that was killed before its first checkpoint begins again in the same folder. Another training does not.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from transformers import TrainingArguments

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.journal import read_rows, write_atomic
from sftgen_judges.records.manifest import now
from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import is_complete
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.results.training_file import TRAINING, read_training
from sftgen_train.training.distributed import has_shards
from sftgen_train.training.settings import EVALUATION, Change, beside, changes

logger = logging.getLogger(__name__)

LOCK = ".training.lock"
_held: dict[Path, IO[bytes]] = {}


def output_of(args: TrainingArguments) -> Path:
    """Where a trainer saves its checkpoints."""
    return Path(args.output_dir or "trainer_output")


def last_checkpoint(output: Path) -> Path | None:
    """The last checkpoint in a folder that was completely written, None when there is none."""
    found = []
    for path in output.glob("checkpoint-*/trainer_state.json"):
        step = path.parent.name.rpartition("-")[2]
        if step.isdigit() and _is_json(path) and (is_complete(path.parent) or has_shards(path.parent)):
            found.append((int(step), path.parent))
    return max(found)[1] if found else None


@dataclass(frozen=True)
class Settings:
    """What a training is begun, or goes on, with.

    Attributes:
        own: What its weights and records depend on.
        beside: Fields that change no weights.
        defaults: What stands for a field that an earlier version did not have.
    """

    own: Mapping[str, Any]
    beside: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


def take(run: RunFolder, settings: Settings, step: int, output: Path, enqueuer: Enqueuer | None) -> dict[int, set[str]]:
    """Make a run directory that of a training which begins or goes on.

    Args:
        run: The run directory.
        settings: The settings of the training.
        step: The step that it goes on from, 0 if it begins.
        output: Where it saves its checkpoints.
        enqueuer: Its end of the queue, None if it evaluates itself.

    Returns:
        The models that each step was measured with before.

    Raises:
        RecordError: The run directory is another training's, or the training goes on with settings of another one.
        OSError: It cannot be written.
    """
    hold(run)
    earlier = read_training(run.path)
    known = _measured_models(run)
    queued = enqueuer.known_steps() if enqueuer else []
    if step == 0 and (queued or known):
        held = f"queued checkpoints of steps {queued}" if queued else f"evaluations of steps {sorted(known)}"
        require_own(run, settings.own, held, output, settings.defaults)
    elif step:
        require_same(run, earlier, settings, step)
    if enqueuer:
        compared = isinstance(earlier.get("settings"), dict) and EVALUATION in earlier["settings"]
        enqueuer.open(resumed=step > 0 and not compared)
    begin(run, settings)
    return known


def require_same(run: RunFolder, earlier: Mapping[str, Any], settings: Settings, step: int) -> None:
    """Say which fields of a training that goes on have changed.

    Args:
        run: The run directory.
        earlier: What it knows of the training.
        settings: Those of now.
        step: The step that it goes on from.

    Raises:
        RecordError: One of them makes it another training.
    """
    changed = changes(earlier.get("settings"), settings.own, settings.defaults)
    changed += beside(earlier.get("beside"), settings.beside, settings.defaults)
    other = [change.told() for change in changed if not change.harmless]
    if other:
        raise RecordError(
            f"run directory {str(run.path)!r}: to go on from step {step} with other fields would be another training: "
            f"{'; '.join(other)}. Set them as they were there, or train into another output_dir"
        )
    if changed:
        told = "; ".join(change.told() for change in changed)
        logger.warning("this training goes on from step %d with changed fields: %s", step, told)


def _measured_models(run: RunFolder) -> dict[int, set[str]]:
    models: dict[int, set[str]] = {}
    for row in read_rows(run.metrics):
        if row.get("status") == "ok" and isinstance(row.get("step"), int):
            models.setdefault(row["step"], set()).add(str(row.get("model")))
    return models


def require_own(
    run: RunFolder, mine: Mapping[str, Any], held: str, output: Path, defaults: Mapping[str, Any] | None = None
) -> None:
    """Check that a training from its beginning may write into a run directory that holds records.

    Args:
        run: The run directory.
        mine: The settings of this training.
        held: What it holds, for the message.
        output: Where this training saves its checkpoints.
        defaults: What stands for a setting that an earlier version did not have.

    Raises:
        RecordError: The records are another training's, or those of a training that can be resumed or has ended.
    """
    known = read_training(run.path)
    earlier = known.get("settings")
    if not isinstance(earlier, dict):
        raise RecordError(_not_empty(run, held, "", "choose another, remove it, or resume training from a checkpoint"))
    differ = told(changes(earlier, mine, defaults or {}))
    if differ:
        raise RecordError(_not_empty(run, held, f" of another training ({differ})", "choose another, or remove it"))
    if known.get("ended") is not None:
        about = f" of this training, which ended at step {known['ended']}"
        raise RecordError(_not_empty(run, held, about, "choose another, or remove it, to train again"))
    checkpoint = last_checkpoint(output)
    if checkpoint:
        raise RecordError(
            _not_empty(
                run, held, " of this training", f"resume it from {str(checkpoint)!r}, choose another, or remove it"
            )
        )


def _not_empty(run: RunFolder, held: str, about: str, instead: str) -> str:
    return f"run directory {str(run.path)!r} already holds {held}{about}; {instead}"


def told(changed: Sequence[Change], most: int = 3) -> str:
    """Changes in words, the first few; empty when there is none."""
    named = [change.told() for change in changed[:most]]
    return "; ".join(named + [f"{len(changed) - most} more"] * (len(changed) > most))


def begin(run: RunFolder, settings: Settings) -> None:
    """Write down whose run directory it is.

    Raises:
        OSError: It cannot be written.
    """
    process = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
    _write(run, {"settings": dict(settings.own), "beside": dict(settings.beside), "process": process})


def end(run: RunFolder, **facts: Any) -> None:
    """Write down that the training has ended; `facts` say at which step, and by which command.

    Raises:
        OSError: It cannot be written.
    """
    _write(run, {**read_training(run.path), **facts})


def _write(run: RunFolder, facts: Mapping[str, Any]) -> None:
    write_atomic(run.path / TRAINING, json.dumps(facts, indent=1) + "\n")


def hold(run: RunFolder) -> None:
    """Keep other trainings out of a run directory until `release`, or until this process ends in whatever way.

    Raises:
        RecordError: Another training holds it.
        OSError: It cannot be written.
    """
    path = (run.path / LOCK).resolve()
    if path in _held:
        return
    path.touch()
    file = path.open("rb")  # only read: a file that is open for writing would keep its disk from turning read-only
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):  # a file system without locks
            return
        by = read_training(run.path).get("process") or {}
        raise RecordError(
            f"run directory {str(run.path)!r} is being written by the training of process {by.get('pid', 'unknown')} "
            f"on host {by.get('host', 'unknown')} since {by.get('since', 'unknown')}; wait for it, or choose another"
        ) from error
    _held[path] = file


def release(run: RunFolder) -> None:
    """Give a run directory back."""
    file = _held.pop((run.path / LOCK).resolve(), None)
    if file:
        fcntl.flock(file, fcntl.LOCK_UN)  # also where a forked process has the file open
        file.close()


def _is_json(path: Path) -> bool:
    """Whether a file is whole JSON: a killed process leaves half of one."""
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True
