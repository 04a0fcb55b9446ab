"""The settings of a training: what its weights and scores depend on, and what changed where it goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from accelerate.utils import extract_model_from_parallel
from transformers import TrainingArguments

from sftgen_train.evaluation.evaluator import undisturbed
from sftgen_train.evaluation.schedule import ScheduleError, Suite

EVALUATION, FIELDS = "evaluation", "fields"
# Fields of a trainer's arguments that change no weights.
_BESIDE = (
    "logging_", "log_", "report_to", "run_name", "project", "trackio", "save_", "push_to_hub", "hub_", "eval_", "do_",
    "disable_tqdm", "resume_from_checkpoint", "output_dir", "dataloader_", "ddp_timeout", "local_rank",
    "skip_memory_metrics", "load_best_model_at_end", "metric_for_best_model", "greater_is_better", "debug",
    "per_device_", "gradient_accumulation_steps", "prediction_loss_only", "include_", "batch_eval_metrics",
    "restore_callback_states", "enable_jit_checkpoint", "dataset_num_proc",
)  # fmt: skip
_OF_THE_PLACE = ("output_dir", "resume_from_checkpoint", "local_rank", "logging_dir", "run_name")
"""Fields that say where and how a command runs: they are no part of a training."""
_LENGTH = ("max_steps", "num_train_epochs")
_CONSTANT = ("constant", "constant_with_warmup")


@dataclass(frozen=True)
class Change:
    """A setting that is another one than before.

    Attributes:
        name: Its name.
        before: What it was; None where it was not set.
        now: What it is.
        harmless: Whether the training is the same one all the same.
    """

    name: str
    before: Any
    now: Any
    harmless: bool = False

    def told(self) -> str:
        """The change in words."""
        if isinstance(self.before, dict) or isinstance(self.now, dict):
            return f"another {self.name}"
        return f"{self.name} {self.before!r} there, {self.now!r} here"


def settings_of(
    args: TrainingArguments, given: Mapping[str, Any], suite: Suite, further: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the weights and records of a training depend on, by name. Two trainings are the same if these are.

    Args:
        args: The trainer's arguments.
        given: What the trainer gives its callbacks: the model and the loader of the training data.
        suite: What is evaluated when.
        further: Fields beside the arguments that the weights depend on, those that are not the default.
    """
    model = extract_model_from_parallel(given["model"])
    own = {name: value for name, value in args.to_dict().items() if not name.startswith(_BESIDE)}
    rows = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    facts = {
        "model": getattr(model, "name_or_path", "") or type(model).__name__,
        "parameters": sum(_size(parameter) for parameter in model.parameters()),
        "data": _data_facts(given.get("train_dataloader"), model),
        "rows a step": rows,
        EVALUATION: asdict(suite),
        **({FIELDS: dict(further)} if further else {}),
        **own,
    }
    return _plain(facts)


def beside_of(args: TrainingArguments) -> dict[str, Any]:
    """The trainer's arguments that change no weights, those of the place left out."""
    known = args.to_dict()
    return _plain({name: known[name] for name in known if name.startswith(_BESIDE) and name not in _OF_THE_PLACE})


def defaults_of(given: Any) -> dict[str, Any]:
    """The defaults of a dataclass's fields: one that an earlier version did not have was as if it had its own."""
    found: dict[str, Any] = {}
    for each in dataclasses.fields(given):
        if each.default is not dataclasses.MISSING:
            found[each.name] = each.default
        elif each.default_factory is not dataclasses.MISSING:
            found[each.name] = each.default_factory()
    return _plain(found)


def changes(earlier: object, mine: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Change]:
    """What differs between the settings of a training and those that it goes on with.

    Args:
        earlier: Those that it was begun with, as they were written down; damaged ones differ in nothing.
        mine: Those of now. A name that only `earlier` has is of another version, and no change.
        defaults: What stands for a setting that was not written down.
    """
    if not isinstance(earlier, dict):
        return []
    longer = mine.get("lr_scheduler_type") in _CONSTANT and earlier.get("lr_scheduler_type") in _CONSTANT
    found: list[Change] = []
    for name in mine:
        if name not in earlier and name not in defaults and name != FIELDS:
            continue
        before, now = earlier.get(name, defaults.get(name)), mine[name]
        if before == now or name in (EVALUATION, FIELDS):
            continue
        found.append(Change(name, before, now, harmless=name in _LENGTH and longer))
    named = [each.get(FIELDS) or {} for each in (earlier, mine)]
    found += [Change(name, *values) for name, values in _pairs(*named) if values[0] != values[1]]
    return [*found, *_of_evaluation(earlier.get(EVALUATION), mine.get(EVALUATION))]


def beside(earlier: object, mine: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Change]:
    """The same for arguments that change no weights."""
    if not isinstance(earlier, dict):
        return []
    pairs = {name: (earlier.get(name, defaults.get(name)), now) for name, now in mine.items()}
    return [Change(name, *values, harmless=True) for name, values in pairs.items() if values[0] != values[1]]


def _pairs(earlier: Any, mine: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    known = earlier if isinstance(earlier, dict) else {}
    for name in {**known, **mine}:
        yield name, (known.get(name), mine.get(name))


def _of_evaluation(earlier: Any, mine: Any) -> list[Change]:
    """Tasks and steps may change; how a task is measured may not: scores of one run are of one kind."""
    try:
        before, now = Suite.of(earlier), Suite.of(mine)
    except (ScheduleError, TypeError, AttributeError, ValueError, KeyError):
        return []
    found = [Change(f"evaluation {name}", *values) for name, values in measured_otherwise(before, now).items()]
    harmless = {
        "tasks": (before.tasks, now.tasks),
        "steps": ([tier.when for tier in before.tiers], [tier.when for tier in now.tiers]),
        "batch_size": (before.batch_size, now.batch_size),
        "adaptive": (before.adaptive, now.adaptive),
    }
    found += [
        Change(f"evaluation {name}", *values, harmless=True)
        for name, values in harmless.items()
        if values[0] != values[1]
    ]
    return found


def measured_otherwise(before: Suite, now: Suite) -> dict[str, tuple[Any, Any]]:
    """What makes scores of two suites numbers of two kinds, by name."""
    limits = [{name: tier.limit for tier in reversed(suite.tiers) for name in tier.tasks} for suite in (before, now)]
    pairs: dict[str, tuple[Any, Any]] = {
        f"limit of {name}": (limit, limits[1][name]) for name, limit in limits[0].items() if name in limits[1]
    }
    for name in ("metadata", "gen_kwargs"):
        one, other = dict(getattr(before, name)), dict(getattr(now, name))
        pairs |= {f"{name}.{key}": values for key, values in _pairs(one, other)}
    pairs |= {name: (getattr(before, name), getattr(now, name)) for name in ("chat_template", "seed")}
    return {name: values for name, values in pairs.items() if values[0] != values[1]}


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=_as_text))
    return plain


def _as_text(value: object) -> str:
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
