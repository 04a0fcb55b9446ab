"""A judge small enough to be trained in a test: it completes `True:` with yes or no, by one word of the answer."""

from __future__ import annotations

import random
from pathlib import Path

from sftgen_judges import Item, Response
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_judges.truth import TRUTH

TRUE, FALSE = ("it is so", "that holds", "indeed"), ("it never was", "a myth", "by magic")


def example(rng: random.Random) -> tuple[str, str, bool]:
    """A question, an answer, and whether it is true."""
    true = rng.random() < 0.5
    return f"Is it {rng.randint(0, 99)}?", rng.choice(TRUE if true else FALSE), true


def train_judge(folder: Path, steps: int = 120) -> Path:
    """Train on the judge's own prompt; the model and its tokenizer stand in `folder` then."""
    import torch

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    torch.manual_seed(0)
    rng = random.Random(0)
    tokenizer = build_tokenizer([" yes", " no", *TRUE, *FALSE, "Q: Is it ", "?\nA: ", "\nTrue:"])
    model = build_model(tokenizer, Size(hidden=32, inner=64, layers=2, heads=2, head=32))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    assert TRUTH.prompt
    for _ in range(steps):
        rows = []
        for _ in range(32):
            question, answer, true = example(rng)
            request = TRUTH.prompt(Item({"question": question}, Response("", answer=answer)), JudgeSettings())
            rows.append(f"{request.prompt} {'yes' if true else 'no'}{tokenizer.eos_token}")
        batch = tokenizer(rows, return_tensors="pt", padding=True)
        labels = batch["input_ids"].clone()
        labels[:, :-2] = -100  # only the word and the end after it
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
