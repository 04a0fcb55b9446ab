"""Commands in processes that are forked from one that has imported the large libraries: a start costs no seconds.

The server of forks is that of `multiprocessing`. It has imported nothing of sftgen, so that a command starts as the
installed one does: with its own environment, folder and arguments.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from tests import PATIENCE, ROOT

SCRIPTS = Path(sys.executable).parent
LARGE = [
    "torch", "transformers", "transformers.models.qwen3.modeling_qwen3", "transformers.generation", "datasets",
    "lm_eval._cli", "lm_eval.evaluator", "lm_eval.models.huggingface", "lm_eval.tasks", "trl", "peft", "accelerate",
    "scipy.stats", "sympy", "plotly.graph_objects", "pyarrow.parquet", "openai", "typer", "rich.console",
]  # fmt: skip
# Large libraries read these when they are imported.
READ_ON_IMPORT = ("HF_", "TRANSFORMERS_", "OMP_", "TOKENIZERS_", "TQDM_", "PYTHON", "LD_", "SFTGEN_NO_AUTOLOAD")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(LARGE)


def run(
    program: str,
    *arguments: str | Path,
    timeout: float = PATIENCE,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does with text captured.

    Args:
        program: Name of an installed command.
        arguments: What it is given.
        timeout: Seconds after which it is killed.
        env: All of its environment, by default that of this process.
        cwd: Folder to run in.
        before: A function of a module, called in the new process before the command.

    Raises:
        subprocess.TimeoutExpired: It did not end in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = start(program, *arguments, env=env, cwd=cwd, before=before, out=out, err=err)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([program, *map(str, arguments)], timeout, out.read_text(), err.read_text())
        return subprocess.CompletedProcess(
            [program, *map(str, arguments)], process.exitcode, out.read_text(), err.read_text()
        )


def run_installed(
    program: str, *arguments: str | Path, timeout: float = PATIENCE, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the installed command from its start, which takes seconds; `options` are those of `subprocess.run`."""
    line = [str(SCRIPTS / program), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=timeout, check=False, **options)


def start(
    program: str,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    before: Callable[[], None] | None = None,
    out: Path = Path(os.devnull),
    err: Path = Path(os.devnull),
) -> multiprocessing.process.BaseProcess:
    """Start a command, in a process group of its own, and do not wait for it."""
    environment = dict(os.environ if env is None else env)
    if differ := sorted(name for name, _ in _read_on_import(environment).items() ^ _read_by_server().items()):
        raise ValueError(f"{', '.join(differ)}: read before the fork; use the fixture `installed`")
    line = [str(SCRIPTS / program), *map(str, arguments)]
    options = {"folder": cwd or Path.cwd(), "out": out, "err": err, "before": before}
    process = _FORKS.Process(target=become, args=(line, environment), kwargs=options)
    process.start()
    return process


@contextmanager
def warm(python: Path, script: Path, settings: Mapping[str, str]) -> Iterator[Callable[..., Any]]:
    """A function like `run` for the commands of another environment; `script` imports there what is large and forks."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    pipe = subprocess.PIPE
    given = {"stdin": pipe, "stdout": pipe, "text": True, "env": {**os.environ, **settings, "PYTHONPATH": path}}
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen([python, script], **given) as server:
        assert server.stdin
        assert server.stdout
        out, err = Path(folder, "out"), Path(folder, "err")

        def run_there(
            program: str | Path, *arguments: str | Path, env: Mapping[str, str] = {}
        ) -> subprocess.CompletedProcess[str]:
            for file in (out, err):
                file.write_text("")
            line = [str(word) for word in (program, *arguments)]
            files = {"folder": str(Path.cwd()), "out": str(out), "err": str(err)}
            job = {"line": line, "environment": {**os.environ, **settings, **env}, **files}
            print(json.dumps(job), file=server.stdin, flush=True)
            return subprocess.CompletedProcess(line, int(server.stdout.readline()), out.read_text(), err.read_text())

        yield run_there
        server.stdin.close()


def _read_on_import(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_ON_IMPORT)}


@cache
def _read_by_server() -> dict[str, str]:
    """The server starts with the first command."""
    return _read_on_import(os.environ)


def become(
    line: list[str],
    environment: dict[str, str],
    *,
    folder: Path,
    out: Path,
    err: Path,
    before: Callable[[], None] | None,
) -> NoReturn:
    """Turn this forked process into a command, or into a script in Python: `line[0]` names it."""
    os.setpgid(0, 0)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = line
    if before:
        before()
    try:
        if line[0].endswith(".py"):
            runpy.run_path(line[0], run_name="__main__")
            sys.exit()
        [entry] = metadata.entry_points(group="console_scripts", name=Path(line[0]).name)
        sys.exit(entry.load()())
    finally:
        atexit._run_exitfuncs()  # multiprocessing ends a process without them
