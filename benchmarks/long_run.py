"""The records of a long run, made up: 9 steps with 40,000 samples each over ten tasks, 360,000 in all."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from sftgen_judges.records.schema import doc_hash

STEPS = (0, 5, 10, 20, 40, 80, 160, 320, 640)
TASKS = {  # documents and repeats
    "sftgen_mmlu_pro": (12032, 1), "sftgen_halueval": (20000, 1), "sftgen_math500": (500, 3), "sftgen_aime24": (30, 10),
    "sftgen_lcb_v2": (511, 2), "sftgen_ifeval": (541, 1), "sftgen_truthfulqa": (817, 1), "sftgen_alpaca_eval": (805, 1),
    "sftgen_gpqa_diamond": (198, 10), "sftgen_countdown": (1003, 1),
}  # fmt: skip
WORDS = ("Let", "x", "be", "the", "sum", "$\\frac{1}{2}$", "so", "that", "wait,", "é", "3.14", "\n")
A_STEP = sum(documents * repeats for documents, repeats in TASKS.values())


def samples(share: float) -> Iterator[dict[str, Any]]:
    """The rows of `samples.jsonl` in the order they come."""
    rng = random.Random(0)
    for number, step in enumerate(STEPS):
        for task, (documents, repeats) in TASKS.items():
            for document in range(max(1, round(documents * share))):
                hashed = doc_hash({"task": task, "id": document})
                for repeat in range(repeats):
                    right, tokens = float(rng.random() < 0.5), int(rng.lognormvariate(7.5, 0.8)) + 20
                    yield {
                        "run": "0123456789ab", "model": f"folder:{number:032x}", "sampling_id": "0123456789abcdef",
                        "task": task, "step": step, "doc_id": hashed[:16], "doc_hash": hashed, "repeat": repeat,
                        "status": "ok", "answer": str(rng.randrange(1000)), "score": right, "paper": right,
                        "measures": {"answered": 1.0, "asr": float(rng.random() < 0.2)}, "truncated": tokens > 9000,
                        "think": "closed", "tokens": tokens, "thinking_tokens": tokens - 20, "answer_tokens": 20,
                        "finish_reason": "stop", "reason": "the answer equals the reference" if right else "another",
                        "scorer": "math-verify 3", "evaluation_version": 2,
                        "evaluated_at": f"2026-01-{number + 1:02}T00:00:00+00:00",
                    }  # fmt: skip


def texts(rows: Iterable[dict[str, Any]], shortest: int, longest: int) -> Iterator[dict[str, Any]]:
    """The rows of `generations/TASK.jsonl` for samples, with texts of so many characters."""
    rng = random.Random(1)
    words = " ".join(rng.choices(WORDS, k=40_000))
    for row in rows:
        start, length = rng.randrange(60_000), rng.randrange(shortest, longest)
        yield {
            "task": row["task"], "step": row["step"], "model": row["model"], "doc_hash": row["doc_hash"],
            "repeat": row["repeat"], "prompt_hash": row["doc_id"], "sampling": {"temperature": 1.0}, "seed": 0,
            "text": f"<think>{words[start : start + length]}</think>The answer is {row['answer']}.",
            "finish_reason": "stop", "tokens": row["tokens"], "prompt_tokens": 90, "prefilled": False, "exact": True,
            "schema": 3, "sampling_id": row["sampling_id"],
        }  # fmt: skip
