"""An export format: the mean score of every task at every step, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sftgen_judges import Export, Exporter


def write(asked: Export) -> Sequence[Path]:
    """Write one file; the records are asked in SQL, see docs/queries.md in sftgen's repository."""
    rows = asked.records.sql("SELECT task, step, avg(score) AS mean FROM samples GROUP BY ALL ORDER BY ALL").rows()
    path = asked.folder / "means.txt"
    path.write_text("".join(f"{row['task']} {row['step']} {row['mean']}\n" for row in rows), encoding="utf-8")
    return [path]


MEANS = Exporter("template_means", write)
