"""`sftgen data report`, `sftgen data verify` and `sftgen data diff`."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from sftgen_train.cli.completing import complete_grader
from sftgen_train.cli.console import console, say

if TYPE_CHECKING:
    from sftgen_train.curation.audit import Audit

Data = Annotated[str, typer.Argument(help="Training set: file, folder, or name on the hub.")]
Split = Annotated[str, typer.Option(help="Split of a dataset on the hub.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_SHOWN = 10


def report_data(
    data: Data,
    *,
    tokenizer: Annotated[Optional[str], typer.Option(help="Count lengths with the tokenizer of this model.")] = None,  # noqa: UP045
    max_length: Annotated[Optional[int], typer.Option(min=1, help="Tokens of a row; with --tokenizer.")] = None,  # noqa: UP045
    split: Split = "train",
    as_json: AsJson = False,
) -> None:
    """Say what a training set holds: lengths, how thinking ends, duplicates, what a limit would cut."""
    from sftgen_judges.errors import SftgenError
    from sftgen_train.curation.audit import Auditor
    from sftgen_train.curation.reading import stream_rows
    from sftgen_train.training.rows import read_row

    if max_length and not tokenizer:
        raise SftgenError(f"--max-length {max_length}: counted in tokens; name the model with --tokenizer")
    rows = ((row, read_row(row, f"{data}, row {number}")) for number, row in enumerate(stream_rows(data, split), 1))
    auditor = Auditor(_tokenizer(tokenizer), max_length)
    for row, conversation in rows:
        auditor.add(row, conversation)
    found = auditor.result()
    if as_json:
        print(json.dumps({"data": data, **asdict(found)}, indent=1, ensure_ascii=False))
    else:
        _print(found, max_length)


def verify_data(
    data: Data,
    *,
    grader: Annotated[
        str,
        typer.Option(
            help="Grader; by default Countdown's or MATH500's, by the columns.", autocompletion=complete_grader
        ),
    ] = "",
    split: Split = "train",
    out: Annotated[Optional[Path], typer.Option(help="Write every row that is not right here, as JSON lines.")] = None,  # noqa: UP045
    as_json: AsJson = False,
) -> None:
    """Grade the responses of a training set again, by the rules that score benchmarks; list what is not right."""
    from sftgen_judges.records.journal import rewrite_rows
    from sftgen_train.curation.reading import stream_rows
    from sftgen_train.curation.verifying import verify

    counts: Counter[str] = Counter()
    failing = []
    for each in verify(stream_rows(data, split), grader, data):
        counts[each.word] += 1
        counts["rows"] += 1
        counts["disputed"] += each.disputed
        if each.word != "right" or each.disputed:
            failing.append(asdict(each))
    if out:
        rewrite_rows(out, failing)
    if as_json:
        print(json.dumps({"data": data, **counts}, indent=1))
        return
    _print_verified(counts, failing, out)


def diff_data(first: Data, second: Data, *, split: Split = "train", as_json: AsJson = False) -> None:
    """Compare two training sets by prompt and response."""
    from sftgen_train.curation.audit import difference
    from sftgen_train.curation.reading import conversations, stream_rows

    sides = ((row for _, row in conversations(name, stream_rows(name, split))) for name in (first, second))
    found = difference(*sides)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
        return
    console.print(f"{found.same:,} prompts with the same responses, {found.changed:,} with others")
    console.print(f"{found.only_first:,} prompts only in the first, {found.only_second:,} only in the second")


def _tokenizer(name: str | None) -> Any:
    if name is None:
        return None
    from transformers import AutoTokenizer

    from sftgen_judges.errors import SftgenError

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise SftgenError(f"--tokenizer {name}: cannot be loaded ({type(error).__name__})") from error


def _print(found: Audit, max_length: int | None) -> None:
    from rich.table import Table

    from sftgen_judges.records.schema import printable

    console.print(f"{found.rows:,} rows")
    table = Table(f"length in {found.unit}", box=None, pad_edge=False)
    for column in ("median", "95 %", "longest", "in all"):
        table.add_column(column, justify="right")
    for part, spread in found.lengths.items():
        table.add_row(part, *(f"{value:,.0f}" for value in (spread.median, spread.p95, spread.longest, spread.total)))
    console.print(table)
    thinking = ", ".join(f"{found.thinking.get(word, 0):,} {word}" for word in ("closed", "unclosed", "none"))
    console.print(f"thinking: {thinking}; boxed answer: {found.boxed:,}; no answer: {found.empty:,}")
    ids = f", {found.same_id:,} ids" if found.same_id else ""
    console.print(f"there before: {found.same_prompt:,} prompts, {found.same_row:,} whole rows{ids}")
    if found.cut is not None:
        console.print(f"longer than {max_length:,} tokens: {found.cut:,} rows")
    for name, values in found.columns.items():
        listed = ", ".join(f"{value} {count:,}" for value, count in sorted(values.items(), key=lambda each: -each[1]))
        console.print(printable(f"{name}: {listed}"), markup=False, highlight=False)


def _print_verified(counts: Counter[str], failing: list[dict[str, Any]], out: Path | None) -> None:

    words = [
        word
        for word in ("right", "wrong", "no answer", "unclosed", "no gold", "unusable gold", "not graded")
        if counts[word]
    ]
    console.print(f"{counts['rows']:,} rows: " + ", ".join(f"{counts[word]:,} {word}" for word in words))
    if counts["disputed"]:
        console.print(f"{counts['disputed']:,} on which our rule and math-verify's differ")
    for each in failing[:_SHOWN]:
        named = f"row {each['row']}" + (f" ({each['row_id']})" if each["row_id"] else "")
        said = f"{named}: {each['word']}; right answer {each['gold'][:60]!r}, read {str(each['answer'])[:60]!r}"
        beside = f"; {each['reason']}" if each["reason"] else ""
        disputed = "" if each["paper"] is None else f"; math-verify: {'right' if each['paper'] else 'wrong'}"
        say(said + disputed + beside)
    more = len(failing) - _SHOWN
    if more > 0 or out:
        where = f"all in {out}" if out else "--out FILE writes all"
        console.print(f"{max(more, 0):,} more; {where}", soft_wrap=True)
