"""The demo's two base models: one of short answers, and the same one after it has learnt latent, hesitant thinking."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from itertools import islice
from pathlib import Path

from sftgen_train.demo import data, tiny
from sftgen_train.demo.pretrain import Progress, Settings, pretrain
from sftgen_train.demo.thinking import Latent, thinking_rows

SHORT = Settings()
THINKING = Settings(steps=750, batch=24, rate=1.5e-3, floor=0.05, window=45, divisor=24)


def short_base(
    folder: Path,
    *,
    seed: int = 0,
    steps: int = SHORT.steps,
    excluded: Collection[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train the base that answers at once and has no written working of most tasks.

    Args:
        folder: Where it goes.
        seed: Seed of the weights.
        steps: Optimizer steps.
        excluded: Questions that no row asks.
        progress: Called after every step.
    """
    rows = data.base_rows(excluded=excluded)
    asked = [question for docs in data.questions(0, 50).values() for question in (doc["question"] for doc in docs)]
    asked += [question for question, _ in islice(data.base_rows(data.Mixture(seed=0), excluded=()), 200)]
    wordings = [*tiny.phrases(asked), *re.findall(r" \w{2,}", data.REFUSAL)]
    return pretrain(folder, rows, wordings=wordings, seed=seed, settings=replace(SHORT, steps=steps), progress=progress)


def thinking_base(
    folder: Path,
    start: Path,
    *,
    latent: Latent = Latent(),
    steps: int = THINKING.steps,
    excluded: Collection[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Teach the base of short answers thinking that is latent and hesitant.

    Args:
        folder: Where the model goes.
        start: The base of short answers.
        latent: What the rows are made of.
        steps: Optimizer steps.
        excluded: Questions that no row asks.
        progress: Called after every step.
    """
    rows, settings = thinking_rows(latent, excluded=excluded), replace(THINKING, steps=steps)
    return pretrain(folder, rows, start=start, settings=settings, progress=progress)
