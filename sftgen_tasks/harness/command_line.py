"""lm_eval's own command line, with safer defaults and checks before a model is loaded."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.current import Recording, current, recording
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.model_id import model_id
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.availability import usable_tasks
from sftgen_tasks.harness.evaluation import resolve_tasks, task_manager
from sftgen_tasks.harness.generation import counter_of, journal_generations
from sftgen_tasks.harness.preflight import check_local_model, check_no_secrets
from sftgen_tasks.harness.registry import register_models
from sftgen_tasks.harness.results_file import Estimate, Session, manifest_in_results

logger = logging.getLogger(__name__)


def run_command_line(arguments: Sequence[str], run: Path | None = None, estimate: Estimate | None = None) -> None:
    """lm_eval's `run` command with safer defaults; a flag that is given always wins.

    Chat template on unless `--no_chat_template`, batch size `auto` (16 for transformers on a CPU), samples
    logged next to the results, and no index of lm_eval's built-in tasks when every task asked for is ours.
    The results carry the manifest under `sftgen`.

    Args:
        arguments: lm_eval's flags, and `--no_chat_template`.
        run: Run directory: every generation is kept there as it comes, and none is made twice.
        estimate: Makes the intervals in the results.

    Raises:
        SftgenError: What was asked for cannot be run: said before the model is loaded where possible.
    """
    import lm_eval.tasks
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    given = [argument for argument in arguments if argument != "--no_chat_template"]
    defaults = {
        "--apply_chat_template": ([], "--no_chat_template" not in arguments),
        "--log_samples": ([], "-s" not in arguments),
        "--output_path": ([str(run / "results") if run else "results"], "-o" not in arguments),
    }
    flags = {argument.partition("=")[0] for argument in given}
    for flag, (value, wanted) in defaults.items():
        if wanted and flag not in flags:
            given += [flag, *value]
    setup_logging()
    command = HarnessCLI()
    args = command._parser.parse_args(["run", *given])
    if not flags & {"--batch_size", "-b"}:
        args.batch_size = _default_batch_size(args)
    _check_before_loading(args)
    skipped: dict[str, str] = {}
    names = [name for listed in args.tasks or [] for name in listed.split(",")]
    manager = task_manager(_metadata(args))
    if names and not args.include_path and all(manager.match_tasks([name]) for name in names):
        # lm_eval builds its index itself and has no flag to leave its own tasks out.
        lm_eval.tasks.TaskManager = lambda metadata=None, **_: task_manager(metadata)
        args.tasks, skipped = usable_tasks(resolve_tasks(names, manager), manager)
    register_models()
    try:
        model = _Model.named_by(args)
        with _resumable(run, model) if run else nullcontext(), _accounted(model, estimate, resume=bool(run)):
            command.execute(args)
    except (ValueError, OSError, AssertionError, ImportError) as error:
        if isinstance(error, SftgenError) or os.environ.get("SFTGEN_DEBUG"):
            raise
        raise SftgenError(f"lm_eval stopped: {error} (SFTGEN_DEBUG=1 shows where)") from error
    for name, reason in skipped.items():
        logger.warning("skipped %s", reason if reason.startswith(name) else f"{name}: {reason}")


def _metadata(args: Any) -> dict[str, Any]:
    """What tasks will be given, as lm_eval puts it together: model arguments and metadata."""
    parts = (args.model_args, getattr(args, "metadata", None))
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


@dataclass(frozen=True)
class _Model:
    """The model that lm_eval's arguments name."""

    name: str
    id: str
    seed: int | str
    arguments: dict[str, Any]

    @classmethod
    def named_by(cls, args: Any) -> _Model:
        given = dict(args.model_args) if isinstance(args.model_args, dict) else {}
        name = str(given.get("pretrained") or given.get("model") or args.model)
        identity = {name: given[name] for name in ("base_url", "revision", "peft", "dtype") if name in given}
        # Our own models take a seed a sample; the others draw from lm_eval's.
        own = str(args.model).startswith("sftgen-")
        seed = int(given.get("seed", 0)) if own else str(getattr(args, "seed", ""))
        return cls(name, model_id(name, **identity), seed, given)


@contextmanager
def _resumable(folder: Path, model: _Model) -> Iterator[None]:
    """Inside, generations go into a run directory, and what stands there is used again."""
    run = RunFolder(folder)
    with run.sole_writer():
        run.require_usable()
        before = run.manifest().get("model_id")
        if before not in {None, model.id}:
            raise RecordError(
                f"run directory {str(folder)!r} holds generations of another model ({before}); "
                f"{model.name!r} is now {model.id}. Use another run directory"
            )
        with recording(Recording(run, model=model.id, seed=model.seed, count=counter_of(model.arguments))):
            yield
        run.compact()


@contextmanager
def _accounted(model: _Model, estimate: Estimate | None, *, resume: bool) -> Iterator[None]:
    """Inside, the model's work is measured, and the results tell how they came about."""
    from lm_eval.api import registry

    run, session, original = current(), Session(resume), registry.get_model
    facts = {"model": model.name, "model_id": model.id}
    earlier = run.folder.manifest().get("sessions", [])
    if resume:  # a killed session has no more to tell than when it began
        run.folder.update_manifest(**facts, sessions=[*earlier, {"started": session.started}])

    def prepare(lm: Any) -> Any:
        if resume:
            journal_generations(lm, run, counter_of(model.arguments), resume=True)
        return session.watch(lm)

    def closing(seeds: Mapping[str, Any]) -> dict[str, Any]:
        own = model.seed if isinstance(model.seed, int) else None
        return {**facts, "seeds": {"sampling": own, **seeds}, "sessions": [*earlier, session.facts()]}

    registry.get_model = lambda name: _Prepared(original(name), prepare)
    try:
        with manifest_in_results(run.folder, closing, estimate):
            yield
    finally:
        registry.get_model = original


@dataclass(frozen=True)
class _Prepared:
    """A model class whose instances are prepared before lm_eval gets them."""

    model: Any
    prepare: Callable[[Any], Any]

    def create_from_arg_obj(self, *arguments: Any) -> Any:
        return self.prepare(self.model.create_from_arg_obj(*arguments))

    def create_from_arg_string(self, *arguments: Any) -> Any:
        return self.prepare(self.model.create_from_arg_string(*arguments))


def _check_before_loading(args: Any) -> None:
    output = Path(args.output_path)
    folder = next(parent for parent in (output, *output.absolute().parents) if parent.exists())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SftgenError(f"--output_path {str(output)!r} cannot be written: {error.strerror}") from error
    model_args = args.model_args if isinstance(args.model_args, dict) else {}
    check_no_secrets(model_args)
    if (
        args.model in {"hf", "vllm", "sftgen-hf", "sftgen-vllm"}
        and isinstance(model_args.get("pretrained"), str)
        and not model_args.get("tokenizer")
    ):
        check_local_model(model_args["pretrained"], chat_template=hasattr(args, "apply_chat_template"))


def _default_batch_size(args: Any) -> str:
    """`auto`, except for transformers on a CPU: its search tries full-length batches, for hours."""
    if str(args.model) not in {"hf", "sftgen-hf"}:
        return "auto"
    import torch

    on_cpu = not torch.cuda.is_available() or str(getattr(args, "device", "")).startswith("cpu")
    return "16" if on_cpu else "auto"
