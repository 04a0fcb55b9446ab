"""`sftgen judge`: judge any file, list the judges, and measure how well they agree with people."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.contracts import Item, Judge
from sftgen_judges.records.schema import Verdict
from sftgen_train.cli.completing import complete_judge
from sftgen_train.cli.console import console, folded

if TYPE_CHECKING:
    from sftgen_judges.agreement import Interval

app = typer.Typer(no_args_is_help=True, help="Judge files, list judges, measure their agreement.")
INCOMPLETE = 3
"""Exit code of a run with too many missing judgements."""


class JudgeFileError(SftgenError, ValueError):
    """A file or an option that cannot be used for judging."""


@app.command("list")
def list_judges(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the judges, what each needs, and whether it can work now."""
    from sftgen_judges.asking.settings import missing_settings, settings_for
    from sftgen_judges.plugins.manager import lookup, plugins

    rows: list[dict[str, Any]] = []
    for name in plugins().registered("register_judges"):
        judge: Judge = lookup("judge", name)
        rows.append(
            {
                "name": name,
                "version": judge.version,
                "scale": list(judge.scale),
                "success": judge.success,
                "needs": list(judge.needs),
                "model": settings_for(judge).model if judge.needs else None,
                "parts": [part.name for part in judge.parts],
                "to_do": missing_settings(judge),
            }
        )
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(
        Column("judge", no_wrap=True), *folded("version", "scale", "success", "needs", "ready"),
        box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for row in rows:
        low, high = row["scale"]
        needs = ", ".join(row["needs"] or row["parts"]) + (f"\n{row['model']}" if row["model"] else "")
        scale = (f"{low:g} to {high:g}", f"from {row['success']:g}")
        table.add_row(row["name"], str(row["version"]), *scale, escape(needs), "no" if row["to_do"] else "yes")
    console.print(table)
    for to_do in dict.fromkeys(row["to_do"] for row in rows if row["to_do"]):
        names = ", ".join(row["name"] for row in rows if row["to_do"] == to_do)
        console.print(f"{names}: {escape(to_do)}", soft_wrap=True)


@app.command()
def run(
    judge: Annotated[str, typer.Argument(help="Judge (`sftgen judge list`).", autocompletion=complete_judge)],
    file: Annotated[Path, typer.Argument(help="Rows to judge: jsonl, json, csv or parquet, also .gz.")],
    *,
    out: Annotated[Path, typer.Option(help="JSONL to write: the rows with the judge's columns.")],
    question: Annotated[str, typer.Option(help="Column with the question.")] = "question",
    response: Annotated[str, typer.Option(help="Column with the response, thinking included.")] = "response",
    column: Annotated[Optional[list[str]], typer.Option(help="NAME=COLUMN: another column to read.")] = None,  # noqa: UP045
    model: Annotated[Optional[list[str]], typer.Option(help="Model to ask; several make a panel.")] = None,  # noqa: UP045
    base_url: Annotated[Optional[str], typer.Option(help="Server, with its /v1.")] = None,  # noqa: UP045
    template: Annotated[Optional[Path], typer.Option(help="File with a prompt of your own.")] = None,  # noqa: UP045
    setting: Annotated[Optional[list[str]], typer.Option("--set", help="FIELD=VALUE, any setting.")] = None,  # noqa: UP045
    repeats: Annotated[int, typer.Option(min=1, help="How often each model is asked.")] = 1,
    vote: Annotated[str, typer.Option(help="majority or mean, of repeats and models.")] = "majority",
    limit: Annotated[Optional[int], typer.Option(min=1, help="Only the first rows.")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Judge the rows of a file; exit code 3 when too many judgements are missing.

    Each verdict is kept at once, in *.verdicts.jsonl beside OUT. The same command goes on where it was
    stopped, and costs nothing when nothing is missing.
    """
    from sftgen_judges.asking.settings import missing_settings
    from sftgen_judges.plugins.manager import lookup
    from sftgen_judges.records.journal import write_atomic
    from sftgen_judges.scoring.grading import grade_batch
    from sftgen_tasks.data.tables import read_table

    given = {"base_url": base_url, "template": template, **_pairs(setting, "--set")}
    chosen = _chosen(lookup("judge", judge), model or [], given, repeats, vote)
    to_do = missing_settings(chosen)
    if to_do:
        raise JudgeFileError(f"judge {judge!r} has no model to ask: {to_do}")
    _require_apart(out, file)
    rows = read_table(file)[:limit]
    items = _items(rows, file, response, {"question": question, **_pairs(column, "--column")})
    journal = out.resolve().with_suffix(".verdicts.jsonl")
    with _owned(journal):
        verdicts = grade_batch(chosen, items, journal=journal, label=judge)
        lines = [{**row, **_columns(judge, verdict)} for row, verdict in zip(rows, verdicts, strict=True)]
        write_atomic(out, "".join(_json(line) + "\n" for line in lines))
    _report(chosen, items, verdicts, out, as_json)


@app.command()
def agreement(
    file: Annotated[Path, typer.Argument(help="Rows with labels: what `sftgen judge run` wrote, or any table.")],
    *,
    judge: Annotated[Optional[list[str]], typer.Option(help="Column of a judge; default: all judges.")] = None,  # noqa: UP045
    labels: Annotated[Optional[str], typer.Option(help="Column of people's labels.")] = None,  # noqa: UP045
    level: Annotated[str, typer.Option(help="nominal, ordinal or interval labels.")] = "nominal",
    threshold: Annotated[Optional[float], typer.Option(help="Scores from this one on count as 1, others as 0.")] = None,  # noqa: UP045
    scale: Annotated[Optional[list[str]], typer.Option(help="COLUMN=LOW-HIGH; default: that of the judge.")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Agreement with people's labels and between judges: accuracy, Cohen's kappa, Krippendorff's alpha.

    Each figure has a 95 % interval by bootstrap over the items that both have judged.
    """
    from sftgen_judges.agreement import WEIGHTS, compare, read_label
    from sftgen_tasks.data.tables import read_table

    if level not in WEIGHTS:
        raise JudgeFileError(f"--level {level!r}: expected one of {', '.join(WEIGHTS)}{did_you_mean(level, WEIGHTS)}")
    rows = read_table(file)
    names = dict.fromkeys(name for row in rows for name in row)
    judges = judge or [name for name in names if f"{name}_status" in names]
    wanted = [*([labels] if labels else []), *judges]
    absent = [name for name in wanted if name not in names]
    if absent:
        raise JudgeFileError(f"{file}: no column {', '.join(map(repr, absent))}; it has {', '.join(names)}")
    columns = {name: [row.get(name) for row in rows] for name in wanted}
    scales = _scales(wanted, scale)
    missing = {name: sum(read_label(value) is None for value in values) for name, values in columns.items()}
    split: list[str] = []
    if threshold is not None:
        columns, split = _at_threshold(columns, threshold, scales, labels, file)
    ends = [scales[name] for name in wanted if name in scales and threshold is None]
    whole = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None
    pairs, everybody = compare(columns, labels=labels, level=level, scale=whole)
    if as_json:
        said = {"missing": missing, "threshold_applied_to": split}
        print(_json({"pairs": [asdict(pair) for pair in pairs], "alpha": asdict(everybody), **said}, indent=2))
        return
    table = Table(*folded("judges", "items", "missing", "accuracy", "kappa", "alpha"))
    for pair in pairs:
        figures = [_shown(interval) for interval in (pair.accuracy, pair.kappa, pair.alpha)]
        table.add_row(escape("\n".join(pair.columns)), str(pair.n), str(pair.missing), *figures)
    if len(wanted) > 2:
        table.add_row("all", str(len(rows)), "", "", "", _shown(everybody))
    console.print(table)
    left_out = ", ".join(f"{escape(name)} {count} of {len(rows)}" for name, count in missing.items() if count)
    console.print(f"Missing labels, left out: {left_out or 'none'}", soft_wrap=True)
    if threshold is not None:
        kept = ", ".join(escape(name) for name in wanted if name not in split)
        console.print(
            f"Threshold {threshold:g} applied to: {', '.join(map(escape, split)) or 'no column'}"
            + (f"; already yes or no: {kept}" if kept else ""),
            soft_wrap=True,
        )
    for pair in pairs:
        names_of = [f"{label:g}" if isinstance(label, float) else label for label in pair.labels]
        confusion = Table(escape(f"{pair.columns[0]} \\ {pair.columns[1]}"), *map(escape, names_of))
        for name, counts in zip(names_of, pair.table, strict=True):
            confusion.add_row(escape(name), *map(str, counts))
        console.print(confusion)


def _scales(wanted: Sequence[str], given: Sequence[str] | None) -> dict[str, tuple[float, float]]:
    """The scale of each column whose scale is known: given by the user, or that of the judge it is named after."""
    from sftgen_judges.plugins.manager import lookup, plugins

    registered = plugins().registered("register_judges")
    scales: dict[str, tuple[float, float]] = {
        name: lookup("judge", name).scale for name in wanted if name in registered
    }
    for name, text in _pairs(given, "--scale").items():
        ends = re.fullmatch(r"(-?\d+(?:\.\d+)?)-(-?\d+(?:\.\d+)?)", text)
        if name not in wanted or not ends or float(ends[1]) >= float(ends[2]):
            raise JudgeFileError(
                f"--scale '{name}={text}': expected COLUMN=LOW-HIGH, for example {wanted[-1]}=1-5, with one of the "
                f"columns that are compared ({', '.join(wanted)})"
            )
        scales[name] = (float(ends[1]), float(ends[2]))
    return scales


def _at_threshold(
    columns: dict[str, list[Any]],
    threshold: float,
    scales: dict[str, tuple[float, float]],
    labels: str | None,
    file: Path,
) -> tuple[dict[str, list[Any]], list[str]]:
    """The columns with scores turned into 0 and 1, and the names of those that had scores."""
    from sftgen_judges.agreement import at_least, has_scores

    split = [name for name, values in columns.items() if has_scores(values, scales.get(name))]
    for name in split:
        low, high = scales.get(name, (-math.inf, math.inf))
        if not low < threshold <= high:
            raise JudgeFileError(
                f"--threshold {threshold:g}: expected a score above {low:g} and up to {high:g}, the scale of column "
                f"{name!r}. For another scale, name it with --scale {name}=LOW-HIGH"
            )
    if labels in split and labels not in scales and threshold > 1 and set(_numbers(columns[labels])) == {1.0}:
        raise JudgeFileError(
            f"{file}, column {labels!r}: every label is 1: the highest of 0 and 1, or the lowest of 1 to 5. "
            f"Say which one with --scale {labels}=0-1 or --scale {labels}=1-5"
        )
    return {name: at_least(values, threshold, scales.get(name)) for name, values in columns.items()}, split


def _numbers(values: Sequence[Any]) -> list[float]:
    from sftgen_judges.agreement import is_word, read_label

    found = [read_label(value) for value in values if not is_word(value)]
    return [label for label in found if isinstance(label, float)]


def _chosen(judge: Judge, models: Sequence[str], given: dict[str, Any], repeats: int, vote: str) -> Judge:
    from sftgen_judges.asking.settings import with_settings
    from sftgen_judges.panels import VOTES, panel, repeated

    if vote not in VOTES:
        raise JudgeFileError(f"--vote {vote!r}: expected one of {', '.join(VOTES)}{did_you_mean(vote, VOTES)}")
    settings = {name: value for name, value in given.items() if value is not None}
    members = [with_settings(judge, **settings, **({"model": model} if model else {})) for model in models or [""]]
    if repeats > 1 and judge.parts:
        raise JudgeFileError(f"judge {judge.name!r} is made of others; --repeats is for a judge that asks a model")
    if repeats > 1:
        members = [replace(repeated(member, repeats, vote), name=member.name) for member in members]
    return members[0] if len(members) == 1 else panel(judge.name, members, vote)


def _require_apart(out: Path, file: Path) -> None:
    """Check, before anything is paid, that the output can be written and loses nothing.

    Raises:
        JudgeFileError: It is the file that is judged.
        WriteError: A folder or a device stands in its place.
    """
    from sftgen_judges.records.journal import naming, require_replaceable

    with naming(out):
        require_replaceable(out)
    if out.exists() and file.exists() and out.samefile(file):
        raise JudgeFileError(f"--out {out}: it is the file that is judged; name another file")


def _items(rows: Sequence[dict[str, Any]], file: Path, response: str, columns: dict[str, str]) -> list[Item]:
    from sftgen_judges.records.thinking import split_thinking

    items = []
    for number, row in enumerate(rows, 1):
        absent = [column for column in (response, *columns.values()) if column not in row]
        if absent:
            raise JudgeFileError(
                f"{file}, row {number}: no column {', '.join(map(repr, absent))}; it has {', '.join(row)}. "
                "Name them with --question, --response and --column NAME=COLUMN"
            )
        text = row[response]
        if isinstance(text, list | dict | bool):
            raise JudgeFileError(
                f"{file}, row {number}: column {response!r} holds {type(text).__name__}, expected a text. Write each "
                "response into a row of its own, or name another column with --response"
            )
        doc = {**row, **{name: row[column] for name, column in columns.items()}}
        items.append(Item(doc, split_thinking("" if text is None else str(text))))
    return items


def _pairs(options: Sequence[str] | None, flag: str) -> dict[str, str]:
    pairs = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not (name and equals and value):
            raise JudgeFileError(f"{flag} {option!r}: expected NAME=VALUE")
        pairs[name] = value
    return pairs


def _columns(name: str, verdict: Verdict) -> dict[str, Any]:
    paper = {"paper": verdict.paper} if verdict.paper is not None else {}
    facts = {"status": verdict.status, "reason": verdict.reason, **paper, **dict(verdict.measures)}
    return {
        name: verdict.score,
        **{f"{name}_{fact}": value for fact, value in facts.items()},
        f"{name}_evidence": verdict.evidence,
    }


@contextmanager
def _owned(journal: Path) -> Iterator[None]:
    """Hold the journal of verdicts, and the run directory that it lies in, if it lies in one.

    Raises:
        RecordError: Another command judges into the journal, or writes the run: both would pay for the same verdicts.
    """
    from sftgen_judges.records.locks import sole_writer
    from sftgen_judges.records.manifest import MANIFEST

    with ExitStack() as held:
        for folder in (journal.parent, *journal.parents[1:3]):
            if (folder / MANIFEST).is_file():
                held.enter_context(sole_writer(folder))
        held.enter_context(sole_writer(journal.parent, journal.name))
        yield


def _json(value: Any, indent: int | None = None) -> str:
    """A value as JSON; a number that is not finite, which JSON has not, is null."""
    return json.dumps(_finite(value), ensure_ascii=False, default=str, indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def _shown(interval: Interval) -> str:
    if interval.value is None:
        return "not defined"
    if interval.low is None:
        return f"{interval.value:.3f}\nno interval"
    return f"{interval.value:.3f}\n{interval.low:.3f}\u2013{interval.high:.3f}"


def _report(judge: Judge, items: Sequence[Item], verdicts: Sequence[Verdict], out: Path, as_json: bool) -> None:
    from sftgen_judges.asking.throttle import SPENT
    from sftgen_judges.scoring.grading import too_many_missing
    from sftgen_judges.scoring.telling import told

    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    known: dict[str, str] = {}
    for item, verdict in zip(items, verdicts, strict=True):
        if verdict.score is None and verdict.reason not in known:  # who quotes an item has a reason of its own
            known[verdict.reason] = told(verdict.reason, item)
    summary = {
        "judge": judge.name,
        "rows": len(verdicts),
        "judged": len(scores),
        "mean": sum(scores) / len(scores) if scores else None,
        "success": sum(score >= judge.success for score in scores) / len(scores) if scores else None,
        "statuses": dict(Counter(verdict.status for verdict in verdicts)),
        "missing": dict(Counter(known[verdict.reason] for verdict in verdicts if verdict.score is None)),
        "models": dict(Counter(str(verdict.evidence["model"]) for verdict in verdicts if "model" in verdict.evidence)),
        "calls": SPENT.calls,
        "tokens": SPENT.tokens,
        "tokens_estimated": SPENT.estimated,
        "cost": SPENT.cost,
        "incomplete": too_many_missing(judge, verdicts),
    }
    if as_json:
        print(_json(summary, indent=2))
    else:
        figures = f", mean {summary['mean']:.3f}, success {summary['success']:.1%}" if scores else ""
        console.print(f"{judge.name}: {len(scores)} of {len(verdicts)} judged{figures} -> {out}", soft_wrap=True)
        for reason, count in summary["missing"].items():  # type: ignore[attr-defined]
            console.print(f"  missing, {count} times: {escape(reason)}", soft_wrap=True)
        if len(summary["models"]) > 1:  # type: ignore[arg-type]
            counts = ", ".join(f"{name} ({count})" for name, count in summary["models"].items())  # type: ignore[attr-defined]
            console.print(f"  verdicts of several models: {escape(counts)}", soft_wrap=True)
        guessed = f" (estimated for {SPENT.estimated} replies)" if SPENT.estimated else ""
        console.print(f"  this time: {SPENT.calls} calls, {SPENT.tokens} tokens{guessed}, cost {SPENT.cost:.4f}")
    if summary["incomplete"]:
        print("sftgen: incomplete, the same command asks again for what is missing", file=sys.stderr)
        raise typer.Exit(INCOMPLETE)
