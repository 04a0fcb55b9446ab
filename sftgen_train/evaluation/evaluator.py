"""Evaluating one model by a suite: in a trainer's process, or from a checkpoint's folder."""

from __future__ import annotations

import contextlib
import copy
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.model_id import identity, identity_in_memory
from sftgen_judges.records.provenance import timed
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import LoadedTasks, TaskResult, evaluate, load_tasks
from sftgen_tasks.data.loading import one_load
from sftgen_tasks.harness.ahead import may_run_beside
from sftgen_tasks.harness.backends.hf import RecordingHFLM
from sftgen_tasks.harness.behind import Behind, Front
from sftgen_tasks.harness.loading import OwnTaskManager, resolve_tasks
from sftgen_tasks.harness.model import Model
from sftgen_tasks.harness.patches import compiled_once
from sftgen_tasks.harness.registry import make_model
from sftgen_tasks.harness.sampling import check_settings
from sftgen_tasks.harness.shards import Shard, together
from sftgen_train.checkpoints.adapters import adapter_arguments
from sftgen_train.checkpoints.leases import CheckpointError, check_complete
from sftgen_train.evaluation.quiet import without_bars
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.results.run import add_results

if TYPE_CHECKING:
    from sftgen_train.evaluation.colocated import ColocatedEngine

Loader: TypeAlias = Callable[[Path, str, Mapping[str, Any]], Model]


class Evaluator:
    """The tasks of a suite, each loaded once for any number of tiers and checkpoints."""

    def __init__(self, suite: Suite) -> None:
        """Load every task.

        Raises:
            UnknownTaskError: A task that does not exist.
            DataError: Documents that cannot be read.
        """
        self.suite = suite
        self._manager = OwnTaskManager(suite.metadata)
        self._loaded: dict[tuple[str, ...], LoadedTasks] = {}
        with one_load():
            for tier in suite.tiers:
                self._tasks(tier.tasks)

    def __call__(
        self, lm: Model | Front, run: Recording, *, last: bool = False, resume: bool = False, shard: Shard | None = None
    ) -> list[TaskResult]:
        """Evaluate a model on what the suite has for the step of `run`.

        Args:
            lm: An lm_eval model, or what stands before one.
            run: Where samples are recorded, under which step and model.
            last: Whether it is the last step of the training.
            resume: Whether the run's generations of the same model are used again.
            shard: This process's part, when several share the evaluation.

        Raises:
            ShardError: The evaluation failed in one of the processes that share it.
        """
        options: dict[str, Any] = {"chat_template": self.suite.chat_template, "resume": resume, "shard": shard}
        # The first process's word counts: a schedule may fail in one of them.
        tiers = together(shard, lambda: self.suite.at(run.step or 0, last=last))[0]
        with compiled_once():
            return [
                result
                for tier in tiers
                for result in evaluate(lm, self._tasks(tier.tasks), run, limit=tier.limit, **options)
            ]

    def may_be_graded_behind(self) -> bool:
        """Whether grading leaves memory and device to the next model: no judge's model runs in this process."""
        return all(
            may_run_beside(task.grading.scorer())
            for tier in self.suite.tiers
            for task in self._tasks(tier.tasks).tasks.values()
        )

    def _tasks(self, names: Sequence[str]) -> LoadedTasks:
        key = tuple(names)
        if key not in self._loaded:  # the manager loads a task once, also for several tiers
            self._loaded[key] = load_tasks(names, gen_kwargs=self.suite.gen_kwargs, manager=self._manager)
        return self._loaded[key]


def require_tasks(suite: Suite) -> None:
    """Check that every task of a suite exists and has the options it is given, without loading its documents.

    Raises:
        UnknownTaskError: A task that does not exist.
        RepeatedTaskError: A task that one tier names twice, for example by a group too.
        DataError: An option that a task does not have.
    """
    manager = OwnTaskManager(suite.metadata)
    for tier in suite.tiers:
        for name in resolve_tasks(tier.tasks, manager):
            for task in manager.leaves(name):
                manager.check_options(task)


def evaluate_in_memory(
    evaluator: Evaluator,
    run: RunFolder,
    step: int,
    *,
    model: Any,
    tokenizer: Any,
    precision: torch.dtype | None = None,
    last: bool = False,
    shard: Shard | None = None,
    engine: ColocatedEngine | None = None,
    known: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Evaluate a model that is in training and leave it as it was.

    With a shard, every process evaluates its own part, and the first writes the results of all. With an engine,
    the engine generates; otherwise the model itself does. Models in `known` have results of this step already.

    Returns:
        The metric rows; an empty list in a process that did not write them, and of a model in `known`.

    Raises:
        ShardError: One of several processes failed.
    """
    started = time.perf_counter()
    suite = evaluator.suite
    held: list[tuple[Recording, Model | None]] = []
    with contextlib.ExitStack() as stack:

        def prepare() -> bool:
            """Whether the model is known. What the evaluation needs cannot be sent to other processes."""
            stack.enter_context(undisturbed(model))
            by = "sftgen-vllm" if engine else "sftgen-hf"
            content = identity_in_memory(model, tokenizer, backend=by, mixed_precision_dtype=precision)
            record = Recording(run, step, content.id, suite.seed)
            options: dict[str, Any] = {
                "batch_size": suite.batch_size,
                "seed": suite.seed,
                "mixed_precision_dtype": precision,
            }
            held.append((record, None if engine else RecordingHFLM(model, tokenizer, **options)))
            return record.model in known

        if together(shard, prepare)[0]:  # if one process cannot begin, none does
            return []
        [(record, own)] = held
        lm = stack.enter_context(engine.serving()) if engine else own
        assert lm is not None
        results = evaluator(lm, record, last=last, shard=shard)
    if shard and shard.index:
        return []
    return add_results(run, step, results, time.perf_counter() - started)


def evaluate_checkpoint(
    path: str | Path,
    tasks: Sequence[str] = (),
    *,
    run_dir: str | Path,
    step: int = 0,
    limit: int | None = None,
    suite: Suite | None = None,
    evaluator: Evaluator | None = None,
    model: str = "sftgen-hf",
    model_args: Mapping[str, Any] | None = None,
    last: bool = False,
    record: bool = True,
    plan: Suite | None = None,
    content_id: str | None = None,
    load: Loader | None = None,
) -> list[TaskResult]:
    """Evaluate a checkpoint's folder. The random number generators of this process keep their state.

    Args:
        path: A folder in Hugging Face format; it may hold an adapter.
        tasks: Task and group names.
        run_dir: Run directory for generations and verdicts. Those that it holds for these weights are used again.
        step: The training step of the checkpoint.
        limit: Documents a task, None for all.
        suite: Tasks with their steps and limits; replaces `tasks` and `limit`.
        evaluator: A suite whose tasks are loaded; replaces `suite` where many checkpoints are evaluated.
        model: Name of an lm_eval model that takes `pretrained`.
        model_args: Further arguments of that model.
        last: Whether this is the last step of the training.
        record: Whether to add the results to the run's metrics, for `sftgen report`.
        plan: The former name of `suite`.
        content_id: The folder's id, if `leases.verify_stable` has just checked it; else it is checked here.
        load: Makes the model of a folder by the name and arguments of an lm_eval model; `load_model` by default.

    Returns:
        One result a task.

    Raises:
        CheckpointError: The checkpoint is not complete, or its model cannot be loaded.
        SettingError: The model does not apply a setting of the suite.
    """
    started = time.perf_counter()
    evaluator = evaluator or Evaluator(suite or plan or Suite([Tier(list(tasks), every=1, limit=limit)]))
    with undisturbed(torch.nn.Identity()):
        lm, run = _loaded(
            Path(path), evaluator, Recording(RunFolder(Path(run_dir)), step),
            model=model, model_args=model_args or {}, content_id=content_id, load=load,
        )  # fmt: skip
        results = evaluator(lm, run, last=last, resume=True)
    if record:
        run.folder.update_manifest(tasks=evaluator.suite.tasks)
        add_results(run.folder, step, results, time.perf_counter() - started)
    return results


def generate_checkpoint(
    path: Path,
    *,
    run_dir: Path,
    step: int,
    evaluator: Evaluator,
    model: str,
    model_args: Mapping[str, Any],
    last: bool,
    content_id: str,
    load: Loader,
) -> Behind[list[TaskResult]]:
    """Begin to evaluate a checkpoint as `evaluate_checkpoint` does, and return when its responses stand.

    Returns:
        The evaluation, whose last grading goes on; it holds the model no more.

    Raises:
        CheckpointError: The model cannot be loaded.
        SettingError: The model does not apply a setting of the suite.
    """
    with undisturbed(torch.nn.Identity()):
        lm, run = _loaded(
            path, evaluator, Recording(RunFolder(run_dir), step),
            model=model, model_args=model_args, content_id=content_id, load=load,
        )  # fmt: skip
        tiers = len(evaluator.suite.at(step, last=last))
        return Behind(lm, lambda front: evaluator(front, run, last=last, resume=True), tiers)


def _loaded(
    folder: Path,
    evaluator: Evaluator,
    run: Recording,
    *,
    model: str,
    model_args: Mapping[str, Any],
    content_id: str | None,
    load: Loader | None,
) -> tuple[Model, Recording]:
    """The model of a checkpoint, and `run` with what its responses are written under."""
    if content_id is None:
        check_complete(folder)
    seed = evaluator.suite.seed
    check_settings(model, evaluator.suite.gen_kwargs)
    seeded = {"seed": seed} if model == "vllm" or model.startswith("sftgen-") else {}
    arguments = _arguments(folder, model, {"batch_size": evaluator.suite.batch_size, **seeded, **model_args})
    known = identity(str(arguments["pretrained"]), arguments, backend=model)
    run = replace(run, model=known.id, seed=seed)
    with recording(run):  # so that the model does not open a run directory of its own
        return (load or load_model)(folder, model, arguments), run


def _arguments(folder: Path, model: str, model_args: Mapping[str, Any]) -> dict[str, Any]:
    """What the lm_eval model is given."""
    arguments = {"pretrained": str(folder), **model_args}
    if model in {"hf", "sftgen-hf"}:
        # lm_eval's default is cuda, also on a machine without a GPU.
        arguments.setdefault("device", "cuda" if torch.cuda.is_available() else "cpu")
    adapter = adapter_arguments(folder, model)
    if "max_lora_rank" in model_args:
        adapter.pop("max_lora_rank", None)
    return arguments | adapter


def load_model(folder: Path, model: str, arguments: Mapping[str, Any]) -> Model:
    """The lm_eval model of a checkpoint.

    Raises:
        CheckpointError: It cannot be loaded.
    """
    try:
        with timed("loading"), without_bars():
            return make_model(model, **arguments)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"checkpoint {str(folder)!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """At the end, restore the model's modes, its generation settings and every random number generator."""
    training = {name: module.training for name, module in model.named_modules()}
    generation_config = copy.deepcopy(getattr(model, "generation_config", None))
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            for name, module in model.named_modules():
                module.training = training.get(name, True)
            if generation_config is not None:
                model.generation_config = generation_config
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
