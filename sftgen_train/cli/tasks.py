"""What there is: `sftgen tasks`, `presets`, `plugins`, `documents` and `tasks-dir`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.markup import escape
from rich.table import Table

from sftgen_train.cli.completing import complete_task
from sftgen_train.cli.console import Metadata, console, folded, one_task, say

MOST_TASKS = 10
LONGEST_PROMPT = 4000
"""Characters of a prompt that are shown."""


def list_tasks(
    name: Annotated[
        str,
        typer.Argument(
            help="Only this task or group: what it asks and how it is scored.", autocompletion=complete_task
        ),
    ] = "",
) -> None:
    """List the tasks with what they ask; one with its rules and its first prompt."""
    from sftgen_tasks.harness.catalogue import data_of, find_listed, listing

    if name:
        _show_task(find_listed(name))
        return
    table = Table(*folded("task", "what it is", "documents", "data"), box=None)
    for task in listing():
        many = f" ({len(task.tasks)} tasks)" if len(task.tasks) > 1 else ""
        table.add_row(f"{task.name}{many}", escape(task.about), escape(task.documents), data_of(task))
    console.print(table)
    say("sftgen tasks NAME shows one. Absent data are fetched from the hub when a task first asks them.")


def _show_task(task: Any) -> None:
    from sftgen_tasks.data.tables import DataError
    from sftgen_tasks.harness.catalogue import shipped, source_of
    from sftgen_tasks.harness.categories import SAFETY, category_of
    from sftgen_tasks.harness.loading import load_tasks

    say(f"{task.name}: {task.about}")
    rows = {
        "documents": task.documents, "samples": task.samples, "scored by": task.scored_by.replace("`", ""),
        "strict": task.strict, "paper": task.paper,
        "category": category_of(task.tasks[0]) or "not declared (`metadata: {category: ...}` in its file)",
        "tasks": ", ".join(task.tasks) if len(task.tasks) > 1 else "",
    }  # fmt: skip
    for what, text in rows.items():
        if text:
            say(f"{what}: {text}")
    first = task.tasks[0]
    made_here = first in shipped()[0] and source_of(first) is None  # a harmless substitute, from a seed
    if category_of(first) == SAFETY and not made_here:
        say("Its questions may be harmful: none is shown.")
        return
    try:
        loaded = load_tasks([first]).tasks[first]
        prompt = str(loaded.doc_to_text(loaded.test_docs()[0]))
    except DataError as error:
        say(f"No prompt: {error}")
        return
    say(f"\nThe first prompt of {first}, before the chat template:\n\n{prompt[:LONGEST_PROMPT]}")


def list_presets() -> None:
    """List the published runs that `sftgen train --preset` knows."""
    from sftgen_train.training import presets

    print("\n".join(presets.published()))


def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    hook: Annotated[Optional[str], typer.Option(help="Only what was added through this hook.")] = None,  # noqa: UP045
) -> None:
    """List plugins, what each adds, and why a plugin was left out."""
    from sftgen_judges.plugins.hookspecs import HOOKS
    from sftgen_judges.plugins.manager import plugins as loaded_plugins

    found = loaded_plugins()
    hooks = [hook] if hook else list(HOOKS)
    added = {name: list(found.registered(name).values()) for name in hooks}
    listing: list[dict[str, Any]] = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "hooks": plugin.hooks,
            "adds": {
                name: [entry.name for entry in entries if entry.plugin == plugin.name]
                for name, entries in added.items()
                if name in plugin.hooks
            },
            "error": plugin.error,
        }
        for plugin in found.found
        if not hook or hook in plugin.hooks
    ]
    if as_json:
        print(json.dumps(listing, indent=2))
    else:
        table = Table(*folded("plugin", "from", "adds"))
        for plugin in listing:
            adds = [f"{_what(name)}: {_shown(name, names)}" for name, names in plugin["adds"].items() if names]
            table.add_row(
                str(plugin["name"]),
                f"{plugin['distribution']} {plugin['version']}",
                f"[red]left out.[/] {escape(plugin['error'])}" if plugin["error"] else "\n".join(adds) or "nothing",
            )
        console.print(table)
    if any(plugin.error for plugin in found.found):
        raise typer.Exit(1)


def _what(hook: str) -> str:
    """What is added through a hook, in words."""
    return hook.removeprefix("register_").replace("_", " ")


def _shown(hook: str, names: list[str]) -> str:
    """What a plugin adds, by name; of tasks, whose folders are registered, those that stand in them."""
    from sftgen_tasks.harness.catalogue import read_configs

    if hook != "register_tasks":
        return ", ".join(names)
    try:
        found = [task for folder in names for task in read_configs(Path(folder))[0]]
    except Exception:  # whatever a stranger's YAML raises; `sftgen doctor` names the file
        return ", ".join(names)
    return ", ".join(found[:MOST_TASKS]) + (f" and {len(found) - MOST_TASKS} more" if len(found) > MOST_TASKS else "")


def tasks_dir() -> None:
    """Print the folder of sftgen's task files, for `lm_eval --include_path`."""
    from sftgen_tasks.data.task_files import task_configs

    print(task_configs())


def write_documents(
    task: Annotated[str, typer.Argument(help="Task name.", autocompletion=complete_task)],
    limit: Annotated[Optional[int], typer.Option(min=1, help="Only the first documents.")] = None,  # noqa: UP045
    out: Annotated[Optional[Path], typer.Option(help="Write the manifest here.")] = None,  # noqa: UP045
    metadata: Metadata = "",
) -> None:
    """Print a manifest of a task's documents: the ids and content hashes that define a subset."""
    from sftgen_judges.records.journal import write_atomic
    from sftgen_tasks import load_tasks
    from sftgen_tasks.data.documents import make_manifest
    from sftgen_train.evaluation.schedule import parse_mapping

    task = one_task(task)
    loaded = load_tasks([task], parse_mapping("--metadata", metadata)).tasks
    rows = [dict(row) for row in loaded[task].test_docs()][:limit]
    text = json.dumps(make_manifest(task, rows), indent=1, ensure_ascii=False) + "\n"
    if out:
        write_atomic(out, text)
        console.print(f"{len(rows)} documents of {task} -> {out}")
    else:
        print(text, end="")


def write_docs(
    task: Annotated[str, typer.Argument(help="Task name.")],
    limit: Annotated[Optional[int], typer.Option(min=1, help="Only the first documents.")] = None,  # noqa: UP045
    out: Annotated[Optional[Path], typer.Option(help="Write the manifest here.")] = None,  # noqa: UP045
) -> None:
    """The former name of `sftgen documents`."""
    print("sftgen docs is sftgen documents now", file=sys.stderr)
    write_documents(task, limit, out)
