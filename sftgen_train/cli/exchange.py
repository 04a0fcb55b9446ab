"""`sftgen import` and `sftgen export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.completing import complete_exporter, complete_importer
from sftgen_train.cli.console import console, say


def import_logs(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT", help="lm-eval, inspect, or one of a plugin.", autocompletion=complete_importer
        ),
    ],
    run: Annotated[Path, typer.Argument(help="Run directory, new or with other steps.")],
    logs: Annotated[
        list[str],
        typer.Argument(
            metavar="[STEP=]PATH...",
            help="For each checkpoint its log or the folder of its logs; without STEP where the logs name it.",
        ),
    ],
    *,
    metric: Annotated[Optional[str], typer.Option(help="Metric that becomes the score.")] = None,  # noqa: UP045
) -> None:
    """Make a run of another tool's logs, one checkpoint a step, without generating anything."""
    from sftgen_judges.plugins.manager import lookup
    from sftgen_judges.records.store import RunFolder
    from sftgen_train.exchange.importing import LogError, add_step, find_steps

    importer = lookup("importer", name)
    _require(importer.name, importer.package)
    # A mistake in the last path is told before the first step is written.
    steps = find_steps(importer, logs)
    folder = RunFolder(run)
    with folder.sole_writer():
        folder.require_writable()
        there = sorted(steps.keys() & folder.evaluated_steps())
        if there:
            raise LogError(f"{run}: has step {there[0]} already; name a new run directory, or leave the step out")
        for step, found in steps.items():
            rows = add_step(folder, step, importer, found, metric)
            scores = (row for row in rows if row["metric"] == "score")
            said = ", ".join(f"{row['task']} {row['mean']:.3f} ({row['n']})" for row in scores)
            say(f"step {step}: {said or 'no score'}")
        folder.compact()
    say(f"next: sftgen report {run}")


def export_runs(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="csv, parquet, hf, inspect, every_eval_ever, or one of a plugin.",
            autocompletion=complete_exporter,
        ),
    ],
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")],
    *,
    to: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("export"),
    step: Annotated[Optional[int], typer.Option(help="Step, for formats of one model; the last by default.")] = None,  # noqa: UP045
    texts: Annotated[bool, typer.Option("--texts", help="Responses too, where the format holds them.")] = False,
    harmful_texts: Annotated[
        bool, typer.Option("--with-harmful-texts", help="With --texts: texts of safety tasks too.")
    ] = False,
) -> None:
    """Write runs in the format of other tools."""
    from sftgen_judges.plugins.contracts import Export
    from sftgen_judges.plugins.manager import lookup
    from sftgen_judges.records.query import open_records
    from sftgen_train.report.categories import safety_tasks
    from sftgen_train.report.trajectories import mapping

    exporter = lookup("exporter", name)
    _require(name, exporter.package)
    with open_records(runs) as records:
        harmful = safety_tasks(mapping(row["manifest"]) for row in records.runs.rows())
        tasks = {row["task"] for row in records.sql("SELECT DISTINCT task FROM texts").rows()} if texts else set()
        shown = frozenset(tasks if harmful_texts else tasks - harmful)
        to.mkdir(parents=True, exist_ok=True)
        for path in exporter.write(Export(records, to, step, texts, shown)):
            say(str(path))
    if left := sorted(tasks - shown):
        console.print(f"without the texts of {', '.join(left)}: --with-harmful-texts writes them", soft_wrap=True)


def _require(name: str, package: str) -> None:
    """Check that the package of a format is installed.

    Raises:
        SftgenError: It is not.
    """
    import importlib.util

    from sftgen_judges.errors import SftgenError

    if package and importlib.util.find_spec(package) is None:
        raise SftgenError(f"format {name} needs the package {package}; install it: pip install {package}")
