"""The tables of tasks and groups in docs/tasks.md, made from the task files and the modules they point to.

`python -m sftgen_tasks.harness.catalogue docs/tasks.md` writes them anew between the two marks in that file;
without a file it prints them. Nothing is downloaded: documents are not loaded.
"""

from __future__ import annotations

import fnmatch
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

try:  # in C, several times as fast: every command that evaluates reads 90 files
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.manager import task_directories
from sftgen_judges.records.journal import write_atomic
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.task_files import task_configs
from sftgen_tasks.harness.aggregation import METRICS

BEGIN, END = "<!-- made by: python -m sftgen_tasks.harness.catalogue docs/tasks.md -->", "<!-- end of what was made -->"
FROM_SEED = "from a seed"
MANY = 5
"""A group of more tasks does not list them."""


class _Loader(SafeLoader):
    """Reads lm_eval's `!function` as the name it gives."""


def _function(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor("!function", _function)


class CatalogueError(SftgenError, ValueError):
    """A file without the marks for the tables, a task file that cannot be read, or a name that no task has."""


@dataclass(frozen=True)
class Listed:
    """A task, or a group of tasks that differ in their documents only.

    Attributes:
        name: Its name.
        tasks: Its tasks; a task is its own.
        about: What it is, in a sentence.
        documents: Where they come from.
        samples: How many responses, and how they are drawn.
        scored_by: The grader or the judge.
        strict: How `score` is given.
        paper: How `score_paper` is given.
    """

    name: str
    tasks: tuple[str, ...]
    about: str
    documents: str
    samples: str
    scored_by: str
    strict: str
    paper: str


def read_configs(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The tasks and the groups of a folder of task files, by name."""
    tasks: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        config = _read(path)
        if "group" in config:
            groups[config["group"]] = config
        else:
            tasks[config["task"]] = config
    return tasks, groups


@cache
def shipped() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The tasks and the groups that come with sftgen, read once in a process. They are not to be changed."""
    return read_configs(task_configs())


@cache
def installed() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The tasks and the groups of sftgen and of the plugins, read once in a process. They are not to be changed.

    Raises:
        CatalogueError: A task file cannot be read. The message names the folder.
    """
    tasks: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, Any]] = {}
    for folder in task_directories():
        try:
            found = read_configs(folder)
        except Exception as error:  # whatever a stranger's YAML raises
            raise CatalogueError(f"task files in {folder}: {type(error).__name__}: {error}") from error
        tasks |= found[0]
        groups |= found[1]
    return tasks, groups


def leaves(
    name: str, tasks: Mapping[str, Any], groups: Mapping[str, Any], above: frozenset[str] = frozenset()
) -> frozenset[str]:
    """The tasks of a group and of its groups; a task is its own, an unknown name has none.

    Args:
        name: A task or group.
        tasks: Tasks by name, as `read_configs` reads them.
        groups: Groups by name.
        above: Groups that it was reached through: one that holds itself ends there.
    """
    if name not in groups or name in above:
        return frozenset({name} & tasks.keys())
    inner = [member for member in groups[name].get("task") or [] if isinstance(member, str)]
    return frozenset().union(*(leaves(member, tasks, groups, above | {name}) for member in inner))


def _read(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    include = config.pop("include", None)
    return {**_read(path.parent / include), **config} if include else config


def less_is_better(task: str) -> frozenset[str]:
    """The metrics of an installed task of which less is better, as its file says and as all tasks have them."""
    config = installed()[0].get(task) or {}
    named = [metric for metric in config.get("metric_list") or [] if isinstance(metric, dict)]
    said = {**METRICS, **{str(metric.get("metric")): metric.get("higher_is_better", True) for metric in named}}
    return frozenset(name for name, more in said.items() if more is False)


def benchmarks(groups: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """The group that a task is a part of, by task: `sftgen_mmlu_pro_law` is a part of `sftgen_mmlu_pro`.

    Args:
        groups: The members of each group: names, or whole tasks as lm_eval's YAML allows.

    Returns:
        Nothing for a task that stands alone, or is in groups of other names only.
    """
    found: dict[str, str] = {}
    for group, members in groups.items():
        named = [member for member in members if isinstance(member, str) and member not in groups]
        if len(named) == len(members) > 0 and all(member.startswith(f"{group}_") for member in named):
            found |= dict.fromkeys(members, group)
    return found


def tables(folder: Path | None = None) -> str:
    """The tables as Markdown."""
    tasks, groups = read_configs(folder or task_configs())
    rows = {name: _facts(config) for name, config in tasks.items()}
    alike = {name: _alike(group["task"], rows) for name, group in groups.items()}
    joined = {task: group for group, found in alike.items() if found for task in groups[group]["task"]}
    lines = {joined.get(name, name): _line(joined.get(name, name), groups, rows[name]) for name in tasks}
    listed = {name: _group_line(name, group, groups, tasks) for name, group in groups.items()}
    return "\n".join(
        [
            "| task | what it is | documents | samples | scored by | `score` | `score_paper` |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *lines.values(),
            "",
            "| group | of | tasks | its means |",
            "| --- | --- | --- | --- |",
            *listed.values(),
        ]
    )


def listing() -> list[Listed]:
    """The tasks of sftgen, then those of plugins; tasks that differ in their documents only stand together.

    Raises:
        CatalogueError: A task file cannot be read. The message names the folder.
    """
    tasks, _ = installed()
    ours, groups = shipped()
    rows = {name: _facts(config) if name in ours else _facts_of_plugin(config) for name, config in tasks.items()}
    found: dict[str, Listed] = {}
    for name in tasks:
        alike = (each for each in groups if name in groups[each]["task"] and _alike(groups[each]["task"], rows))
        shown = next(alike, name)
        members = tuple(groups[shown]["task"]) if shown in groups else (name,)
        found.setdefault(shown, Listed(shown, members, *(fact.replace("\\|", "|") for fact in rows[name])))
    return list(found.values())


def find_listed(name: str) -> Listed:
    """A task by its name, with or without `sftgen_`.

    Raises:
        CatalogueError: No task of sftgen or a plugin has this name.
    """
    known = {each: listed for listed in listing() for each in (listed.name, *listed.tasks)}
    for each in (name, f"sftgen_{name}"):
        if each in known:
            listed = known[each]
            return listed if listed.name == each else replace(listed, name=each, tasks=(each,))
    near = did_you_mean(name, known) or did_you_mean(f"sftgen_{name}", known)
    raise CatalogueError(f"no task {name!r}{near or ';'} `sftgen tasks` lists them")


def require_tasks(names: Iterable[str]) -> None:
    """Check names that can only be sftgen's or a plugin's, before lm_eval is imported to look for them.

    Args:
        names: Names and globs. One that does not begin as ours may be lm_eval's own.

    Raises:
        CatalogueError: No task and no group has such a name.
    """
    wanted = [name for name in names if name.startswith("sftgen_")]
    if not wanted:
        return
    known = [name for named in installed() for name in named]
    for name in wanted:
        if not fnmatch.filter(known, name):
            near = did_you_mean(name, known)
            raise CatalogueError(f"unknown task {name!r}{near or ';'} `sftgen tasks` lists them")


def data_of(listed: Listed) -> str:
    """Whether the documents of a task are here: `made here`, `here`, `absent`, `gated, absent`, or `of a plugin`."""
    if listed.documents != FROM_SEED and listed.tasks[0] not in shipped()[0]:
        return "of a plugin"
    source = source_of(listed.tasks[0])
    if source is None:
        return "made here"
    return "here" if source.is_here() else "gated, absent" if source.gated else "absent"


def rewrite(path: Path) -> None:
    """Put the tables between the marks of a file.

    Raises:
        CatalogueError: It has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise CatalogueError(f"{path}: expected the lines {BEGIN!r} and {END!r}, and puts the tables between them")
    write_atomic(path, f"{before}{begin}\n{tables()}\n{end}{after}")


def _facts(config: Mapping[str, Any]) -> tuple[str, ...]:
    module = importlib.import_module(config["custom_dataset"].rpartition(".")[0])
    hub = dict.fromkeys(f"{source.repo}{' (gated)' * source.gated}" for source in _sources(module))
    settings, repeats = config["generation_kwargs"], config.get("repeats", 1)
    drawn = f"{repeats} at temperature {settings['temperature']}"
    if settings.get("top_p", 1) < 1:
        drawn += f", top_p {settings['top_p']}"
    kind = "grader" if config.get("grader") else "judge"
    doc = inspect.getdoc(module) or ""
    return (
        doc.partition("\n")[0].replace("|", "\\|"),
        ", ".join(hub) or FROM_SEED,
        drawn if settings["do_sample"] else "greedy",
        f"{kind} `{config[kind]}`",
        _rule(doc, "strict"),
        _rule(doc, "paper"),
    )


def _facts_of_plugin(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The same of a plugin's task, which may lack anything that lm_eval does not ask for."""
    settings = {"do_sample": False, "temperature": "?", **(config.get("generation_kwargs") or {})}
    try:
        return _facts({"grader": "", "judge": "none", **config, "generation_kwargs": settings})
    except Exception:  # whatever a stranger's module raises, or a task of lm_eval's own kind
        return str(config.get("description") or "a task of a plugin"), "of a plugin", "", "", "", ""


def source_of(task: str) -> HubSource | None:
    """The hub's dataset that a shipped task asks; None for a task that makes its documents, and one of a plugin."""
    config = shipped()[0].get(task)
    if config is None:
        return None
    module = importlib.import_module(config["custom_dataset"].rpartition(".")[0])
    found = list(_sources(module))
    return next((source for source in found if source.task == task), found[0] if found else None)


def _sources(module: ModuleType) -> Iterator[HubSource]:
    for value in vars(module).values():
        for found in value.values() if isinstance(value, dict) else [value]:
            if isinstance(found, HubSource):
                yield found


def _rule(doc: str, name: str) -> str:
    """The first sentence of what a module's docstring says of a rule."""
    found = re.search(rf"^\* `{name}`: (.*?)(?=\n\* `|\n\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    text = " ".join(found[1].split()) if found else ""
    return re.split(r"(?<=[.])\s(?=[A-Z`])", text)[0].replace("|", "\\|")


def _alike(names: list[str], rows: Mapping[str, tuple[str, ...]]) -> bool:
    found = [rows.get(name) for name in names]
    return len(names) > 1 and None not in found and len(set(found)) == 1


def _line(name: str, groups: Mapping[str, Any], facts: tuple[str, ...]) -> str:
    many = f" ({len(groups[name]['task'])} tasks)" if name in groups else ""
    return f"| `{name}`{many} | {' | '.join(facts)} |"


def _group_line(name: str, group: Mapping[str, Any], groups: Mapping[str, Any], tasks: Mapping[str, Any]) -> str:
    members = group["task"] if len(group["task"]) <= MANY else [f"{name}_*"]
    metrics = group.get("aggregate_metric_list") or []
    weighted = "weighted by size" if any(metric["weight_by_size"] for metric in metrics) else "every task the same"
    means = f"{', '.join(metric['metric'] for metric in metrics)}: {weighted}" if metrics else "none"
    listed = ", ".join(f"`{member}`" for member in members)
    return f"| `{name}` | {listed} | {len(_leaves(group, groups))} | {means} |"


def _leaves(group: Mapping[str, Any], groups: Mapping[str, Any]) -> list[str]:
    return [
        leaf for member in group["task"] for leaf in (_leaves(groups[member], groups) if member in groups else [member])
    ]


if __name__ == "__main__":
    if sys.argv[1:]:
        rewrite(Path(sys.argv[1]))
    else:
        print(tables())
