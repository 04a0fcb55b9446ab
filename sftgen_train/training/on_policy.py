"""TRL's trainers on the model's own responses: towards a teacher's next tokens, or for a grader's score."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets import Dataset
from rich.console import Console
from transformers import AutoConfig, AutoTokenizer, Trainer
from trl import (
    DistillationConfig,
    DistillationTrainer,
    GRPOConfig,
    GRPOTrainer,
    ModelConfig,
    get_peft_config,
    get_quantization_config,
)

from sftgen_judges.plugins.contracts import Item
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.markers import prompt_markers
from sftgen_judges.records.schema import printable
from sftgen_judges.records.thinking import split_thinking, think_markers
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.harness.preflight import check_local_model
from sftgen_train.training.config import HarnessConfig, TrainingConfigError
from sftgen_train.training.rows import read_prompt, read_rows

CONFIGS: Mapping[str, type[Any]] = {"distillation": DistillationConfig, "grpo": GRPOConfig}
"""TRL's configuration of each method."""
Prompt = str | list[dict[str, str]]
_ANSWER = "\\boxed{1}"
"""A response that graders read an answer in, and then the columns of its document."""
_TRIED = 8
"""Rows that are graded before the first step."""


def require_fields(harness: HarnessConfig, config: Any) -> None:
    """Check the fields of a method, its reward and its teacher's folder.

    Raises:
        SftgenError: One is missing, is of another method, or names nothing that is there.
    """
    only_sft = {"paper_training": harness.paper_training, "paper_gradients": harness.paper_gradients}
    for name, given in {**only_sft, "eval_data": harness.eval_data}.items():
        if given:
            raise TrainingConfigError(f"{name} {given!r}: of method sft only; here method is {harness.method!r}")
    if harness.method == "grpo":
        if not harness.reward:
            raise TrainingConfigError(
                "reward is missing: name the grader whose score is the reward, `reward: countdown`"
            )
        lookup("grader", harness.reward)
    if harness.method == "distillation":
        if not config.teacher_model_name_or_path:
            raise TrainingConfigError("teacher_model_name_or_path is missing: a local folder or a hub id")
        check_local_model(config.teacher_model_name_or_path, chat_template=False)


def require_same_vocabulary(config: Any, model: ModelConfig, tokenizer: Any) -> None:
    """Check that a teacher reads tokens as its student does: another reading would train on nonsense, without an error.

    Raises:
        TrainingConfigError: It has other tokens, or another number of outputs.
    """
    named = config.teacher_model_name_or_path
    trusted = {"trust_remote_code": config.trust_remote_code}
    teacher = AutoTokenizer.from_pretrained(named, revision=config.teacher_model_revision, **trusted).get_vocab()
    mine = tokenizer.get_vocab()
    if differ := sorted({token for token, _ in mine.items() ^ teacher.items()}):
        raise TrainingConfigError(
            f"teacher_model_name_or_path {named!r}: {len(differ):,} tokens have another id there than in "
            f"{model.model_name_or_path!r}, for example {printable(differ[0])!r}: expected the same tokenizer"
        )
    sizes = [
        AutoConfig.from_pretrained(name, revision=revision, **trusted).get_text_config().vocab_size
        for name, revision in (
            (str(model.model_name_or_path), model.model_revision), (named, config.teacher_model_revision),
        )
    ]  # fmt: skip
    if sizes[0] != sizes[1]:
        raise TrainingConfigError(
            f"teacher_model_name_or_path {named!r} has {sizes[1]:,} outputs, the model {sizes[0]:,}: expected as many"
        )


def prompts(harness: HarnessConfig, most: int | None = None) -> list[dict[str, Any]]:
    """The rows that responses are made to, with the document that a reward reads.

    Args:
        harness: The fields beside TRL's.
        most: Only the first of them.

    Raises:
        DataError: A row has no prompt of text, or the reward cannot grade responses to it.
    """
    rows = read_rows(harness.train_data, harness.train_split, harness.train_rows)[:most]
    numbered = [(row, f"{harness.train_data}, row {number}") for number, row in enumerate(rows, 1)]
    found = [{"prompt": _prompt(row, where), "doc": json.dumps(row, default=str)} for row, where in numbered]
    first = type(found[0]["prompt"])
    for (_, where), each in zip(numbered, found, strict=True):
        if type(each["prompt"]) is not first:
            raise DataError(f"{where}: some prompts are text and some are turns: expected one form in all rows")
    if harness.reward:
        tried = [Item(row, split_thinking(_ANSWER)) for row, _ in numbered[:_TRIED]]
        said = grade_batch(lookup("grader", harness.reward), tried, final=False)
        for (_, where), verdict in zip(numbered, said, strict=False):
            if verdict.score is None:
                raise DataError(
                    f"{where}: the reward {harness.reward!r} cannot grade responses to it ({verdict.reason}): its rows "
                    "need the columns of its benchmark's documents"
                )
    return found


def _prompt(row: Mapping[str, Any], where: str) -> Prompt:
    """The prompt of a row; what it holds of a response is not read."""
    read = read_prompt(row, where)
    if read.tools or read.options or read.carried:
        raise DataError(f"{where}: tools and options of the chat template: only prompts of text are trained on here")
    if isinstance(read.prompt, str):
        return read.prompt
    if not all(turn.plain for turn in read.prompt):
        raise DataError(f"{where}: a turn holds more than text: only prompts of text are trained on here")
    return [{"role": turn.role, "content": turn.content or ""} for turn in read.prompt]


def reward_of(name: str, opened: str | None) -> Callable[..., list[float | None]]:
    """A grader as TRL's reward function; None where a response was not graded.

    Args:
        name: The registered grader.
        opened: Markers of the thinking that prompts have begun; None without.
    """
    grader = lookup("grader", name)
    markers = think_markers(opened) if opened else None

    def reward(completions: Sequence[Any], doc: Sequence[str], **_: Any) -> list[float | None]:
        texts = [each if isinstance(each, str) else each[-1]["content"] for each in completions]
        items = [
            Item(json.loads(given), split_thinking(text, markers=markers, prefilled=opened is not None))
            for text, given in zip(texts, doc, strict=True)
        ]
        return [verdict.score for verdict in grade_batch(grader, items, label=f"reward {name}")]

    reward.__name__ = name
    return reward


def build_trainer(
    harness: HarnessConfig, config: Any, model: ModelConfig, tokenizer: Any, callbacks: Sequence[Any]
) -> Trainer:
    """Read the prompts and make the trainer.

    Args:
        harness: The fields beside TRL's.
        config: TRL's configuration of the method.
        model: The model's fields.
        tokenizer: Its tokenizer; responses end with its eos.
        callbacks: The trainer's callbacks.

    Raises:
        SftgenError: The data, the teacher or the configuration cannot be used.
    """
    rows = prompts(harness)
    first = rows[0]["prompt"]
    shown = first if isinstance(first, str) else _written(tokenizer, first)
    tokenizer.padding_side = "left"
    common: dict[str, Any] = {
        "model": str(model.model_name_or_path), "args": config, "processing_class": tokenizer,
        "train_dataset": Dataset.from_list(rows), "callbacks": list(callbacks),
        "quantization_config": get_quantization_config(model), "peft_config": get_peft_config(model),
    }  # fmt: skip
    try:
        if harness.method == "distillation":
            require_same_vocabulary(config, model, tokenizer)
            trainer: Trainer = DistillationTrainer(teacher_model=config.teacher_model_name_or_path, **common)
        else:
            reward = reward_of(str(harness.reward), prompt_markers(shown))
            trainer = GRPOTrainer(reward_funcs=reward, **common)
    except (ValueError, ImportError) as error:  # fields that do not go together
        raise TrainingConfigError(f"training configuration: {error}") from error
    if trainer.is_world_process_zero():
        towards = harness.reward or config.teacher_model_name_or_path
        told = f"{harness.train_data}: {len(rows):,} prompts; method {harness.method}, towards {towards}. First prompt:"
        for line in (told, printable(shown)):
            Console().print(line, markup=False, highlight=False, soft_wrap=True)
    return trainer


def _written(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    try:
        return str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
    except Exception as error:  # a template is anybody's code
        raise TrainingConfigError(f"the chat template does not write the first prompt: {error}") from error
