"""Forms of a table: for programs (JSON, CSV, Parquet) and for papers (Markdown, LaTeX)."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.records.journal import require_replaceable, write_atomic

Format = Literal["table", "json", "csv", "parquet", "markdown", "latex"]
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    }
)  # fmt: skip


class FormatError(SftgenError, ValueError):
    """A format that is unknown, or needs a file."""


def check_format(form: str, out: Path | None) -> None:
    """Refuse a form that is unknown or does not go with the file.

    Raises:
        FormatError: It says what was expected.
    """
    if form not in get_args(Format):
        raise FormatError(
            f"format {form!r}: expected one of {', '.join(get_args(Format))}{did_you_mean(form, get_args(Format))}"
        )
    if form == "parquet" and out is None:
        raise FormatError("format 'parquet' is not text: name a file with --out")
    if form == "table" and out:
        raise FormatError("--out goes with --format json, csv, parquet, markdown or latex")


def write_forms(
    forms: Mapping[str, Callable[[], str]], records: Callable[[], list[dict[str, Any]]], form: str, out: Path | None
) -> str | None:
    """Write something in a form for programs or papers.

    Args:
        forms: What makes each text.
        records: What makes the rows of a Parquet file.
        form: One of `Format` but `table`.
        out: The file.

    Returns:
        The text, if no file is named.

    Raises:
        FormatError: An unknown form, or Parquet without a file.
        OSError: The file cannot be written.
    """
    check_format(form, out)
    if form == "parquet" and out:
        _write_parquet(records(), out)
        return None
    made = forms[form]()
    if out is None:
        return made
    write_atomic(out, made + "\n")
    return None


def as_csv(rows: Sequence[Mapping[str, Any]], head: Sequence[str]) -> str:
    """Rows as CSV, with every column that one of them has; `head` where there are none."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns if rows else head, lineterminator="\n")
    writer.writeheader()
    # A name that a spreadsheet would compute is text.
    writer.writerows({name: _inert(value) for name, value in row.items()} for row in rows)
    return text.getvalue().rstrip("\n")


def as_markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [
        head,
        ["---"] * len(head),
        *([cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_latex(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in LaTeX."""
    lines = [" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in [head, *rows]]
    return "\n".join(
        [rf"\begin{{tabular}}{{{'l' * len(head)}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline",
         r"\end{tabular}"]
    )  # fmt: skip


def _inert(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return ("'" + value if value[:1] in "=+-@" and value else value).translate({9: " ", 10: " ", 13: " "})


def _write_parquet(rows: list[dict[str, Any]], out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out.parent.mkdir(parents=True, exist_ok=True)
    require_replaceable(out)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".sftgen-") as folder:
        made = Path(folder) / "table.parquet"
        pq.write_table(pa.Table.from_pylist(rows), made)
        made.replace(out)
