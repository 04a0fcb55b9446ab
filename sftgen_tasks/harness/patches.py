"""Replacing a function of lm_eval for as long as a block lasts."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, lru_cache, partial, wraps
from importlib import metadata
from pathlib import Path
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Inside, a module, class or object has another attribute of this name."""
    own, before = name in vars(owner), getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:  # it was its class's
            delattr(owner, name)


@contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Inside, importing a package fails as if it were not installed; one that was imported before stays."""
    absent = [name for name in packages if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


def for_all_threads(make: Callable[[], AbstractContextManager[None]]) -> Callable[[], AbstractContextManager[None]]:
    """A context that several threads may be in at once: the first one enters it, and it ends with the last."""
    lock, entered = threading.Lock(), ExitStack()
    inside = 0

    @wraps(make)
    @contextmanager
    def shared() -> Iterator[None]:
        nonlocal inside
        with lock:
            if not inside:
                entered.enter_context(make())
            inside += 1
        try:
            yield
        finally:
            with lock:
                inside -= 1
                if not inside:
                    entered.close()

    return shared


@for_all_threads
@contextmanager
def quiet() -> Iterator[None]:
    """Silence lm_eval's progress bar a task and its notes on settings that are ours."""
    from sftgen_tasks.harness.version import task_module

    loggers = [
        logging.getLogger(name) for name in ("lm_eval.models.huggingface", "lm_eval.evaluator", "lm_eval.api.task")
    ]
    levels = [found.level for found in loggers]
    for found in loggers:
        found.setLevel(logging.ERROR)
    try:
        with replaced(task_module, "tqdm", partial(task_module.tqdm, disable=True)):
            yield
    finally:
        for found, level in zip(loggers, levels, strict=True):
            found.setLevel(level)


@cache
def spare_vllms_bar(model: str) -> None:
    """Keep vLLM from making a bar where bars are switched off: it divides by the time of its bar, which then is 0.

    Args:
        model: The name of the model; ours ask vLLM for no bar.
    """
    if model != "vllm" or not os.environ.get("TQDM_DISABLE") or importlib.util.find_spec("vllm") is None:
        return
    from vllm import LLM

    real = LLM.generate

    @wraps(real)
    def generate(self: Any, *given: Any, **named: Any) -> Any:
        return real(self, *given, **{**named, "use_tqdm": False})

    LLM.generate = generate


@for_all_threads
@contextmanager
def compiled_once() -> Iterator[None]:
    """Inside, a template is compiled once: lm_eval does it again for every document, three times."""
    from sftgen_tasks.harness.version import templates

    with replaced(templates, "from_string", lru_cache(maxsize=1024)(templates.from_string)):
        yield


@contextmanager
def packages_read_here() -> Iterator[None]:
    """Inside, the packages that lm_eval's results name are read here: a process of pip takes longer than a small task.

    The text is the same.
    """
    from torch.utils import collect_env

    real: Any = collect_env.get_pip_packages

    def listed(_command: Any) -> tuple[int, str, str]:
        found = {f"{package.name}=={package.version}" for package in metadata.distributions()}
        return 0, "\n".join(sorted(found, key=str.lower)), ""

    with replaced(collect_env, "get_pip_packages", lambda _, *patterns: real(listed, *patterns)):
        yield


def show_warnings_only() -> None:
    """Show lm_eval's warnings as ours, and its other notes only where they are asked for."""
    from lm_eval.utils import setup_logging

    if os.environ.get("SFTGEN_DEBUG") or os.environ.get("LMEVAL_LOG_LEVEL"):
        setup_logging()
    else:
        logging.getLogger("lm_eval").setLevel(logging.WARNING)
        for name in ("lm_eval.evaluator", "lm_eval.config.evaluate_config"):
            logging.getLogger(name).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a note of lm_eval says more than that a flag was given: how many documents were asked our tables say."""
    return not str(record.msg).startswith(("--limit SHOULD", "generation_kwargs: "))


def revision_of_folder() -> str | None:
    """What `lm_eval.loggers.utils.get_git_commit_hash` gives, without git's complaint where there is no repository."""
    from lm_eval.loggers.utils import get_commit_from_path

    try:
        line = ["git", "describe", "--always"]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found: str | None = get_commit_from_path(Path.cwd())
        return found
