"""The `consistency` diagnostic: does a model give one answer when it is asked again?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sftgen_judges.plugins.contracts import Diagnostic, Finding, History, Measure
from sftgen_train.diagnosing.course import course_of
from sftgen_train.results.diagnosed import Numbers

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_ANSWER = 200
"""Characters of an extracted answer; a longer one is the response itself, which never comes twice."""
MEASURES = (
    Measure("majority", "share of the repeats that give the commonest answer", share=True, exact=True),
    Measure("pairs", "share of pairs of repeats that agree", share=True, exact=True),
)

_TASKS = f"""
SELECT task FROM samples GROUP BY task
HAVING max(repeat) > 0 AND coalesce(max(length(answer)), 0) <= {LONGEST_ANSWER} ORDER BY task
"""
# One row a document; a repeat without an answer agrees with none.
_QUERY = """
SELECT coalesce(step, -1) AS step, doc_hash, any_value("group") AS "group", sum(n) AS asked,
    max(n) FILTER (answer IS NOT NULL) AS most, sum(n * (n - 1)) FILTER (answer IS NOT NULL) AS agreeing
FROM (
    SELECT step, doc_hash, any_value(coalesce("cluster", doc_hash)) AS "group", answer, count(*) AS n
    FROM (SELECT * REPLACE (CASE WHEN status IN ('ok', 'unparsable') THEN answer END AS answer) FROM samples)
    WHERE task = ? GROUP BY step, doc_hash, answer
)
GROUP BY step, doc_hash HAVING asked > 1 ORDER BY ALL
"""


def diagnose(history: History) -> Iterator[Finding]:
    """The course of the agreement between repeats, a finding a task that has repeats. One task is read at a time."""
    for row in history.records.sql(_TASKS).rows():
        table = history.records.sql(_QUERY, (row["task"],)).to_arrow()
        if table.num_rows:
            yield _course(row["task"], table)


def _course(task: str, table: pa.Table) -> Finding:
    steps = table["step"].to_numpy()
    asked, most, agreeing = (
        table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in ("asked", "most", "agreeing")
    )
    documents, clusters = (np.array(table[name].to_pylist(), dtype=object) for name in ("doc_hash", "group"))
    values = {"majority": np.nan_to_num(most) / asked, "pairs": np.nan_to_num(agreeing) / (asked * (asked - 1))}
    numbers = Numbers(documents, clusters, values)
    by_step = {int(step): numbers[steps == step] for step in np.unique(steps)}
    repeats = sorted({int(count) for count in asked})
    measured = (
        f"{len(set(documents))} documents with {' or '.join(map(str, repeats))} answers each at "
        f"{len(by_step)} step{'s' * (len(by_step) > 1)}; answers are compared as they are written"
    )
    return course_of("consistency", MEASURES, by_step, task=task, measured_on=measured)


CONSISTENCY = Diagnostic("consistency", version=1, level="trajectory", needs=("verdict",), diagnose=diagnose)
