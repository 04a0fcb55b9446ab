"""`sftgen curate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sftgen_judges.progress import stage
from sftgen_train.cli.console import console


def curate_sets(
    config: Annotated[Path, typer.Option(help="Configuration file, see docs/curation.md.")],
    *,
    check: Annotated[bool, typer.Option("--check", help="Only check the configuration.")] = False,
    processes: Annotated[int, typer.Option(min=0, help="Processes that select and write; 0: one a core.")] = 0,
    reverify: Annotated[
        bool,
        typer.Option("--reverify", help="Verify what stands by a newer version of the grader; nothing is generated."),
    ] = False,
    engine: Annotated[str, typer.Option(help="local, ray or a plugin's: blocks are tasks of a cluster.")] = "local",
) -> None:
    """Sample responses from a teacher, verify them, and write training sets. After a stop the same command goes on."""
    from rich.markup import escape

    from sftgen_judges.records.schema import printable
    from sftgen_train.curation.configuration import read_curation
    from sftgen_train.curation.engines import engine_of

    where = engine_of(engine)
    curation = read_curation(config)
    if check:
        console.print(f"{escape(printable(str(config)))}: {len(curation.sets)} sets, no mistake", soft_wrap=True)
        return
    from sftgen_train.curation.curate import make_pool, make_sets
    from sftgen_train.curation.pool.prompts import prepare
    from sftgen_train.curation.pool.reverifying import reverify as verify_again

    documents = prepare(curation)
    counts = documents.counts
    aside = {name: count for name, count in counts.items() if name not in {"rows", "asked"} and count}
    told = "".join(f", {count:,} {name}" for name, count in aside.items())
    console.print(f"{counts['rows']:,} prompts, {counts['asked']:,} asked{told}", highlight=False, soft_wrap=True)
    if reverify:
        with stage("verdicts", counts["asked"] * curation.teacher.samples) as done:
            before = verify_again(curation, documents, done)
        now = f"version {curation.grader.version} of {curation.grader.name}"
        said = f"verified again by {now}, before by version {before.get('version')}" if before else "as they were"
        console.print(f"verdicts: {escape(printable(said))}", highlight=False, soft_wrap=True)
    with stage("responses", counts["asked"] * curation.teacher.samples) as done:
        pool = make_pool(curation, done, where)
    first = True
    for written in make_sets(pool, processes or len(os.sched_getaffinity(0)), where, reverified=reverify):
        if first:
            names = ("generated", "finished", "truncated", "empty", "right", "not right", "not graded")
            shown = ", ".join(f"{written.counts.get(name, 0):,} {name}" for name in names)
            console.print(shown, highlight=False, soft_wrap=True)
            first = False
        again = " (stood before)" if written.before else ""
        console.print(
            f"{escape(printable(written.name))}: {written.made.rows:,} rows -> {escape(str(written.made.folder))}, "
            f"content hash {written.made.content_hash}{again}",
            highlight=False,
            soft_wrap=True,
        )
