"""Which prompts a task asks: its own, or those of the paper's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftgen_judges import policy
from sftgen_judges.asking.settings import with_settings
from sftgen_judges.plugins.contracts import Judge
from sftgen_tasks.data.paper_prompts import Asked

PAPER_VERSION = 1000
"""What the evaluation version of answers to the paper's prompts has more than that of our own."""


def with_prompts(config: Mapping[str, Any], asked: Asked | None) -> dict[str, Any]:
    """A task's configuration with the prompts that are asked for.

    Args:
        config: lm_eval's.
        asked: The prompts; None where the task has only one.
    """
    if asked is None or asked.template is None:
        return dict(config)
    metadata = config.get("metadata") or {}
    prompt = {"doc_to_text": asked.prompt} if asked.prompt else {}
    return {**config, **prompt, "metadata": {**metadata, "version": metadata.get("version", 0) + PAPER_VERSION}}


def with_template(judge: Judge, template: Path) -> Judge:
    """The judge with another prompt, where it or a part is the `policy` judge; it goes before the environment's."""
    if judge.prompt is policy.prompt:
        return with_settings(judge, template=template)
    return replace(judge, parts=tuple(with_template(part, template) for part in judge.parts))
