"""A plain training loop over questions and answers: makes a tiny base model, or teaches one something more."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_train.demo import tiny
from sftgen_train.demo.data import Row

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

Progress = Callable[[int, int, float], None]
"""Called with the step, the number of steps and the loss."""


@dataclass(frozen=True)
class Settings:
    """How a base model is trained.

    Attributes:
        steps: Number of optimizer steps.
        batch: Rows in a step.
        rate: Peak learning rate; a cosine after `warmup` steps takes it down.
        warmup: Steps over which the rate rises.
        floor: The share of the peak rate at which the cosine ends.
        window: Tokens of a response that are trained on; a longer one is cut and has no end. None for whole ones.
        divisor: The loss of a step is the sum over its tokens, divided by this number and the rows. With None it is the
            mean over its tokens; then a token of a batch with short answers weighs more than one of long thinking.
        threads: CPU threads; for a model this small more than one is slower.
    """

    steps: int = 750
    batch: int = 32
    rate: float = 2e-3
    warmup: int = 40
    floor: float = 0.0
    window: int | None = None
    divisor: int | None = None
    threads: int = 1


def pretrain(
    folder: str | Path,
    rows: Iterable[Row],
    *,
    start: str | Path | None = None,
    wordings: Iterable[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
    settings: Settings = Settings(),
    size: tiny.Size = tiny.Size(),
) -> Path:
    """Train a model on rows and save it with its tokenizer as a Hugging Face folder.

    The folder appears complete or not at all; one that exists is replaced.

    Args:
        folder: Where the model goes.
        rows: Questions and answers, at least `steps` times `batch` of them.
        start: Folder of the model that training begins from; without one it begins from random weights.
        wordings: What the tokenizer of a new model has as whole tokens, see `tiny.phrases`.
        seed: Seed of new weights.
        progress: Called after every step.
        settings: How to train.
        size: Size of a new model.

    Raises:
        ValueError: There are too few rows.
    """
    import torch

    folder = Path(folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tokenizer = _load_tokenizer(start) if start else tiny.build_tokenizer(wordings)
            model: Any = _load_model(start) if start else tiny.build_model(tokenizer, size)
            _train(model, _batches(tokenizer, iter(rows), settings), settings, progress)
    finally:
        torch.set_num_threads(threads)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        scratch.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _load_tokenizer(folder: str | Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def _load_model(folder: str | Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _train(
    model: torch.nn.Module,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    settings: Settings,
    progress: Progress | None,
) -> None:
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )

    def rate(step: int) -> float:
        rise = min(1.0, (step + 1) / settings.warmup)
        fallen = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        return rise * (settings.floor + (1 - settings.floor) * fallen)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    for step, (tokens, mask, labels) in enumerate(islice(batches, settings.steps), start=1):
        loss = model(input_ids=tokens, attention_mask=mask, labels=labels, use_cache=False).loss
        if settings.divisor:
            loss = loss * ((labels != -100).sum() / (settings.divisor * len(labels)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        if progress is not None:
            progress(step, settings.steps, loss.item())
    model.eval()


def _batches(
    tokenizer: PreTrainedTokenizerFast, rows: Iterator[Row], settings: Settings
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    import torch

    for step in range(settings.steps):
        pairs = list(islice(rows, settings.batch))
        if len(pairs) < settings.batch:
            raise ValueError(f"rows ended at step {step} of {settings.steps}: expected {settings.batch} a step")
        chats = [[{"role": "user", "content": question}] for question, _ in pairs]
        prompts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
        answers = [answer + tiny.END for _, answer in pairs]
        responses = [response[: settings.window] for response in tokenizer(answers)["input_ids"]]
        examples = list(zip(tokenizer(prompts)["input_ids"], responses, strict=True))
        length = max(len(prompt) + len(answer) for prompt, answer in examples)
        tokens = torch.full((settings.batch, length), tokenizer.pad_token_id)
        mask, labels = torch.zeros_like(tokens), torch.full_like(tokens, -100)
        # Padding goes on the right, so that a plain causal mask is enough.
        for row, (prompt, answer) in enumerate(examples):
            end = len(prompt) + len(answer)
            tokens[row, :end] = torch.tensor(prompt + answer)
            mask[row, :end] = 1
            labels[row, len(prompt) : end] = torch.tensor(answer)
        yield tokens, mask, labels
