"""`template_answer_lengths`, a section of the report: are wrong answers longer than right ones?"""

from __future__ import annotations

from collections.abc import Iterator

from sftgen_judges import Block, Figure, Paragraph, Reported, ReportSection, Series, Table

QUERY = """
SELECT run, task, step, avg(tokens) FILTER (score >= 0.5) AS "right", avg(tokens) FILTER (score < 0.5) AS "wrong",
    count(*) AS n
FROM samples WHERE tokens IS NOT NULL AND step IS NOT NULL GROUP BY ALL ORDER BY ALL
"""


def blocks(reported: Reported) -> Iterator[Block]:
    """A figure a run and task, and one table; of `sftgen report A B` the records are those of both runs."""
    rows = reported.records.sql(QUERY).rows()
    if not rows:
        return  # the section is then left out
    yield Paragraph("Mean tokens of right and of wrong answers. Nothing was tested: it makes no claim.", "note")
    for run, task in dict.fromkeys((row["run"], row["task"]) for row in rows):
        here = [row for row in rows if (row["run"], row["task"]) == (run, task)]
        steps = tuple(row["step"] for row in here)
        title = task.removeprefix("sftgen_") + (f" of {run}" if len(reported.runs) > 1 else "")
        lines = tuple(Series(name, steps, tuple(row[name] for row in here)) for name in ("right", "wrong"))
        yield Figure("lines", title, y="tokens", series=lines)
    head = ("run", "task", "step", "right", "wrong", "n")
    yield Table(head, tuple(tuple(row[name] for name in head) for row in rows), "Tokens of right and wrong answers")


ANSWER_LENGTHS = ReportSection("template_answer_lengths", "Length of right and wrong answers", 650, blocks)
