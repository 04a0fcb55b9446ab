r"""LiveCodeBench v2: 511 contest problems of May 2023 to May 2024, a Python program that passes every test, avg@3.

Protocol (arXiv 2604.06628): one user turn; temperature 0.6, top_p 0.95, three samples; 32,768 new tokens. The prompt is
ours: the problem, the starter code if it has any, and what the program reads and writes. Both rules read the same
responses. The paper's prompt (`--metadata prompts=paper`) leaves the starter code out and puts preface, problem and
ending together without a blank. So a model cannot know which name is called, and both rules call the name that the
problem gives: on problems with starter code, nearly half of all, the paper's prompt may lower the scores of every model
much.

* `strict`: `programs.last_program` of the answer part (outside the thinking) has to pass every public and private test,
  as LiveCodeBench's own checker decides: output line by line with exact decimals, a function's result as JSON. The
  called function has the name that the problem gives, and may be a method of `class Solution`. As in that checker, a
  program can use the names of the usual modules without an import. A response without a block has no answer; one whose
  thinking never closed is wrong.
* `paper`: `programs.paper_program` of the whole response, thinking included, has to pass the private tests, and the
  output is compared as one text. If no block opens with exactly "```python", the paper's code runs the last character
  of the response; here it is not run and counts as wrong. Three things of that code are left out: it guesses the name
  of the function from the program and finds no methods, which would fail every problem whose starter code has
  `class Solution`; it reads an argument `true` as a text; it imports nothing before the program.

`score_official` is 1 if a right program would also pass LiveCodeBench's own checker, which runs it inside its own
process. A program that reads with `open(0)`, or prints in a thread that nothing waits for, is right and fails there.
`score_easy`, `score_medium` and `score_hard` are the scores of the problems of one difficulty. The verdict's reason
says why a program failed. If tests cannot be used or the sandbox fails, the status is `sandbox_error`: the score is
missing, not 0.

Programs run in the sandbox (`sftgen_tasks.sandbox`). Documents hold only a hash of the tests (`data.lcb_tests`).
"""

from __future__ import annotations

import json
import re
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
from sftgen_tasks.readers.programs import (
    last_program,
    paper_program,
    paper_same_output,
    same_output,
    same_value,
)
from sftgen_tasks.sandbox import (
    Case,
    Limits,
    Outcome,
    Program,
    Same,
    Setting,
    require_sandbox,
    run_sample,
    run_samples,
)

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
    return finish(SOURCE.task, rows, found[0][1], metadata, "question_id")


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

    @property
    def programs(self) -> list[str]:
        return list(dict.fromkeys(found for found in (self.strict, self.paper) if found is not None))


def grade_all(items: Sequence[Item]) -> Iterator[tuple[int, Verdict]]:
    """Score by both rules, one program per core at a time; yields positions and verdicts."""
    jobs = []
    for position, item in enumerate(items):
        response = item.response
        strict = None if response.think == "unclosed" else last_program(response.answer)
        jobs.append(_Job(position, item, strict, paper_program(response.text)))
    yield from ((job.position, _verdict(job)) for job in jobs if not job.programs)
    for same in (same_output, same_value):
        yield from _run([job for job in jobs if bool(job.item.doc["function"]) is (same is same_value)], same)


@dataclass(frozen=True)
class _Run:
    """One program of a response, with the tests of its problem; the first `private` of them are private."""

    job: _Job
    source: str
    cases: Sequence[Case]
    private: int

    @property
    def sample(self) -> tuple[Program, Sequence[Case]]:
        return Program(self.source, self.job.item.doc["function"] or None, SETTING), self.cases


def _run(jobs: Sequence[_Job], same: Same) -> Iterator[tuple[int, Verdict]]:
    unusable: list[tuple[_Job, Exception]] = []
    disputed: set[int] = set()

    def compare(expected: str, output: str) -> bool:
        right = same(expected, output)
        if same is same_output and right is not paper_same_output(expected, output):
            # The id names this test: the same text may be undisputed in another problem.
            disputed.add(id(expected))
        return right

    def runs() -> Iterator[_Run]:
        # By problem, so that the tests of few problems are in memory at a time.
        for tests, of_problem in groupby(jobs, lambda job: str(job.item.doc["tests"])):
            runnable = [job for job in of_problem if job.programs]
            if not runnable:
                continue
            try:
                cases, private = read_tests(tests, runnable[0].item.doc["function"])
            except (SftgenError, OSError) as error:
                unusable.extend((job, error) for job in runnable)
                continue
            yield from (_Run(job, source, cases, private) for job in runnable for source in job.programs)

    started, ended = tee(runs())  # the sandbox is given more programs while earlier ones run
    outcomes = run_samples((run.sample for run in started), LIMITS, same=compare)
    for outcome, run in zip(outcomes, ended, strict=True):
        job, private_cases = run.job, run.cases[: run.private]
        if run.source == job.strict:
            job.outcome = outcome
        if run.source == job.paper:
            if any(id(case.expected) in disputed for case in private_cases):
                again = run_sample(run.sample[0], private_cases, LIMITS, same=paper_same_output)
                job.paper_score = _paper_score(again, run.private)
            else:
                job.paper_score = _paper_score(outcome, run.private)
        if run.source == job.programs[-1]:
            yield job.position, _verdict(job)
    for job, error in unusable:
        yield job.position, Verdict("sandbox_error", reason=f"sandbox error: {error}")


def _paper_score(outcome: Outcome, private: int) -> float | None:
    if outcome.reason == "sandbox error":
        return None
    return float(outcome.passed or (outcome.failed_case is not None and outcome.failed_case >= private))


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


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score one response by both rules."""
    [(_, verdict)] = grade_all([Item(doc, response)])
    return verdict


GRADER = Grader("livecodebench", version=2, grade=grade, grade_all=grade_all)
