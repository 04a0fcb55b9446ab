"""The teacher answers on a cluster: every block of prompts is a task, and each worker keeps its teacher loaded.

A block is a pure piece of work: its records go into the pool under their own keys, and what stands is not generated
again. So a task whose node dies is run again on another one, and generates only what that node had not written.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import as_completed
from functools import lru_cache
from typing import Any

from sftgen_judges.plugins.contracts import Executor
from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.store import RunFolder
from sftgen_train.curation.configuration import Curation, Teacher
from sftgen_train.curation.pool.generating import begin, finished, generate_block, load_teacher, teacher_identity
from sftgen_train.curation.pool.prompts import Documents, prepare

ON_GPU = ("sftgen-vllm", "sftgen-hf")


def generate_on_cluster(
    curation: Curation, documents: Documents, engine: Executor, done: Callable[[int], None] = lambda responses: None
) -> None:
    """Have every block answered that does not stand yet.

    Args:
        curation: The configuration.
        documents: The prompts.
        engine: Runs the blocks.
        done: Told the responses of each block that stands.

    Raises:
        CurationError: The pool holds responses of another teacher.
        EngineError: The cluster cannot be used.
    """
    run = RunFolder(curation.folder)
    with run.sole_writer():  # of all commands; the tasks of this one share the folder
        _answered(run, curation, documents, engine, done)


def _answered(
    run: RunFolder, curation: Curation, documents: Documents, engine: Executor, done: Callable[[int], None]
) -> None:
    samples = curation.teacher.samples
    standing = begin(run, curation, documents)
    for number in sorted(standing):
        done(documents.size(number) * samples)
    missing = [number for number in range(documents.blocks) if number not in standing]
    if not missing:
        return
    own_gpus = curation.teacher.backend in ON_GPU
    gpus = int(curation.teacher.args.get("tensor_parallel_size", 1)) if own_gpus else 0
    with engine.workers(1, gpus=gpus) as crew:
        crew.require(run.path)
        running = {crew.pool.submit(_generate, curation, number): number for number in missing}
        for ended in as_completed(running):
            ended.result()
            done(documents.size(running[ended]) * samples)


def _generate(curation: Curation, number: int) -> None:
    """One block, in a worker."""
    from torch.nn import Identity as Nothing

    from sftgen_train.evaluation.evaluator import undisturbed
    from sftgen_train.evaluation.quiet import without_bars

    documents = prepare(curation)
    run = RunFolder(curation.folder)
    if number in finished(run, documents, curation.teacher.samples):
        return
    record = Recording(run, model=teacher_identity(curation.teacher).id, seed=curation.teacher.seed)
    with undisturbed(Nothing()), recording(record), without_bars():
        teacher = _loaded(curation.teacher.model_dump_json())
        generate_block(curation, documents, number, teacher, record)


@lru_cache(maxsize=1)
def _loaded(teacher: str) -> Any:
    return load_teacher(Teacher.model_validate_json(teacher))
