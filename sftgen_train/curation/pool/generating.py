"""The teacher answers: every block of prompts is a task that the harness evaluates, with its records and its resume."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.columns import EVALUATIONS
from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.journal import whole_rows
from sftgen_judges.records.model_id import Identity
from sftgen_judges.records.store import RunFolder
from sftgen_train.curation.configuration import Curation, CurationError, Teacher
from sftgen_train.curation.pool.prompts import Documents, asked, graded
from sftgen_train.results.blocks import block_name

if TYPE_CHECKING:
    from sftgen_tasks import LoadedTasks
    from sftgen_tasks.harness.model import Model

TOP = 20
"""How many of the likeliest tokens are asked for where entropies are; most servers give no more."""


def generate(curation: Curation, documents: Documents, done: Callable[[int], None] = lambda responses: None) -> int:
    """Have the teacher answer every prompt that it has not answered yet, and verify the responses.

    After a stop, the same call goes on: a block that stands is not looked at again, and of the one under way only what
    is missing is generated. If all stand, no model is loaded.

    Args:
        curation: The configuration.
        documents: The prompts.
        done: Told the responses of each block that stands.

    Returns:
        How many blocks were answered now.

    Raises:
        CurationError: The pool holds responses of another teacher.
        SftgenError: The teacher cannot be loaded or asked.
    """
    run = RunFolder(curation.folder)
    standing = finished(run, documents, curation.teacher.samples)
    for number in sorted(standing):
        done(documents.size(number) * curation.teacher.samples)
    _require_same(run, curation)
    missing = [number for number in range(documents.blocks) if number not in standing]
    if not missing:
        return 0
    from torch.nn import Identity as Nothing

    from sftgen_train.evaluation.evaluator import undisturbed
    from sftgen_train.evaluation.quiet import without_bars

    identity = _note_teacher(run, curation)
    record = Recording(run, model=identity.id, seed=curation.teacher.seed)
    with run.sole_writer(), undisturbed(Nothing()):
        # So that the model does not open a run directory of its own.
        with recording(record), without_bars():
            lm = load_teacher(curation.teacher)
        for number in missing:
            generate_block(curation, documents, number, lm, record)
            done(documents.size(number) * curation.teacher.samples)
    return len(missing)


def generate_block(curation: Curation, documents: Documents, number: int, lm: Model, run: Recording) -> None:
    """Answer and verify the prompts of one block.

    Args:
        curation: The configuration.
        documents: The prompts.
        number: Which block.
        lm: The teacher.
        run: The pool, and under which model it is recorded.
    """
    from sftgen_tasks import evaluate
    from sftgen_train.results.run import renew_results

    started = time.perf_counter()
    results = evaluate(lm, block_task(curation, documents, number), run, resume=True)
    renew_results(run.folder, results, time.perf_counter() - started)


def block_task(curation: Curation, documents: Documents, number: int) -> LoadedTasks:
    """A block of prompts as a task of the harness."""
    from sftgen_tasks import LoadedTasks, Task
    from sftgen_tasks.data.documents import finish
    from sftgen_tasks.harness.patches import quiet

    name, teacher = block_name(number), curation.teacher
    sampling = teacher.sampling
    settings = {
        "until": [],
        "do_sample": sampling.temperature > 0,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "max_gen_toks": sampling.max_tokens,
        **sampling.further,
        **_log_probs(teacher),
    }
    metadata = {"version": 1, "think_markers": teacher.think_markers}

    def load(**_: Any) -> Mapping[str, Any]:
        rows = [graded(curation.prompts.grader, doc) for doc in documents.read(number)]
        return finish(name, rows, curation.prompts.source, metadata, "id", total=len(rows))

    with quiet():
        task = Task(
            {
                "task": name,
                "custom_dataset": load,
                "doc_to_text": partial(_text, curation),
                "doc_to_target": "answer",
                "grader": curation.prompts.grader,
                "repeats": teacher.samples,
                "generation_kwargs": settings,
                "metadata": {key: value for key, value in metadata.items() if value is not None},
            }
        )
    task.set_fewshot_seed(1234)
    return LoadedTasks({name: task})


def _text(curation: Curation, doc: Mapping[str, Any]) -> str:
    return asked(curation.prompts, doc["question"])


def _log_probs(teacher: Teacher) -> dict[str, Any]:
    """What a backend is asked for log-probabilities."""
    if not (teacher.logprobs or teacher.entropy):
        return {}
    top = TOP if teacher.entropy else 0
    if teacher.backend == "sftgen-vllm":
        return {"logprobs": top}
    return {"extra_body": {"logprobs": True, **({"top_logprobs": top} if top else {})}}


def arguments(teacher: Teacher) -> dict[str, Any]:
    """What the backend is made with."""
    own: dict[str, Any] = {"seed": teacher.seed}
    if teacher.backend == "sftgen-chat":
        own |= {"model": teacher.model, "base_url": teacher.base_url}
    elif teacher.backend == "sftgen-replay":
        own |= {"path": teacher.model}
    else:
        own |= {"pretrained": teacher.model, **({"revision": teacher.revision} if teacher.revision else {})}
    return {**own, **teacher.args}


def load_teacher(teacher: Teacher) -> Model:
    """The model that answers.

    Raises:
        CurationError: It cannot be loaded.
    """
    from torch.cuda import is_available

    from sftgen_tasks.harness.registry import make_model

    given = arguments(teacher)
    if teacher.backend == "sftgen-hf":
        # lm_eval's default is cuda, also on a machine without a GPU.
        given.setdefault("device", "cuda" if is_available() else "cpu")
    try:
        return make_model(teacher.backend, **given)
    except SftgenError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CurationError(
            f"teacher.model {teacher.model!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def teacher_identity(teacher: Teacher) -> Identity:
    """What generates: the weights, or what a server calls them, with everything that changes a text.

    The address of a server is no part of it: one that dies comes back at another.
    """
    from sftgen_tasks.harness.registry import identity_of

    beside = {"seed", "base_url"}
    given = {key: value for key, value in arguments(teacher).items() if key not in beside}
    return identity_of(teacher.backend, {**given, **({"revision": teacher.revision} if teacher.revision else {})})


def finished(run: RunFolder, documents: Documents, samples: int) -> set[int]:
    """The blocks of which every response stands and is verified."""
    stand: Counter[str] = Counter()
    for row in whole_rows(run.evaluations, EVALUATIONS):
        for task, facts in (row.get("tasks") or {}).items() if row.get("status") == "ok" else ():
            stand[task] = int(facts.get("docs") or 0) * int(facts.get("repeats") or 0)
    return {
        number for number in range(documents.blocks) if stand[block_name(number)] == documents.size(number) * samples
    }


def _note(run: RunFolder, curation: Curation, identity: Identity) -> None:
    facts: dict[str, Any] = {"teacher": curation.teacher.model_dump(mode="json"), "grader": grader_facts(curation)}
    if earlier := earlier_graders(run):
        facts["earlier_graders"] = earlier
    run.update_manifest(model=identity.name, model_id=identity.id, model_parts=identity.parts, curation=facts)


def note_reverified(run: RunFolder, curation: Curation) -> None:
    """Note in a pool that all its verdicts are of this version of the grader, and of which they were before."""
    known = run.manifest()["curation"]
    earlier = [*earlier_graders(run), known["grader"]]
    run.update_manifest(curation={**known, "grader": grader_facts(curation), "earlier_graders": earlier})


def earlier_graders(run: RunFolder) -> list[Any]:
    """The graders that the verdicts of a pool were of before they were made anew."""
    known = run.manifest().get("curation")
    earlier = known.get("earlier_graders") if isinstance(known, dict) else None
    return earlier if isinstance(earlier, list) else []


def grader_facts(curation: Curation) -> dict[str, Any]:
    """The grader with its version."""
    return {"name": curation.grader.name, "version": curation.grader.version}


def _require_same(run: RunFolder, curation: Curation) -> None:
    """Check that a pool is of this teacher, and its verdicts of this version of the grader.

    Raises:
        CurationError: They are of another one; says what differs.
    """
    require_same_teacher(run, curation)
    known = run.manifest().get("curation")
    grader = grader_facts(curation)
    if isinstance(known, dict) and known.get("grader") != grader:
        before = known.get("grader") or {}
        raise CurationError(
            f"{run.path}: its responses were verified by version {before.get('version')!r} of {grader['name']}, and "
            f"this sftgen has version {grader['version']}: --reverify verifies them again, and generates nothing; or "
            "name another folder as `out`"
        )


def require_same_teacher(run: RunFolder, curation: Curation) -> None:
    """Check that a pool is of this teacher.

    Raises:
        CurationError: It is of another one; says what differs.
    """
    known = run.manifest().get("curation")
    if not isinstance(known, dict):
        return
    teacher = curation.teacher.model_dump(mode="json")
    before = known.get("teacher") or {}
    beside = {"args", "base_url"}  # where and how fast; what changes a text is in the id of the model
    changed = [name for name in teacher if name not in beside and before.get(name) != teacher[name]]
    if changed:
        differ = ", ".join(f"teacher.{name}" for name in changed)
        raise CurationError(
            f"{run.path}: holds responses of another teacher ({differ} differ); name another folder as `out`"
        )


def begin(run: RunFolder, curation: Curation, documents: Documents) -> set[int]:
    """Note in a pool whose responses it will hold, before other processes write them.

    Returns:
        The blocks that stand.

    Raises:
        CurationError: The pool holds responses of another teacher.
    """
    standing = finished(run, documents, curation.teacher.samples)
    _require_same(run, curation)
    _note_teacher(run, curation)
    return standing


def _note_teacher(run: RunFolder, curation: Curation) -> Identity:
    identity = teacher_identity(curation.teacher)
    run.require_usable()
    before = run.manifest()
    if before.get("model_id", identity.id) != identity.id:
        changed = identity.differences(before.get("model_parts") or {})
        raise CurationError(
            f"{run.path}: holds responses of another model ({', '.join(changed) or 'name'} differ); "
            "name another folder as `out`"
        )
    _note(run, curation, identity)
    return identity
