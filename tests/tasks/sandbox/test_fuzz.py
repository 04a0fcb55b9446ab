"""Programs made from a grammar of calls do in the sandbox what they do in plain Python, or are told that they may not.

`SFTGEN_FUZZ=5000 pytest tests/tasks/sandbox/test_fuzz.py` makes so many, other ones each time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sftgen_tasks.sandbox import Case, Limits, Program, run_samples
from tests import PATIENCE
from tests.tasks.sandbox import plain

PROGRAMS = int(os.environ.get("SFTGEN_FUZZ", "160"))
AT_ONCE, IN_ONE_TEST = 16, 320
REFUSED = {"PermissionError", "OSError", "FileNotFoundError", "BlockingIOError"}
"""What a refused call raises. Which files there are, and how many threads, is the sandbox's to say."""
NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.one_of(st.integers(-9, 99), st.sampled_from([0, 1, 2**31, 2**63, -(10**20)]))
TEXTS = st.sampled_from(["", "x", "1 2\n3", "\u00e9\u4e16", "\\udcff", "0.1", "nan"])
OTHERS = st.sampled_from(["None", "[]", "{}", "input()", "()"])
LEAVES = st.one_of(NUMBERS.map("({})".format), TEXTS.map(repr), NAMES, OTHERS)
# Expressions that work on others.
SHAPES = [
    "[{0}, {1}]", "({0}, {1})", "{{'k': {0}, 'l': {1}}}", "str({0})", "repr({0})", "int({0})", "len({0})",
    "sorted({0})", "sum({0})", "{0} + {1}", "{0} * 3", "{0} // {1}", "{0} % {1}", "{0} == {1}", "{0} < {1}",
    "hash(repr({0}))", "{0}[{1}]", "list(map(str, {0}))", "dict.fromkeys({0}, {1})", "set({0})", "'%s' % ({0},)",
    "format(repr({0}), '>5')", "max({0}, {1})", "json.dumps({0})", "pickle.loads(pickle.dumps({0}))",
    "copy.deepcopy({0})",
    "math.gcd({0}, {1})", "Decimal({0})", "Fraction({0}, {1})", "re.findall('.', {0})", "({0}).split()",
    "({0}).encode('utf-8')", "list(itertools.chain({0}, {1}))", "collections.Counter({0})", "heapq.nsmallest(2, {0})",
    "random.Random(repr({0})).random()", "type({0}).__name__", "struct.pack('<q', {0})",
    "hashlib.sha1(repr({0}).encode()).hexdigest()", "functools.reduce(max, {0})", "zlib.crc32(repr({0}).encode())",
    "eval(repr({0}))", "isinstance({0}, int)", "bisect.bisect([1, 2, 3], {0})", "datetime.timedelta({0})",
    "statistics.mean({0})", "ast.literal_eval(repr({0}))", "time.sleep(0.001)",
]  # fmt: skip
# Calls of the system; what they give must not depend on the machine.
CALLS = [
    "os.getcwd() == os.path.abspath('.')", "os.path.exists('/nowhere')", "open('/nowhere')",
    "open(os.devnull).read()", "open(os.devnull, 'w').write({0})", "open('f', 'w').write({0})", "open('f').read()",
    "os.listdir('.')", "os.mkdir('d')", "os.rmdir('d')", "os.remove('f')", "os.rename('f', 'g')",
    "os.chmod('.', 0o700)", "os.utime('.')", "os.symlink('f', 's')", "os.readlink('s')", "os.truncate('f', 1)",
    "tempfile.TemporaryFile().write(b'x')", "os.getppid() > 0", "os.fork", "os.kill(os.getpid(), 0)",
    "signal.getsignal(signal.SIGTERM)", "os.umask(0o22)", "os.write(1, ({0}).encode())", "os.read(0, 3)",
    "os.fstat(0).st_size", "os.lseek(0, 0, 1)", "os.isatty(1)", "open(0).read()", "sys.stdin.readline()",
    "sys.stdin.read()", "sys.stdin.buffer.read(2)", "sys.stdout.write({0})", "sys.stdout.flush()",
    "sys.stdout.buffer.write(({0}).encode())", "sys.stdin.fileno()", "sys.stdout.encoding", "sys.argv[1:]",
    "sys.path == None", "sys.exit()", "sys.stdin.close()", "print(*{0})", "print({0}, end='')",
    "sys.setrecursionlimit(5000)", "exit()", "socket.socket()", "socket.socketpair()[0].send(b'x')",
    "os.pipe()[0] > 2", "subprocess.run(['true'])", "threading.Thread(target=print, args=({0},)).start()",
    "atexit.register(print, {0})", "ThreadPool(2).map(str, {0})", "multiprocessing.Lock().acquire()",
    "multiprocessing.Value('i', 3).value", "os.nice(0)", "os.sched_yield()",
    "resource.setrlimit(resource.RLIMIT_CPU, (4, 4))", "mmap.mmap(-1, 10).size()", "os.dup(1) > 2", "os.close(99)",
    "gc.collect() >= 0", "weakref.ref(set({0}))() is None", "inspect.stack()[0].function",
    "io.StringIO({0}).getvalue()", "__name__", "__builtins__.len({0})", "globals().get('__doc__')",
    "logging.error({0})",
]  # fmt: skip
HEAD = """
a, b, c = 7, [3, 1, 2], 'text'
def show(action):
    try:
        value = repr(action())
    except Exception as error:
        value = type(error).__name__
    print('<' if value[0] == '<' else value)
"""


MODULES = [
    "ast",
    "asyncio",
    "atexit",
    "bisect",
    "collections",
    "copy",
    "datetime",
    "functools",
    "gc",
    "hashlib",
    "heapq",
    "inspect",
    "io",
    "itertools",
    "json",
    "logging",
    "math",
    "mmap",
    "multiprocessing",
    "os",
    "pickle",
    "random",
    "re",
    "resource",
    "signal",
    "socket",
    "statistics",
    "struct",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "weakref",
    "zlib",
]
FROM = {"Decimal": "decimal", "Fraction": "fractions", "ThreadPool": "multiprocessing.pool"}


def program(statements: list[str]) -> str:
    """The source, with an import of each module that it names."""
    words = set(re.findall(r"\w+", " ".join(statements)))
    imports = [f"import {name}" for name in MODULES if name in words]
    imports += [f"from {module} import {name}" for name, module in FROM.items() if name in words]
    return "\n".join([*imports, HEAD, *statements, ""])


def expressions(shapes: list[str]) -> st.SearchStrategy[str]:
    """Expressions whose outermost shape is one of these."""
    parts = st.recursive(
        LEAVES, lambda inner: st.builds(str.format, st.sampled_from(SHAPES), inner, inner), max_leaves=4
    )
    return st.builds(str.format, st.sampled_from(shapes), parts, parts)


STATEMENTS = st.one_of(
    st.builds("show(lambda: {})".format, expressions(SHAPES)),
    st.builds("show(lambda: {})".format, expressions(CALLS)),
    st.builds("for {} in range(3): show(lambda: {})".format, NAMES, expressions(SHAPES)),
    st.builds(
        "try: {} = {}\nexcept Exception as error: print(type(error).__name__)".format, NAMES, expressions(SHAPES)
    ),
)
SAMPLES = st.tuples(
    st.lists(STATEMENTS, min_size=1, max_size=6), st.sampled_from(["", "5\n", "1 2\n3 4\n", "\u00e9\n" * 3])
)


def differs(expected: str, actual: str) -> str:
    """The first line in which a program did something else than in plain Python, and was not told that it may not."""
    ours, theirs = actual.splitlines(), expected.splitlines()
    for mine, other in zip(ours, theirs, strict=False):
        if mine in REFUSED and mine != other:
            return ""  # from here on it is another program
        if mine != other:
            return f"{mine!r} instead of {other!r}"
    return "" if len(ours) == len(theirs) else f"{len(ours)} lines instead of {len(theirs)}"


@pytest.mark.parametrize("part", range(-(-PROGRAMS // IN_ONE_TEST)))
@settings(
    max_examples=min(PROGRAMS, IN_ONE_TEST) // AT_ONCE,
    derandomize="SFTGEN_FUZZ" not in os.environ,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(samples=st.lists(SAMPLES, min_size=AT_ONCE, max_size=AT_ONCE))
def test_programs_of_a_grammar(part: int, samples: list[tuple[list[str], str]]) -> None:
    programs = [(program(statements), text) for statements, text in samples]
    command = [sys.executable, plain.__file__]
    done = subprocess.run(
        command, input=json.dumps(programs), capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    plain_outputs = json.loads(done.stdout)

    def same(expected: str, actual: str) -> bool:
        difference = differs(expected, actual)
        differences[expected] = difference
        return not difference

    differences: dict[str, str] = {}
    runs = [
        (Program(source), [Case(text, out)])
        for (source, text), out in zip(programs, plain_outputs, strict=True)
        if out is not None
    ]
    outcomes = run_samples(runs, Limits(5, 5), same=same)
    found = [
        f"{outcome}: {differences.get(cases[0].expected)}\n{made.source}given {cases[0].given!r}"
        for (made, cases), outcome in zip(runs, outcomes, strict=True)
        if not outcome.passed and outcome.reason != "refused call"
    ]
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)
