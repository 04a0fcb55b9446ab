"""The fields of `sftgen train` beside TRL's own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from sftgen_judges.errors import SftgenError
from sftgen_train.checkpoints.retention import WORDS

FORMS = ("queue", "in_process", "colocated")
WORKERS = ("beside", "after", "none")
METHODS = ("sft", "distillation", "grpo")
"""How is trained: on given responses, on a teacher's view of the model's own, or on a reward for these."""
IGNORED = -100
"""The label of a token without loss."""


class TrainingConfigError(SftgenError, ValueError):
    """A training configuration that cannot be used."""


@dataclass
class HarnessConfig:
    """Fields beside those of TRL's configurations: what to train on, how, and when to evaluate what."""

    train_data: str = field(metadata={"help": "Local parquet, jsonl, json or csv file, or a hub dataset id."})
    train_split: str = field(default="train", metadata={"help": "Split of a hub dataset."})
    train_rows: int | None = field(default=None, metadata={"help": "Only the first rows."})
    method: str = field(
        default="sft",
        metadata={"help": "How it trains; all but sft on the model's own responses.", "choices": METHODS},
    )
    reward: str | None = field(default=None, metadata={"help": "For grpo: the grader whose score is the reward."})
    eval_data: str | None = field(default=None, metadata={"help": "Rows for TRL's own evaluation loss."})
    eval_split: str = field(default="test", metadata={"help": "Split of eval_data, if it is a hub dataset."})
    end_token: str | None = field(
        default=None, metadata={"help": "Token appended to every response; the tokenizer's eos by default."}
    )
    global_batch_size: int | None = field(
        default=None, metadata={"help": "Rows a step over all processes; sets gradient_accumulation_steps."}
    )
    paper_gradients: bool = field(
        default=False, metadata={"help": "Sum the micro-batches' token means, as the paper's trainer did."}
    )
    paper_training: bool = field(
        default=False, metadata={"help": "Make whole steps as the paper's trainer did (docs/training.md)."}
    )
    harness_tasks: list[str] = field(default_factory=list, metadata={"help": "Tasks to evaluate on."})
    harness_in_domain: list[str] = field(default_factory=list, metadata={"help": "Tasks that training is about."})
    harness_delta: float | str | None = field(
        default=None, metadata={"help": "Loss that does not matter, e.g. 0.02,math500=0.05."}
    )
    harness_at_steps: list[str] | None = field(
        default=None, metadata={"help": "Steps to evaluate at; or adaptive: steps are chosen where scores moved."}
    )
    harness_every: int | None = field(default=None, metadata={"help": "Or evaluate every so many steps."})
    harness_max_evaluations: int = field(default=16, metadata={"help": "With adaptive: most steps to evaluate."})
    harness_schedule: str | None = field(
        default=None, metadata={"help": "Or a registered schedule: NAME or NAME:ARGUMENTS."}
    )
    harness_limit: int | None = field(default=None, metadata={"help": "Documents a task."})
    harness_tiers: list[Any] | str | None = field(
        default=None, metadata={"help": "JSON list of further tasks, each with steps and limit of its own."}
    )
    harness_form: str = field(default="queue", metadata={"help": "Where checkpoints are evaluated.", "choices": FORMS})
    harness_engine: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "JSON for vLLM's engine, in colocated."}
    )
    harness_worker: str = field(
        default="after",
        metadata={"help": "Who evaluates the queue: beside or after (this command), or none.", "choices": WORKERS},
    )
    harness_batch_size: int = field(default=16, metadata={"help": "Prompts generated together."})
    harness_metadata: dict[str, Any] | str | None = field(default=None, metadata={"help": "JSON handed to the tasks."})
    harness_gen_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "JSON over the tasks' generation settings."}
    )
    harness_max_gen_toks: str | None = field(
        default=None, metadata={"help": "Token limits of single tasks or groups: TASK=N,..."}
    )
    harness_seed: int = field(default=0, metadata={"help": "Seed of sampled responses."})
    harness_chat_template: bool = field(default=True, metadata={"help": "Prompts go through the chat template."})
    harness_run_dir: str | None = field(default=None, metadata={"help": "Where records go; output_dir by default."})
    harness_keep: list[str] | None = field(
        default=None, metadata={"help": "Weights that stay once they are evaluated: all, log2, verdict, or steps."}
    )
    harness_max_seen: float = field(
        default=0.1, metadata={"help": "Largest share of a benchmark's questions in training prompts; 1 allows all."}
    )
    harness_diagnostics: list[str] = field(
        default_factory=list, metadata={"help": "Diagnostics of each checkpoint, and of the run at its end."}
    )
    harness_stop_at_token_accuracy: float | None = field(
        default=None, metadata={"help": "Stop at this training token accuracy on repeated data; 0.995 is the signal."}
    )

    def __post_init__(self) -> None:
        if self.harness_worker not in WORKERS:
            raise TrainingConfigError(f"harness_worker {self.harness_worker!r}: expected one of {', '.join(WORKERS)}")
        if self.method not in METHODS:
            raise TrainingConfigError(f"method {self.method!r}: expected one of {', '.join(METHODS)}")
        for name in ("train_rows", "global_batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TrainingConfigError(f"{name} {value}: expected a number of at least 1")
        if not 0 <= self.harness_max_seen <= 1:
            raise TrainingConfigError(f"harness_max_seen {self.harness_max_seen}: expected a share from 0 to 1")
        share = self.harness_stop_at_token_accuracy
        if share is not None and not 0 < share <= 1:
            raise TrainingConfigError(f"harness_stop_at_token_accuracy {share}: expected a share above 0 and up to 1")


ADAPTIVE: Literal["adaptive"] = "adaptive"


def steps_of(given: Any) -> list[int] | Literal["adaptive"] | None:
    """Read harness_at_steps: numbers, which are texts on a command line, or `adaptive`.

    Raises:
        TrainingConfigError: It is something else.
    """
    if given in (None, ADAPTIVE, [ADAPTIVE]):
        return None if given is None else ADAPTIVE
    try:
        return [int(step) for step in given]
    except (TypeError, ValueError):
        raise TrainingConfigError(f"harness_at_steps {given!r}: expected steps, or {ADAPTIVE}") from None


def keep_text(harness: HarnessConfig) -> str:
    """Read harness_keep as `sftgen worker --keep` is given: a word, or steps with commas; empty where it is not set.

    Raises:
        TrainingConfigError: It is something else, or no worker of this command evaluates from a queue.
    """
    given = harness.harness_keep
    if given is None:
        return ""
    words = [given] if isinstance(given, str) else list(given)
    if not (words[:1] and words[0] in WORDS and len(words) == 1) and not all(str(word).isdecimal() for word in words):
        raise TrainingConfigError(f"harness_keep {given!r}: expected one of {', '.join(WORDS)}, or steps")
    if harness.harness_form != "queue" or not (harness.harness_tasks or harness.harness_tiers):
        raise TrainingConfigError(
            "harness_keep: it is about weights that wait in the queue: set harness_form: queue, and harness_tasks"
        )
    if harness.harness_worker == "none":
        raise TrainingConfigError(
            "harness_keep: with harness_worker none nobody evaluates here; give it to `sftgen worker RUN --keep`"
        )
    return ",".join(map(str, words))


def accumulation_steps(rows: int, per_device: int, processes: int) -> int:
    """The gradient accumulation that makes steps of `rows` rows.

    Raises:
        TrainingConfigError: Whole micro-batches do not add up to `rows`.
    """
    micro = per_device * processes
    if rows % micro:
        raise TrainingConfigError(
            f"global_batch_size {rows} is not a multiple of per_device_train_batch_size {per_device} x {processes} "
            "processes: change one of them"
        )
    return rows // micro


def json_list(name: str, given: Any) -> list[Any]:
    """Read a field that is a list in YAML, and JSON on the command line.

    Raises:
        TrainingConfigError: It is something else.
    """
    value: list[Any] = _of_kind(name, given, list, "a list")
    return value


def mapping(name: str, given: Any) -> dict[str, Any]:
    """Read a field that is a mapping in YAML, and JSON on the command line.

    Raises:
        TrainingConfigError: It is something else.
    """
    value: dict[str, Any] = _of_kind(name, given, dict, "a mapping")
    return value


def _of_kind(name: str, given: Any, kind: type, expected: str) -> Any:
    try:
        value = json.loads(given) if isinstance(given, str) else given or kind()
    except json.JSONDecodeError as error:
        raise TrainingConfigError(f"{name} {given!r}: not JSON: {error}") from error
    if not isinstance(value, kind):
        raise TrainingConfigError(f"{name} {given!r}: expected {expected}")
    return value
