"""What a benchmark is about, as its task file says: `metadata: {category: safety}`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from sftgen_judges.errors import did_you_mean
from sftgen_tasks.harness.catalogue import CatalogueError, installed, shipped

REASONING, GENERAL, SAFETY = "reasoning", "general", "safety"
CATEGORIES = (REASONING, GENERAL, SAFETY)
KEY = "category"
logger = logging.getLogger(__name__)


def category_of(task: str) -> str:
    """What the file of an installed task says that it is about; empty where it says nothing, or the task is unknown."""
    return declared((_tasks().get(task) or {}).get("metadata"))


def declared(facts: Any) -> str:
    """The category in a task's metadata, or among its facts in a manifest; empty where none that is known is there."""
    named = facts.get(KEY) if isinstance(facts, Mapping) else None
    return named if isinstance(named, str) and named in CATEGORIES else ""


def tasks_of(category: str) -> frozenset[str]:
    """Every installed task of a category."""
    return frozenset(task for task in _tasks() if category_of(task) == category)


def mistake_in(metadata: Mapping[str, Any]) -> str:
    """What is wrong with the category in a task's metadata; empty where nothing is."""
    named = metadata.get(KEY)
    if named is None or declared(metadata):
        return ""
    near = did_you_mean(str(named), CATEGORIES)
    return f"metadata {KEY} {named!r}: expected one of {', '.join(CATEGORIES)}, or none{near}"


@cache
def _tasks() -> Mapping[str, Any]:
    try:
        return installed()[0]
    except CatalogueError as error:  # of one plugin; the reports of all others can be read
        logger.warning("%s; categories of plugins' tasks stay unknown: `sftgen doctor` checks them", error)
        return shipped()[0]
