"""Commands in processes that are forked from one that has imported the large libraries: a start costs no seconds.

The workers of pytest-xdist share that process. It has imported nothing of sftgen, so that a command starts as the
installed one does: with its own environment, folder and arguments.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import PATIENCE, ROOT
from tests.forks import FORKED_FROM

SCRIPTS = Path(sys.executable).parent
LARGE = (
    "torch", "transformers", "transformers.models.qwen3.modeling_qwen3", "transformers.generation", "datasets",
    "lm_eval._cli", "lm_eval.evaluator", "lm_eval.models.huggingface", "lm_eval.tasks", "trl", "peft", "accelerate",
    "trl.trainer.sft_trainer", "scipy.stats", "sympy", "plotly.graph_objects", "pyarrow.parquet", "openai", "typer",
    "rich.console", "duckdb", "pebble", "pytablewriter", "tenacity", "tests.warm",
)  # fmt: skip
# Large libraries read these when they are imported.
READ_ON_IMPORT = ("HF_", "TRANSFORMERS_", "OMP_", "TOKENIZERS_", "TQDM_", "PYTHON", "LD_", "SFTGEN_NO_AUTOLOAD")

SESSION = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())


class Forked:
    """A command in a fork, with what `subprocess.Popen` has for it."""

    def __init__(self, address: str, line: Sequence[str], job: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Start it; `descriptors` are its standard output, its standard error and, where it has one, its input."""
        self.args = list(line)
        self.returncode: int | None = None
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(address)
        socket.send_fds(self._server, [b"c"], descriptors)
        self._server.sendall(json.dumps({**job, "line": self.args}).encode() + b"\n")
        self.pid = self._number()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: It did not end in time.
        """
        if self.returncode is None:
            self._server.settimeout(timeout)
            try:
                self.returncode = self._number()
            except (TimeoutError, BlockingIOError) as error:
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from error
            self._server.close()
        return self.returncode

    def _number(self) -> int:
        """The next number that its parent tells."""
        told = b""
        while not told.endswith(b"\n"):
            if not (byte := self._server.recv(1)):
                raise EOFError(f"the process that forked {self.args[0]} has ended")
            told += byte
        return int(told)

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send it a signal, where it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


@dataclass
class Warm:
    """A process that has imported what is large, and starts commands as forks of itself.

    It starts with the first command, and ends with the last process that has used it.

    Attributes:
        name: Tells it from others of one test session.
        modules: What it imports.
        python: The interpreter, and so the environment.
        settings: Environment variables that are set for it and for all its commands.
    """

    name: str
    modules: Sequence[str]
    python: Path = Path(sys.executable)
    settings: Mapping[str, str] = field(default_factory=dict)
    _server: subprocess.Popen[bytes] | None = None
    _hold: socket.socket | None = None
    _started_with: Mapping[str, str] = field(default_factory=dict)

    def start(
        self,
        program: str | Path,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        before: Callable[[], None] | None = None,
        out: Path = Path(os.devnull),
        err: Path = Path(os.devnull),
    ) -> Forked:
        """Start a command, in a process group of its own, and do not wait for it."""
        with out.open("ab") as output, err.open("ab") as errors:
            return self.fork(
                [self.python.parent / program, *arguments], [output.fileno(), errors.fileno()], env, cwd, before
            )

    def fork(
        self,
        line: Sequence[str | Path],
        descriptors: Sequence[int],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        before: Callable[[], None] | None = None,
    ) -> Forked:
        """The same with open files: standard output, standard error and, where it has one, its input."""
        environment = {**(os.environ if env is None else env), **self.settings}
        self._connect()
        if differ := sorted(
            name for name, _ in _read_on_import(environment).items() ^ _read_on_import(self._started_with).items()
        ):
            raise ValueError(f"{', '.join(differ)}: read before the fork; use the fixture `installed`")
        given = base64.b64encode(pickle.dumps(before)).decode() if before else ""
        job = {"environment": environment, "folder": str(cwd or Path.cwd()), "before": given}
        words = list(map(str, line))
        try:
            return Forked(self._address, words, job, descriptors)
        except ConnectionRefusedError:  # the process that forks was killed, for example for memory: another starts
            self._started_with = {}
            self._connect()
            return Forked(self._address, words, job, descriptors)

    def run(
        self, program: str | Path, *arguments: str | Path, timeout: float = PATIENCE, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as `subprocess.run` does with text captured; `options` are those of `start`.

        Raises:
            subprocess.TimeoutExpired: It did not end in time, and was killed.
        """
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            process = self.start(program, *arguments, out=out, err=err, **options)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired as expired:
                process.kill()
                process.wait()
                raise subprocess.TimeoutExpired(process.args, timeout, out.read_text(), err.read_text()) from expired
            return subprocess.CompletedProcess(process.args, process.wait(), out.read_text(), err.read_text())

    @property
    def _address(self) -> str:
        # In Linux's abstract namespace: it is free as soon as nobody listens, and there is no file to remove.
        if self.name == SHARED and (parent := os.environ.get(FORKED_FROM)):
            return f"\0{parent}"
        return f"\0sftgen-tests-{SESSION}-{self.name}"

    def _connect(self) -> None:
        """Hold the process that forks; the first to come starts it."""
        until = time.monotonic() + PATIENCE
        while not self._started_with:
            assert time.monotonic() < until, f"no process forks at {self._address!r}"
            with socket.socket(socket.AF_UNIX) as listener:
                try:
                    listener.bind(self._address)
                    listener.listen(1024)
                    self._serve(listener)
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
            self._hold = socket.socket(socket.AF_UNIX)
            try:
                self._hold.connect(self._address)
                self._hold.sendall(b"h")
                with self._hold.makefile("rb") as lines:
                    self._started_with = json.loads(lines.readline() or b"{}")
            except OSError:  # between two states: it does not listen yet, or ends
                time.sleep(0.1)

    def _serve(self, listener: socket.socket) -> None:
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "cwd": ROOT}
        line = [self.python, "-m", "tests.forks", str(listener.fileno()), *self.modules]
        environment = {**os.environ, **self.settings}
        self._server = subprocess.Popen(
            line, env=environment, pass_fds=[listener.fileno()], start_new_session=True, **given
        )


def _read_on_import(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_ON_IMPORT)}


SHARED = "here"
"""The name of the process that a worker of pytest-xdist may be a fork of itself."""
# Bars are switched off before they are imported, as `sftgen` does it.
HERE = Warm(SHARED, LARGE, settings={"TQDM_DISABLE": "1"})
run = HERE.run
start = HERE.start


def find_in(folder: Path) -> None:
    """For `before`: modules and distributions in a folder are found, as where PYTHONPATH has it when Python starts."""
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def few_tasks() -> None:
    """For `before`: of its own 13,000 tasks lm_eval indexes one folder, beside all others; all of them take seconds."""
    from lm_eval.tasks import _index

    of_folder, own = _index.TaskIndex._iter_yaml_files, Path(_index.__file__).parent
    _index.TaskIndex._iter_yaml_files = staticmethod(
        lambda folder: of_folder(own / "gsm8k" if Path(folder) == own else folder)
    )


def run_installed(
    program: str, *arguments: str | Path, timeout: float = PATIENCE, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the installed command from its start, which takes seconds; `options` are those of `subprocess.run`."""
    line = [str(SCRIPTS / program), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=timeout, check=False, **options)
