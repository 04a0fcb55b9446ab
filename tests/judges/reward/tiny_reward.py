"""A tiny Qwen3 reward model: random weights, but logits far enough apart to tell answers from each other.

Heads of 32, the smallest that vLLM takes on a CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Qwen3ForSequenceClassification

from sftgen_train.demo.tiny import Size, build_model, build_tokenizer


def build_reward_model(folder: Path, seed: int = 0, *, template: str | None = None, **config: Any) -> Path:
    """Write one with its tokenizer into a folder; `config` goes over its configuration."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer([])
    tokenizer.padding_side = "left"  # as causal models have it: must not matter
    if template is not None:
        tokenizer.chat_template = template
    settings = build_model(tokenizer, Size(hidden=32, inner=64, layers=2, heads=2, head=32)).config
    for name, value in {"num_labels": 1, "initializer_range": 0.3, **config}.items():
        setattr(settings, name, value)
    model = Qwen3ForSequenceClassification(settings)
    model.score.weight.data.normal_(0, 1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def reference(folder: Path, instruction: str, answer: str) -> float:
    """The logit of one pair, in float64, alone in its batch."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()
    turns = [{"role": "user", "content": instruction}, {"role": "assistant", "content": answer}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    with torch.inference_mode():
        return float(model(**tokenizer(text, return_tensors="pt")).logits[0, 0])
