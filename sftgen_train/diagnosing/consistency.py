"""The `consistency` diagnostic: does a model give one answer when it is asked again?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sftgen_judges.plugins.contracts import Diagnostic, Finding, History, Measure
from sftgen_train.diagnosing.course import course_of
from sftgen_train.results.diagnosed import Numbers

LONGEST_ANSWER = 200
"""Characters of an extracted answer; a longer one is the response itself, which never comes twice."""
MEASURES = (
    Measure("majority", "share of the repeats that give the commonest answer", share=True, exact=True),
    Measure("pairs", "share of pairs of repeats that agree", share=True, exact=True),
)

# One row a document; a repeat without an answer agrees with none.
_QUERY = f"""
SELECT run, task, coalesce(step, -1) AS step, doc_hash, any_value("group") AS "group", sum(n) AS asked,
    max(n) FILTER (answer IS NOT NULL) AS most, sum(n * (n - 1)) FILTER (answer IS NOT NULL) AS agreeing
FROM (
    SELECT run, task, step, doc_hash, any_value(coalesce("cluster", doc_hash)) AS "group", answer, count(*) AS n
    FROM (
        SELECT * REPLACE (CASE WHEN status IN ('ok', 'unparsable') THEN answer END AS answer) FROM samples
        WHERE task NOT IN (SELECT task FROM samples WHERE length(answer) > {LONGEST_ANSWER})
    ) GROUP BY run, task, step, doc_hash, answer
)
GROUP BY run, task, step, doc_hash HAVING asked > 1 ORDER BY ALL
"""


def diagnose(history: History) -> Iterator[Finding]:
    """The course of the agreement between repeats, a finding a task that has repeats."""
    table = history.records.sql(_QUERY).to_arrow()
    tasks = np.array(table["task"].to_pylist(), dtype=object)
    steps = table["step"].to_numpy()
    asked, most, agreeing = (
        table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in ("asked", "most", "agreeing")
    )
    documents, clusters = (np.array(table[name].to_pylist(), dtype=object) for name in ("doc_hash", "group"))
    values = {"majority": np.nan_to_num(most) / asked, "pairs": np.nan_to_num(agreeing) / (asked * (asked - 1))}
    numbers = Numbers(documents, clusters, values)
    for task in dict.fromkeys(tasks.tolist()):
        of = tasks == task
        by_step = {int(step): numbers[of & (steps == step)] for step in np.unique(steps[of])}
        repeats = sorted({int(count) for count in asked[of]})
        measured = (
            f"{len(set(documents[of]))} documents with {' or '.join(map(str, repeats))} answers each at "
            f"{len(by_step)} step{'s' * (len(by_step) > 1)}; answers are compared as they are written"
        )
        yield course_of("consistency", MEASURES, by_step, task=task, measured_on=measured)


CONSISTENCY = Diagnostic("consistency", version=1, level="trajectory", needs=("verdict",), diagnose=diagnose)
