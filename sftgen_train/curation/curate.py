"""`sftgen curate`: prompts, a teacher's responses, verified, and the sets that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sftgen_judges.plugins.contracts import Made
from sftgen_train.curation.configuration import Curation
from sftgen_train.curation.making.writing import Written, write
from sftgen_train.curation.pool.candidates import Pool
from sftgen_train.curation.pool.generating import generate
from sftgen_train.curation.pool.prompts import prepare


def make_pool(curation: Curation, done: Callable[[int], None] = lambda responses: None) -> Pool:
    """Ask the teacher what it was not asked yet, and verify.

    Args:
        curation: The configuration.
        done: Told the responses that stand.

    Raises:
        SftgenError: The prompts cannot be used, or the teacher cannot be asked. What stands is kept.
    """
    documents = prepare(curation)
    generate(curation, documents, done)
    return Pool(curation, documents)


def make_sets(pool: Pool, processes: int = 1) -> Iterator[Written]:
    """Make every set of the configuration, in its order; those that stand are only read.

    Raises:
        SftgenError: A set cannot be made.
    """
    made: dict[str, Made] = {}
    for name in pool.curation.sets:
        yield write(pool, name, made, processes=processes)
