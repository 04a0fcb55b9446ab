"""`template_cut_answers`, a diagnostic of level `trajectory`: at which step are most answers cut off?"""

from __future__ import annotations

from collections.abc import Iterator

from sftgen_judges import Diagnostic, Figure, Finding, History, Series, Table

QUERY = "SELECT task, step, avg(truncated::INT) AS cut, count(*) AS n FROM samples GROUP BY ALL ORDER BY ALL"


def diagnose(history: History) -> Iterator[Finding]:
    """One finding a task: the share of answers that were cut off, at each step."""
    rows = history.records.sql(QUERY).rows()
    for task in dict.fromkeys(row["task"] for row in rows):
        steps = [row for row in rows if row["task"] == task]
        most = max(steps, key=lambda row: row["cut"] or 0)
        shares = tuple(row["cut"] for row in steps)
        yield Finding(
            "answers that were cut off",
            f"Most answers are cut off at step {most['step']}: {most['cut'] or 0:.0%}.",
            "unclear",  # nothing was tested: the highest of several shares may be so by chance
            f"{sum(row['n'] for row in steps)} answers at {len(steps)} steps",
            table=Table(("step", "cut off"), tuple((row["step"], row["cut"]) for row in steps)),
            figure=Figure("lines", task, y="cut off", series=(Series(task, tuple(r["step"] for r in steps), shares),)),
            task=task,
        )


CUT_ANSWERS = Diagnostic("template_cut_answers", version=1, level="trajectory", needs=(), diagnose=diagnose)
