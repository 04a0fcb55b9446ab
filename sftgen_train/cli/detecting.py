"""The part of `sftgen plan` that says what it takes to see a dip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

from sftgen_judges.progress import stage
from sftgen_judges.records.shares import LOGITS
from sftgen_train.cli.console import console
from sftgen_train.report.sections import print_table
from sftgen_train.trajectory.detecting import DOCUMENTS, REPEATS, WITHIN, Detection, Plan, Power, detect
from sftgen_train.trajectory.simulation import Design

if TYPE_CHECKING:
    from sftgen_train.costs.throughput import Work

CLUSTERS = {"sftgen_lcb": 4, "sftgen_halueval": 2}
"""Documents that share a source, of benchmarks that have such, as the error rates are simulated."""


def tell_detections(work: Sequence[Work], plan: Plan, base: float, *, as_json: bool) -> None:
    """Simulate and print what each benchmark sees of a dip, and what it takes.

    Args:
        work: What each benchmark asks of a checkpoint.
        plan: What is to be seen.
        base: The base's score.
        as_json: Whether JSON is printed.
    """
    found = []
    with stage("simulating", len(work)) as more:
        for part in work:
            found.append(detect(_design(part, base), plan))
            more()
    if as_json:
        print(json.dumps({"plan": asdict(plan), "benchmarks": [_as_json(one) for one in found]}, indent=2))
    else:
        _print(found, plan, base)


def _design(work: Work, base: float) -> Design:
    cluster = next((size for name, size in CLUSTERS.items() if work.task.startswith(name)), 1)
    return Design(work.task, work.documents, work.repeats, base, cluster, share=work.judge not in LOGITS)


def _as_json(found: Detection) -> dict[str, Any]:
    def told(power: Power | None) -> dict[str, Any] | None:
        return {**asdict(power), "share": power.share, "interval": power.interval} if power else None

    return {
        "task": found.design.name, "documents": found.design.documents, "repeats": found.design.repeats,
        "cannot_tell": found.unknown or None, "power": [told(power) for power in found.power],
        "fewest_repeats": told(found.repeats), "fewest_documents": told(found.documents),
        "fewest_checkpoints_in_the_dip": found.within,
    }  # fmt: skip


def _print(found: Sequence[Detection], plan: Plan, base: float) -> None:
    title = f"A dip of {plan.depth:g} from {base:g}: how often it is seen, and what it takes for {plan.goal:.0%}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "size", "seen:\ndip at 1", "dip at 2", "repeats", "docu-\nments", "check-\npoints"):
        table.add_column(column, overflow="fold", justify="right" if column else "left")
    for one in found:
        design = one.design
        size = f"{design.documents:,} x {design.repeats}"
        if one.unknown:
            table.add_row(_short(design), size, "cannot tell", *"----")
            continue
        table.add_row(
            _short(design), size, *map(_share, one.power[:2]),
            str(one.repeats.repeats) if one.repeats else f"above {REPEATS[-1]}",
            f"{one.documents.documents:,}" if one.documents else f"above {DOCUMENTS[-1]:,}",
            str(one.within) if one.within else f"above {WITHIN[-1]}",
        )  # fmt: skip
    print_table(table, console)
    for one in found:
        if one.unknown:
            console.print(f"{one.design.name}: cannot tell: {one.unknown}.", markup=False, soft_wrap=True)
    console.print(
        f"The last three columns each change one thing: repeats of the documents that there are, documents with the "
        f"repeats that there are, or checkpoints in the dip (evaluate so often that as many fall into it). "
        f"Simulated, not measured: {plan.runs} runs of each size with {plan.steps} checkpoints after the base, by the "
        "test that `sftgen trajectory` uses at 5 %, with 95 % intervals; a number is named where the whole interval "
        "reaches the goal. Documents differ as in docs/error_rates.md: where yours differ more, or less, from step to "
        "step, it takes more, or fewer. Several tasks read together take more (Holm).",
        soft_wrap=True, highlight=False,
    )  # fmt: skip


def _short(design: Design) -> str:
    return escape(design.name.removeprefix("sftgen_"))


def _share(power: Power) -> str:
    low, high = power.interval
    return f"{power.share:.0%}\n{low:.0%}-{high:.0%}"
