"""A judge of one pattern small enough to be trained in a test: it says where a text is uncertain, as JSON."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from sftgen_judges.diagnostics.patterns import NAMING
from tests.judges.diagnostics.rule_judge import patterns_reply

UNSURE, SURE = "I am not sure that it is ", "It is certain that it is "
QUESTION = "How much is it?"


def example(rng: random.Random) -> tuple[str, bool]:
    """A text of one segment, and whether it is uncertain."""
    unsure = rng.random() < 0.5
    return f"{UNSURE if unsure else SURE}{rng.randint(10, 99)}.", unsure


def right_reply(text: str, unsure: bool) -> str:
    return patterns_reply({1: text}, [(1, "uncertainty", False)] if unsure else [])


def train_judge(folder: Path, steps: int = 50) -> Path:
    """Train on the diagnostic's own prompt; the model and its tokenizer stand in `folder` then."""
    import torch

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    torch.manual_seed(0)
    rng = random.Random(0)
    # The fixed wording of the prompt, a token a piece, so that it is short.
    prompt = dict(NAMING.pieces("x", QUESTION)[0].request.prompt[-1])["content"]
    pieces = {piece for line in prompt.splitlines() for piece in re.split(r"\w{8}\]|\d", line) if len(piece) > 3}
    replies = {json.dumps({"found": []}), *re.split(r"\d+", right_reply(f"{UNSURE}42.", unsure=True))}
    tokenizer = build_tokenizer(sorted(pieces | replies | {UNSURE, SURE}, key=len, reverse=True))
    model = build_model(tokenizer, Size(hidden=32, inner=64, layers=2, heads=2, head=32))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        rows, replied = [], []
        for _ in range(16):
            text, unsure = example(rng)
            messages = [dict(NAMING.pieces(text, QUESTION)[0].request.prompt[-1])]
            asked = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            reply = right_reply(text, unsure) + tokenizer.eos_token
            rows.append(asked + reply)
            replied.append(len(tokenizer(reply, add_special_tokens=False)["input_ids"]))
        batch = tokenizer(rows, return_tensors="pt", padding=True, add_special_tokens=False)
        labels = torch.full_like(batch["input_ids"], -100)
        for row, length in enumerate(replied):
            labels[row, -length:] = batch["input_ids"][row, -length:]
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
