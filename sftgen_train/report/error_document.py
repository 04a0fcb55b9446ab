"""The document of error rates: tables and plots of what was measured on simulated runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sftgen_judges.records.journal import write_atomic
from sftgen_train.report.line_chart import share_chart
from sftgen_train.trajectory.error_plan import Measured, Section
from sftgen_train.trajectory.error_rates import DRAWS, fingerprint
from sftgen_train.trajectory.published import MeansVerdict, read_published
from sftgen_train.trajectory.rate import Rate
from sftgen_train.trajectory.reference import source
from sftgen_train.trajectory.simulation import ABILITY, SHARED, STEP_NOISE

MADE_BY = "sftgen selftest statistics --document"
MARKS = {"yes": "", "within error": " ~", "missed": " (missed)"}
PLOTS = {
    "documents": ("A dip of 5 points at one checkpoint is seen, by documents", "documents"),
    "repeats": ("A dip of 5 points at one checkpoint is seen, by repeats", "repeats"),
    "depth": ("A dip at one checkpoint is seen, by its depth (3 repeats)", "depth in points of 100"),
    "gate": (
        "`sftgen gate`: a drop is shown in one of six benchmarks (3 repeats), 2 points allowed",
        "documents of each",
    ),
}
TEXTS = {
    "Nothing changes": "All true means are equal. What is claimed is wrong, and may be claimed in at most 5 % of runs.",
    "Four points stay lost": "The score dips by 12 points of 100 and ends 4 below the base; delta is 2 points.",
    "Dips that are there": "How often at least one step is shown to dip.",
    "Intervals of a curve that hold the truth": (
        "Bands hold all nine true means, or all eight true changes, together. Limits are one-sided. Anytime-valid "
        "intervals have to hold at every look, so they hold more often at any one."
    ),
    "Intervals of one score that hold the truth": (
        "The interval that is printed beside each score. The first column takes true scores of 10 to 90 % "
        "together, the others one at a time (so many runs of each). A few answers have few possible means, so no "
        "rule comes near 95 % at each true score. Lengths are lognormal (sigma 0.6), the ratio is of instructions "
        "followed."
    ),
    "Intervals of landmarks, two arms, lengths and the trade-off": (
        "Landmarks of one curve; differences of two arms on the same documents, of which the second is 3 points better "
        "at the end. Nobody knows which of several steps that are nearly as low, or as high, is the extreme one. So "
        "intervals of depths and peaks hold more often there, above all those of differences. Then where a length "
        "turns and how fast it grows and shrinks "
        "(lognormal, sigma 0.5 for documents and 0.5 for each step); attack success bought with a point of reasoning, "
        "and the joint region of both at the end, of one arm and of two; out of domain at equal in-domain score "
        "(MATH500 in domain, GPQA-Diamond outside). The rules were chosen on other simulated runs."
    ),
    "Intervals of answers won and lost, and of the parts of a change": (
        "Two models that answer the same documents; k of pass@k is the number of answers, with which few "
        "documents of a small benchmark differ. Then a change of which more "
        "truncation is a part: 10 to 40 % are truncated, finished answers fall from 55 to 45 %, those given before the "
        "cut rise from 10 to 20 %."
    ),
    "Answers of the gate that are wrong": (
        "`sftgen gate` on critical benchmarks of one run. A drop of exactly what is allowed is the hardest: GO says "
        "that more is excluded, NO-GO that more is shown; neither may be said in more than 5 % of runs. NO-GO is "
        "adjusted over benchmarks and steps."
    ),
    "Answers of the gate": (
        "No goals: six critical benchmarks of so many documents with 3 repeats, a base of 50 %, 2 points allowed. One "
        "of them drops, or none."
    ),
    "What is said of the end": "No goals: the shares of runs in which the end is given each word.",
}


def write_document(measured: Measured, path: Path) -> list[Path]:
    """Write the document, and its plots beside it.

    Args:
        measured: What was measured.
        path: The document; plots go into the folder of the same name.

    Returns:
        Every file written.

    Raises:
        OSError: They cannot be written.
    """
    folder = path.with_suffix("")
    plots = {
        folder / f"{name}.svg": share_chart(
            title, axis, [(curve.label, curve.points) for curve in measured.curves if curve.plot == name], goal=0.8
        )
        for name, (title, axis) in PLOTS.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in plots.items():
        write_atomic(file, text)
    write_atomic(path, document(measured, [f"{folder.name}/{file.name}" for file in plots]))
    return [path, *plots]


def document(measured: Measured, plots: Sequence[str]) -> str:
    """The document as Markdown.

    Args:
        measured: What was measured.
        plots: Relative paths of the plots.
    """
    rates = [rate for section in measured.sections for rate in section.rates]
    asked = [rate for rate in rates if rate.low > 0 or rate.high < 1]
    counts = {met: sum(rate.met == met for rate in asked) for met in MARKS}
    missed = "".join(
        f"\n* {rate.claim}, {rate.data}, {rate.truth}: {100 * rate.share:.1f} %, asked for {rate.goal}"
        for rate in measured.missed
    )
    parts = [
        "# Error rates of verdicts and intervals",
        f"<!-- made by: {MADE_BY} docs/error_rates.md; tests {fingerprint()}, seed {measured.seed} -->",
        f"Measured on {measured.runs:,} simulated runs with known truth: how often a verdict is wrong, how often it "
        f"sees what is there, how often intervals hold the truth. Documents differ in difficulty (standard deviation "
        f"{ABILITY:g} logits), each is easier or harder at each step on its own ({STEP_NOISE:g} logits), and its "
        f"repeats are right or wrong by chance. Documents of one cluster share {100 * SHARED:g} % of both variances. "
        f"A run has nine steps. Tests take {DRAWS} flips here (4,000 in a verdict of a run). A reward model's logits "
        "are normal.",
        "A cell is a share in % with its standard error. `~` is beyond the goal, but a share like this would show by "
        "chance more often than once in 1,000 if the goal were just met; `(missed)` is beyond that.",
        f"Of {len(asked)} goals {counts['yes']} are met, {counts['within error']} are missed by no more than chance, "
        f"{counts['missed']} are missed{':' if missed else '.'}{missed}",
        *(part for section in measured.sections for part in _section(section)),
        "## Power",
        "The dashed line is 80 %. The base is 50 %, where scores vary most.",
        "\n".join(f"![{PLOTS[Path(plot).stem][0]}]({plot})" for plot in plots),
        *_published(),
    ]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    parts = [f"## {section.title}", TEXTS.get(section.title, "")]
    rows: dict[tuple[str, str], dict[str, Rate]] = {}
    for rate in section.rates:
        rows.setdefault((rate.data, rate.truth), {})[rate.claim] = rate
    # What is asked the same stands in one table.
    tables: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for key, of_row in rows.items():
        tables.setdefault(tuple(of_row), []).append(key)
    for claims, keys in tables.items():
        goals = [_goal(rows[keys[0]][claim]) for claim in claims]
        lines = [["data", "truth", "runs", *(f"{claim}{goal}" for claim, goal in zip(claims, goals, strict=True))]]
        for key in keys:
            cells = [rows[key][claim] for claim in claims]
            lines.append([*key, str(min(cell.runs for cell in cells)), *map(_cell, cells)])
        parts.append(_table(lines))
    return [part for part in parts if part]


def _published() -> list[str]:
    lines = [["training", "dips at", "lowest", "end", "change at the end", "95 % limits"]]
    lines += [[name, *_told(verdict)] for name, verdict in read_published("math500").items()]
    return [
        "## Published tables",
        f"MATH500 by training step ({source().split(',')[0]}; 500 documents, 3 repeats). The "
        "documents behind the means are not published. So the answers count as independent (binomial variance, both "
        "ends of a difference in full), and this is widened: of the answers to one document a part moves together from "
        "step to step, as if documents had twice the step noise above. Dips are adjusted for the number of steps "
        "(Holm).",
        _table(lines),
    ]


def _told(verdict: MeansVerdict) -> list[str]:
    return [
        ", ".join(map(str, verdict.dips)) or "no dip shown",
        f"{verdict.lowest_change:+.3f} at step {verdict.lowest}",
        verdict.end,
        f"{verdict.end_change:+.3f}",
        f"{verdict.end_low:+.3f} and {verdict.end_high:+.3f}",
    ]


def _goal(rate: Rate) -> str:
    return f" ({rate.goal})" if rate.low > 0 or rate.high < 1 else ""


def _cell(rate: Rate) -> str:
    return f"{100 * rate.share:.1f} ± {100 * rate.error:.1f}{MARKS[rate.met]}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|" + " --- |" * len(lines[0]), *rows])
