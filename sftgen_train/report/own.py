"""sftgen's own sections of a report; they come in through the door of plugins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sftgen_judges.plugins.contracts import Block, Group, Html, Paragraph, Plot, Reported, ReportSection
from sftgen_judges.records.schema import printable
from sftgen_judges.records.store import RunFolder
from sftgen_train.report.arm_charts import comparison_blocks
from sftgen_train.report.cells import ABOUT_MORE_OFTEN, CHURN, landmark_span, landmark_value
from sftgen_train.report.charts import Panel, keys_of, panel_chart, panels_of, steps_shown
from sftgen_train.report.comparing import Comparison, compare
from sftgen_train.report.composition import PARTS
from sftgen_train.report.distance import base_opening, distance_section
from sftgen_train.report.explaining import Explained, TaskWhy
from sftgen_train.report.findings import Found, blocks_of, print_findings, read_findings
from sftgen_train.report.numbers import number_sections, provenance_sections
from sftgen_train.report.opening import open_with
from sftgen_train.report.page_blocks import environment
from sftgen_train.report.reading import Shown, short
from sftgen_train.report.remarks import remarks_of
from sftgen_train.report.sections import Section, with_rows
from sftgen_train.report.terminal import (
    print_comparison,
    print_explained,
    print_opening,
    print_remarks,
    print_scores_by_step,
)
from sftgen_train.report.verdict_tables import sections_of_runs, words_of
from sftgen_train.report.why_charts import change_chart, parts_chart, tradeoff_chart
from sftgen_train.report.why_tables import churn_rows, parts_sections, price_sentence, stage_rows, tradeoff_sections
from sftgen_train.trajectory import WORDS, Verdict
from sftgen_train.trajectory.landmarks import MEANINGS
from sftgen_train.trajectory.words import REGIMES

if TYPE_CHECKING:
    from rich.console import Console


def report_of(runs: Sequence[Path], waiting: int | None = None) -> Reported:
    """What a report is made of, read once for the terminal, the page and the files.

    Args:
        runs: The run directory; those after it are compared with it.
        waiting: How many checkpoints of the first wait for their evaluation, if it goes on.

    Raises:
        RecordError: The first holds no metrics, or one is not a run directory.
        CompareError: Nothing of the runs can be compared.
    """
    reported = Reported(tuple(runs))
    reported.once("sftgen: compared", lambda: compare(runs) if len(runs) > 1 else None)
    reported.once("sftgen: shown", lambda: Shown.of(RunFolder(runs[0]), waiting))
    return reported


def shown_of(reported: Reported) -> Shown:
    """What the first run holds."""
    return reported.once("sftgen: shown", lambda: Shown.of(RunFolder(reported.runs[0])))


def _compared(reported: Reported) -> Comparison | None:
    return reported.once("sftgen: compared", lambda: compare(reported.runs) if len(reported.runs) > 1 else None)


def title_of(reported: Reported) -> str:
    """The names of the runs, the first one first."""
    first, *others = _names(reported)
    return f"{first} beside {', '.join(others)}" if others else first


def _names(reported: Reported) -> list[str]:
    compared = _compared(reported)
    return [printable(name) for name in (compared.arms if compared else [reported.runs[0].resolve().name])]


def _explained(reported: Reported) -> Explained | None:
    return shown_of(reported).explained


def _no_print(_: Reported, __: Console) -> None:
    """For the terminal another section says it, or it is long."""


def _template(name: str, **facts: Any) -> Html:
    return Html(Markup(environment().get_template(name).render(**facts)))


def _tables(sections: Sequence[Section], *, words: bool = False) -> list[Block]:
    return [of.as_table(words=words) for of in sections]


# ------------------------------------------------------------------------------ verdict


def _verdict(reported: Reported) -> Iterator[Block]:
    """The verdict in two sentences, with what would settle what cannot be told."""
    shown = shown_of(reported)
    if far := base_opening(shown.metrics, shown.manifest):
        yield Paragraph(far, "warning")
    first, *others = _names(reported)
    if others:
        run = "run stands" if len(others) == 1 else "runs stand"
        yield Paragraph(f"What follows is of {first}. The other {run} beside it under “{ARMS.title}”.", "note")
    opening = open_with(shown)
    if opening:
        yield Paragraph(opening.verdict, "lead")
        yield Paragraph(opening.rests, "note")
        if opening.settle:
            yield _template("settle.html.j2", lines=opening.settle)
    else:
        yield Paragraph("One evaluated step only: there is no trajectory to read yet.", "lead")
    for line in shown.failures:
        yield Paragraph(f"Evaluation failed at {line}", "warning")


VERDICT = ReportSection(
    "verdict", "Verdict", 100, _verdict, headed=False, show=lambda of, console: print_opening(shown_of(of), console)
)


# ------------------------------------------------------------------------------ curves


def _course(reported: Reported) -> Iterator[Block]:
    """Score and length against the step, a panel a category."""
    panels = panels_of(shown_of(reported))
    if not panels:
        return
    steps = steps_shown(panels)
    yield Group(
        tuple(
            Plot(
                f"course-{panel.category}",
                f"{panel.title}: score and response length against training step; the numbers are in the tables below",
                panel_chart(panel, panels, steps), panel.title, keys_of(panel), tuple(_course_rows(panel)), "course",
            )
            for panel in panels
        ),
        beside=True,
    )  # fmt: skip
    if len(steps) == 1:
        yield Paragraph("Score and mean response length in tokens, with 95 % intervals.", "note")
        return
    yield Paragraph(
        "Score and mean response length in tokens. Bands of scores hold at 95 % for all steps at once, those of "
        "lengths for each step. Dotted is the base, dashed the base less delta. ▼ is below the base, ◆ is an end "
        "that came back after a dip, and an open marker was measured on fewer documents than others.",
        "note",
    )


def _course_rows(panel: Panel) -> Iterator[dict[str, Any]]:
    for line in panel.lines:
        about = {"category": panel.category, "task": printable(line.task), "base": line.base, "delta": line.delta}
        for measure, points in (("score", line.score), ("response_tokens", line.tokens)):
            for of in points:
                yield {
                    **about, "measure": measure, "step": of.step, "mean": of.mean, "low": of.low, "high": of.high,
                    "documents": of.documents, "dips": of.dips, "about": "; ".join(of.about),
                }  # fmt: skip


COURSE = ReportSection(
    "course", "Score and length by step", 200, _course, headed=False,
    show=lambda of, console: print_scores_by_step(shown_of(of), console),
)  # fmt: skip


# ------------------------------------------------------------------------------ verdicts of tasks


def _readings(reported: Reported) -> Iterator[Block]:
    """Each task's and group's verdict."""
    shown = shown_of(reported)
    found = shown.explained
    yield _template(
        "readings.html.j2",
        verdicts=list(enumerate(_in_order(found, shown.in_domain))) if found else (),
        tag=shown.tag, words=WORDS, words_of=words_of, short=short,
    )  # fmt: skip
    for line in (*(found.verdicts.cautions if found else ()), *remarks_of(shown.metrics, shown.manifest)):
        yield Paragraph(line, "note")


def _in_order(found: Explained, in_domain: set[str]) -> list[Verdict]:
    return sorted(found.verdicts.verdicts, key=lambda verdict: verdict.name not in in_domain)


READINGS = ReportSection(
    "what-recovered", "What recovered and what did not", 300, _readings,
    show=lambda of, console: print_explained(found, console) if (found := _explained(of)) else None,
    files=lambda of: _tables(sections_of_runs([found])) if (found := _explained(of)) else (),
)  # fmt: skip


# ------------------------------------------------------------------------------ task by task


def _tasks(reported: Reported) -> Iterator[Block]:
    """Of each task what its change is made of, the landmarks, and the stages of the length."""
    shown = shown_of(reported)
    if not (found := shown.explained):
        return
    if any(len(verdict.points) > 1 for verdict in found.verdicts.verdicts):
        yield Paragraph(
            "Open circles were measured on fewer documents than others, orange ones dip. The dashed line is the loss "
            "that does not matter (delta).",
            "note",
        )
    for place, verdict in enumerate(_in_order(found, shown.in_domain)):
        blocks = tuple(_task(verdict, found.by_task.get(verdict.name)))
        name = short(verdict.name) + shown.tag(verdict.name)
        yield Group(blocks, name, name=f"task-{place}")


def _task(verdict: Verdict, why: TaskWhy | None) -> Iterator[Block]:
    yield Paragraph(verdict.sentence(), "note")
    plots = tuple(_task_plots(verdict, why))
    if plots:
        yield Group(plots, beside=True)
    if why is None:
        return
    if why.regime:
        yield _template("regime.html.j2", regime=why.regime, meaning=REGIMES[why.regime.word])
    tables: list[Block] = []
    if why.landmarks:
        tables.append(
            _template(
                "landmarks.html.j2", task=short(verdict.name), landmarks=why.landmarks, meanings=MEANINGS,
                value=landmark_value, span=landmark_span, about=ABOUT_MORE_OFTEN,
            )
        )  # fmt: skip
    if why.stages:
        head = ("length", "from step", "to step", "tokens a doubling")
        tables.append(Section("", head, tuple(stage_rows(why.stages))).as_table())
    if tables:
        yield Group(tuple(tables), beside=True)
    if why.safety:
        yield parts_sections([], why.safety)[1].as_table()
    if why.churn:
        title, rows = "Answers won and lost since the base", tuple(churn_rows(why))
        yield Section(title, ("steps", *CHURN), rows).filled().as_table()


def _task_plots(verdict: Verdict, why: TaskWhy | None) -> Iterator[Plot]:
    name = short(verdict.name)
    if len(verdict.points) > 1:
        yield Plot(
            f"changes-{name}", f"Change of {name} from the base by step", change_chart(verdict),
            "Change from the base; the band holds for all steps at once",
            rows=tuple(_change_rows(verdict)), data="changes",
        )  # fmt: skip
    if why and why.changes:
        yield Plot(
            f"parts-{name}", f"What the changes of {name} are made of", parts_chart(why.changes),
            "What the change is made of; the diamonds are the change",
            rows=tuple(_part_rows(why)), data="parts",
        )  # fmt: skip


def _change_rows(verdict: Verdict) -> Iterator[dict[str, Any]]:
    for point in verdict.points:
        about = {"task": printable(verdict.name), "delta": verdict.delta}
        yield {**about, **asdict(point), "dips": point.step in verdict.dips}


def _part_rows(why: TaskWhy) -> Iterator[dict[str, Any]]:
    for change in why.changes:
        for field, name in PARTS:
            part = getattr(change.parts, field)
            yield {
                "task": printable(change.task), "before": change.before, "after": change.after, "part": name,
                "change": part.change, "low": part.low, "high": part.high, "of_change": change.parts.change,
            }  # fmt: skip


def _tasks_in_files(reported: Reported) -> Iterator[Block]:
    found = _explained(reported)
    for verdict in found.verdicts.verdicts if found else ():
        yield from _task_plots(verdict, found.by_task.get(verdict.name) if found else None)


TASKS = ReportSection("tasks", "Task by task", 400, _tasks, show=_no_print, files=_tasks_in_files)


# ------------------------------------------------------------------------------ runs compared


def _arms(reported: Reported) -> Iterator[Block]:
    """The runs beside each other: curves, differences with their bands, and every table of the comparison."""
    compared = _compared(reported)
    return iter(comparison_blocks(compared)) if compared else iter(())


ARMS = ReportSection(
    "arms", "Runs compared", 350, _arms,
    show=lambda of, console: print_comparison(found, console) if (found := _compared(of)) else None,
)  # fmt: skip


# ------------------------------------------------------------------------------ findings, safety, distance


def _findings(reported: Reported) -> list[Found]:
    return reported.once("sftgen: findings", lambda: read_findings(shown_of(reported).run))


FINDINGS = ReportSection(
    "findings", "Findings", 600, lambda of: blocks_of(_findings(of)),
    show=lambda of, console: print_findings(_findings(of), console, tables=False),
)  # fmt: skip


def _safety(reported: Reported) -> Iterator[Block]:
    """What a point of reasoning cost in attack success."""
    found = _explained(reported)
    if found and found.tradeoff:
        yield Plot(
            "safety-against-reasoning", "Attack success against reasoning gained, from step to step",
            tradeoff_chart(found.tradeoff),
            f"{price_sentence(found.tradeoff)}. Areas are joint 95 % regions, numbers are steps.",
            rows=tuple(_tradeoff_rows(found)),
        )  # fmt: skip
    elif found and found.no_tradeoff:
        yield Paragraph(f"No trade-off: {found.no_tradeoff}.", "note")


def _tradeoff_rows(found: Explained) -> Iterator[dict[str, Any]]:
    for point in found.tradeoff.points if found.tradeoff else ():
        for place, (gain, asr) in enumerate([(point.gain, point.asr), *point.outline().tolist()]):
            yield {"step": point.step, "what": "region" if place else "point", "reasoning_gained": gain, "asr": asr}


SAFETY = ReportSection("safety-against-reasoning", "Safety against reasoning", 700, _safety, show=_no_print)


def _distance(reported: Reported) -> Iterator[Block]:
    """The base beside what is published of it."""
    shown = shown_of(reported)
    if found := distance_section(shown.metrics, shown.manifest):
        about = "The base beside its published scores: ours less published, inside or outside both sampling errors."
        yield Paragraph(about, "note")
        yield found.as_table(words=True)


DISTANCE = ReportSection("distance", "Distance to the paper", 800, _distance, show=_no_print)


# ------------------------------------------------------------------------------ numbers, provenance


def _numbers(reported: Reported) -> Iterator[Block]:
    """Score, length, coverage and truncation at each step; the numbers of the parts folded."""
    shown = shown_of(reported)
    yield from (of.as_block() for of in number_sections(shown))
    if found := shown.explained:
        changes = [change for why in found.tasks for change in why.changes]
        more = with_rows([parts_sections(changes, [])[0], *tradeoff_sections(found.tradeoff)])
        if more:
            yield Group(tuple(_tables(more)), "Numbers of the parts, and of the trade-off of safety", folded=True)


NUMBERS = ReportSection(
    "numbers", "Numbers", 900, _numbers,
    show=lambda of, console: print_remarks(shown_of(of), console),
    files=lambda of: _tables(number_sections(shown_of(of))),
)  # fmt: skip


def _provenance(reported: Reported) -> Iterator[Block]:
    """Model, data, versions and command."""
    manifest = shown_of(reported).manifest
    yield from _tables(provenance_sections(manifest), words=True)
    yield _template("manifest.html.j2", manifest=manifest)


PROVENANCE = ReportSection(
    "provenance", "How it was run", 1000, _provenance, folded="Model, data, versions and command", show=_no_print,
    files=lambda _: (),
)  # fmt: skip
