"""lm_eval's own command line, with safer defaults and checks before a model is loaded."""

from __future__ import annotations

import copy
import logging
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from sftgen_judges.asking.settings import judge_options
from sftgen_judges.errors import SftgenError
from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.heads import models_of
from sftgen_judges.records.model_id import Identity, is_former
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.availability import usable_tasks
from sftgen_tasks.harness.evaluation import TaskResult
from sftgen_tasks.harness.generation import counter_of
from sftgen_tasks.harness.guards import refuse_caches
from sftgen_tasks.harness.limits import LimitError, limits_of, tasks_of
from sftgen_tasks.harness.loading import OwnTaskManager, resolve_tasks
from sftgen_tasks.harness.patches import (
    compiled_once,
    packages_read_here,
    replaced,
    revision_of_folder,
    show_warnings_only,
    spare_vllms_bar,
)
from sftgen_tasks.harness.preflight import check_local_model, check_no_secrets
from sftgen_tasks.harness.registry import register_models
from sftgen_tasks.harness.results_file import Account, Estimate, NamedModel
from sftgen_tasks.harness.sampling import check_settings

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
        options: More metadata of the tasks: settings of judges, named `judge_<field>`, and `max_gen_toks` by task.
            What `--metadata` names goes before it.

    Returns:
        What was found of each of our tasks; nothing in a process that only helps another one.

    Raises:
        SftgenError: What was asked for cannot be run: said before the model is loaded where possible.
    """
    import lm_eval.tasks

    show_warnings_only()
    command, args = _parsed(arguments, run, options)
    config = _in_force(args)
    judge_options(config.metadata)  # refuses a key
    names = _names(config.tasks)
    manager = OwnTaskManager(config.metadata)
    ours = [bool(manager.match_tasks([name])) for name in names]
    if all(ours):
        _require_limits_of(resolve_tasks(names, manager), limits_of(config.metadata))
    if any(ours) or run:
        requests = config.cache_requests
        asked = any(requests.get(f"{what}_requests{end}") for what, end in (("cache", ""), ("rewrite", "_cache")))
        refuse_caches(config.use_cache, asked)
    _check_before_loading(config)
    skipped: dict[str, str] = {}

    def task_manager(metadata: Mapping[str, Any] | None = None, **_: Any) -> OwnTaskManager:
        return manager if dict(metadata or {}) == manager.metadata else OwnTaskManager(metadata)

    try:
        from lm_eval import evaluator

        with ExitStack() as stack:
            stack.enter_context(replaced(evaluator, "evaluate", evaluator.evaluate))  # our tasks guard it
            if names and not config.include_path and all(ours):
                args.tasks, skipped = usable_tasks(resolve_tasks(names, manager), manager)
                # lm_eval builds its index itself and has no flag to leave its own tasks out.
                stack.enter_context(replaced(lm_eval.tasks, "TaskManager", task_manager))
            register_models()
            spare_vllms_bar(str(config.model))
            model = NamedModel.of(config)
            if run:
                stack.enter_context(_resumable(run, model))
            account = Account(model, estimate, resume=bool(run))
            stack.enter_context(account.kept())
            stack.enter_context(compiled_once())
            stack.enter_context(packages_read_here())
            stack.enter_context(replaced(evaluator, "get_git_commit_hash", revision_of_folder))
            if run:  # its own table says in other words what follows
                stack.enter_context(replaced(lm_eval.utils, "make_table", lambda *_: ""))
            command.execute(args)
    except (ValueError, OSError, AssertionError, ImportError) as error:
        if isinstance(error, SftgenError) or os.environ.get("SFTGEN_DEBUG"):
            raise
        raise SftgenError(f"lm_eval stopped: {error} (SFTGEN_DEBUG=1 shows where)") from error
    for name, reason in skipped.items():
        logger.warning("skipped %s", reason if reason.startswith(name) else f"{name}: {reason}")
    return account.results


def _parsed(arguments: Sequence[str], run: Path | None, options: Mapping[str, Any] | None) -> tuple[Any, Namespace]:
    """lm_eval's command and what it makes of the flags, with our defaults for what neither they nor a file name."""
    from lm_eval._cli import HarnessCLI, utils

    import_module("_sftgen_autoload").keep_marker_pairs(utils)
    command = HarnessCLI()
    args = command._parser.parse_args(["run", *(given for given in arguments if given != "--no_chat_template")])
    file = _file(args)
    defaults = {
        "apply_chat_template": "--no_chat_template" not in arguments,
        "log_samples": True,
        "output_path": str(run / "results") if run else "results",
    }
    for name, value in defaults.items():
        if not getattr(args, name, None) and name not in file:
            setattr(args, name, value)
    if "--no_chat_template" in arguments:
        args.apply_chat_template = False
    if not hasattr(args, "batch_size") and "batch_size" not in file:
        named = {**file, **{name: value for name, value in vars(args).items() if value is not None}}
        args.batch_size = _default_batch_size(str(named.get("model", "hf")), str(named.get("device", "")))
    if options:
        own = args.metadata or file.get("metadata")
        args.metadata = {**options, **(own if isinstance(own, dict) else {})}
    return command, args


def _file(args: Namespace) -> dict[str, Any]:
    """What the file of `--config` says.

    Raises:
        SftgenError: It cannot be read.
    """
    from lm_eval.config.evaluate_config import EvaluatorConfig

    named = getattr(args, "config", None)
    if not named:
        return {}
    try:
        return dict(EvaluatorConfig.load_yaml_config(named))
    except (OSError, ValueError, TypeError) as error:
        raise SftgenError(f"--config {named}: {error}") from error


def _in_force(args: Namespace) -> Any:
    """lm_eval's configuration as its command will make it: flags over the file of `--config` over its defaults.

    Raises:
        SftgenError: The flags or the file cannot be used.
    """
    from lm_eval.config.evaluate_config import EvaluatorConfig

    given = copy.deepcopy(args)  # it writes into what it is given
    try:
        # It prints the whole configuration; the command will do that again.
        with redirect_stdout(StringIO()), replaced(logging.getLogger(EvaluatorConfig.__module__), "disabled", True):
            config = EvaluatorConfig.from_cli(given)
    except (OSError, ValueError, TypeError) as error:
        where = f"--config {args.config}: " if getattr(args, "config", None) else ""
        raise SftgenError(f"{where}{error}") from error
    if not isinstance(config.cache_requests, dict):
        raise SftgenError(f"cache_requests: {config.cache_requests!r} in the file of --config: use the flag")
    return config


def _names(tasks: Any) -> list[str]:
    """The names among the tasks that are asked for, which may be a text, a list, or whole tasks of a file."""
    listed = [tasks] if isinstance(tasks, str) else list(tasks or [])
    return [name for entry in listed for name in str(entry).split(",")]


def _require_limits_of(names: Sequence[str], limits: Mapping[str, int]) -> None:
    """Check that token limits of single tasks are of tasks that are evaluated."""
    evaluated = frozenset[str]().union(*map(tasks_of, names))
    for name in limits:
        if not evaluated & tasks_of(name):
            raise LimitError(f"--max_gen_toks {name}={limits[name]}: --tasks names no task of it")


@contextmanager
def _resumable(folder: Path, model: NamedModel) -> Iterator[None]:
    """Inside, generations go into a run directory, and what stands there is used again."""
    run = RunFolder(folder)
    with run.sole_writer():
        run.require_usable()
        _require_same_model(run, model.identity)
        counter = counter_of(model.arguments)
        with recording(Recording(run, model=model.identity.id, seed=model.seed, count=counter)):
            yield


def _require_same_model(run: RunFolder, model: Identity) -> None:
    """Check that a run directory holds generations of no other model.

    Raises:
        RecordError: It does; says what differs.
    """
    manifest = run.manifest()
    before = manifest.get("model_id")
    if before is None:  # its manifest was lost, or it is a training's
        others = models_of(run.path) - {model.id}
        why = f"{len(others)} of them, and its manifest does not name the one it was begun with"
        before = min(others, default=None)
    elif is_former(str(before)):
        why = (
            "an older sftgen wrote it, whose ids left out most of what changes text, so that nobody can tell. "
            "`sftgen rescore` and `sftgen report` still read it"
        )
    else:
        parts = manifest.get("model_parts")
        why = f"other: {', '.join(model.differences(parts)) or 'name'}" if isinstance(parts, dict) else "another id"
    if before not in {None, model.id}:
        raise RecordError(
            f"run directory {str(run.path)!r} holds generations of another model ({before}); "
            f"{model.name!r} is now {model.id} ({why}). Use another run directory"
        )


def _check_before_loading(config: Any) -> None:
    output = Path(config.output_path)
    folder = next(parent for parent in (output, *output.absolute().parents) if parent.exists())
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SftgenError(f"--output_path {str(output)!r} cannot be written: {error.strerror}") from error
    check_no_secrets(config.model_args)
    check_settings(str(config.model), config.gen_kwargs or {})
    if (
        config.model in {"hf", "vllm", "sftgen-hf", "sftgen-vllm"}
        and isinstance(config.model_args.get("pretrained"), str)
        and not config.model_args.get("tokenizer")
    ):
        check_local_model(config.model_args["pretrained"], chat_template=bool(config.apply_chat_template))


def _default_batch_size(model: str, device: str) -> str:
    """`auto`, except for transformers on a CPU: lm_eval's search tries full-length batches there, for hours."""
    if model not in {"hf", "sftgen-hf"}:
        return "auto"
    import torch

    return "16" if not torch.cuda.is_available() or device.startswith("cpu") else "auto"
