"""The task files, graders, judges and sandboxes that sftgen registers through its own plugin hooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sftgen_judges.plugins.hookspecs import Register, hookimpl
from sftgen_tasks.data.task_files import task_configs


@hookimpl
def register_tasks(register: Callable[[str | Path], None]) -> None:
    register(task_configs())


@hookimpl
def register_graders(register: Register) -> None:
    register("math500", "sftgen_tasks.math500:GRADER")
    register("aime24", "sftgen_tasks.aime24:GRADER")
    register("gpqa_diamond", "sftgen_tasks.gpqa_diamond:GRADER")
    register("mmlu_pro", "sftgen_tasks.mmlu_pro:GRADER")
    register("livecodebench", "sftgen_tasks.livecodebench:GRADER")
    register("ifeval", "sftgen_tasks.ifeval:GRADER")
    register("halueval", "sftgen_tasks.halueval:GRADER")
    register("countdown", "sftgen_tasks.countdown:GRADER")
    register("math_verify", "sftgen_tasks.math.verifying:GRADER")
    register("exact", "sftgen_tasks.procedural:GRADER")


@hookimpl
def register_judges(register: Register) -> None:
    register("hex_phi", "sftgen_tasks.hex_phi:JUDGE")
    register("truthfulqa", "sftgen_tasks.truthfulqa:TEXT")
    register("truthfulqa-logprob", "sftgen_tasks.truthfulqa:LOGPROB")
    register("truthfulqa-chat", "sftgen_tasks.truthfulqa:CHAT")
    register("truthfulqa-paper", "sftgen_tasks.truthfulqa:PAPER")
    register("truthfulqa-published", "sftgen_tasks.truthfulqa:PUBLISHED")  # the old name of truthfulqa-paper


@hookimpl
def register_sandboxes(register: Register) -> None:
    register("local", "sftgen_tasks.sandbox.local:SANDBOX")
    register("http", "sftgen_tasks.sandbox.remote:SANDBOX")
