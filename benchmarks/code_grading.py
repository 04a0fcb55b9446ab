r"""Our sandbox, a bare loop that forks, and lighteval's LiveCodeBench grader, on the same programs in one run.

    pip install --no-deps --target /tmp/lighteval lighteval
    python benchmarks/code_grading.py /tmp/lighteval [--rounds 3]
    SFTGEN_DATA_DIR=/path/to/data python benchmarks/code_grading.py /tmp/lighteval --submissions

Without an option: 200 samples of 40 trivial tests. `lighteval` is its `codegen_metrics` with 8 processes, as its
LiveCodeBench task calls it. `ours` is `run_samples` at the level that this machine offers, workers running
already. `bare` forks one process a sample from as many small processes as there are cores, and compares in that
process: once with strings in place of standard input and output (a grader of this kind is wrong for many programs),
once with descriptors 0 and 1 of their own for every test, as ours has. Nothing confines it.

With `--submissions`: stored contest programs with their official verdicts (`livecodebench/lcb_v5_o1_replay`), without
those that reach the time limit, which cost what the limit says. Nearly all of the time is the programs' own: what ours
needs beyond the bare loop is its overhead, and must be at most a quarter.

The last line is one JSON object: of trivial programs samples a second, ours and lighteval's; of submissions
milliseconds of CPU time a sample, ours and the bare loop's. Other work on the machine makes all of them slower, those
with fewer processes most; CPU time says more then.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from sftgen_tasks.data.tables import read_table
from sftgen_tasks.livecodebench import SETTING
from sftgen_tasks.readers.programs import same_output, same_value
from sftgen_tasks.sandbox import Case, Limits, Program, level, run_samples

Sample = tuple[Program, list[Case]]
CORES = len(os.sched_getaffinity(0))
SAMPLES, TESTS = 200, 40
BARE = r"""
import atexit, builtins, io, json, os, resource, sys, threading
descriptors, modules, depth, samples = json.load(sys.stdin)
names = {}
for module in modules:
    exec(f"from {module} import *\nimport {module}", names)
for name in names.keys() - {"stdin", "stdout", "stderr"}:
    vars(builtins).setdefault(name, names[name])
sys.setrecursionlimit(depth or sys.getrecursionlimit())
resource.setrlimit(resource.RLIMIT_STACK, (1 << 30, resource.getrlimit(resource.RLIMIT_STACK)[1]))
result, nowhere = os.dup(1), os.open(os.devnull, os.O_RDWR)
os.dup2(nowhere, 1), os.dup2(nowhere, 2)
os.write(result, b"ready\n")
os.read(3, 1)
def called(code, function, given):
    space = {"__name__": "solution"}
    exec(code, space)
    owner = space.get("Solution")
    found = getattr(owner(), function) if owner and hasattr(owner, function) else space[function]
    return json.dumps(found(*map(json.loads, filter(str.strip, given.split("\n")))))
def printed(code, given):
    if descriptors:
        files = [os.memfd_create("input"), os.memfd_create("output")]
        os.write(files[0], given.encode())
        os.lseek(files[0], 0, 0)
        os.dup2(files[0], 0), os.dup2(files[1], 1)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
    else:
        sys.stdin, sys.stdout = io.StringIO(given), io.StringIO()
    out = sys.stdout
    try:
        exec(code, {"__name__": "__main__"})
    except SystemExit:
        pass
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    if not descriptors:
        return out.getvalue()
    if not out.closed:
        out.flush()
    output = os.pread(files[1], 1 << 26, 0).decode()
    os.close(files[0]), os.close(files[1])
    return output
def run(source, function, tests):
    code = compile(source, "program", "exec")
    for given, expected in tests:
        if function:
            right = json.loads(called(code, function, given)) == json.loads(expected)
        else:
            right = printed(code, given).split() == expected.split()
        if not right:
            os._exit(1)
    os._exit(0)
passed = ""
for sample in samples:
    pid = os.fork()
    if not pid:
        try:
            run(*sample)
        finally:
            os._exit(1)
    passed += "01"[os.waitpid(pid, 0)[1] == 0]
os.write(result, passed.encode())
"""


def trivial() -> list[Sample]:
    """Programs that read a number and print another, a different one each."""
    return [
        (
            Program(f"n = int(input())\nprint(n * {factor} + 1)\n"),
            [Case(f"{number}\n", f"{number * factor + 1}\n") for number in range(TESTS)],
        )
        for factor in range(SAMPLES)
    ]


def submissions(folder: Path) -> tuple[list[Sample], list[bool]]:
    """Stored programs whose official verdict the stored tests can show, and that verdict."""
    samples, verdicts = [], []
    for row in read_table(folder / "livecodebench/lcb_v5_o1_replay.jsonl.gz"):
        cases = [Case(test["input"], test["output"]) for test in row["tests"]]
        for submission in row["submissions"]:
            if submission["use"] in ("expect_pass", "expect_fail"):
                samples.append((Program(submission["code"], row["fn_name"], SETTING), cases))
                verdicts.append(submission["use"] == "expect_pass")
    return samples, verdicts


def ours(samples: Sequence[Sample]) -> list[str]:
    """Why each failed; an empty text for those that passed."""
    reasons = [""] * len(samples)
    for called, same in ((False, same_output), (True, same_value)):
        indexes = [index for index, (program, _) in enumerate(samples) if bool(program.function) == called]
        outcomes = run_samples([samples[index] for index in indexes], Limits(), same=same, workers=CORES)
        for index, outcome in zip(indexes, outcomes, strict=True):
            reasons[index] = outcome.reason
    return reasons


def lighteval(grader: ModuleType, samples: Sequence[Sample]) -> list[bool]:
    """The same from lighteval."""
    problems = [
        {
            "input_output": json.dumps(
                {
                    "inputs": [case.given for case in cases],
                    "outputs": [case.expected for case in cases],
                    "fn_name": program.function,
                }
            )
        }
        for program, cases in samples
    ]
    generations = [[program.source] for program, _ in samples]
    _, results = grader.codegen_metrics(problems, generations, k_list=[1], num_process_evaluate=8)
    return [all(result is True or result == 1 for result in results[index][0]) for index in range(len(samples))]


class Bare:
    """A loop that forks one process a sample, in one process a core; `run` can be called once."""

    def __init__(self, samples: Sequence[Sample], *, descriptors: bool) -> None:
        plain = [
            (program.source, program.function, [(case.given, case.expected) for case in cases])
            for program, cases in samples
        ]
        setting = samples[0][0].setting
        read, self.go = os.pipe()
        command = [sys.executable, "-S", "-X", "utf8", "-c", f"import os; os.dup2({read}, 3)\n{BARE}"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.running = [subprocess.Popen(command, **pipes, pass_fds=[read], cwd="/") for _ in range(CORES)]
        os.close(read)
        for number, process in enumerate(self.running):
            assert process.stdin
            assert process.stdout
            json.dump((descriptors, setting.modules, setting.recursion_limit, plain[number::CORES]), process.stdin)
            process.stdin.close()
            process.stdout.readline()

    def run(self) -> list[bool]:
        """Whether each sample passed."""
        os.write(self.go, b"x" * CORES)
        parts = [process.stdout.read().strip() for process in self.running if process.stdout]
        assert all(process.wait() == 0 for process in self.running)
        os.close(self.go)
        return [part[number] == "1" for number in range(max(map(len, parts))) for part in parts if number < len(part)]


def timed(action: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, CPU seconds of this process and all below it, and the result."""
    start, cpu = time.perf_counter(), cpu_seconds()
    result = action()
    return time.perf_counter() - start, cpu_seconds() - cpu, result


def cpu_seconds() -> float:
    """CPU time of this process, of processes below it that are gone, and of those that are there."""
    gone = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + gone.ru_utime + gone.ru_stime
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        with suppress(OSError):  # it has ended
            for task in list(Path(f"/proc/{pid}/task").iterdir()):
                with suppress(OSError):
                    waiting += map(int, (task / "children").read_text().split())
            if pid != os.getpid():
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def load(folder: str) -> ModuleType:
    """The grader of lighteval alone: the package itself imports much that it does not need."""
    path = Path(folder) / "lighteval/tasks/tasks/lcb/codegen_metrics.py"
    if not path.is_file():
        sys.exit(f"{path} is not there. Install it: pip install --no-deps --target {folder} lighteval")
    spec = importlib.util.spec_from_file_location("codegen_metrics", path)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Rates:
    """Samples a second, and CPU milliseconds a sample, by what was measured."""

    def __init__(self) -> None:
        self.rates: dict[str, list[float]] = {}
        self.costs: dict[str, list[float]] = {}

    def measure(self, name: str, samples: Sequence[Sample], action: Callable[[], Any]) -> Any:
        """Run it once and print what it took."""
        load_before = os.getloadavg()[0]
        seconds, cpu, result = timed(action)
        self.rates.setdefault(name, []).append(len(samples) / seconds)
        self.costs.setdefault(name, []).append(1000 * cpu / len(samples))
        rate, cost = self.rates[name][-1], self.costs[name][-1]
        print(f"load {load_before:4.1f}  {name:<28} {rate:6.1f} samples/s  {cost:6.1f} CPU ms a sample", flush=True)
        return result

    def compare(self, mine: str, others: Sequence[str]) -> None:
        """Print ratios of medians."""
        for other in others:
            faster = statistics.median(self.rates[mine]) / statistics.median(self.rates[other])
            cost = statistics.median(self.costs[mine]) / statistics.median(self.costs[other])
            print(f"{mine}: {faster:.2f} times the samples/s of {other}, at {cost:.2f} times its CPU time")


def report(name: str, mine: Sequence[float], peers: Sequence[float], unit: str) -> None:
    """Print the last line."""
    ours, theirs = statistics.median(mine), statistics.median(peers)
    found = {"ratio": round(ours / theirs, 3), "ours": round(ours, 2), "peer": round(theirs, 2)}
    print(json.dumps({"name": name, **found, "unit": unit}))


def compare_trivial(grader: ModuleType, rounds: int) -> None:
    """All of them, in turns."""
    samples, rates = trivial(), Rates()
    ours(samples[:CORES])
    for _ in range(rounds):
        assert not any(rates.measure("ours", samples, lambda: ours(samples)))
        assert all(rates.measure("bare, descriptors", samples, Bare(samples, descriptors=True).run))
        assert all(rates.measure("bare, strings", samples, Bare(samples, descriptors=False).run))
        assert all(rates.measure("lighteval", samples, lambda: lighteval(grader, samples)))
    rates.compare("ours", ["bare, descriptors", "bare, strings", "lighteval"])
    report("code_grading_trivial", rates.rates["ours"], rates.rates["lighteval"], "samples/s")


def compare_submissions(grader: ModuleType, rounds: int) -> None:
    """Verdicts and costs on stored programs, in turns."""
    folder = os.environ.get("SFTGEN_DATA_DIR")
    if not folder:
        sys.exit("--submissions needs stored submissions: set SFTGEN_DATA_DIR to their folder")
    stored, official = submissions(Path(folder))
    ending = [number for number, reason in enumerate(ours(stored)) if reason != "time limit"]
    print(f"{len(stored)} samples; {len(stored) - len(ending)} reach the time limit and are left out")
    samples = [stored[number] for number in ending]
    rates = Rates()
    runs: dict[str, list[list[bool]]] = {"ours": [], "bare": [], "lighteval": []}
    for _ in range(rounds):
        graders: dict[str, Callable[[], list[bool]]] = {
            "ours": lambda: [not reason for reason in ours(samples)],
            "bare": Bare(samples, descriptors=True).run,
            "lighteval": lambda: lighteval(grader, samples),
        }
        for name, grade in graders.items():
            runs[name].append(rates.measure(name, samples, grade))
    for name, got in runs.items():
        changing = [ending[place] for place, each in enumerate(zip(*got, strict=True)) if len(set(each)) > 1]
        differs = [ending[place] for place, each in enumerate(got[0]) if each != official[ending[place]]]
        print(f"{name}: {len(got)} runs, verdicts that change: {changing or 'none'}")
        print(f"{name}: {len(differs)} not as official: {differs}")
    rates.compare("ours", ["bare", "lighteval"])
    report("code_grading", rates.costs["ours"], rates.costs["bare"], "CPU ms/sample")


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lighteval", help="folder that lighteval was installed into")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--submissions", action="store_true", help="stored programs instead of trivial ones")
    arguments = parser.parse_args()
    print(f"{CORES} cores, sandbox level: {level().name}")
    grader = load(arguments.lighteval)
    if arguments.submissions:
        compare_submissions(grader, arguments.rounds)
    else:
        compare_trivial(grader, arguments.rounds)


if __name__ == "__main__":
    main()
