"""A program finds what plain Python gives it, is run no more often than needed, and cannot claim what it did not do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from sftgen_judges import Execution
from sftgen_tasks.sandbox import Case, Level, Limits, Outcome, Program, run_sample, run_samples, samples
from sftgen_tasks.sandbox.local import SANDBOX
from tests.tasks.sandbox.conftest import Run, same

FAST_IO = """
import os, sys
from io import BytesIO, IOBase
class Fast(IOBase):
    def __init__(self, file):
        self.fd, self.buffer = file.fileno(), BytesIO()
        self.writes = 'x' in file.mode or 'r' not in file.mode
    def readline(self):
        if not self.buffer.getbuffer().nbytes:
            self.buffer = BytesIO(os.read(self.fd, os.fstat(self.fd).st_size))
        return self.buffer.readline()
    def write(self, text): os.write(self.fd, text.encode())
sys.stdin, sys.stdout = Fast(sys.stdin), Fast(sys.stdout)
print(int(sys.stdin.readline()) + int(sys.stdin.readline()))
"""
RIGHT = {
    "fast input and output": (FAST_IO, ("1\n2\n", "3")),
    "names of streams": (
        "import sys\nprint(sys.stdin.name, sys.stdout.name, sys.stdin.mode)",
        ("", "<stdin> <stdout> r"),
    ),
    "mode of the buffer": ("import sys\nprint(sys.stdin.buffer.raw.mode, sys.stdout.fileno())", ("", "rb 1")),
    "__file__": ("import os\nprint(os.path.isdir(os.path.dirname(os.path.abspath(__file__))))", ("", "True")),
    "__builtins__": ("print(__builtins__.len('abc'), hasattr(__builtins__, 'print'))", ("", "3 True")),
    "inspect": ("import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f).split()[-1])", ("", "1")),
    "a stream that is closed": (
        "import sys\nsys.stdin.close()\ntry:\n    sys.stdin.fileno()\nexcept ValueError:\n    print(1)",
        ("", "1"),
    ),
    "ends of lines as they are": (
        "import sys\nprint(repr(input()), repr(sys.stdin.read()))",
        ("a\r\nb\r", r"'a\r' 'b\r'"),
    ),
    "annotations": ("print(__annotations__)", ("", "{}")),
    "a package that is not offered": ("try:\n    import pytest\nexcept ImportError:\n    print(1)", ("", "1")),
    "uuid1": ("import uuid\nprint(uuid.uuid1().version)", ("", "1")),
    "platform": ("import platform\nprint(bool(platform.platform()))", ("", "True")),
    "find_library": ("import ctypes.util\nctypes.util.find_library('c')\nprint(1)", ("", "1")),
    "os.system in a try": ("import os\ntry:\n    os.system('cls')\nexcept OSError:\n    pass\nprint(1)", ("", "1")),
    "nice": ("import os\nos.nice(0)\nos.sched_setaffinity(0, os.sched_getaffinity(0))\nprint(1)", ("", "1")),
    "devnull": (
        "import os, pathlib, sys\nsys.stderr = open(os.devnull, 'w')\nos.write(os.open(os.devnull, os.O_RDWR), b'x')\n"
        "pathlib.Path(os.devnull).write_text('x')\nprint(1, end=open(os.devnull).read())",
        ("", "1"),
    ),
}
POOLS = {
    "thread pool": "from multiprocessing.pool import ThreadPool\nprint(*ThreadPool(3).map(len, ['a', 'bb']))",
    "dummy pool": "from multiprocessing.dummy import Pool\npool = Pool(2)\nprint(*pool.map(len, ['a', 'bb']))",
    "lock": "import multiprocessing\nwith multiprocessing.Lock():\n    print(1, 2)",
    "value": "import multiprocessing\nprint(multiprocessing.Value('i', 1).value, 2)",
    "queue": "import multiprocessing\nq = multiprocessing.Queue()\nq.put(2)\nprint(1, q.get())",
    "array": "import multiprocessing\nprint(*multiprocessing.Array('i', [1, 2]))",
    "recursive lock": (
        "import multiprocessing\nlock = multiprocessing.RLock()\nwith lock, lock:\n    print(1, end=' ')\n"
        "try:\n    lock.release()\nexcept AssertionError:\n    print(2)"
    ),
    "lock that is taken": (
        "import multiprocessing\nlock = multiprocessing.Lock()\nlock.acquire()\n"
        "print(1 + lock.acquire(timeout=0.01), 2 + lock.acquire(False))\nlock.release()"
    ),
    "lock that is waited for": (
        "import multiprocessing, threading, time\nlock = multiprocessing.Lock()\nlock.acquire()\n"
        "threading.Timer(0.05, lock.release).start()\nprint(0 + lock.acquire(), 2)\n"
        "try:\n    multiprocessing.BoundedSemaphore(1).release()\nexcept ValueError:\n    pass"
    ),
    "condition": (
        "import multiprocessing, threading\nc, e = multiprocessing.Condition(), multiprocessing.Event()\n"
        "def other():\n    with c:\n        c.notify()\n    e.set()\n"
        "with c:\n    t = threading.Thread(target=other)\n    t.start()\n    c.wait(5)\n"
        "print(0 + e.wait(5), 2)\nt.join()"
    ),
}


def test_what_plain_python_gives_at_each_level(each_level: Level) -> None:
    writes = each_level.name in {"namespaces", "bubblewrap"}
    programs = {name: RIGHT[name] for name in RIGHT if writes or name != "find_library"}
    programs |= {name: (source, ("", "1 2")) for name, source in POOLS.items()}
    names = list(programs)
    samples = [(Program(programs[name][0]), [Case(*programs[name][1])]) for name in names]
    outcomes = zip(names, run_samples(samples, same=same), strict=True)
    assert {name: outcome for name, outcome in outcomes if not outcome.passed} == {}


def test_a_program_that_kills_itself_crashes(run: Run) -> None:
    for number in (9, 15, 6):
        assert run(f"import os\nos.kill(os.getpid(), {number})", ("", "x")).reason == "crash"
    for number in (31, 19):
        assert run(f"import os\nos.kill(os.getpid(), {number})", ("", "x")).reason == "refused call"


# ----------------------------------------------------------------------------- no program is run more often than needed

LATER_THREAD = """
import threading, time
def main():
    n = int(input())
    time.sleep(0.1 * n)
    print(n)
threading.Thread(target=main).start()
"""
STAYS = "import math\nprint(math.floor(float(input())))\nmath.floor = lambda x: 'patched'\n"
DESCRIPTOR = "import os\nn = input()\nif n == '1':\n    os.write(1, b'1')\nelse:\n    print(n)\n"


@pytest.mark.parametrize(
    ("source", "right", "runs", "only_as_process"),
    [
        (LATER_THREAD, "0 1 2", ["streams 3"], True),
        (LATER_THREAD.replace("print(n)", "print(-1)"), "0 1 2", ["streams 3"], False),
        ("print(-1)", "0 1 2", ["streams 3"], False),
        # What failed after other tests is run alone, and only then once more without them.
        (STAYS, "0 1", ["streams 2", "process 1", "streams 1"], False),
        (DESCRIPTOR, "0 1 2", ["streams 3", "process 1", "streams 2", "process 1"], True),
        (DESCRIPTOR, "0 1", ["streams 2", "process 1", "streams 1"], True),
        (DESCRIPTOR, "1 0", ["streams 2", "process 2"], True),
    ],
)
def test_no_more_runs_than_needed(
    source: str, right: str, runs: list[str], only_as_process: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def execute(program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Execution]:
        done.append(f"{'streams' if program.streams_only else 'process'} {len(inputs)}")
        return SANDBOX.execute(program, inputs, limits)

    monkeypatch.setattr(samples, "SANDBOX", replace(SANDBOX, execute=execute))
    cases = [Case(text, text) for text in right.split()]
    outcome = run_sample(Program(source), cases, same=same)
    assert done == runs
    assert (outcome.passed, outcome.only_as_process) == ("-1" not in source, only_as_process)


# ------------------------------------------------------------------------------ what a checker inside the process sees

# Each gives the right output. The first group takes or gives it by descriptor and claims, in every way that a program
# has, that its streams did; the second uses its streams, whatever else it does.
CLAIMS = {
    "a record of its own": """
import os, struct, sys
frame = sys._getframe()
while 'report' not in frame.f_locals: frame = frame.f_back
os.write(1, os.read(0, 100))
os.write(frame.f_locals['report'], struct.pack('<B127s', 0, b''))
os._exit(0)
""",
    "the old place": "import os\ndata = os.read(0, 100)\nos.lseek(0, 0, 0)\nos.write(1, data)\n",
    "counting": "import os, sys\nos.write(1, os.read(0, 9))\nsys.stdout.buffer.raw.count = 1",
    "a patched end": "import os\nos.write(1, os.read(0, 9))\nos.fstat = lambda file: os.stat_result([1] * 10)\n",
    "at the end of its objects": "class A:\n    def __del__(self): print(input())\na = A()\n",
    "a thread that goes on": (
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print(input()))).start()\n"
    ),
}
STREAMS = {
    "input": "print(input())",
    "patches for the next test": "import math\nprint(math.floor(int(input())))\nmath.floor = None\n",
    "a handler that stays": (
        "import logging, sys\nlog = logging.getLogger('a')\nlog.propagate = False\n"
        "log.addHandler(logging.StreamHandler(sys.stdout))\nlog.error(input())\n"
    ),
    "descriptors, but not needed": "import os\ntry:\n    os.read(0, 0)\nexcept OSError:\n    pass\nprint(input())\n",
}


@pytest.mark.parametrize("name", CLAIMS | STREAMS)
def test_a_program_cannot_say_that_its_streams_were_enough(name: str, run: Run) -> None:
    outcome = run((CLAIMS | STREAMS)[name], *[(str(n), str(n)) for n in range(3)])
    assert outcome == Outcome(True, only_as_process=name in CLAIMS)
