r"""LiveCodeBench v2: 511 contest problems of May 2023 to May 2024, a Python program that passes every test, avg@3.

Protocol (arXiv 2604.06628): one user turn; temperature 0.6, top_p 0.95, three samples; 32,768 new tokens. The prompt is
ours: the problem, the starter code if it has any, and what the program reads and writes. Both rules read the same
responses. The paper's prompt (`--metadata prompts=paper`) leaves the starter code out and puts preface, problem and
ending together without a blank. So a model cannot know which name `strict` calls, and answers with a plain function,
which `paper` finds: on problems with starter code, nearly half of all, our prompt may raise `score` much and lower
`score_paper` much, of every model. Compare `score_paper` with the paper's numbers under its prompt only.

* `strict`: `programs.last_program` of the answer part (outside the thinking) has to pass every public and private test,
  as LiveCodeBench's own checker decides: output line by line with exact decimals, a function's result as JSON. The
  called function has the name that the problem gives, and may be a method of `class Solution`. As in that checker, a
  program can use the names of the usual modules without an import. A response without a block has no answer; one whose
  thinking never closed is wrong.
* `paper`: `paper_programs.paper_program` of the whole response, thinking included, has to pass the private tests in the
  process that the paper's code gives it (`readers.paper_process`), and its output is compared as one text. If no block
  opens with exactly "```python", that code runs the last character of the response; here it is not run and counts as
  wrong.

What the paper's code does to a program, and `paper` with it:

* Nothing is imported before it, and Python's own limit of recursion holds. `__name__` is `"__main__"` only if the text
  has `__name__ == "__main__"` with these quotes and blanks: a main part in single quotes never runs, and where the
  condition is in the text, an import from `__future__` fails.
* Input and output are texts in memory: there is no `sys.stdin.buffer` and no `fileno`, descriptors 0 and 1 (`open(0)`,
  `os.read`) lead nowhere, and what is printed after the main thread's last line (threads, `atexit`) is not seen.
* A program that ends its process fails: `exit()`, `quit()`, `sys.exit(0)`. `import resource` and psutil fail, and calls
  such as `os.system` and `os.getcwd`.
* The function that is called has the last word before the first bracket of the program as its name, whatever the
  problem calls it, and is looked for outside of classes: a method of `class Solution` fails, and so does a function
  behind a helper, a decorator with arguments or an import with a bracket. Its arguments are parsed by
  `paper_programs.paper_arguments`, and a tuple is not equal to a list.
* No test has a limit of its own: all tests together may take 7 seconds for each of them and 5 more.

What `paper` leaves out, and where it may differ therefore:

* Time and memory. The limit there is wall time on a busy machine; here it is time of computing and sleeping, and a test
  that takes 30 s alone is too slow. Memory has no limit there and 4 GiB here. The stack is that of a thread there (8
  MB), which a deep recursion can overflow.
* One process runs all tests there. What a program leaves behind (a limit of recursion, a changed module, a thread)
  reaches the next test; here a test that fails is run once more by itself. Whether a thread that nothing waits for has
  printed in time is a race in both.
* The sandbox refuses files and processes where that code has no such guard, and lets three functions of `shutil` alone.
* Random numbers and the order of sets differ between runs there. Its versions of Python and numpy decide what they
  decide, for example whether a number of single precision is equal to 0.1.
* A result that is equal to the expected one only by an equality of its own (an object with `__eq__`, an array with one
  number), or an integer of more than 4,300 digits, fails here.
* A problem without private tests fails there; here its public tests count.
* Values that are nested a thousand deep and then compared or printed end a program there, by Python's limit of
  recursion. Here they may not, if the program is one of those that are run once (see below).

No program is run twice without need (`readers.paper_certain`). Where the text of a program that reads and prints proves
that it cannot tell the two processes apart, one run says both scores, unless it failed in a way, or printed something,
that the two rules judge differently. Where the text proves that the function is only a method, `paper` fails without a
run.

`score_official` is 1 if a right program would also pass LiveCodeBench's own checker, which runs it inside its own
process. A program that reads with `open(0)`, or prints in a thread that nothing waits for, is right and fails there.
`score_easy`, `score_medium` and `score_hard` are the scores of the problems of one difficulty. The verdict's reason
says why a program failed. If tests cannot be used or the sandbox fails, the status is `sandbox_error`: the score is
missing, not 0.

Programs run in the sandbox (`sftgen_tasks.sandbox`). Documents hold only a hash of the tests (`data.lcb_tests`).
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, tee
from typing import TYPE_CHECKING, Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Item
from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.lcb_tests import read_problems, read_tests
from sftgen_tasks.data.paper_prompts import PaperPrompt
from sftgen_tasks.data.rows import check_columns
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.readers.paper_certain import alike, never_binds
from sftgen_tasks.readers.paper_programs import (
    called_name,
    inside_paper,
    paper_arguments,
    paper_program,
    paper_same_output,
)
from sftgen_tasks.readers.programs import last_program, same_output, same_value
from sftgen_tasks.sandbox import Case, Limits, Outcome, Program, Sample, Setting, require_sandbox, run_each

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = dict.fromkeys(("question_id", "question_content", "difficulty", "platform", "contest_date", "metadata"), str)
SOURCE = HubSource(
    task="sftgen_lcb_v2",
    repo="livecodebench/code_generation_lite",
    split="test",
    revision="0fe84c3912ea0c4d4a78037083943e8f0c4dd505",
    columns=COLUMNS,
    id_column="question_id",
    data_file="test.jsonl",
)
# Each release of the dataset added a file: the first two are release_v2.
SOURCES = (SOURCE, replace(SOURCE, split="test2", data_file="test2.jsonl"))
PRINTS = (
    "Write a complete Python 3 program that solves the problem above. It reads the input from standard input and "
    "prints nothing but the answer to standard output."
)
RETURNS = (
    "Complete the starter code so that it solves the problem above. Keep its names and parameters; it will be called "
    "with the arguments and has to return the answer, so neither call it nor read any input yourself."
)
INSTRUCTION = "Think step by step, then give the whole program in one code block that begins with ```python."
_METHOD = re.compile(r"def\s+(\w+)")
LIMITS = Limits()
LARGEST_EXAMPLE = 100_000
"""Characters of packed tests that a program can be made of."""
PAPER_TEST_SECONDS = 30.0
"""A program that takes so long for one test is not waited for any longer, though the paper's code may do so."""
SETTING = Setting(
    (
        *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
        *("itertools", "functools", "operator", "io", "sys", "json", "typing"),
    ),
    recursion_limit=50_000,
)
"""What LiveCodeBench's checker puts before every program."""


def documents(**metadata: Any) -> dict[str, Dataset]:
    """The problems without their tests, as lm_eval's `custom_dataset` wants them.

    Raises:
        DataError: The problems are missing or malformed.
        SandboxError: Programs cannot be run safely here. This is found out before anything is generated.
    """
    require_sandbox()
    found = [source.files_to_read(**metadata) for source in SOURCES]
    rows = []
    for path in dict.fromkeys(path for paths, _ in found for path in paths):
        part = list(read_problems(path))
        check_columns(part, COLUMNS, str(path))
        rows += [document(row, str(path)) for row in part]
    return finish(SOURCE.task, rows, found[0][1], metadata, "question_id", cluster=("platform", "contest_date"))


def document(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A hub row as a document: `function` is the name that is called, empty if a program reads and prints.

    Raises:
        DataError: The problem's column `metadata` is not a JSON object.
    """
    starter = row.get("starter_code") or ""
    try:
        function = json.loads(row["metadata"]).get("func_name") or ""
    except (ValueError, AttributeError) as error:
        raise DataError(f"{where}, problem {row['question_id']}: `metadata` is not a JSON object") from error
    named = _METHOD.search(starter)
    columns = ("question_id", "question_content", "difficulty", "platform", "contest_date", "tests")
    return {column: row[column] for column in columns} | {
        "starter_code": starter,
        "function": function or (named[1] if named else ""),
    }


def prompt(doc: Mapping[str, Any]) -> str:
    """The user turn."""
    starter = f"Starter code:\n```python\n{doc['starter_code'].rstrip()}\n```\n\n" if doc["starter_code"] else ""
    task = RETURNS if doc["function"] else PRINTS
    return f"{doc['question_content'].strip()}\n\n{starter}{task} {INSTRUCTION}"


PAPER_PROMPT = PaperPrompt("lcb_v2", text=lambda doc: "function" if doc["function"] else "stdin")


@dataclass
class _Job:
    """A response, the programs that the two rules find in it, and their results."""

    position: int
    item: Item
    strict: str | None
    paper: str | None
    outcome: Outcome | None = None
    paper_score: float | None = 0.0
    reused: int = 0
    """If `paper_score` follows from `outcome`: how many of its tests are private."""
    disputed: bool = False
    """Whether the two rules differ on an output."""

    def same(self, expected: str, output: str) -> bool:
        """The comparison of `strict`, which notes where that of `paper` differs."""
        right = same_output(expected, output)
        self.disputed |= right is not paper_same_output(expected, output)
        return right


def grade_all(items: Sequence[Item]) -> Iterator[tuple[int, Verdict]]:
    """Score by both rules, one program per core at a time; yields positions and verdicts."""
    jobs = []
    for position, item in enumerate(items):
        response = item.response
        strict = None if response.think == "unclosed" else last_program(response.answer)
        job = _Job(position, item, strict, paper_program(response.text))
        if strict is None and job.paper is None:
            yield position, _verdict(job)
        else:
            jobs.append(job)
    undecided: list[_Job] = []
    yield from _run(jobs, undecided)
    yield from _run(undecided, [])


@dataclass(frozen=True)
class _Run:
    """One program of a response, run by one rule; the last one of its response or not."""

    job: _Job
    sample: Sample
    by_paper: bool
    last: bool


def _run(jobs: Sequence[_Job], undecided: list[_Job]) -> Iterator[tuple[int, Verdict]]:
    """Run what is not known yet; a job whose `paper_score` did not follow from its outcome is added to `undecided`."""
    not_run: list[tuple[int, Verdict]] = []

    def runs() -> Iterator[_Run]:
        # By problem, so that the tests of few problems are in memory at a time.
        for tests, of_problem in groupby(jobs, lambda job: str(job.item.doc["tests"])):
            of_tests = list(of_problem)
            try:
                cases, private = read_tests(tests, of_tests[0].item.doc["function"])
            except (SftgenError, OSError) as error:
                failed = Verdict("sandbox_error", reason=f"sandbox error: {error}")
                not_run.extend((job.position, failed) for job in of_tests)
                continue
            for job in of_tests:
                # In the second round the outcome is known, and did not say enough.
                job.reused = private if job.outcome is None and _tells_both(job, cases[:private]) else 0
                strict = _strict(job, cases) if job.outcome is None else None
                samples = [(strict, False), (None if job.reused else _paper(job, cases[:private]), True)]
                found = [(sample, by_paper) for sample, by_paper in samples if sample]
                yield from (_Run(job, *one, last=one is found[-1]) for one in found)
                if not found:
                    not_run.append((job.position, _verdict(job)))

    started, ended = tee(runs())  # the sandbox is given more programs while earlier ones run
    for outcome, run in zip(run_each(run.sample for run in started), ended, strict=True):
        if run.by_paper:
            run.job.paper_score = None if outcome.reason == "sandbox error" else float(outcome.passed)
        else:
            run.job.outcome = outcome
            if run.job.reused:
                score = _paper_score(run.job, outcome)
                if score is None:
                    undecided.append(run.job)
                    continue
                run.job.paper_score = score
        if run.last:
            yield run.job.position, _verdict(run.job)
    yield from not_run


def _strict(job: _Job, cases: Sequence[Case]) -> Sample | None:
    if job.strict is None:
        return None
    function = job.item.doc["function"] or None
    same = same_value if function else job.same if job.reused else same_output
    return Sample(Program(job.strict, function, SETTING), cases, same, LIMITS)


def _tells_both(job: _Job, private: Sequence[Case]) -> bool:
    """Whether the program prints the same under both rules, so that one run of it may do."""
    return (
        job.strict is not None
        and job.strict.strip() == job.paper
        and not job.item.doc["function"]
        and all(case.given.isascii() and "\r" not in case.given for case in private)
        and alike(job.paper, SETTING.modules)
    )


def _paper_score(job: _Job, outcome: Outcome) -> float | None:
    """What the outcome of `strict` says of `paper`; None if a run has to say it."""
    if job.disputed or (outcome.reason in ("sandbox error", "time limit", "memory limit")):
        return None
    if outcome.passed:
        return 1.0
    if outcome.failed_case is None or outcome.reason not in ("wrong answer", "crash"):
        return None
    if outcome.failed_case >= job.reused:  # a public test
        return 1.0
    return 0.0 if outcome.reason == "wrong answer" else None


def _paper(job: _Job, cases: Sequence[Case]) -> Sample | None:
    """None where the program fails for certain: there is none, its function is never found, a test cannot be read."""
    if job.paper is None or (job.item.doc["function"] and never_binds(job.paper, called_name(job.paper))):
        return None
    total = 7.0 * len(cases) + 5
    limits = Limits(min(total, PAPER_TEST_SECONDS), total)
    function = bool(job.item.doc["function"])
    if function:
        arguments = [paper_arguments(case.given) for case in cases]
        cases = [Case(given, case.expected) for given, case in zip(arguments, cases, strict=True) if given is not None]
        if None in arguments:
            return None
    same = same_value if function else paper_same_output
    return Sample(Program(inside_paper(job.paper, function=function)), cases, same, limits)


def _verdict(job: _Job) -> Verdict:
    outcome = job.outcome
    if outcome and outcome.reason == "sandbox error":
        return Verdict("sandbox_error", answer=job.strict, reason=f"sandbox error: {outcome.detail}")
    score = float(outcome is not None and outcome.passed)
    # The detail is left out, because it may show a private test.
    reason: str = outcome.reason if outcome else ""
    if outcome and outcome.failed_case is not None and reason != "compile error":
        reason += f" in test {outcome.failed_case + 1}"
    official = score * (outcome is not None and not outcome.only_as_process)
    measures = {"score_official": official, f"score_{job.item.doc['difficulty']}": score}
    return Verdict.of(job.item.response, job.strict, score, paper=job.paper_score, reason=reason, measures=measures)


def examples(doc: Mapping[str, Any]) -> tuple[str, str] | None:
    """A program that knows the expected outputs by heart, packed so that nobody reads them, and one that fails.

    None for tests that are large or cannot be used.
    """
    name = doc["function"]
    try:
        cases, _ = read_tests(str(doc["tests"]), name)
    except SftgenError:
        return None
    if name:
        known = {json.dumps([json.loads(line) for line in case.given.split("\n")]): case.expected for case in cases}
        right = f"def {name}(*given):\n    return json.loads(KNOWN[json.dumps(list(given))])"
        wrong = f"def {name}(*given):\n    return None"
    else:
        known = {case.given.strip(): case.expected for case in cases}
        right, wrong = "print(KNOWN[sys.stdin.read().strip()])", "print()"
    packed = base64.b64encode(zlib.compress(json.dumps(known).encode())).decode()
    if len(packed) > LARGEST_EXAMPLE:
        return None
    right = f'KNOWN = json.loads(zlib.decompress(base64.b64decode("{packed}")))\n\n{right}'
    right = f"import base64, json, sys, zlib\n\n{right}"
    return f"```python\n{right}\n```", f"```python\n{wrong}\n```"


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score one response by both rules."""
    [(_, verdict)] = grade_all([Item(doc, response)])
    return verdict


GRADER = Grader("livecodebench", version=3, grade=grade, grade_all=grade_all)
