"""`sftgen data check`: a first look at a training set, before anything is trained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from sftgen_train.cli.audit import AsJson, Data, Split
from sftgen_train.cli.completing import complete_grader, complete_tasks
from sftgen_train.cli.console import console, listed, say

ROWS = {
    "right": "right by the grader",
    "wrong": "wrong",
    "no_answer": "no final answer that the grader can read",
    "unclosed": "thinking never ends, and so there is no answer",
    "no_gold": "no right answer to compare with",
    "unusable_gold": "the right answer cannot be read",
    "not_graded": "the grader failed",
    "empty": "nothing after the thinking",
    "unended": "the response does not end: unclosed thinking, or `finish_reason` says so",
    "same_prompt": "an earlier row has the same prompt",
    "same_row": "an earlier row is the same",
    "same_id": "an earlier row has the same id",
    "in_evaluation": "holds a question of the evaluation",
}
"""What is counted, and what it says."""
GRADED = ("right", "wrong", "no_answer", "unclosed", "no_gold", "unusable_gold", "not_graded")
"""What the grader says, one of them of each row."""


def check_data(
    data: Data,
    *,
    grader: Annotated[
        str,
        typer.Option(
            help="Grader; by default Countdown's or MATH500's, by the columns.", autocompletion=complete_grader
        ),
    ] = "",
    tasks: Annotated[
        str,
        typer.Option(
            help="Tasks of the evaluation whose questions are looked for, separated by commas.",
            autocompletion=complete_tasks,
        ),
    ] = "sftgen_all",
    split: Split = "train",
    as_json: AsJson = False,
) -> None:
    """Take a first look at a training set: what is right, empty, without an end, there twice, in the evaluation.

    `sftgen data report`, `verify` and `contamination` say more of each.
    """
    from sftgen_judges.plugins.manager import lookup
    from sftgen_tasks.data.tables import DataError
    from sftgen_train.curation.audit import Auditor
    from sftgen_train.curation.contamination.benchmarks import load_items
    from sftgen_train.curation.contamination.search import search
    from sftgen_train.curation.reading import batches, id_of, stream_rows
    from sftgen_train.curation.verifying import verify_batch
    from sftgen_train.training.rows import Row

    if grader:
        lookup("grader", grader)
    words: Counter[str] = Counter()
    auditor = Auditor()

    def read() -> Iterator[tuple[str, Row]]:
        """Each row once: graded and counted here, then looked through for questions."""
        for batch in batches(data, stream_rows(data, split)):
            words.update(each.word for each in verify_batch(batch, grader))
            for _, row, found in batch:
                auditor.add(row, found)
                words["cut by its column"] += row.get("finish_reason") == "length" and not _unclosed(found)
                yield id_of(row), found

    items, left_out = load_items(listed(tasks))
    overlap = search(read(), items, ("overlap",))
    held = auditor.result()
    if not held.rows:
        raise DataError(f"{data}: no rows")
    counts = {
        **{name: words[name.replace("_", " ")] for name in GRADED},
        "empty": held.empty,
        "unended": held.thinking.get("unclosed", 0) + words["cut by its column"],
        "same_prompt": held.same_prompt,
        "same_row": held.same_row,
        "same_id": held.same_id,
        "in_evaluation": len(overlap.hit_rows),
    }
    by_benchmark = Counter(name for name, _ in {(match.benchmark, match.row) for match in overlap.matches})
    report = {
        "data": data,
        "rows": held.rows,
        **counts,
        "evaluation": {name: by_benchmark[name] for name in sorted(overlap.questions)},
        "left_out": left_out,
    }
    if as_json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        _print(report, graded=held.rows - words["no gold"] - words["unusable gold"] - words["not graded"])


def _unclosed(row: Any) -> bool:
    from sftgen_judges.records.thinking import split_thinking

    return not row.response.reasoning and split_thinking(row.response.content or "").think == "unclosed"


def _print(report: Mapping[str, Any], graded: int) -> None:
    from rich import box
    from rich.table import Table

    rows = report["rows"]
    say(f"{report['data']}: {rows:,} rows, {graded:,} of them graded")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rows", justify="right")
    table.add_column("share", justify="right")
    table.add_column("what is said of them")
    always = ("right", "empty", "unended", "same_prompt", "same_row", "in_evaluation")
    for name, what in ROWS.items():
        of = graded if name == "right" else rows
        if report[name] or name in always:
            table.add_row(f"{report[name]:,}", f"{report[name] / of:.1%}" if of else "-", what)
    console.print(table)
    if found := [f"{name.removeprefix('sftgen_')} {count:,}" for name, count in report["evaluation"].items() if count]:
        say(f"questions of: {', '.join(found)}")
    if report["left_out"]:
        say(f"not looked for, because their data are not here: {', '.join(sorted(report['left_out']))}")
