"""Shared fixtures: a tiny Qwen3 made here, and sftgen's commands."""

from __future__ import annotations

import faulthandler
import itertools
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import commands

# Several threads on a busy machine make a tiny model ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
# pytest-xdist sets it in its processes: the console would keep that width, whatever a test sets.
os.environ.pop("COLUMNS", None)
# Of the process that this one may be a fork of: lm_eval's own vLLM divides by the time of its bar.
os.environ.pop("TQDM_DISABLE", None)

LONGEST_NAME = 80
SLOW = (
    "tests/environments/",
    "tests/train/training/",
    "tests/train/queue/",
    "tests/train/results/",
    "tests/train/evaluation/",
    "tests/tasks/harness/",
    "tests/train/cli/",
)
"""Where the longest tests are: they begin first, so that no process is left alone with one at the end."""
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests see no setting of the person who runs them, write no run into their cache, and leave no setting behind."""
    before = set(os.environ)
    for name in list(os.environ):
        if name.startswith("SFTGEN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SFTGEN_RUN_DIR", str(_fresh_folder(tmp_path_factory, "run")))
    yield
    # A command in this process sets what libraries read when they are imported.
    for name in set(os.environ) - before:
        if name.startswith(commands.READ_ON_IMPORT):
            del os.environ[name]


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In place of pytest's own, which reads the names of all folders that tests have made so far."""
    return _fresh_folder(tmp_path_factory, re.sub(r"\W", "_", request.node.name)[:30])


def _fresh_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(f"{name}-{next(_NUMBERS)}", numbered=False)


_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def command() -> Command:
    """Run a command in a forked process: `command("sftgen", "plugins")`."""
    return commands.run


@pytest.fixture(scope="session")
def installed() -> Command:
    """Run the installed command, from its start. It takes seconds: one test a command, and what start-up decides."""
    return commands.run_installed


@pytest.fixture(scope="session")
def vllm() -> commands.Warm:
    """Forks of a process that has imported vLLM, in the environment that has it; for tests of the group `vllm` only."""
    from tests.tasks.harness.backends.test_vllm import SETTINGS, VLLM_ENVIRONMENT

    modules = [*commands.LARGE, "tests.tasks.harness.backends.warm_vllm"]
    return commands.Warm("vllm", modules, VLLM_ENVIRONMENT / "bin" / "python", SETTINGS)


@pytest.fixture(scope="session")
def vllm_command(vllm: commands.Warm) -> Command:
    """Run a command of the environment with vLLM."""
    return vllm.run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first; otherwise the order stays."""
    items.sort(key=lambda item: next((place for place, start in enumerate(SLOW) if item.nodeid.startswith(start)), 99))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ERRORS] = os.dup(2)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """After a failure pytest stops its clocks, and what is taken down then could hang for ever."""
    _end_if_it_hangs(item.config)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The clock of the last test has stopped; this one runs to the end of the process."""
    _end_if_it_hangs(session.config)


def _end_if_it_hangs(config: pytest.Config) -> None:
    if seconds := float(config.getini("faulthandler_timeout")):
        faulthandler.dump_traceback_later(seconds, file=config.stash[ERRORS], exit=True)


ERRORS = pytest.StashKey[int]()
"""The standard error that the process began with; during a test another one stands in its place."""


def pytest_make_parametrize_id(val: object) -> str | None:
    """The start of a long value only: processes send each other the names of all tests, and again with every report."""
    if not isinstance(val, (str, bytes)) or len(val) <= LONGEST_NAME:
        return None
    start = val[:LONGEST_NAME].decode("latin-1") if isinstance(val, bytes) else val[:LONGEST_NAME]
    return f"{start.encode('unicode_escape').decode()}...{len(val)}"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained Qwen3 of a few thousand parameters, its tokenizer and chat template."""
    import torch

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    build_model(tokenizer, Size(hidden=32, inner=64, layers=2, heads=2, head=16)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real benchmark files and stored outputs, where the machine has it."""
    folder = _DATA_DIR
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data: SFTGEN_DATA_DIR is not set to a folder")
    return Path(folder)


_DATA_DIR = os.environ.get("SFTGEN_DATA_DIR", "")
