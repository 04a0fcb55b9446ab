"""A program leaves nothing behind, takes nothing along, changes nothing and has its own time."""

from __future__ import annotations

import json
import os
import pickle
import resource
import secrets
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from sftgen_tasks.sandbox import (
    Case,
    Level,
    Limits,
    Program,
    SandboxError,
    decode,
    run_sample,
    run_samples,
)
from sftgen_tasks.sandbox.inside import namespaces, start
from tests import PATIENCE
from tests.tasks.sandbox.conftest import Run, same

SHORT = Limits(0.5, 2, 1 << 30)


def printed(source: str) -> str:
    """What a program prints."""
    seen: list[str] = []
    run_sample(Program(source), [Case("", "")], SHORT, same=lambda _, actual: bool(seen.append(actual.strip())) or True)
    return "".join(seen)


# ------------------------------------------------------------------------------ nothing to change

TOUCHING = """
import os, stat, sys
paths = [os.path.realpath(sys.executable), f'/proc/{os.getpid()}/exe', '/dev/null', '/dev/zero', os.__file__, 2, '.']
for path in paths:
    for change in (
        lambda: os.chmod(path, stat.S_IMODE(os.stat(path).st_mode)),
        lambda: os.utime(path),
        lambda: os.chown(path, os.getuid(), os.getgid()),
        lambda: os.setxattr(path, 'user.mark', b'1'),
    ):
        try:
            change()
        except OSError:
            continue
        print('changed', path)
"""


def test_no_file_of_the_machine_changes_its_rights_owner_or_times(each_level: Level) -> None:
    paths = [Path(path) for path in (os.path.realpath(sys.executable), "/dev/null", "/dev/zero", os.__file__)]
    before = [path.stat().st_ctime_ns for path in paths]
    assert printed(TOUCHING) == ""
    assert [path.stat().st_ctime_ns for path in paths] == before


PROC = """
import os
for name in ('oom_score_adj', 'coredump_filter', 'autogroup', 'comm', 'timerslack_ns', 'clear_refs'):
    for process in ('self', os.getppid(), 'thread-self/../..'):
        try:
            with open(f'/proc/{process}/{name}', 'w') as file:
                file.write('7')
        except OSError:
            continue
        print('wrote', process, name)
"""


def test_nothing_in_proc_can_be_written(each_level: Level) -> None:
    if each_level.weakest:
        pytest.skip("the weakest level sees the machine's files")
    assert printed(PROC) == ""


def test_no_other_installed_package_can_be_read(each_level: Level) -> None:
    if each_level.weakest:
        pytest.skip("the weakest level sees the machine's files")
    folder = Path(pytest.__file__).parent
    looks = f"((os.listdir, {str(folder)!r}), (open, {str(folder / '__init__.py')!r}))"
    looking = (
        f"import os\nfor look, path in {looks}:\n    try: look(path)\n    except OSError: continue\n    print(path)"
    )
    assert printed(looking) == ""


# ------------------------------------------------------------------------------ nothing stays

SPOILERS = [
    "import os\nos.mkdir('x', 0)\nos.mkdir('y', 0o300)",
    "import os\nfor n in range(400):\n    os.mkdir('n')\n    os.chdir('n')\nopen('f', 'wb').write(bytes(50 << 20))",
    "import os\nos.umask(0o777)\nopen('closed', 'w').close()\nos.symlink('/', 'root')\nos.mkfifo('pipe')",
    "import os\nfor n in range(900): open(f'file{n}', 'w').close()",
    "open('/dev/shm/full', 'wb').write(bytes(60 << 20))",
    "import os\nos.chmod(os.curdir, 0)",
    "import os, resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
    "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "import builtins, sys\nbuiltins.print = None\nsys.setrecursionlimit(30)\nsys.modules.clear()",
    "import gc, random\ngc.disable()\nrandom.random = lambda: 0",
]
WRITES = "import os\nprint(len(os.listdir('/tmp')))\nopen('g', 'wb').write(bytes(30 << 20))\n"


def test_spoilers_among_three_hundred_samples_harm_nobody() -> None:
    sources = [SPOILERS[number // 10 % len(SPOILERS)] if number % 10 == 0 else WRITES for number in range(300)]
    outcomes = run_samples([(Program(source), [Case("", "0")]) for source in sources], SHORT, same=same)
    wrong = [
        (number, outcome)
        for number, (source, outcome) in enumerate(zip(sources, outcomes, strict=True))
        if outcome.passed != (source == WRITES)
    ]
    assert wrong == []


def test_the_next_program_has_new_folders(each_level: Level) -> None:
    writes = WRITES if each_level.name in {"namespaces", "bubblewrap"} else "print(0)"
    sources = [source for spoiler in SPOILERS for source in (spoiler, writes)]
    outcomes = run_samples([(Program(source), [Case("", "0")]) for source in sources], SHORT, same=same, workers=1)
    assert [outcome for outcome in list(outcomes)[1::2] if not outcome.passed] == []


def test_a_kernel_that_cannot_hide_processes_gives_no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before Linux 5.8; so it is simulated."""
    asked: list[tuple[object, ...]] = []

    def refuses(*arguments: object) -> None:
        asked.append(arguments)
        raise OSError

    monkeypatch.setattr(namespaces, "mount", refuses)
    monkeypatch.setattr(namespaces, "_BASE", str(tmp_path))
    (tmp_path / "dev").mkdir()
    namespaces._processes()
    [(_, _, kind, flags, options)] = asked
    assert (kind, options) == ("proc", "subset=pid")
    assert isinstance(flags, int)
    assert flags & namespaces._RDONLY


def test_a_deep_folder_without_rights_is_emptied(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_RDONLY)
    for _ in range(400):  # longer than a path may be
        os.mkdir("n" * 100, dir_fd=place)
        above, place = place, os.open("n" * 100, os.O_RDONLY, dir_fd=place)
        os.close(above)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=place))
    os.close(place)
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "closed").mkdir(0)
    start._empty(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


UNCONFINED = """
import os
from sftgen_tasks.sandbox.inside import children

def fails():
    raise OSError

read, write = os.pipe()
confinement = children.Confinement(fails, lambda: None, False)
child = children.fork(children.Allowance(1, 2, 1 << 32), confinement, lambda _: None, read)
while child.ended is None:
    child.wait()
print(child.record(), child.confined)
"""


def test_a_program_that_cannot_be_confined_gives_no_output() -> None:
    """In a process of its own: a fork of one among several threads may wait for ever for what another one holds."""
    line = [sys.executable, "-c", UNCONFINED]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "None False\n", "")


# ------------------------------------------------------------------------------ nothing to take

LOOK = """
import ctypes, re
needle = bytes.fromhex('{first}') + bytes.fromhex('{second}')
try:
    lines = [line for line in open('/proc/self/maps') if 'rw' in line.split()[1] and 'stack' not in line]
    areas = [[int(part, 16) for part in line.split()[0].split('-')] for line in lines]
except OSError:
    libc = ctypes.CDLL(None)
    libc.sbrk.restype = ctypes.c_void_p
    end = libc.sbrk(0) & ~4095
    areas = [(end - (1 << 20), end)]
found = 0
for first, last in areas:
    memory = (ctypes.c_char * (last - first)).from_address(first)
    found += sum(1 for _ in re.finditer(needle, memory))
print('found', found)
"""


def look_for(word: str) -> int:
    half = len(word) // 2
    found = printed(LOOK.format(first=word[:half].encode().hex(), second=word[half:].encode().hex()))
    return int(found.removeprefix("found "))


def test_the_memory_holds_no_earlier_program_input_or_output(each_level: Level) -> None:
    word = secrets.token_hex(10)
    source = f"# {word}\n" + "".join(f"v{number} = '{word}'\n" for number in range(1500)) + f"print('{word}' * 1000)"
    run_sample(Program(source), [Case(word * 1000, "x")], same=lambda *_: False)
    assert look_for(word) <= 1  # the needle itself


def test_the_memory_holds_no_decoded_test(each_level: Level) -> None:
    word = secrets.token_hex(12)
    tests = json.dumps([{"input": str(number), "output": word + str(number)} for number in range(2000)])
    assert decode("pickled_json", zlib.compress(pickle.dumps(tests))).decode() == tests
    assert look_for(word) <= 1


# ------------------------------------------------------------------------------ budgets

STORING = """
import sys, time
class Store: pass
store = sys.modules.setdefault('store', Store())
left = getattr(store, 'left', 1.2)
n = int(input())
start = time.process_time()
while time.process_time() - start < min(left, 0.35 if n else left): pass
store.left = left - 0.35
print(n)
"""


def test_a_test_cannot_use_the_time_of_others(run: Run) -> None:
    limits = Limits(0.5, 6, 1 << 30)
    outcome = run(STORING, *[(str(n), str(n)) for n in (1, 2, 3, 0)], limits=limits)
    assert (outcome.passed, outcome.reason, outcome.failed_case) == (False, "time limit", 3)


def test_a_test_that_is_run_again_is_charged_once(run: Run) -> None:
    source = """
import logging, sys, time
logger = logging.getLogger('answers')
logger.propagate = False
logger.addHandler(logging.StreamHandler(sys.stdout))
start = time.process_time()
while time.process_time() - start < 0.1: pass
logger.error(input())
"""
    assert run(source, *[(str(n), str(n)) for n in range(12)], limits=Limits(1, 2.2, 1 << 30)).passed


GOING_ON = {
    "stopped": "os.kill(os.getpid(), 19)",
    "computing": "while True: pass",
    "asleep": "import time\ntime.sleep(60)",
}


@pytest.mark.parametrize("going_on", GOING_ON.values(), ids=GOING_ON)
def test_a_process_that_says_it_ends_is_ended(going_on: str, run: Run) -> None:
    source = f"""
import os, struct, sys
frame = sys._getframe()
while 'report' not in frame.f_locals: frame = frame.f_back
here = frame.f_locals
os.write(here['files'].output, input().encode())
os.write(here['report'], struct.pack('<B127s', 1, b''))
{going_on}
"""
    began = time.monotonic()
    run(source, *[(str(n), str(n)) for n in range(3)], limits=Limits(PATIENCE, PATIENCE, 1 << 30))
    assert time.monotonic() - began < PATIENCE / 2


def test_a_dead_main_thread_does_not_hide_a_sleeping_one(run: Run) -> None:
    source = (
        "import ctypes, threading\nthreading.Thread(target=threading.Event().wait, daemon=False).start()\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"
    )
    outcome = run(source, ("", "x"), limits=Limits(0.3, 2, 1 << 30))
    assert (outcome.reason, "took more than 0.3 s" in outcome.detail) == ("time limit", True)


def test_a_small_field_does_not_fill_the_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in (pickle.dumps("x" * (300 << 20)), bytes(1 << 30)):
        with pytest.raises(SandboxError):
            decode("pickled_json", zlib.compress(data, 1))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 1400 << 10  # this test's own gigabyte and a bit


LATER = """
import ctypes, os, re, sys
given = sys.stdin.read()
word = bytes.fromhex('{first}') + bytes.fromhex('{second}')
for file in range(256):
    try: held = os.pread(file, 1 << 20, 0)
    except OSError: continue
    if word in held: print('in file')
for line in open('/proc/self/maps'):
    area, rights = line.split()[:2]
    if 'rw' in rights and 'stack' not in line:
        first, last = (int(part, 16) for part in area.split('-'))
        memory = (ctypes.c_char * (last - first)).from_address(first)
        if sum(1 for _ in re.finditer(word, memory)) > 1: print('in memory')
print(given)
"""


@pytest.mark.parametrize("function", [None, "look"])
def test_a_program_does_not_find_the_input_of_a_later_test(function: str | None, each_level: Level, run: Run) -> None:
    word = secrets.token_hex(10)
    source = LATER.format(first=word[:10].encode().hex(), second=word[10:].encode().hex())
    if function:
        lines = source.replace("sys.stdin.read()", "given").replace("print(", "answers.append(").splitlines()
        source = "def look(given):\n    answers = []\n" + "".join(f"    {line}\n" for line in lines[2:] if line)
        source = f"import ctypes, os, re, sys\n{source}    return answers\n"
    if each_level.name == "landlock":  # there is no /proc
        source = source.replace("'/proc/self/maps'", "os.devnull")
    seen: list[str] = []
    given = ['"first"', json.dumps(word * 200)]

    def look(_: str, actual: str) -> bool:
        seen.append(actual.strip())
        return True

    outcome = run_sample(Program(source, function), [Case(text, "") for text in given], same=look)
    assert outcome.passed, outcome
    assert seen[0] in ('"first"', '["first"]')
    assert "in " in seen[1]  # the search finds what is there
