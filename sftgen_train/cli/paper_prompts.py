"""`sftgen paper-prompts`: the prompts of the paper's code, read out of a clone of the published repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from sftgen_train.cli.console import console


def read_paper_prompts(
    clone: Annotated[Path, typer.Argument(help="Folder of a clone of the published repository.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder to write the prompts into.")],
    accept_unknown: Annotated[
        bool, typer.Option("--accept-unknown", help="Also take texts that are not the published ones.")
    ] = False,
) -> None:
    """Read the paper's prompts out of a clone, for `--metadata prompts=paper,paper_prompts=FOLDER`.

    Nothing of the clone is run. What is not found, or not known, is named, and the exit code is 1.
    """
    from sftgen_judges.records.schema import printable
    from sftgen_tasks.data.paper_prompts.extraction import commit_of, extract
    from sftgen_tasks.data.paper_prompts.folder import COMMAND, FILE, write_folder
    from sftgen_tasks.data.paper_prompts.texts import PaperPromptError

    found = extract(clone)
    taken = [one.template for one in found if one.template and (one.template.known or accept_unknown)]
    table = Table("prompt", "sha256", "text", box=box.SIMPLE_HEAD, pad_edge=False)
    for one in found:
        if one.template is None:
            table.add_row(one.name, "-", escape(printable(f"not read: {one.path}: {one.problem}")))
        elif one.template.known:
            table.add_row(one.name, one.template.sha256[:16], "published")
        else:
            refused = "" if accept_unknown else " and not taken: read it, then pass --accept-unknown"
            table.add_row(one.name, one.template.sha256[:16], escape(f"unknown{refused} ({one.path})"))
    console.print(table)
    if not taken:
        raise PaperPromptError(f"no prompt was taken from {str(clone)!r}. To have the published repository, {COMMAND}")
    write_folder(out, taken, commit_of(clone))
    console.print(
        f"{len(taken)} of {len(found)} prompts -> {out / FILE}. Ask them with "
        f"--metadata prompts=paper,paper_prompts={out}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    if len(taken) < len(found):
        raise typer.Exit(1)
