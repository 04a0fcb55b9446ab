"""`sftgen data contamination`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from sftgen_train.cli.completing import complete_tasks
from sftgen_train.cli.console import console, listed

if TYPE_CHECKING:
    from sftgen_judges.plugins.contracts import Judge
    from sftgen_train.curation.contamination.paraphrases import Paraphrases
    from sftgen_train.curation.contamination.search import Contamination


def show_contamination(
    data: Annotated[str, typer.Argument(help="Training set: file, folder, or name on the hub.")],
    *,
    tasks: Annotated[
        str, typer.Option(help="Benchmarks to look for, separated by commas.", autocompletion=complete_tasks)
    ] = "sftgen_all",
    method: Annotated[
        str, typer.Option(help="How to look: some of overlap,numbers,13-gram,minhash.")
    ] = "overlap,numbers",
    embedder: Annotated[
        str, typer.Option(help="Look for paraphrases too: folder or name of an encoder, for example a MiniLM.")
    ] = "",
    judge: Annotated[
        str, typer.Option(help="Judge that decides which likely paraphrases are the same question: same-question.")
    ] = "",
    likeness: Annotated[
        float, typer.Option(min=0, max=1, help="Cosine of two embeddings from which a pair is looked at.")
    ] = 0.75,
    split: Annotated[str, typer.Option(help="Split of a dataset on the hub.")] = "train",
    out: Annotated[Optional[Path], typer.Option(help="Write every match here, as JSON.")] = None,  # noqa: UP045
    drop: Annotated[Optional[Path], typer.Option(help="Write the rows without a match into this new folder.")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for the questions of benchmarks in a training set; print counts, never a question."""
    from sftgen_judges.records.journal import write_atomic
    from sftgen_train.curation.contamination.benchmarks import load_items
    from sftgen_train.curation.contamination.dropping import write_without
    from sftgen_train.curation.contamination.search import search
    from sftgen_train.curation.reading import conversations, stream_rows

    chosen = listed(method)
    decides = judge_of(judge, embedder)
    items, left_out = load_items(listed(tasks))
    further: dict[str, Paraphrases] = {}
    if embedder:
        from sftgen_train.curation.contamination.paraphrases import Encoder, Paraphrases

        journal = out.with_name(f"{out.name}.judged.jsonl") if out else None
        questions = [item.question for item in items]
        further["paraphrase" if decides else "embedding"] = Paraphrases(
            questions, Encoder(embedder), judge=decides, likeness=likeness, journal=journal
        )
    found = search(conversations(data, stream_rows(data, split)), items, chosen, further)
    methods = (*chosen, *further)
    report = _report(data, methods, found, left_out)
    if decides:
        (made,) = further.values()
        report["judged"] = {"judge": decides.name, "pairs": made.asked, "without_judgement": made.undecided}
    if out:
        write_atomic(
            out, json.dumps({**report, "matches": [asdict(match) for match in found.matches]}, indent=1) + "\n"
        )
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)
    if drop:
        kept = write_without(drop, data, split, found, methods)
        console.print(
            f"{kept.rows:,} of {found.rows:,} rows -> {drop}, content hash {kept.content_hash}", soft_wrap=True
        )


def judge_of(name: str, embedder: str) -> Judge | None:
    """The judge, before anything is read; None where none is named."""
    from sftgen_judges.asking.settings import missing_settings
    from sftgen_judges.errors import SftgenError
    from sftgen_judges.plugins.manager import lookup

    if not name:
        return None
    if not embedder:
        raise SftgenError(
            f"--judge {name}: it decides pairs of like texts; name the encoder that finds them: --embedder"
        )
    found: Judge = lookup("judge", name)
    if missing := missing_settings(found):
        raise SftgenError(f"--judge {name}: {missing}")
    return found


def _report(data: str, methods: tuple[str, ...], found: Contamination, left_out: dict[str, str]) -> dict[str, Any]:
    def of_benchmark(name: str) -> dict[str, Any]:
        mine = [match for match in found.matches if match.benchmark == name]
        return {
            "questions": found.questions[name],
            "rows": len({match.row for match in mine}),
            "questions_found": len({match.doc_hash for match in mine}),
            "verbatim": len({match.row for match in mine if match.verbatim and match.method != "numbers"}),
            "answer_near": len({match.row for match in mine if match.answer_near}),
            "rows_by_method": {each: len({match.row for match in mine if match.method == each}) for each in methods},
            "passage_only": found.passages.get(name, 0),
        }

    return {
        "data": data,
        "rows": found.rows,
        "rows_hit": len(found.hit_rows),
        "methods": list(methods),
        "benchmarks": {name: of_benchmark(name) for name in sorted(found.questions)},
        "left_out": left_out,
    }


def _print(report: dict[str, Any]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("benchmark", no_wrap=True)
    for column in ("questions", "found", "rows", "verbatim", "answer near", *report["methods"]):
        table.add_column(column, justify="right", no_wrap=column != "answer near")
    for name, facts in report["benchmarks"].items():
        counts = (facts[name] for name in ("questions", "questions_found", "rows", "verbatim", "answer_near"))
        by_method = (facts["rows_by_method"][name] for name in report["methods"])
        table.add_row(escape(name.removeprefix("sftgen_")), *(f"{count:,}" for count in (*counts, *by_method)))
    console.print(table)
    console.print(f"{report['rows_hit']:,} of {report['rows']:,} rows hold a question of these benchmarks.")
    for name, facts in report["benchmarks"].items():
        if facts["passage_only"]:
            console.print(f"{escape(name)}: {facts['passage_only']:,} more rows hold a passage, but no question of it.")
    if judged := report.get("judged"):
        undecided = judged["without_judgement"]
        told = f"; {undecided:,} without a judgement: they may be more" if undecided else ""
        console.print(f"{escape(judged['judge'])} was asked about {judged['pairs']:,} pairs{told}.", soft_wrap=True)
    for reason in report["left_out"].values():
        # The reason begins with the name of the task.
        console.print(f"[yellow]not looked for:[/] {escape(reason.partition('. ')[0])}", soft_wrap=True)
