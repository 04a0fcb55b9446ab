"""Where a benchmark stands to a training: in-domain as the run says, else as its task file says what it is about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from sftgen_tasks.harness.catalogue import leaves, shipped
from sftgen_tasks.harness.categories import GENERAL, SAFETY, category_of, declared, tasks_of

IN_DOMAIN, OUT_OF_DOMAIN, UNDECLARED = "in-domain", "out-of-domain", "undeclared"
TITLES = MappingProxyType(
    {
        IN_DOMAIN: "In-domain",
        OUT_OF_DOMAIN: "Out-of-domain",
        GENERAL: "General",
        SAFETY: "Safety (a higher score is safer)",
        UNDECLARED: "Out-of-domain, category not declared",
    }
)
TAGS = MappingProxyType({IN_DOMAIN: "in-domain", SAFETY: "safety", UNDECLARED: "category not declared"})
"""What stands behind the name of a task; other tasks are out-of-domain."""
_UNTRAINED = MappingProxyType({OUT_OF_DOMAIN: "Reasoning", UNDECLARED: "Category not declared"})
_GROUPS = ("sftgen_reasoning", "sftgen_general")


def category_in(task: str, manifest: Mapping[str, Any]) -> str:
    """Where a task of a run stands.

    Args:
        task: The task.
        manifest: Of its run, which keeps what the task files of plugins said.

    Returns:
        A key of `TITLES`: what the training data is like first, then what the benchmark is about.
    """
    if task in trained_on(manifest):
        return IN_DOMAIN
    about = _about(task, manifest)
    return about if about in (GENERAL, SAFETY) else OUT_OF_DOMAIN if about else UNDECLARED


def title_of(category: str, *, trained: bool) -> str:
    """The title of a category's panel.

    Args:
        category: A key of `TITLES`.
        trained: Whether the run names in-domain tasks; else nobody knows what is out of the domain.
    """
    return TITLES[category] if trained else _UNTRAINED.get(category, TITLES[category])


def tag_of(task: str, manifest: Mapping[str, Any]) -> str:
    """What stands behind the name of a task, with a blank and in brackets; empty of one that is out-of-domain.

    That nobody says what a task is about is told where the run names its domain: else nothing is made of it.
    """
    category = category_in(task, manifest)
    known = category in TAGS and (category != UNDECLARED or trained_on(manifest))
    return f" ({TAGS[category]})" if known else ""


def groups_of(names: Collection[str], manifest: Mapping[str, Any]) -> dict[str, set[str]]:
    """Which of these tasks are in which group; groups of one task, or none, are left out.

    Safety is a group of its own: no mean over it and other tasks is made.
    """
    names, trained = set(names), trained_on(manifest)
    safety = {name for name in names if category_in(name, manifest) == SAFETY}
    members: dict[str, set[str]] = {}
    if trained:
        members = {IN_DOMAIN: names & trained, OUT_OF_DOMAIN: names - trained - safety}
    members |= {group: names & members_of(group) for group in _GROUPS} | {SAFETY: safety}
    return {name: tasks for name, tasks in members.items() if len(tasks) > 1}


def undeclared(names: Iterable[str], manifest: Mapping[str, Any]) -> list[str]:
    """What a reader has to know of tasks that count as out-of-domain because nobody says what they are about."""
    unknown = [name for name in names if category_in(name, manifest) == UNDECLARED]
    if not unknown or not trained_on(manifest):
        return []
    return [
        f"{', '.join(unknown)}: taken for out-of-domain, category not declared: the run does not name it in-domain, "
        "and its task file has no `metadata: {category: ...}` (reasoning, general or safety)"
    ]


def trained_on(manifest: Mapping[str, Any]) -> set[str]:
    """The in-domain tasks that a run's manifest names."""
    given = manifest.get("in_domain")
    return {str(name) for name in given} if isinstance(given, list) else set()


def safety_tasks(manifests: Iterable[Mapping[str, Any]] = ()) -> frozenset[str]:
    """Every task that is about safety, by the installed task files and by these manifests."""
    noted = (name for of in manifests for name in _documents(of) if _about(name, of) == SAFETY)
    return tasks_of(SAFETY).union(noted)


@cache
def members_of(group: str) -> frozenset[str]:
    """The tasks of a group of sftgen, whose files do not change while a process runs."""
    return leaves(group, *shipped())


def _about(task: str, manifest: Mapping[str, Any]) -> str:
    return category_of(task) or declared(_documents(manifest).get(task))


def _documents(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    found = manifest.get("documents")
    return found if isinstance(found, Mapping) else {}
