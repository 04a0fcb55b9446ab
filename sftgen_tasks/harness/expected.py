"""How long responses are expected to become, so that the longest are begun first."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.current import Recording
from sftgen_judges.records.query import open_records
from sftgen_judges.records.schema import GenerationRecord
from sftgen_tasks.harness.generation import DEFAULT_MAX_GEN_TOKS

logger = logging.getLogger(__name__)

# A document's lengths at the last step before this one at which it was evaluated; outside training, when it last was.
_EARLIER = """
SELECT task, doc_hash, avg(tokens) AS length FROM (
    SELECT *, max(coalesce(step, -1)) OVER (PARTITION BY task, doc_hash) AS last
    FROM samples WHERE list_contains($tasks, task) AND tokens IS NOT NULL AND (step IS NULL OR step < $step)
) WHERE coalesce(step, -1) = last GROUP BY ALL
"""


def expected_lengths(
    run: Recording, planned: Sequence[GenerationRecord], known: Mapping[int, GenerationRecord]
) -> list[float]:
    """The length in tokens that each response is expected to have, never more than its limit.

    It is that of the same document at the last evaluation before this one, else the mean of the task, there or among
    the responses that are known, else the limit: what nobody knows may be long.

    Args:
        run: Whose earlier evaluations are looked at.
        planned: The records of the responses, still without text.
        known: Responses that stand already, by their place.
    """
    earlier = _earlier_lengths(run, sorted({record.task for record in planned}))
    of_tasks = defaultdict[str, list[float]](list)
    for (task, _), length in earlier.items():
        of_tasks[task].append(length)
    evaluated = set(of_tasks)
    for record in known.values():
        if record.tokens is not None and record.task not in evaluated:
            of_tasks[record.task].append(record.tokens)
    means = {task: fmean(lengths) for task, lengths in of_tasks.items()}
    expected = []
    for record in planned:
        limit = float(record.sampling.get("max_gen_toks") or DEFAULT_MAX_GEN_TOKS)
        expected.append(min(limit, earlier.get((record.task, record.doc_hash), means.get(record.task, limit))))
    return expected


def _earlier_lengths(run: Recording, tasks: Sequence[str]) -> dict[tuple[str, str], float]:
    """By task and document; empty where there was no earlier evaluation. What is damaged there stops nothing."""
    if not (run.folder.samples.exists() or run.folder.sample_index.exists()):
        return {}
    try:
        with open_records(run.folder.path) as records:
            rows = records.sql(_EARLIER, {"tasks": list(tasks), "step": run.step or 0}).rows()
    except (SftgenError, OSError) as error:
        logger.warning(
            "%s: lengths of earlier responses cannot be read, so the order is another one: %s", run.folder.path, error
        )
        return {}
    return {(row["task"], row["doc_hash"]): row["length"] for row in rows}
