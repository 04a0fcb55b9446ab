"""lm_eval's own command line, with safer defaults and checks before a model is loaded."""

from __future__ import annotations

import logging
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from sftgen_judges.asking.settings import judge_options
from sftgen_judges.errors import SftgenError
from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.availability import usable_tasks
from sftgen_tasks.harness.evaluation import TaskResult
from sftgen_tasks.harness.generation import counter_of
from sftgen_tasks.harness.loading import OwnTaskManager, resolve_tasks
from sftgen_tasks.harness.patches import compiled_once, replaced
from sftgen_tasks.harness.preflight import check_local_model, check_no_secrets
from sftgen_tasks.harness.registry import register_models
from sftgen_tasks.harness.results_file import Account, Estimate, NamedModel

logger = logging.getLogger(__name__)


def run_command_line(
    arguments: Sequence[str],
    run: Path | None = None,
    estimate: Estimate | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[TaskResult]:
    """lm_eval's `run` command with safer defaults; a flag that is given always wins.

    Chat template on unless `--no_chat_template`, batch size `auto` (16 for transformers on a CPU), samples
    logged next to the results, and no index of lm_eval's built-in tasks when every task asked for is ours.
    The results carry the manifest under `sftgen`.

    Args:
        arguments: lm_eval's flags, and `--no_chat_template`.
        run: Run directory: every generation is kept there as it comes, and is made once.
        estimate: Makes the intervals in the results.
        options: Settings of judges, named `judge_<field>`; those of `--metadata` go before them.

    Returns:
        What was found of each of our tasks; nothing in a process that only helps another one.

    Raises:
        SftgenError: What was asked for cannot be run: said before the model is loaded where possible.
    """
    import lm_eval.tasks
    from lm_eval.utils import setup_logging

    setup_logging()
    command, args = _parsed(arguments, run, options)
    judge_options(_metadata(args))  # refuses a key
    _check_before_loading(args)
    skipped: dict[str, str] = {}
    names = [name for listed in args.tasks or [] for name in listed.split(",")]
    manager = OwnTaskManager(_metadata(args))

    def task_manager(metadata: Mapping[str, Any] | None = None, **_: Any) -> OwnTaskManager:
        return manager if dict(metadata or {}) == manager.metadata else OwnTaskManager(metadata)

    try:
        with ExitStack() as stack:
            if names and not args.include_path and all(manager.match_tasks([name]) for name in names):
                args.tasks, skipped = usable_tasks(resolve_tasks(names, manager), manager)
                # lm_eval builds its index itself and has no flag to leave its own tasks out.
                stack.enter_context(replaced(lm_eval.tasks, "TaskManager", task_manager))
            register_models()
            model = NamedModel.of(args)
            if run:
                stack.enter_context(_resumable(run, model))
            account = Account(model, estimate, resume=bool(run))
            stack.enter_context(account.kept())
            stack.enter_context(compiled_once())
            command.execute(args)
    except (ValueError, OSError, AssertionError, ImportError) as error:
        if isinstance(error, SftgenError) or os.environ.get("SFTGEN_DEBUG"):
            raise
        raise SftgenError(f"lm_eval stopped: {error} (SFTGEN_DEBUG=1 shows where)") from error
    for name, reason in skipped.items():
        logger.warning("skipped %s", reason if reason.startswith(name) else f"{name}: {reason}")
    return account.results


def _parsed(arguments: Sequence[str], run: Path | None, options: Mapping[str, Any] | None) -> tuple[Any, Namespace]:
    """lm_eval's command and what it makes of the flags, with our defaults for those that are not given."""
    from lm_eval._cli import HarnessCLI, utils

    import_module("_sftgen_autoload").keep_marker_pairs(utils)
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
    command = HarnessCLI()
    args = command._parser.parse_args(["run", *given])
    if not flags & {"--batch_size", "-b"}:
        args.batch_size = _default_batch_size(args)
    if options:
        args.metadata = {**options, **_own_metadata(args)}
    return command, args


def _metadata(args: Namespace) -> dict[str, Any]:
    """What tasks will be given, as lm_eval puts it together: model arguments and metadata."""
    parts = (args.model_args, _own_metadata(args))
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


def _own_metadata(args: Namespace) -> dict[str, Any]:
    """`--metadata`, or that of the file that `--config` names: lm_eval takes one or the other."""
    from lm_eval.config.evaluate_config import EvaluatorConfig

    given = getattr(args, "metadata", None)
    if not given and getattr(args, "config", None):
        with suppress(OSError, ValueError, TypeError):  # lm_eval says what is wrong with the file
            given = EvaluatorConfig.load_yaml_config(args.config).get("metadata")
    return given if isinstance(given, dict) else {}


@contextmanager
def _resumable(folder: Path, model: NamedModel) -> Iterator[None]:
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


def _check_before_loading(args: Namespace) -> None:
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


def _default_batch_size(args: Namespace) -> str:
    """`auto`, except for transformers on a CPU: its search tries full-length batches, for hours."""
    if str(args.model) not in {"hf", "sftgen-hf"}:
        return "auto"
    import torch

    on_cpu = not torch.cuda.is_available() or str(getattr(args, "device", "")).startswith("cpu")
    return "16" if on_cpu else "auto"
