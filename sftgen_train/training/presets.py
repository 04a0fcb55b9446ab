"""The published training runs as configurations: a table of models, of data and of schedules.

Names are `MODEL/DATA` or `MODEL/DATA/SCHEDULE`; the data has a default schedule. Every model goes with every data
and schedule; a preset says so where no such run was published.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sftgen_judges.errors import SftgenError
from sftgen_train.evaluation.schedule import PAPER_STEPS

ROWS = 20_480
LENGTH = 20_000
NO_SYSTEM = Path(__file__).with_name("chat_templates") / "no_system.jinja"
_GIB = 2**30


class PresetError(SftgenError, ValueError):
    """A preset that does not exist, or a setting of it that cannot be read."""


@dataclass(frozen=True)
class Model:
    """A base model: its hub id, and the sizes from which its memory is estimated."""

    hub: str
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool = False
    head: int = 128
    micro: int = 4
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Weights of attention, feed-forward blocks and embeddings; norms and biases are left out."""
        attention = 2 * self.hidden * (self.heads + self.kv_heads) * self.head
        blocks = self.layers * (attention + 3 * self.hidden * self.inner)
        return blocks + (1 if self.tied else 2) * self.vocabulary * self.hidden


@dataclass(frozen=True)
class Data:
    """A published set; `rows` of it are trained on."""

    hub: str
    rows: int = ROWS
    schedule: str = "lr5e-5-ep8-bs256"
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Schedule:
    """Learning rate, epochs and rows a step."""

    rate: float
    epochs: int
    batch: int = 256
    constant: bool = False


_QWEN: dict[str, Any] = {"end_token": "<|endoftext|>"}
_QWEN25 = {**_QWEN, "chat_template_path": str(NO_SYSTEM)}

MODELS = {
    "qwen3-1.7b": Model("Qwen/Qwen3-1.7B-Base", 28, 2048, 6144, 16, 8, 151_936, tied=True, fields=_QWEN),
    "qwen3-4b": Model("Qwen/Qwen3-4B-Base", 36, 2560, 9728, 32, 8, 151_936, tied=True, fields=_QWEN),
    "qwen3-8b": Model("Qwen/Qwen3-8B-Base", 36, 4096, 12_288, 32, 8, 151_936, fields=_QWEN),
    "qwen3-14b": Model("Qwen/Qwen3-14B-Base", 40, 5120, 17_408, 40, 8, 151_936, fields=_QWEN),
    "qwen2.5-1.5b": Model("Qwen/Qwen2.5-1.5B", 28, 1536, 8960, 12, 2, 151_936, tied=True, fields=_QWEN25),
    "qwen2.5-3b": Model("Qwen/Qwen2.5-3B", 36, 2048, 11_008, 16, 2, 151_936, tied=True, fields=_QWEN25),
    "qwen2.5-7b": Model("Qwen/Qwen2.5-7B", 28, 3584, 18_944, 28, 4, 152_064, fields=_QWEN25),
    "qwen2.5-14b": Model("Qwen/Qwen2.5-14B", 48, 5120, 13_824, 40, 8, 152_064, fields=_QWEN25),
    "internlm2.5-20b": Model(
        "internlm/internlm2_5-20b", 48, 6144, 16_384, 48, 8, 92_544, micro=2, fields={"trust_remote_code": True}
    ),
}

_ABOUT = f"the publication says about 20k rows; steps are those of {ROWS:,}"
DATA = {
    "math-cot-20k": Data("jasonrqh/Math-CoT-20k"),
    "math-nocot-20k": Data("jasonrqh/Math-NoCoT-20k"),
    "numinamath-20k": Data("jasonrqh/NuminaMath-20k", notes=[_ABOUT]),
    "countdown-cot-20k": Data("jasonrqh/Countdown-CoT-20k", notes=[_ABOUT]),
    "deepseek-r1-20k": Data("jasonrqh/DeepSeek-R1-20k", notes=[_ABOUT]),
    "math-cot-2.5k": Data(
        "jasonrqh/Math-CoT-20k",
        2560,
        "lr5e-5-ep8-bs32",
        ["the published subset is not released: these are the first 2,560 rows of Math-CoT-20k"],
    ),
}

SCHEDULES = {
    "lr5e-5-ep8-bs256": Schedule(5e-5, 8),
    "lr5e-5-ep1-bs256": Schedule(5e-5, 1),
    "lr1e-5-ep1-bs256": Schedule(1e-5, 1),
    "lr1e-5-ep2-bs256": Schedule(1e-5, 2),
    "lr5e-5-ep16-bs256": Schedule(5e-5, 16),
    "lr5e-5-ep16-bs256-constant": Schedule(5e-5, 16, constant=True),
    "lr1e-4-ep16-bs256-constant": Schedule(1e-4, 16, constant=True),
    "lr5e-5-ep8-bs32": Schedule(5e-5, 8, batch=32),
    "lr5e-5-ep1-bs32": Schedule(5e-5, 1, batch=32),
}

SHORT = {"lr": "learning_rate", "epochs": "num_train_epochs", "bs": "global_batch_size", "data": "train_data"}
"""Short names of fields for `--set`."""


def published() -> list[str]:
    """The 33 published runs, by full name."""
    fourteen, data = "qwen3-14b", list(DATA)[:5]
    pairs = [
        *((fourteen, name) for name in data[1:]),
        *(("qwen3-8b", name) for name in data),
        *((model, data[place]) for model in ("qwen3-4b", "qwen3-1.7b") for place in (0, 1, 3)),
        *(("internlm2.5-20b", name) for name in data),
        *((model, data[0]) for model in MODELS if model.startswith("qwen2.5")),
    ]
    own = [
        f"{fourteen}/math-cot-2.5k/{name}" if name == "lr5e-5-ep8-bs32" else f"{fourteen}/math-cot-20k/{name}"
        for name in SCHEDULES
    ]
    return [*own, *(f"{model}/{name}/{DATA[name].schedule}" for model, name in pairs)]


@dataclass(frozen=True)
class Preset:
    """A model, data and a schedule."""

    model_name: str
    data_name: str
    schedule_name: str

    @property
    def name(self) -> str:
        """The full name."""
        return f"{self.model_name}/{self.data_name}/{self.schedule_name}"

    @property
    def model(self) -> Model:
        """The base model."""
        return MODELS[self.model_name]

    @property
    def data(self) -> Data:
        """The training data."""
        return DATA[self.data_name]

    def fields(self) -> dict[str, Any]:
        """The fields of the training configuration."""
        schedule, data, model = SCHEDULES[self.schedule_name], self.data, self.model
        points = [step for step in (*PAPER_STEPS, 800, 960, 1120, 1280) if step <= _steps(data.rows, schedule)]
        return {
            "model_name_or_path": model.hub,
            **model.fields,
            "dtype": "bfloat16",
            "bf16": False,
            "attn_implementation": "sdpa",
            "gradient_checkpointing": True,
            "train_data": data.hub,
            **({"train_rows": data.rows} if data.rows != ROWS else {}),
            "max_length": LENGTH if (self.model_name, self.data_name) != _SHORTER else 10_000,
            "train_sampling_strategy": "sequential",
            "dataloader_drop_last": True,
            "per_device_train_batch_size": model.micro,
            "global_batch_size": schedule.batch,
            "num_train_epochs": schedule.epochs,
            "learning_rate": schedule.rate,
            "lr_scheduler_type": "constant_with_warmup" if schedule.constant else "cosine",
            "warmup_steps": 0.1,
            "weight_decay": 0.01,
            "adam_beta1": 0.9,
            "adam_beta2": 0.999,
            "adam_epsilon": 1e-8,
            "max_grad_norm": 1.0,
            "seed": 42,
            "logging_steps": 1,
            "save_strategy": "steps",
            "save_steps": 40,
            "save_total_limit": 1,
            "resume_from_checkpoint": "last",
            "report_to": "none",
            "harness_at_steps": points,
            "output_dir": f"runs/{self.name.replace('/', '-')}",
        }

    def differences(self, settings: Mapping[str, Any] = {}) -> list[str]:
        """What differs from the publication.

        Args:
            settings: Fields that replace the preset's.
        """
        fields = {**self.fields(), **settings}
        notes = [] if self.name in published() else ["no such run was published; its parts were"]
        attention = fields["attn_implementation"]
        return [
            *notes,
            *self.data.notes,
            *_steps_differ(fields),
            "rows are padded to the longest of a micro-batch, not to max_length: the same loss in less memory",
            "a step's rows are the published ones; how they are dealt to processes and micro-batches is not",
            "log-probabilities come from TRL's output layer in chunks; published: from whole logits",
            "whole checkpoints every 40 steps, the last one kept and resumed from; published: weights alone, every 10 "
            "steps, never resumed. Evaluated steps are leased to the workers whatever is kept",
            *([f"attention: {attention}; published: flash_attention_2"] if attention != "flash_attention_2" else []),
            "one seed, 42; published: unused",
            "libraries are newer; published: torch 2.6.0, transformers 4.52.4, flash-attn 2.7.4",
            *_QWEN25_NOTES.get(self.model_name.partition("-")[0], []),
            *(["its code comes from the hub (trust_remote_code)"] if "trust_remote_code" in self.model.fields else []),
        ]


def _steps_differ(fields: Mapping[str, Any]) -> list[str]:
    """How the steps themselves differ from the published ones, and which field makes them the same."""
    if fields.get("paper_training"):
        micro = fields["per_device_train_batch_size"]
        return [
            "gradients are summed over micro-batches: their size before the clip is the published one with 8 processes "
            f"of {micro} rows a micro-batch only"
        ]
    summed = fields.get("paper_gradients")
    gradients = (
        "gradients are means over a step's tokens; published: token means of micro-batches, summed and not "
        "averaged, so larger before the clip (paper_gradients: true)"
    )
    logged = "sum over its micro-batches" if summed else "mean over its tokens"
    return [
        *([] if summed else [gradients]),
        "weight decay leaves out norms and biases; published: every parameter",
        "no autocast, and gradients are reduced in bfloat16; published: autocast to bfloat16, reduced in float32",
        "AdamW is fused, which rounds bfloat16 less often; published: not fused",
        "a step whose gradient norm is not finite is taken; published: skipped",
        f"the logged loss of a step is the {logged}; published: the mean over micro-batches and GPUs",
        "paper_training: true makes the steps as published, in all of these",
    ]


_SHORTER = ("internlm2.5-20b", "numinamath-20k")
_QWEN25_NOTES = {
    "qwen2.5": ["the chat template without a system turn is ours; the published copy of the model is not on the hub"]
}


def find(name: str) -> Preset:
    """The preset of a name.

    Raises:
        PresetError: No preset has this name. The message names the nearest.
    """
    parts = name.lower().split("/")
    if len(parts) in (2, 3) and parts[0] in MODELS and parts[1] in DATA:
        schedule = parts[2] if len(parts) == 3 else DATA[parts[1]].schedule
        if schedule in SCHEDULES:
            return Preset(parts[0], parts[1], schedule)
    known = [f"{model}/{data}" for model in MODELS for data in DATA]
    if len(parts) == 3:
        known = [f"{pair}/{schedule}" for pair in known for schedule in SCHEDULES]
    near = difflib.get_close_matches(name.lower(), known, 3, 0.3) or known[:3]
    raise PresetError(
        f"no preset {name!r}; the nearest: {', '.join(near)}. A preset is MODEL/DATA or MODEL/DATA/SCHEDULE, of the "
        f"models {', '.join(MODELS)}; the data {', '.join(DATA)}; the schedules {', '.join(SCHEDULES)}"
    )


def split_settings(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Take `--set name=value name=value ...` out of a command line.

    Returns:
        The other arguments, and the settings: values are YAML, `lr`, `epochs`, `bs` and `data` short names.

    Raises:
        PresetError: A setting has another form.
    """
    others: list[str] = []
    pairs: list[str] = []
    setting = False
    for argument in arguments:
        if argument.startswith("--"):
            setting = argument == "--set"
            others += [] if setting else [argument]
        else:
            (pairs if setting else others).append(argument)
    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise PresetError(f"--set {pair!r}: expected name=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise PresetError(f"--set {pair!r}: not YAML: {error}") from error
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = float(value)  # YAML 1.1 takes 1e-5 for text
        settings[SHORT.get(name, name)] = value
    return others, settings


def describe(preset: Preset, settings: Mapping[str, Any]) -> str:
    """The configuration as YAML for `--config`; steps, tokens, memory and differences as comments above it."""
    fields = {**preset.fields(), **settings}
    rows = int(fields.get("train_rows") or preset.data.rows)
    batch, length = int(fields["global_batch_size"]), int(fields["max_length"])
    steps = int(float(fields["num_train_epochs"]) * (rows // batch))
    lines = [
        f"preset {preset.name}",
        f"steps: {steps:,} ({rows // batch} an epoch of {rows:,} rows, {batch} a step)",
        f"tokens: at most {steps * batch * length:,} ({length:,} a row); how many there are is printed when training "
        "begins",
        *memory(preset.model, fields),
        "differs from the publication:",
        *(f"  * {note}" for note in preset.differences(settings)),
        *([f"  * set here: {', '.join(settings)}"] if settings else []),
    ]
    return "".join(f"# {line}\n" for line in lines) + yaml.safe_dump(fields, sort_keys=False)


def memory(model: Model, fields: Mapping[str, Any]) -> list[str]:
    """An estimate of the memory that training needs, and what it assumes."""
    kind = fields["dtype"]
    weight = 4 if kind == "float32" else 2
    fixed = model.parameters * 4 * weight
    micro, length = int(fields["per_device_train_batch_size"]), int(fields["max_length"])
    tokens = micro * length
    kept = 2 * model.layers * model.hidden * tokens
    block = 2 * tokens * (4 * model.hidden + 2 * (model.heads + model.kv_heads) * model.head + 4 * model.inner)
    if not fields["gradient_checkpointing"]:
        kept, block = model.layers * block, 0
    return [
        f"memory, estimated: weights, gradients and two Adam states in {kind}, {model.parameters / 1e9:.2f}e9 x "
        f"{4 * weight} bytes = {fixed / _GIB:.0f} GiB, over all GPUs when sharded (FSDP2, ZeRO-3), else on each;",
        f"  activations {(kept + block) / _GIB:.0f} GiB a GPU when all {micro} rows of a micro-batch have {length:,} "
        f"tokens ({kept / _GIB:.0f} kept, {block / _GIB:.0f} for the block worked on);",
        f"  so about {(fixed / 8 + kept + block) / _GIB:.0f} GiB on each of 8 when sharded. Assumed: attention that "
        "keeps no matrix of scores,",
        "  logits in chunks (TRL's), no fragmentation, no buffers for communication",
    ]


def _steps(rows: int, schedule: Schedule) -> int:
    return schedule.epochs * (rows // schedule.batch)
