"""What a shell completes beside files: names of tasks, studies, presets, formats and whatever plugins add."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer


def _names(known: Callable[[], Iterable[str]], *, several: bool = False) -> Callable[[str], list[str]]:
    """Completes one of these names; after the last comma where several are named."""

    def complete(incomplete: str) -> list[str]:
        before, comma, begun = incomplete.rpartition(",") if several else ("", "", incomplete)
        return [f"{before}{comma}{name}" for name in known() if name.startswith(begun)]

    return complete


def _tasks() -> Iterable[str]:
    from sftgen_tasks.harness.catalogue import installed

    return (name for named in installed() for name in named)


def _presets() -> Iterable[str]:
    from sftgen_train.training import presets

    return presets.published()


def _studies() -> Iterable[str]:
    from sftgen_train.study.reading import shipped_studies

    return shipped_studies()


def _launches() -> Iterable[str]:
    from sftgen_train.training import distributed

    return distributed.accelerate_configs()


def _registered(kind: str) -> Callable[[], Iterable[str]]:
    def known() -> Iterable[str]:
        from sftgen_judges.plugins.contracts import KINDS
        from sftgen_judges.plugins.manager import plugins

        return plugins().registered(KINDS[kind].hook)

    return known


complete_task, complete_tasks = _names(_tasks), _names(_tasks, several=True)
complete_preset, complete_study, complete_launch = _names(_presets), _names(_studies), _names(_launches)
complete_grader, complete_recipe = _names(_registered("grader")), _names(_registered("recipe"))
complete_exporter, complete_importer = _names(_registered("exporter")), _names(_registered("importer"))
complete_judge, complete_trackers = _names(_registered("judge")), _names(_registered("tracker"), several=True)

Tasks = Annotated[str, typer.Option(help="Tasks and groups, separated by commas.", autocompletion=complete_tasks)]
OnlyTasks = Annotated[str, typer.Option(help="Only these tasks, separated by commas.", autocompletion=complete_tasks)]
