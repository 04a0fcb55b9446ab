"""A server that answers sums as a teacher does: right, wrong, cut or not at all, as the seed of the request says."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.tasks.harness.backends.chat_server import ChatServer, completion

FATES = ("right", "right", "right", "wrong", "cut", "nothing")


def fate_of(question: str, seed: int) -> str:
    return random.Random(f"{question}{seed}").choice(FATES)


def answer(question: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the teacher says; the thinking is longer for larger seeds."""
    fate = fate_of(question, body["seed"])
    total = sum(map(int, re.findall(r"\d+", question.partition("\n")[0])))
    thinking = "hm " * (body["seed"] % 7 + 1)
    if fate == "cut":
        reply = completion(None, "length", tokens=16, reasoning_content=thinking)
    elif fate == "nothing":
        reply = completion(None, tokens=1)
    else:
        said = total if fate == "right" else total + 1
        reply = completion(f"It is \\boxed{{{said}}}.", tokens=body["seed"] % 7 + 9, reasoning_content=thinking)
    if body.get("logprobs"):
        tokens = [{"logprob": -(body["seed"] % 5) / 4 - 0.1, "top_logprobs": []} for _ in range(4)]
        reply["choices"][0]["logprobs"] = {"content": tokens}
    return reply


def sums(count: int) -> list[dict[str, Any]]:
    return [
        {"problem": f"What is {n} + {n + 1}?", "answer": str(2 * n + 1), "uuid": f"sum-{n}", "level": str(n % 3)}
        for n in range(count)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_config(folder: Path, server: ChatServer | None, rows: list[dict[str, Any]], **changes: Any) -> Path:
    """A configuration in a folder of its own, with the prompts beside it."""
    folder.mkdir(exist_ok=True)
    source = write_rows(folder / "prompts.jsonl", rows)
    teacher = {
        "backend": "sftgen-chat", "model": "tiny", "base_url": server.url if server else "http://127.0.0.1:9/v1",
        "samples": 3, "args": {"num_concurrent": 4, "max_retries": 1}, **changes.pop("teacher", {}),
    }  # fmt: skip
    # `exact` needs no processes to grade in; they would take longer than all else.
    prompts = {"source": str(source), "id": "uuid", "keep": ["level"], "grader": "exact", **changes.pop("prompts", {})}
    two = {"steps": [{"shortest": {"keep": 2}}], "form": "messages", "thinking": "[{thinking}] {answer}"}
    sets = {"one": {"recipe": "random-correct"}, "two": two}
    config = {"out": str(folder / "pool"), "prompts": prompts, "teacher": teacher, "sets": sets, "block": 6, **changes}
    (folder / "curate.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / "curate.yaml"
