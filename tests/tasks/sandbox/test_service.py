"""A sandbox service in a process of its own, reached over a socket; clients that ask for too much."""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sftgen_judges import Item, split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks.livecodebench import GRADER, SETTING, documents
from sftgen_tasks.sandbox import Case, Limits, Outcome, Program, SandboxError, level, remote, run_sample, wire
from sftgen_tasks.sandbox.levels import CHOOSE
from tests import PATIENCE, ROOT
from tests.conftest import Command
from tests.ports import own_port
from tests.tasks.sandbox import another_user
from tests.tasks.sandbox.conftest import Run, same
from tests.tasks.sandbox.hostile import HOSTILE
from tests.tasks.test_livecodebench import FIRST, FUNCTIONS, SECOND, SUMS, block, lay_out

SECRET = "a-token-of-tests"
RIGHT = [("", "1")]
SHORT = Limits(test_seconds=0.5, total_seconds=1.0, memory_bytes=1 << 30)
# A service that finds no sortedcontainers.
BARE = "import sys; sys.modules['sortedcontainers'] = None; from sftgen_tasks.sandbox.service import main; main()"


@contextmanager
def started(
    *arguments: str,
    code: str = "",
    module: str = "sftgen_tasks.sandbox.service",
    before: Sequence[str] = (),
    cwd: str | Path = ROOT,
    **environment: str,
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service, and its address."""
    what = ["-c", code] if code else ["-m", module]
    process = subprocess.Popen(
        [*before, sys.executable, *what, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, wire.TOKEN: SECRET, CHOOSE: "", **environment},
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline().split()[0]
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE / 4)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """One service for all tests that leave it as it is."""
    with started("--workers", "2", code=BARE) as (_, url):
        yield url


@pytest.fixture
def used(service: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Programs run in it."""
    use(monkeypatch, service)
    return service


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(CHOOSE, "http")
    monkeypatch.setenv(remote.URL, url)
    monkeypatch.setenv(wire.TOKEN, SECRET)


# ------------------------------------------------------------------------------ verdicts

ADD = "def add(a, b):\n    return a + b"
PROGRAMS: list[tuple[str, list[tuple[str, str]], str | None]] = [
    ("print(int(input()) * 2)", [("1\n", "2"), ("4", "8")], None),
    ("print(int(input()) * 2)", [("1\n", "2"), ("4", "9"), ("1", "2")], None),
    (
        "print('\\u00e9\\ud800'.encode('utf-8', 'replace').decode() + input())",
        [("\ud83d\u00e9", "\u00e9?\ud83d\u00e9")],
        None,
    ),
    ("import os\nos.write(1, b'1')", RIGHT, None),
    ("import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print(1))).start()", RIGHT, None),
    ("x = (", RIGHT, None),
    ("1 / 0", RIGHT, None),
    ("while True: pass", RIGHT, None),
    ("import time\ntime.sleep(1000)", RIGHT, None),
    ("x = bytearray(1 << 31)", RIGHT, None),
    (ADD, [("1\n2", "3"), ('"a"\n"b"', '"ab"')], "add"),
    ("print(gcd(4, 6))", [("", "2")], None),
    ("print('x' * (3 << 20))", RIGHT, None),
]


def test_outcomes_are_those_of_the_local_sandbox(service: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcomes() -> list[Outcome]:
        return [
            run(source, *pairs, function=function, setting=SETTING, limits=SHORT)
            for source, pairs, function in PROGRAMS
        ]

    here = outcomes()
    assert {outcome.reason for outcome in here} >= wire.REASONS - {"refused call"}
    use(monkeypatch, service)
    assert "service at 127.0.0.1:" in level().description
    assert outcomes() == here


@pytest.mark.parametrize(
    "name", ["fork bomb", "killing the parent", "reading environment secrets", "os._exit(0)", "records to gain time"]
)
def test_hostile_programs(name: str, used: str, tmp_path: Path) -> None:
    [hostile] = [hostile for hostile in HOSTILE if hostile.name == name]
    outputs: list[str] = []

    def keep(expected: str, actual: str) -> bool:
        outputs.append(actual)
        return same(expected, actual)

    given = f"marker {tmp_path} {os.getpid()}\n"
    outcome = run_sample(Program(hostile.source), [Case(given, "right")], SHORT, same=keep)
    assert not outcome.passed
    assert outcome.reason in hostile.reasons
    assert SECRET not in "".join(outputs)


def test_no_program_of_the_weakest_level_finds_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can read every file that the service can, which is not run by root in its image."""
    before = [] if os.geteuid() else [sys.executable, "-m", another_user.__name__]
    weakest = {"SFTGEN_SANDBOX": "limits", "SFTGEN_ALLOW_UNSANDBOXED_CODE": "1"}
    look = """
from pathlib import Path
try:
    print(Path("/proc/PID/environ").read_text(errors="replace"))
except PermissionError:
    print("refused")
"""
    read: list[str] = []
    with started("--workers", "1", before=before, **weakest) as (process, url):
        use(monkeypatch, url)
        assert "limits: limits, and" in level().description
        monkeypatch.delenv(wire.TOKEN)
        with pytest.raises(SandboxError, match="refuses the token"):
            level()
        monkeypatch.setenv(wire.TOKEN, SECRET)
        look = look.replace("PID", str(process.pid))
        run_sample(Program(look), [Case("", "")], same=lambda _, actual: bool(read.append(actual)) or True)
    assert read == ["refused\n"]


def test_livecodebench_is_graded_as_here(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    docs = list(documents(data_dir=str(lay_out(tmp_path / "hub", FIRST, SECOND)))["test"])
    programs = [(docs[0], code) for code, *_ in list(SUMS.values())[::3]]
    programs += [(docs[2], code) for code, *_ in list(FUNCTIONS.values())[::3]]
    items = [Item(doc, split_thinking(block(code))) for doc, code in programs]
    here = grade_batch(GRADER, items)
    assert {verdict.score for verdict in here} == {0.0, 1.0}
    use(monkeypatch, service)
    assert grade_batch(GRADER, items) == here


def test_doctor_shows_the_service_and_what_its_programs_lack(used: str, command: Command) -> None:
    environment = {**os.environ, "COLUMNS": "400"}
    done = command("sftgen", "doctor", "--tasks", "sftgen_parity", "--all", env=environment)
    assert f"http: service at {used.removeprefix('http://')}: " in done.stdout
    assert "programs cannot import sortedcontainers, as those of LiveCodeBench may" in done.stdout
    assert 'pip install "sftgen[code]" where the sandbox runs' in done.stdout


# ------------------------------------------------------------------------------ services that fail


def test_a_service_that_dies_and_comes_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Between the two nobody listens: a port that the system gives to whoever asks could be given to another.
    with own_port() as port, started("--workers", "1", "--port", str(port)) as (process, url):
        use(monkeypatch, url)

        def kill(expected: str, actual: str) -> bool:
            process.kill()
            return same(expected, actual)

        program = Program("import time\ntime.sleep(100 * int(input()))\nprint(1)")
        outcome = run_sample(program, [Case("0\n", "1"), Case("1\n", "1")], same=kill)
        assert (outcome.passed, outcome.reason) == (False, "sandbox error")
        assert "cannot be reached" in outcome.detail
        with pytest.raises(SandboxError, match=r"cannot be reached.*python -m sftgen_tasks\.sandbox\.service"):
            run("print(1)", *RIGHT)
        with started("--workers", "1", "--port", str(port)):
            assert run("print(1)", *RIGHT).passed


def test_a_client_that_is_gone_has_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one place of the service is free again, long before the program's time is over."""
    with started("--workers", "1") as (_, url):
        use(monkeypatch, url)
        program = Program("while input(): pass\nprint(1)")
        executions = remote.execute(program, ["\n", "x\n" * (1 << 20) + "\n", "\n"], Limits(3000, 3000))
        assert next(executions).output == "1\n"
        executions.close()  # type: ignore[attr-defined]
        program = Program("if input(): \n    while True: pass\nprint(1)")
        executions = remote.execute(program, ["\n", "x\n"], Limits(3000, 3000))
        assert next(executions).output == "1\n"
        executions.close()  # type: ignore[attr-defined]
        monkeypatch.setattr(remote, "_QUEUE", 60.0)
        assert [one.output for one in remote.execute(Program("print(2)"), [""], SHORT)] == ["2\n"]


# ------------------------------------------------------------------------------ what the service asks for


def test_a_wrong_token(used: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("", SECRET[:-1], f"{SECRET}x"):
        monkeypatch.setenv(wire.TOKEN, wrong)
        with pytest.raises(SandboxError, match=f"refuses the token: set {wire.TOKEN}") as caught:
            run("print(1)", *RIGHT)
        assert not wrong or wrong not in str(caught.value)
    monkeypatch.setenv(wire.TOKEN, "two words\r\n")
    with pytest.raises(SandboxError, match="without blanks"):
        run("print(1)", *RIGHT)


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--host", "0.0.0.0"], {wire.TOKEN: ""}, "--host 0.0.0.0 is open to other machines: set a token"),
        (["--port", "65536"], {}, "--port 65536: expected 0 to 65535"),
        (["--workers", "0"], {}, "--workers 0: expected 1 to 256"),
        (["--host", "203.0.113.1"], {}, "cannot listen at 203.0.113.1"),
        ([], {CHOOSE: "limits"}, "allow it with --allow-unsandboxed-code or SFTGEN_ALLOW_UNSANDBOXED_CODE=1"),
    ],
)  # fmt: skip
def test_a_service_that_does_not_start(arguments: list[str], environment: dict[str, str], says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sftgen_tasks.sandbox.service", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=ROOT,
        env={**os.environ, wire.TOKEN: SECRET, **environment},
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert SECRET not in done.stderr


def good(**changes: object) -> dict[str, object]:
    return {**json.loads(wire.request(Program("print(1)"), [""], SHORT)), **changes}


PROGRAM = {"source": "print(1)", "function": None, "streams_only": False}


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (json.dumps(good()), {"Authorization": "Bearer x"}, 401, "expected the token"),
        (json.dumps(good()), {"Content-Type": "text/plain"}, 415, "application/json"),
        (json.dumps(good()), {"Content-Length": "x"}, 411, "Content-Length"),
        ("", {"Content-Length": str(1 << 40)}, 413, "expected up to"),
        ("[" * 100_000, {}, 400, "expected JSON"),
        ("[]", {}, 400, "expected an object"),
        (json.dumps(good(inputs=[])), {}, 400, "inputs: expected texts"),
        (json.dumps(good(inputs=[1])), {}, 400, "inputs: expected texts"),
        (json.dumps(good(program={})), {}, 400, "program: expected source of type str"),
        (
            json.dumps(good(program={**PROGRAM, "setting": {"modules": ["antigravity"], "recursion_limit": 0}})),
            *({}, 400, "modules antigravity: expected only array"),
        ),
        (
            json.dumps(good(program={**PROGRAM, "setting": {"modules": [["os"]], "recursion_limit": 0}})),
            *({}, 400, "modules: expected names"),
        ),
        (
            json.dumps(good(limits={"test_seconds": 1e9, "total_seconds": 1, "memory_bytes": 1})),
            *({}, 400, "test_seconds 1000000000.0: expected up to 3600"),
        ),
        (
            json.dumps(good(limits={"test_seconds": float("nan"), "total_seconds": 1, "memory_bytes": 1})),
            *({}, 400, "limits: expected test_seconds of type float"),
        ),
    ],
)
def test_requests_that_are_refused(body: str, headers: dict[str, str], status: int, says: str, used: str) -> None:
    reply = ask(used, body, headers)
    assert (reply[0], says in reply[1]) == (status, True), reply
    assert run_sample(Program("print(1)"), [Case("", "1")], same=same).passed


def ask(url: str, body: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    usual = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    connection.request("POST", "/run", body, {**usual, **headers})
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_few_settings_are_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with started("--workers", "1") as (_, url):
        for depth in range(9):
            setting = {"modules": [], "recursion_limit": depth}
            asked = good(program={**PROGRAM, "source": "x = (", "setting": setting})
            status, text = ask(url, json.dumps(asked), {})
            assert status == (200 if depth < 8 else 400), text
        use(monkeypatch, url)
        assert run("print(1)", *RIGHT).passed


def test_the_image_has_what_the_service_imports() -> None:
    code = """
import sys, sysconfig
import sftgen_tasks.sandbox.service
from sftgen_judges.plugins.manager import plugins
site = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
names = {name.partition(".")[0] for name, module in sys.modules.items()
         if any((getattr(module, "__file__", None) or "").startswith(place) for place in site)}
print(sorted(names))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE, cwd=ROOT
    )
    imported = {name for name in ast.literal_eval(done.stdout) if not name.startswith(("_", "sftgen"))}
    text = (ROOT / "docker" / "sandbox.Dockerfile").read_text(encoding="utf-8")
    [line] = re.findall(r"pip install .*-c constraints.txt (.+?)\s*\\?\n", text)
    assert imported == set(line.split())


def test_the_command_of_the_image_grades_a_program(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker is not needed for this: the folders that the image copies, its settings, and its command as it stands."""
    text = (ROOT / "docker" / "sandbox.Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    settings = dict(word.split("=") for line in re.findall("^ENV (.+)$", text, re.MULTILINE) for word in line.split())
    [command] = re.findall("^ENTRYPOINT (.+)$", text, re.MULTILINE)
    python, *arguments = json.loads(command)
    assert python == "python"
    with started(*arguments[2:], "--workers", "1", module=arguments[1], cwd="/", PYTHONPATH=str(ROOT), **settings) as (
        _,
        url,
    ):
        assert url.startswith("http://0.0.0.0:")
        use(monkeypatch, url.replace("0.0.0.0", "127.0.0.1"))
        assert run("print(int(input()) * 2)", ("2", "4")).passed
        assert not run("print(int(input()) * 2)", ("2", "5")).passed
