"""`sftgen curate`: prompts, a teacher's responses, verified, and the sets that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sftgen_judges.plugins.contracts import Executor, Made
from sftgen_train.curation.configuration import Curation
from sftgen_train.curation.engines import LOCAL
from sftgen_train.curation.making.writing import Written, write
from sftgen_train.curation.pool.candidates import Pool
from sftgen_train.curation.pool.distributing import generate_on_cluster
from sftgen_train.curation.pool.generating import generate
from sftgen_train.curation.pool.prompts import prepare


def make_pool(
    curation: Curation, done: Callable[[int], None] = lambda responses: None, engine: Executor = LOCAL
) -> Pool:
    """Ask the teacher what it was not asked yet, and verify.

    Args:
        curation: The configuration.
        done: Told the responses that stand.
        engine: Elsewhere than here every block is a task, with a teacher on each node that has room for it.

    Raises:
        SftgenError: The prompts cannot be used, or the teacher cannot be asked. What stands is kept.
    """
    documents = prepare(curation)
    elsewhere = engine.name != LOCAL.name
    if elsewhere:
        generate_on_cluster(curation, documents, engine, done)
    # Tells of what stands, and does what is left.
    generate(curation, documents, (lambda responses: None) if elsewhere else done)
    return Pool(curation, documents)


def make_sets(
    pool: Pool, processes: int = 1, engine: Executor = LOCAL, *, reverified: bool = False
) -> Iterator[Written]:
    """Make every set of the configuration, in its order; those that stand are only read.

    Args:
        pool: The pool.
        processes: How many processes, for the engine `local`.
        engine: What runs them.
        reverified: Sets that were chosen by verdicts of an earlier version of the grader are moved aside and made anew.

    Raises:
        SftgenError: A set cannot be made.
    """
    made: dict[str, Made] = {}
    with engine.workers(processes) as crew:  # of all sets: a process costs a second until it has imported all
        crew.require(pool.run.path)
        for name in pool.curation.sets:
            yield write(pool, name, made, crew=crew, reverified=reverified)
