"""The report of a study: tables for the terminal, one page, and every number as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from rich.console import Console

from sftgen_judges.records.journal import clean, write_atomic
from sftgen_judges.records.schema import printable
from sftgen_train.report.forms import as_csv
from sftgen_train.report.line_chart import share_chart
from sftgen_train.report.reading import short
from sftgen_train.report.sections import Section, for_latex, for_markdown, print_sections, with_rows
from sftgen_train.study.claims import Judged
from sftgen_train.study.results import ArmResult, ComparisonResult, StudyResult, TaskOfArm
from sftgen_train.study.schema import Study
from sftgen_train.trajectory import Verdict
from sftgen_train.trajectory.arms import ArmDifference
from sftgen_train.trajectory.claims import p_text

SEEDS = (
    "Seeds are repeats of the training: a document's value is its mean over them, and the tests are over documents. "
    "What other seeds would do is shown by the range in brackets, not by a test."
)


def sections_of(study: Study, found: StudyResult, judged: Sequence[Judged]) -> list[Section]:
    """The tables of a study: claims, arms, comparisons."""
    return with_rows([_claims(judged), *map(_arm, found.arms), *map(_comparison, found.comparisons)])


def print_study(study: Study, found: StudyResult, judged: Sequence[Judged], console: Console) -> None:
    """Print what came of a study."""
    for arm in found.arms:
        if arm.missing:
            seeds = ", ".join(map(str, arm.missing))
            _say(console, f"{arm.arm}: seed {seeds} is missing; its numbers are of the others", "yellow")
        for line in arm.cautions:
            _say(console, f"{arm.arm}, {line}", "yellow")
    for name in study.arms:
        if found.arm(name) is None:
            _say(console, f"{name}: no run has ended", "yellow")
    for line in cautions_of(found):
        _say(console, line, "yellow")
    print_sections(sections_of(study, found, judged), console)
    for compared in found.comparisons:
        for line in compared.why:
            _say(console, f"{compared.arm} against {compared.against}: not compared: {line}", "yellow")
    if any(len(arm.runs) > 1 for arm in found.arms):
        _say(console, SEEDS)


def cautions_of(found: StudyResult) -> list[str]:
    """Comparisons of arms of different length: said before the claims, which rest on them."""
    unlike = [one for one in found.comparisons if one.ends[0] != one.ends[1]]
    return [f"{one.arm} against {one.against} is compared {one.where()}" for one in unlike]


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(printable(text), markup=False, highlight=False, style=style or None, soft_wrap=True)


def _claims(judged: Sequence[Judged]) -> Section:
    rows = tuple(
        (
            one.sentence(), one.outcome, one.numbers,
            "-" if isnan(one.p_over_claims) else p_text(one.p_over_claims),
        )
        for one in judged
    )  # fmt: skip
    return Section("Claims, fixed before the study ran", ("claim", "outcome", "numbers", "p over claims"), rows)


def _arm(arm: ArmResult) -> Section:
    many = len(arm.runs) > 1
    seeds = f"{len(arm.runs)} seeds" if many else "one seed"
    rows = [_row(of.verdict, of, mark="*" * (of.group == "in-domain"), many=many) for of in arm.tasks]
    rows += [_row(verdict, None, many=many) for verdict in arm.groups]
    head = ("task", "n", "base", "lowest", "at", "end", "what became of it", *(("each seed",) * many))
    return Section(f"Arm {arm.arm}, {seeds}; * in-domain", head, tuple(rows))


def _row(verdict: Verdict, of: TaskOfArm | None, *, many: bool, mark: str = "") -> tuple[str, ...]:
    points = {point.step: point for point in verdict.points}

    def at(step: int | None) -> str:
        if step is None or step not in points:
            return "-"
        text = f"{points[step].mean:.2f}"
        if of and len(of.seeds) > 1:
            low, high = of.span(step)
            text += f"\n{low:.2f}-{high:.2f}"
        return text

    end = verdict.end_steps[-1] if verdict.end_steps else None
    words = [word_of(curve.verdict) for curve in of.seeds] if of else []
    each = words[0] if len(set(words)) == 1 else "\n".join(words)
    name = f"{short(verdict.name)}{mark}" + (f"\n{verdict.tasks} tasks" if verdict.tasks > 1 else "")
    return (
        name, str(verdict.shared), at(verdict.base), at(verdict.lowest), str(verdict.lowest or "-"), at(end),
        word_of(verdict), *((each,) * many),
    )  # fmt: skip


def word_of(verdict: Verdict) -> str:
    """A verdict in few words.

    What dipped and ended above its base has also recovered; a reader wants both words.
    """
    dip = "dips, " if verdict.dips else ""
    if verdict.end == "above base" and "recovered" in verdict.claims:
        return "dips, recovered, above base"
    return f"{dip}{verdict.so_far or verdict.end}"


def _comparison(found: ComparisonResult) -> Section:
    rows = tuple(_difference(of) for of in (*found.tasks, *found.groups) if of.points)
    head = ("task", "n", found.against, found.arm, "change", "95 % limits", "p over tasks", "it is")
    return Section(f"{found.arm} against {found.against}, {found.where()}", head, rows)


def _difference(of: ArmDifference) -> tuple[str, ...]:
    end = of.points[-1]
    p = (of.over_tasks or {}).get("differ at the end")
    name = short(of.name) + (f"\n{of.tasks} tasks" if of.tasks > 1 else "")
    return (
        name, str(of.shared), f"{end.first:.2f}", f"{end.second:.2f}", f"{end.difference:+.3f}",
        f"{of.end_low:+.3f} to {of.end_high:+.3f}", p_text(p) if p is not None else "-", of.end,
    )  # fmt: skip


# ------------------------------------------------------------------------------ files


def write_study(study: Study, found: StudyResult, judged: Sequence[Judged], folder: Path) -> Path:
    """Write the page, the tables and the numbers of a study.

    Args:
        study: The study.
        found: What came of it.
        judged: Its claims.
        folder: Where to.

    Returns:
        The page.

    Raises:
        OSError: It cannot be written.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape
    from markupsafe import Markup

    folder.mkdir(parents=True, exist_ok=True)
    tables = sections_of(study, found, judged)
    write_atomic(folder / "tables.md", for_markdown(tables) + "\n")
    write_atomic(folder / "tables.tex", for_latex(tables) + "\n")
    write_atomic(folder / "curves.csv", as_csv(list(_points(found)), ()) + "\n")
    numbers = {"claims": [{**asdict(one)} for one in judged], "arms": [asdict(arm) for arm in found.arms]}
    write_atomic(folder / "results.json", json.dumps(clean(numbers), indent=1, default=str) + "\n")
    pictures = [Markup(picture(found, task)) for task in _tasks(found)]
    environment = Environment(
        autoescape=select_autoescape(default=True), loader=PackageLoader("sftgen_train.study", "")
    )
    runs = [(arm.arm, [(run.name, f"../runs/{run.name}/report.html") for run in arm.runs]) for arm in found.arms]
    html = environment.get_template("page.html.j2").render(
        study=study, sections=tables, pictures=pictures, runs=runs, seeds=SEEDS, cautions=cautions_of(found)
    )
    write_atomic(folder / "index.html", html)
    return folder / "index.html"


def picture(found: StudyResult, task: str, arms: Sequence[str] = ()) -> str:
    """A task's score against the step, a line an arm, as SVG.

    Args:
        found: What came of a study.
        task: The task.
        arms: Which arms; all by default.
    """
    lines = []
    for arm in found.arms:
        if arms and arm.arm not in arms:
            continue
        verdict = arm.verdict(task)
        if verdict:
            lines.append((printable(arm.arm), [(float(point.step), point.mean) for point in verdict.points]))
    return share_chart(f"{printable(short(task))}: score", "training step", lines)


def _tasks(found: StudyResult) -> list[str]:
    return list(dict.fromkeys(of.task for arm in found.arms for of in arm.tasks))


def _points(found: StudyResult) -> Iterator[dict[str, Any]]:
    for arm in found.arms:
        for of in arm.tasks:
            for point in of.verdict.points:
                low, high = of.span(point.step)
                yield {
                    "arm": arm.arm, "task": of.task, "group": of.group, "step": point.step, "mean": point.mean,
                    "band_low": point.low, "band_high": point.high, "lowest_seed": low, "highest_seed": high,
                    "seeds": len(of.seeds), "documents": point.documents,
                }  # fmt: skip
