r"""Our sandbox, lighteval's LiveCodeBench grader and a bare loop that forks, on the same programs in one run.

    pip install --no-deps --target /tmp/lighteval lighteval
    python benchmarks/code_grading.py /tmp/lighteval [--rounds 3]
    SFTGEN_DATA_DIR=/path/to/data python benchmarks/code_grading.py /tmp/lighteval --submissions

Without an option: 200 samples of 40 trivial tests. `lighteval` is its `codegen_metrics` with 8 processes, as its
LiveCodeBench task calls it. `ours` is `run_samples` at the level that this machine offers, workers running
already. `bare` forks one process a sample from as many small processes as there are cores, and compares in that
process: once with strings in place of standard input and output (a grader of this kind is wrong for many programs),
once with descriptors 0 and 1 of their own for every test, as ours has.

With `--submissions`: stored contest programs with their official verdicts (`livecodebench/lcb_v5_o1_replay`), ours
with as many workers as cores and with four times as many; all of them, and without those that reach the time limit,
which cost what the limit says. Most of the time is the programs' own.

The last line is one JSON object, samples a second. Other work on the machine makes all of them slower, those with
fewer processes most; CPU time a sample, which is printed too, says more then.
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
import io, os, sys, json
descriptors, samples = json.load(sys.stdin)
print("ready", flush=True)
os.read(3, 1)
def run(source, tests):
    code = compile(source, "program", "exec")
    for given, expected in tests:
        if descriptors:
            files = [os.memfd_create("input"), os.memfd_create("output")]
            os.write(files[0], given.encode())
            os.lseek(files[0], 0, 0)
            os.dup2(files[0], 0), os.dup2(files[1], 1)
            sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
            exec(code, {"__name__": "__main__"})
            sys.stdout.flush()
            output = os.pread(files[1], 1 << 20, 0).decode()
            os.close(files[0]), os.close(files[1])
        else:
            sys.stdin, sys.stdout = io.StringIO(given), io.StringIO()
            exec(code, {"__name__": "__main__"})
            output = sys.stdout.getvalue()
        if output.split() != expected.split():
            os._exit(1)
    os._exit(0)
for source, tests in samples:
    pid = os.fork()
    if not pid:
        run(source, tests)
    assert os.waitpid(pid, 0)[1] == 0
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


def ours(samples: Sequence[Sample], workers: int = CORES) -> list[str]:
    """Why each failed; an empty text for those that passed."""
    reasons = [""] * len(samples)
    for called, same in ((False, same_output), (True, same_value)):
        indexes = [index for index, (program, _) in enumerate(samples) if bool(program.function) == called]
        outcomes = run_samples([samples[index] for index in indexes], Limits(), same=same, workers=workers)
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


def bare(samples: Sequence[Sample], *, descriptors: bool) -> None:
    """Fork one process a sample, in one process a core."""
    plain = [(program.source, [(case.given, case.expected) for case in cases]) for program, cases in samples]
    read, write = os.pipe()
    command = f"import os; os.dup2({read}, 3)\n{BARE}"
    running = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[read],
        )
        for _ in range(CORES)
    ]
    for number, process in enumerate(running):
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps((descriptors, plain[number::CORES])))
        process.stdin.close()
        process.stdout.readline()
    os.write(write, b"x" * CORES)
    assert all(process.wait() == 0 for process in running)
    os.close(read)
    os.close(write)


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
        for task in Path(f"/proc/{pid}/task").iterdir():
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
            cheaper = statistics.median(self.costs[other]) / statistics.median(self.costs[mine])
            print(f"{mine}: {faster:.2f} times the samples/s of {other}, at {cheaper:.2f} times less CPU time")

    def report(self, name: str, mine: str, peer: str) -> None:
        """Print the last line."""
        ours, theirs = statistics.median(self.rates[mine]), statistics.median(self.rates[peer])
        found = {"ratio": round(ours / theirs, 2), "ours": round(ours, 2), "peer": round(theirs, 2)}
        print(json.dumps({"name": name, **found, "unit": "samples/s"}))


def compare_trivial(grader: ModuleType, rounds: int) -> None:
    """All of them, in turns."""
    samples, rates = trivial(), Rates()
    ours(samples[:CORES])
    for _ in range(rounds):
        assert not any(rates.measure("ours", samples, lambda: ours(samples)))
        rates.measure("bare, descriptors", samples, lambda: bare(samples, descriptors=True))
        rates.measure("bare, strings", samples, lambda: bare(samples, descriptors=False))
        assert all(rates.measure("lighteval", samples, lambda: lighteval(grader, samples)))
    rates.compare("ours", ["bare, descriptors", "bare, strings", "lighteval"])
    rates.report("code_grading", "ours", "lighteval")


def compare_submissions(grader: ModuleType, rounds: int) -> None:
    """Verdicts and rates on stored programs, in turns."""
    folder = os.environ.get("SFTGEN_DATA_DIR")
    if not folder:
        sys.exit("--submissions needs stored submissions: set SFTGEN_DATA_DIR to their folder")
    samples, official = submissions(Path(folder))
    reasons = ours(samples)
    ending = [sample for sample, reason in zip(samples, reasons, strict=True) if reason != "time limit"]
    print(f"{len(samples)} samples, of which {len(samples) - len(ending)} reach the time limit")
    graders: dict[str, Callable[[Sequence[Sample]], list[bool]]] = {
        "ours": lambda some: [not reason for reason in ours(some)],
        "ours, 4 workers a core": lambda some: [not reason for reason in ours(some, 4 * CORES)],
        "lighteval": lambda some: lighteval(grader, some),
    }
    runs: dict[str, list[list[bool]]] = {"ours": [[not reason for reason in reasons]], "lighteval": []}
    rates = Rates()
    for _ in range(rounds):
        for which, some in (("", samples), (" (ending)", ending)):
            for name, grade in graders.items():
                passed = rates.measure(name + which, some, lambda: grade(some))  # noqa: B023 - called at once
                if not which:
                    runs[name.partition(",")[0]].append(passed)
    for name, got in runs.items():
        changing = [index for index, each in enumerate(zip(*got, strict=True)) if len(set(each)) > 1]
        differs = [index for index, each in enumerate(got[0]) if each != official[index]]
        print(f"{name}: {len(got)} runs, verdicts that change: {changing or 'none'}")
        print(f"{name}: {len(differs)} not as official: {differs}")
    for which in ("", " (ending)"):
        for name in ("ours", "ours, 4 workers a core"):
            rates.compare(name + which, ["lighteval" + which])
    rates.report("code_grading_submissions", "ours", "lighteval")


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
