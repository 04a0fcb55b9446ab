"""What a run directory knows of the training that writes it: its settings, its process, and whether it has ended.

A training that was killed before its first checkpoint begins again in the same folder. Another training does not.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from accelerate.utils import extract_model_from_parallel
from transformers import TrainingArguments

from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.journal import read_rows, write_atomic
from sftgen_judges.records.manifest import now
from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import is_complete
from sftgen_train.evaluation.evaluator import undisturbed
from sftgen_train.evaluation.schedule import Suite
from sftgen_train.queue.enqueueing import Enqueuer
from sftgen_train.results.training_file import TRAINING, read_training
from sftgen_train.training.distributed import has_shards

logger = logging.getLogger(__name__)

LOCK = ".training.lock"
# Fields of a trainer's arguments that change no weights.
_BESIDE = (
    "logging_", "log_", "report_to", "run_name", "project", "trackio", "save_", "push_to_hub", "hub_", "eval_", "do_",
    "disable_tqdm", "resume_from_checkpoint", "output_dir", "dataloader_", "ddp_timeout", "local_rank",
    "skip_memory_metrics", "load_best_model_at_end", "metric_for_best_model", "greater_is_better", "debug",
    "per_device_", "gradient_accumulation_steps", "prediction_loss_only", "include_", "batch_eval_metrics",
    "restore_callback_states", "enable_jit_checkpoint", "dataset_num_proc",
)  # fmt: skip
_held: dict[Path, IO[bytes]] = {}


def last_checkpoint(output: Path) -> Path | None:
    """The last checkpoint in a folder that was completely written, None when there is none."""
    found = []
    for path in output.glob("checkpoint-*/trainer_state.json"):
        step = path.parent.name.rpartition("-")[2]
        if step.isdigit() and _is_json(path) and (is_complete(path.parent) or has_shards(path.parent)):
            found.append((int(step), path.parent))
    return max(found)[1] if found else None


def settings_of(args: TrainingArguments, given: Mapping[str, Any], suite: Suite) -> dict[str, Any]:
    """What the weights and records of a training depend on, by name. Two trainings are the same if these are.

    Args:
        args: The trainer's arguments.
        given: What the trainer gives its callbacks: the model and the loader of the training data.
        suite: What is evaluated when.
    """
    model = extract_model_from_parallel(given["model"])
    own = {name: value for name, value in args.to_dict().items() if not name.startswith(_BESIDE)}
    rows = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    facts = {
        "model": getattr(model, "name_or_path", "") or type(model).__name__,
        "parameters": sum(_size(parameter) for parameter in model.parameters()),
        "data": _data_facts(given.get("train_dataloader"), model),
        "rows a step": rows,
        "evaluation": asdict(suite),
        **own,
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=_plain))
    return plain


def _plain(value: object) -> str:
    text = str(value)
    return type(value).__name__ if " at 0x" in text else text  # an address is another one in each process


def _size(parameter: Any) -> int:
    return int(getattr(parameter, "ds_numel", None) or parameter.numel())  # ZeRO-3 leaves an empty tensor


def _data_facts(loader: Any, model: Any) -> dict[str, Any]:
    """The number of rows, and a hash of a few; what cannot be known is left out."""
    data = getattr(loader, "dataset", None)
    facts: dict[str, Any] = {}
    try:
        facts["rows"] = len(data)  # type: ignore[arg-type]  # a stream has none
        with undisturbed(model):
            few = [data[place] for place in sorted({0, len(data) // 3, len(data) // 2, len(data) - 1})]  # type: ignore[index,arg-type]
        text = json.dumps(few, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(type(value)))
        facts["sha256"] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    except Exception:  # rows of any kind, made by anybody's code
        return facts
    return facts


def take(
    run: RunFolder, settings: Mapping[str, Any], step: int, output: Path, enqueuer: Enqueuer | None
) -> dict[int, set[str]]:
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
        RecordError: The run directory is another training's, or its suite is another one.
        OSError: It cannot be written.
    """
    hold(run)
    known = _measured_models(run)
    queued = enqueuer.known_steps() if enqueuer else []
    if step == 0 and (queued or known):
        held = f"queued checkpoints of steps {queued}" if queued else f"evaluations of steps {sorted(known)}"
        require_own(run, settings, held, output)
    elif step and (changed := different(read_training(run.path).get("settings"), settings)):
        logger.warning("this training goes on from step %d with other settings: %s", step, changed)
    if enqueuer:
        enqueuer.open(resumed=step > 0)
    begin(run, settings)
    return known


def _measured_models(run: RunFolder) -> dict[int, set[str]]:
    models: dict[int, set[str]] = {}
    for row in read_rows(run.metrics):
        if row.get("status") == "ok" and isinstance(row.get("step"), int):
            models.setdefault(row["step"], set()).add(str(row.get("model")))
    return models


def require_own(run: RunFolder, mine: Mapping[str, Any], held: str, output: Path) -> None:
    """Check that a training from its beginning may write into a run directory that holds records.

    Args:
        run: The run directory.
        mine: The settings of this training.
        held: What it holds, for the message.
        output: Where this training saves its checkpoints.

    Raises:
        RecordError: The records are another training's, or those of a training that can be resumed or has ended.
    """
    known = read_training(run.path)
    earlier = known.get("settings")
    if not isinstance(earlier, dict):
        raise RecordError(_not_empty(run, held, "", "choose another, remove it, or resume training from a checkpoint"))
    differ = different(earlier, mine)
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


def different(earlier: object, mine: Mapping[str, Any], most: int = 3) -> str:
    """The settings in which two trainings differ, the first few with their values; empty when there is none."""
    if not isinstance(earlier, dict):
        return ""
    names = [name for name in {**earlier, **mine} if earlier.get(name) != mine.get(name)]
    told = [
        f"{name} {earlier.get(name)!r} there, {mine.get(name)!r} here"
        if not isinstance(mine.get(name), dict | list)
        else f"another {name}"
        for name in names[:most]
    ]
    return "; ".join(told + [f"{len(names) - most} more"] * (len(names) > most))


def begin(run: RunFolder, settings: Mapping[str, Any]) -> None:
    """Write down whose run directory it is.

    Raises:
        OSError: It cannot be written.
    """
    process = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
    _write(run, {"settings": dict(settings), "process": process})


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
