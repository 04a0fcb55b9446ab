r"""LiveCodeBench v2: 511 contest problems of May 2023 to May 2024, a Python program that passes every test, avg@3.

Protocol (arXiv 2604.06628): one user turn; temperature 0.6, top_p 0.95, three samples; 32,768 new tokens. The prompt
is ours: the problem, the starter code where it has one, and what the program reads and writes. (The published prompt
leaves the starter code out, so that a model cannot know the name that is called.) Both rules read the same responses.

* `strict`: `programs.last_program` of the answer part (outside the thinking) has to pass every public and private
  test, as LiveCodeBench's own checker decides: output line by line with exact decimals, a function's result as JSON.
  The function is the one that the problem names, plain or of `class Solution`. As there, the names of the usual
  modules are there without an import. No block, no answer; thinking that never closed is wrong.
* `paper`: `programs.published_program` of the whole response, thinking included, has to pass the private tests, with
  output compared as one text. Where no block opens with exactly "```python", the published code runs the response's
  last character: wrong here, without running it. Not taken over: it guesses the function's name from the program and
  finds no methods, which after starter code with `class Solution` would fail every such problem; it reads an argument
  `true` as a text; nothing is imported beforehand.

`score_official` is 1 where a right program would pass LiveCodeBench's own checker too, which runs it inside its own
process: one that reads with `open(0)`, or prints in a thread that nothing waits for, is right and fails there.
`score_easy`, `score_medium` and `score_hard` are the scores of the problems of one difficulty. What went wrong is the
verdict's reason. Tests that cannot be used, and failures of the sandbox, are `sandbox_error`: missing, not wrong.

Programs run in the sandbox (`sftgen_tasks.sandbox`). Tests are in no document, which only has their hash (`lcb_tests`).
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Item
from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.lcb_tests import read_problems, read_tests
from sftgen_tasks.data.rows import check_columns
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.readers.programs import (
    last_program,
    published_program,
    published_same_output,
    same_output,
    same_value,
)
from sftgen_tasks.sandbox import (
    Case,
    Limits,
    Outcome,
    Program,
    Same,
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


def documents(**metadata: Any) -> dict[str, Dataset]:
    """The problems without their tests, as lm_eval's `custom_dataset` wants them.

    Raises:
        DataError: Nothing to read, or it is malformed.
        SandboxError: Programs cannot be run safely here; better known before anything is generated.
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
    """A hub row as a document: `function` is what is called, empty where a program reads and prints.

    Raises:
        DataError: The problem's own metadata is not what it should be.
    """
    starter = row.get("starter_code") or ""
    try:
        function = json.loads(row["metadata"]).get("func_name") or ""
    except (ValueError, AttributeError) as error:
        raise DataError(f"{where}, problem {row['question_id']}: `metadata` is no JSON object") from error
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


@dataclass
class _Job:
    """A response, the programs the two rules find in it, and what came of them."""

    position: int
    item: Item
    strict: str | None
    published: str | None
    outcome: Outcome | None = None
    paper: float | None = 0.0

    @property
    def programs(self) -> list[str]:
        return list(dict.fromkeys(found for found in (self.strict, self.published) if found is not None))


def grade_all(items: Sequence[Item]) -> Iterator[tuple[int, Verdict]]:
    """Score by both rules, with as many programs at a time as there are cores; yields positions and verdicts."""
    jobs = []
    for position, item in enumerate(items):
        response = item.response
        strict = None if response.think == "unclosed" else last_program(response.answer)
        jobs.append(_Job(position, item, strict, published_program(response.text)))
    yield from ((job.position, _verdict(job)) for job in jobs if not job.programs)
    for same in (same_output, same_value):
        yield from _run([job for job in jobs if bool(job.item.doc["function"]) is (same is same_value)], same)


def _run(jobs: Sequence[_Job], same: Same) -> Iterator[tuple[int, Verdict]]:
    running: deque[tuple[_Job, str, Program, Sequence[Case], int]] = deque()
    unusable: list[tuple[_Job, Exception]] = []
    disputed: set[int] = set()

    def compare(expected: str, output: str) -> bool:
        right = same(expected, output)
        if same is same_output and right is not published_same_output(expected, output):
            disputed.add(id(expected))  # of this problem's test: elsewhere the same text may not be in dispute
        return right

    def samples() -> Iterator[tuple[Program, Sequence[Case]]]:
        # By problem, so that the tests of few problems are in memory at a time.
        for tests, of_problem in groupby(jobs, lambda job: str(job.item.doc["tests"])):
            runnable = [job for job in of_problem if job.programs]
            function = runnable[0].item.doc["function"] if runnable else ""
            try:
                cases, private = read_tests(tests, function) if runnable else ([], 0)
            except (SftgenError, OSError) as error:
                unusable.extend((job, error) for job in runnable)
                continue
            for job in runnable:
                for text in job.programs:
                    running.append((job, text, Program(text, function or None), cases, private))
                    yield running[-1][2:4]

    for outcome in run_samples(samples(), LIMITS, same=compare):
        job, text, program, cases, private = running.popleft()
        if text == job.strict:
            job.outcome = outcome
        if text == job.published:
            if any(id(case.expected) in disputed for case in cases[:private]):
                job.paper = _paper(run_sample(program, cases[:private], LIMITS, same=published_same_output), private)
            else:
                job.paper = _paper(outcome, private)
        if text == job.programs[-1]:
            yield job.position, _verdict(job)
    for job, error in unusable:
        yield job.position, Verdict("sandbox_error", reason=f"sandbox error: {error}")


def _paper(outcome: Outcome, private: int) -> float | None:
    if outcome.reason == "sandbox error":
        return None
    return float(outcome.passed or (outcome.failed_case is not None and outcome.failed_case >= private))


def _verdict(job: _Job) -> Verdict:
    outcome = job.outcome
    if outcome and outcome.reason == "sandbox error":
        return Verdict("sandbox_error", answer=job.strict, reason=f"sandbox error: {outcome.detail}")
    score = float(outcome is not None and outcome.passed)
    # Not the detail, which may show a private test.
    reason: str = outcome.reason if outcome else ""
    if outcome and outcome.failed_case is not None and reason != "compile error":
        reason += f" in test {outcome.failed_case + 1}"
    official = score * (outcome is not None and not outcome.only_as_process)
    measures = {"score_official": official, f"score_{job.item.doc['difficulty']}": score}
    return Verdict.of(job.item.response, job.strict, score, paper=job.paper, reason=reason, measures=measures)


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score one response by both rules."""
    [(_, verdict)] = grade_all([Item(doc, response)])
    return verdict


GRADER = Grader("livecodebench", version=2, grade=grade, grade_all=grade_all)
