"""The end of a training is a state: the same command then trains nothing, and no step is made beyond it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import is_complete
from sftgen_train.results.training_file import read_training
from sftgen_train.training import continuing

logger = logging.getLogger(__name__)

_BESIDE = (
    "logging_", "log_", "report_to", "run_name", "disable_tqdm", "resume_from_checkpoint", "output_dir",
    "harness_worker", "harness_keep",
)  # fmt: skip
_FILES = ("train_data", "eval_data", "model_name_or_path", "chat_template_path")


class _AtItsEnd(TrainerCallback):
    """Stops a training that goes on from its last step: transformers would train one step more."""

    class Reached(Exception):  # noqa: N818  # not an error
        """There is no step to train; the weights of the checkpoint are in the model."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Comes after the other callbacks, so that they have seen the weights."""
        if 0 < state.max_steps <= state.global_step:
            raise self.Reached


class _Tied(logging.Filter):
    """Drops the line that tied weights are missing in a checkpoint, where they are saved under one name."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._names = set(getattr(model, "all_tied_weights_keys", None) or ())

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is told."""
        _, about, names = record.getMessage().partition("missing keys in the checkpoint model loaded: ")
        return not (about and set(re.findall(r"'([^']+)'", names)) <= self._names)


def train_to_end(trainer: Trainer, checkpoint: str | bool | None) -> None:
    """Train, from a checkpoint or from the beginning. From the last step's checkpoint, no step is trained.

    Args:
        trainer: The trainer. In the end it holds the weights that an undisturbed training ends with.
        checkpoint: As `resume_from_checkpoint` of `Trainer.train`.
    """
    trainer.add_callback(_AtItsEnd())
    spoken, tied = logging.getLogger("transformers.trainer"), _Tied(trainer.model)
    spoken.addFilter(tied)
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except _AtItsEnd.Reached:
        state = trainer.state
        if trainer.is_world_process_zero():
            logger.warning(
                "training is at its end, step %d of %d: nothing is trained", state.global_step, state.max_steps
            )
        if trainer.args.load_best_model_at_end and state.best_model_checkpoint:
            trainer._load_best_model()
        trainer.control = trainer.callback_handler.on_train_end(trainer.args, state, trainer.control)
        trainer.is_in_train = False
    finally:
        spoken.removeFilter(tied)


def command_of(args: TrainingArguments, others: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """All that a command trains with and evaluates: its fields, and what the files that it names look like.

    A field with its default is left out: one that an earlier version did not have was as if it had it.

    Args:
        args: The trainer's arguments.
        others: The fields beside them.
        defaults: The defaults of all of them.
    """
    fields = json.loads(json.dumps({**others, **args.to_dict()}, default=str))
    named = [Path(fields[name]) for name in _FILES if fields.get(name)]
    return {
        "fields": {
            name: value
            for name, value in fields.items()
            if not name.startswith(_BESIDE) and not (name in defaults and value == defaults[name])
        },
        "files": {str(path): _looks(path) for path in named if path.exists()},
    }


def _looks(path: Path) -> dict[str, list[int]]:
    files = [path] if path.is_file() else [file for file in sorted(path.iterdir()) if file.is_file()]
    return {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def ended_step(
    args: TrainingArguments, run: RunFolder, command: Mapping[str, Any], defaults: Mapping[str, Any]
) -> int | None:
    """The step at which a training by this command ended, if its model is there; None if there is something to train.

    Args:
        args: The trainer's arguments.
        run: The run directory.
        command: The command, as `command_of` tells it.
        defaults: The defaults of all fields.
    """
    known = read_training(run.path)
    step = known.get("ended")
    if args.resume_from_checkpoint not in {None, "last"} or not _same(known.get("command"), command, defaults):
        return None
    return step if isinstance(step, int) and is_complete(continuing.output_of(args)) else None


def _same(earlier: Any, command: Mapping[str, Any], defaults: Mapping[str, Any]) -> bool:
    """Whether a command that was written down, maybe by another version, is this one.

    A version that wrote defaults too is read without them; a field that only another version has is no difference.
    """
    if not isinstance(earlier, dict) or not isinstance(fields := earlier.get("fields"), dict):
        return False
    known = {**defaults, **command["fields"]}
    told = {
        name: value
        for name, value in fields.items()
        if name in known and not name.startswith(_BESIDE) and not (name in defaults and value == defaults[name])
    }
    return (told, earlier.get("files")) == (command["fields"], command["files"])


def write_ended(run: RunFolder, step: int, command: Mapping[str, Any]) -> None:
    """Write down that the training has ended and its model is written; without that, the model is written again."""
    try:
        continuing.end(run, ended=step, command=dict(command))
    except OSError as error:
        logger.warning("%s: it was not written down that the training has ended: %s", run.path, error.strerror)
