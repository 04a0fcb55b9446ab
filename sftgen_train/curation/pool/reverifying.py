"""The responses of a pool are verified again by a newer version of its grader. Nothing is generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sftgen_judges.records.store import RunFolder
from sftgen_tasks.data.loading import one_load
from sftgen_train.curation.configuration import Curation
from sftgen_train.curation.pool.generating import (
    block_task,
    finished,
    grader_facts,
    note_reverified,
    require_same_teacher,
)
from sftgen_train.curation.pool.prompts import Documents
from sftgen_train.results.blocks import block_name


def reverify(
    curation: Curation, documents: Documents, done: Callable[[int], None] = lambda responses: None
) -> dict[str, Any] | None:
    """Make the verdicts of every block that stands anew, if they are of another version of the grader.

    After a stop the same call goes on: verdicts are kept by what they are of, and none is made twice.

    Args:
        curation: The configuration.
        documents: The prompts.
        done: Told the responses of each block that was verified.

    Returns:
        The grader of the verdicts before, with its version; None where there were none, or they are of this version.

    Raises:
        CurationError: The pool holds responses of another teacher.
        RecordError: Its records cannot be read.
    """
    run = RunFolder(curation.folder)
    require_same_teacher(run, curation)
    known = run.manifest().get("curation")
    before = known.get("grader") if isinstance(known, dict) else None
    if not isinstance(before, dict) or before == grader_facts(curation):
        return None
    from sftgen_train.results.rescoring import rescored
    from sftgen_train.results.run import replace_results

    with run.sole_writer(), one_load():
        run.compact()
        for number in sorted(finished(run, documents, curation.teacher.samples)):
            name = block_name(number)
            replace_results(run, rescored(run, block_task(curation, documents, number).tasks[name], {}))
            run.compact()
            done(documents.size(number) * curation.teacher.samples)
        note_reverified(run, curation)
    return before
