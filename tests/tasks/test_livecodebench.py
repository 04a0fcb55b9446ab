"""LiveCodeBench v2: the hub's files, the prompt, both rules, tests that never leak, whole runs from stored outputs."""

from __future__ import annotations

import base64
import gzip
import json
import os
import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Verdict, split_thinking
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks import livecodebench
from sftgen_tasks.data import lcb_tests
from sftgen_tasks.data.tables import DataError, read_table
from sftgen_tasks.livecodebench import GRADER, SOURCE, document, documents, prompt
from sftgen_tasks.readers.programs import last_program
from sftgen_tasks.sandbox import Limits
from tests.commands import few_tasks
from tests.conftest import Command
from tests.train.results.test_replay import results

SECRET = "7310417311"
"""In private tests only: 1 + 7310417310."""


def encoded(tests: list[dict[str, str]] | bytes) -> str:
    """Private tests as the hub has them."""
    data = tests if isinstance(tests, bytes) else pickle.dumps(json.dumps(tests))
    return base64.b64encode(zlib.compress(data)).decode()


def problem(title: str, difficulty: str, private: str, public: list[list[str]], **other: str) -> dict[str, Any]:
    kind = "functional" if other else "stdin"
    return {
        "question_title": title,
        "question_content": f"Problem {title}.\n",
        "platform": "leetcode" if other else "atcoder",
        "question_id": title,
        "contest_id": "c",
        "contest_date": "2023-08-21T00:00:00",
        "starter_code": other.get("starter", ""),
        "difficulty": difficulty,
        "public_test_cases": json.dumps([{"input": i, "output": o, "testtype": kind} for i, o in public]),
        "private_test_cases": private,
        "metadata": json.dumps({"func_name": other["name"]} if other else {}),
    }


def hidden(*pairs: tuple[str, str]) -> str:
    return encoded([{"input": given, "output": expected, "testtype": "stdin"} for given, expected in pairs])


SUM = problem("sum", "easy", hidden(("1 7310417310\n", SECRET), ("0 0", "0\n")), [["1 2\n", "3\n"]])
HALF = problem("half", "medium", hidden(("3", "1.5")), [["1", "0.5"]])
ADD = problem(
    "add",
    "hard",
    hidden(("[1, 7310417310]\n1", f"[2, {SECRET}]"), ("[]\n0", "[]")),
    [["[1]\n2", "[3]"]],
    starter="class Solution:\n    def add(self, nums: List[int], n: int) -> List[int]:\n        ",
    name="add",
)
BROKEN = problem("broken", "hard", encoded(b"no pickle"), [["1", "1"]])
FIRST, SECOND = [SUM, HALF], [ADD, BROKEN]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sftgen" / "livecodebench"


def lay_out(folder: Path, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Path:
    """A folder with the files where the hub has them."""
    place = folder / "livecodebench" / "code_generation_lite"
    place.mkdir(parents=True)
    for name, rows in (("test", first), ("test2", second)):
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Files of later releases are left alone.
    (place / "test3.jsonl").write_text("not read")
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "hub", FIRST, SECOND)


# ------------------------------------------------------------------------------ documents and prompt


def test_documents_of_both_files_without_tests(hub: Path) -> None:
    docs = list(documents(data_dir=str(hub))["test"])
    assert [doc["question_id"] for doc in docs] == ["sum", "half", "add", "broken"]
    assert set(docs[0]) == {
        *("question_id", "question_content", "difficulty", "platform", "contest_date"),
        *("tests", "starter_code", "function"),
    }
    assert [doc["function"] for doc in docs] == ["", "", "add", ""]
    assert len({doc["tests"] for doc in docs}) == 4
    assert SECRET not in json.dumps(docs)


def test_the_hubs_cache_and_zipped_files_give_the_same_documents(hub: Path, tmp_path: Path) -> None:
    plain = list(documents(data_dir=str(hub))["test"])
    place = tmp_path / "datasets--livecodebench--code_generation_lite" / "snapshots" / SOURCE.revision
    place.mkdir(parents=True)
    for name in ("test", "test2"):
        rows = (hub / "livecodebench" / "code_generation_lite" / f"{name}.jsonl").read_bytes()
        (place / f"{name}.jsonl.gz").write_bytes(gzip.compress(rows))
    assert list(documents(data_dir=str(tmp_path))["test"]) == plain
    assert verdict(plain[2], block(FUNCTIONS["class Solution"][0])).score == 1.0


def test_without_the_data_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot load livecodebench/code_generation_lite.*lite/test\.jsonl"):
        documents()
    with pytest.raises(DataError, match=r"Put the hub's files into livecodebench/code_generation_lite/ there"):
        documents(data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("metadata", "[]", "problem sum: `metadata` is not a JSON object"),
        ("metadata", "{", "problem sum: `metadata` is not a JSON object"),
        ("question_content", " ", "column 'question_content': expected str, found empty text"),
        ("private_test_cases", None, "row 1: expected an object with text in public_test_cases and private_test"),
    ],
)
def test_malformed_rows_are_named(tmp_path: Path, column: str, value: Any, says: str) -> None:
    with pytest.raises(DataError, match=says.replace("[", r"\[")):
        documents(data_dir=str(lay_out(tmp_path / "bad", [{**SUM, column: value}], SECOND)))


def test_a_line_that_is_not_json_is_named(hub: Path) -> None:
    with (hub / "livecodebench" / "code_generation_lite" / "test2.jsonl").open("a") as file:
        file.write("\n{")
    with pytest.raises(DataError, match=r"test2\.jsonl, row 4: not JSON"):
        documents(data_dir=str(hub))


def test_the_prompt_of_a_program_that_reads(hub: Path) -> None:
    doc = next(iter(documents(data_dir=str(hub))["test"]))
    assert prompt(doc) == (
        "Problem sum.\n\nWrite a complete Python 3 program that solves the problem above. It reads the input from "
        "standard input and prints nothing but the answer to standard output. Think step by step, then give the whole "
        "program in one code block that begins with ```python."
    )


def test_the_prompt_of_a_function_has_the_starter_code(hub: Path) -> None:
    text = prompt(list(documents(data_dir=str(hub))["test"])[2])
    assert text.startswith(
        "Problem add.\n\nStarter code:\n```python\nclass Solution:\n"
        "    def add(self, nums: List[int], n: int) -> List[int]:\n```\n\nComplete the starter code"
    )


@pytest.mark.parametrize(
    ("metadata", "starter", "function"),
    [
        ({"func_name": "f"}, "class Solution:\n    def g(self): ", "f"),
        ({}, "class Solution:\n    def g(self): ", "g"),
        ({}, "def h(n: int) -> int:", "h"),
        ({}, "", ""),
    ],
)
def test_the_function_is_the_problems(metadata: dict[str, str], starter: str, function: str) -> None:
    row = {**SUM, "metadata": json.dumps(metadata), "starter_code": starter, "tests": "t"}
    assert document(row, "here")["function"] == function


# ------------------------------------------------------------------------------ verdicts


def block(code: str) -> str:
    return f"<think>hm</think>Here:\n```python\n{code}\n```\n"


def verdict(doc: dict[str, Any], text: str) -> Verdict:
    [found] = grade_batch(GRADER, [Item(doc, split_thinking(text))])
    return found


def verdicts(doc: dict[str, Any], programs: Mapping[str, tuple[str, float, float]]) -> list[Verdict]:
    return grade_batch(GRADER, [Item(doc, split_thinking(block(code))) for code, *_ in programs.values()])


READ = "a, b = map(int, input().split())\n"
# program -> score, and the score by the paper rule
SUMS = {
    "right": (f"{READ}print(a + b)", 1, 1),
    "wrong": (f"{READ}print(a - b)", 0, 0),
    "right on the public test only": (f"{READ}print(3)", 0, 0),
    "reads lines of stdin": ("import sys\nfor line in sys.stdin:\n    print(sum(map(int, line.split())))", 1, 1),
    "another input": ("import sys\ninput = sys.stdin.readline\n" + READ + "print(a + b)", 1, 1),
    "prints what input says": ("a, b = map(int, input('?').split())\nprint(a + b)", 0, 0),
    "a star import": (f"from math import *\n{READ}print(floor(a + b))", 1, 1),
    "three-argument pow": (f"{READ}assert pow(2, 3, 5) == 3\nprint(a + b)", 1, 1),
    "raises": (f"{READ}print(a + b)\n1 / 0", 0, 0),
    "does not compile": ("print(", 0, 0),
    "a null character": ("print(1)\0", 0, 0),
    # The main part runs if the condition is in the text as that code looks for it.
    "in main": (f'def main():\n    {READ}    print(a + b)\nif __name__ == "__main__":\n    main()', 1, 1),
    "in main, single quotes": (
        f"def main():\n    {READ}    print(a + b)\nif __name__ == '__main__':\n    main()",
        1,
        0,
    ),
    "in main, no blanks": (f'def main():\n    {READ}    print(a + b)\nif __name__=="__main__":\n    main()', 1, 0),
    "in main, by a comment": (
        f"# __name__ == \"__main__\"\ndef main():\n    {READ}    print(a + b)\nif __name__ == '__main__':\n    main()",
        *(1, 1),
    ),
    "a future import": (f"# ok\nfrom __future__ import annotations\n{READ}c: Undefined = a\nprint(c + b)", 1, 1),
    "a future import and a main": (
        f'from __future__ import annotations\n{READ}if __name__ == "__main__":\n    print(a + b)',
        *(1, 0),
    ),
    # Input and output are texts in memory.
    "reads bytes": ("import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))", 1, 0),
    "opens 0": ("print(sum(map(int, open(0).read().split())))", 1, 0),
    "reads descriptor 0": ("import os\nprint(sum(map(int, os.read(0, 99).split())))", 1, 0),
    "looks back in descriptor 0": ("import os\nprint(sum(map(int, os.pread(0, 99, 0).split())))", 1, 0),
    "writes bytes": (f"import sys\n{READ}sys.stdout.buffer.write(b'%d' % (a + b))", 1, 0),
    "writes to descriptor 1": (f"import os\n{READ}os.write(1, b'%d' % (a + b))", 1, 0),
    "flushes": (f"import sys\n{READ}print(a + b, flush=True)\nsys.stdout.flush()", 1, 1),
    "a buffer of its own": (
        f"import sys, io\n{READ}out, sys.stdout = sys.stdout, io.StringIO()\nprint(a + b)\n"
        "out.write(sys.stdout.getvalue())",
        *(1, 1),
    ),
    "a thread that is waited for": (
        f"import threading\n{READ}t = threading.Thread(target=lambda: print(a + b))\nt.start()\nt.join()",
        *(1, 1),
    ),
    "a thread that is not": (
        f"import threading, time\n{READ}threading.Thread(target=lambda: [time.sleep(0.2), print(a + b)]).start()",
        *(1, 0),
    ),
    "at exit": (f"import atexit\n{READ}atexit.register(lambda: print(a + b))", 1, 0),
    "a failure at exit": (f"import atexit, os\n{READ}print(a + b)\natexit.register(os._exit, 3)", 0, 1),
    "a word at exit": (f"import atexit\n{READ}print(a + b)\natexit.register(lambda: print('done'))", 0, 1),
    # Who ends the process has no result.
    "exits": (f"{READ}print(a + b)\nexit()", 1, 0),
    "exits in a function": (f"{READ}def f():\n    print(a + b)\n    exit()\nf()\nprint(1)", 1, 0),
    "exits by sys": (f"import sys\n{READ}print(a + b)\nsys.exit(0)", 1, 0),
    "exits and catches it": (f"import sys\n{READ}print(a + b)\ntry:\n    sys.exit()\nexcept:\n    pass", 1, 1),
    # Nothing is imported before, and something is taken away.
    "names not imported": ("print(reduce(add, map(int, sys.stdin.read().split())))", 1, 0),
    "annotations not imported": (f"def f(x: List[int]):\n    return sum(x)\n{READ}print(f([a, b]))", 1, 0),
    "a module that is not there": (f"import resource\n{READ}print(a + b)", 1, 0),
    "a module that may be missing": (
        f"try:\n    import resource\nexcept ImportError:\n    pass\n{READ}print(a + b)",
        *(1, 1),
    ),
    "where it is": (f"import os\nos.getcwd()\n{READ}print(a + b)", 1, 0),
    "numpy": (f"import numpy as np\n{READ}print(np.array([a, b]).sum())", 1, 1),
    "a deep recursion": (
        f"{READ}def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nassert f(20000) == 20000\nprint(a + b)",
        *(1, 0),
    ),
    "a deep recursion that is allowed": (
        f"import sys\nsys.setrecursionlimit(10**5)\n{READ}"
        "def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nassert f(20000) == 20000\nprint(a + b)",
        *(1, 1),
    ),
}


def test_programs_that_read_and_print(hub: Path) -> None:
    doc = next(iter(documents(data_dir=str(hub))["test"]))
    for found, (name, (code, score, paper)) in zip(verdicts(doc, SUMS), SUMS.items(), strict=True):
        assert (found.status, found.score, found.paper) == ("ok", score, paper), (name, found)
        assert found.answer == code.strip()
        by_process = ("opens 0", "reads descriptor 0", "looks back in descriptor 0", "writes to descriptor 1")
        official = score * (name not in (*by_process, "a thread that is not", "at exit"))
        assert found.measures == {"score_official": official, "score_easy": score}, name
        assert bool(found.reason) is not bool(score)
        assert SECRET not in json.dumps(found.to_dict())


BODY = "return [x + n for x in nums]"
PLAIN = f"def add(nums, n):\n    {BODY}"
FUNCTIONS = {
    "class Solution": (
        f"class Solution:\n    def add(self, nums: List[int], n: int) -> List[int]:\n        {BODY}",
        *(1, 0),
    ),
    "a plain function": (PLAIN, 1, 1),
    "a helper first": (
        "def plus(x, n):\n    return x + n\ndef add(nums, n):\n    return [plus(x, n) for x in nums]",
        *(1, 0),
    ),
    "a helper last": (
        "def add(nums, n):\n    return [plus(x, n) for x in nums]\ndef plus(x, n):\n    return x + n",
        *(1, 1),
    ),
    "a helper class first": (
        "from typing import List\nclass Node:\n    def other(self): pass\nclass Solution:\n"
        "    def plus(self, x, n):\n        return x + n\n"
        "    def add(self, nums, n):\n        return [self.plus(x, n) for x in nums]",
        *(1, 0),
    ),
    "class Solution without annotations": (f"class Solution:\n    def add(self, nums, n):\n        {BODY}", 1, 0),
    "class Solution(object)": (f"class Solution(object):\n    def add(self, nums, n):\n        {BODY}", 1, 0),
    "class Solution and a function": (f"class Solution:\n    def add(self, nums, n):\n        {BODY}\n{PLAIN}", 1, 1),
    "annotations not imported": (f"def add(nums: List[int], n: int):\n    {BODY}", 1, 0),
    "annotations imported": (f"from typing import List\ndef add(nums: List[int], n: int):\n    {BODY}", 1, 1),
    "annotations of the language": (f"def add(nums: list[int], n: int) -> list[int]:\n    {BODY}", 1, 1),
    "annotations of the future": (
        f"from __future__ import annotations\ndef add(nums: List[int], n: int):\n    {BODY}",
        *(1, 1),
    ),
    # The name is guessed from the text before the first bracket.
    "another name": (f"def plus(nums, n):\n    {BODY}", 0, 1),
    "a bracket in a comment": (f"# Adds (all).\n{PLAIN}", 1, 0),
    "its name in a comment": (f"# This is add(nums, n).\n{PLAIN}", 1, 1),
    "a call first": (f"import sys\nsys.setrecursionlimit(9999)\n{PLAIN}", 1, 0),
    "an import with brackets": (f"from math import (floor)\n{PLAIN}", 1, 0),
    "an import": (f"import math\n{PLAIN}", 1, 1),
    "a decorator with brackets": (
        f"import functools\n@functools.wraps(print)\n{PLAIN}",
        *(1, 0),
    ),
    "a lambda": ("add = lambda nums, n: [x + n for x in nums]", 1, 0),
    "prints besides": (f"def add(nums, n):\n    print(nums)\n    {BODY}", 1, 1),
    "a main of its own": (f"{PLAIN}\nif __name__ == '__main__':\n    print(add([1], 1))", 1, 1),
    # Its result has to be equal as Python's values are.
    "a tuple": ("def add(nums, n):\n    return tuple(x + n for x in nums)", 1, 0),
    "decimals": ("def add(nums, n):\n    return [float(x + n) for x in nums]", 1, 1),
    "numbers of numpy": ("import numpy\ndef add(nums, n):\n    return [numpy.int64(x + n) for x in nums]", 1, 1),
    "an array of numpy": ("import numpy\ndef add(nums, n):\n    return numpy.array(nums, int) + n", 0, 0),
    "wrong": ("def add(nums, n):\n    return nums", 0, 0),
    "changes its arguments": ("def add(nums, n):\n    nums[:] = [x + n for x in nums]", 0, 0),
    "returns what is no JSON": ("def add(nums, n):\n    return {1: object()}", 0, 0),
    "raises": ("def add(nums, n):\n    raise ValueError", 0, 0),
    "exits": ("def add(nums, n):\n    exit()", 0, 0),
    "exits outside": (f"{PLAIN}\nraise SystemExit", 0, 0),
}


def test_functions(hub: Path) -> None:
    doc = list(documents(data_dir=str(hub))["test"])[2]
    for found, (name, (_, score, paper)) in zip(verdicts(doc, FUNCTIONS), FUNCTIONS.items(), strict=True):
        assert (found.status, found.score, found.paper) == ("ok", score, paper), (name, found)
        assert found.measures == {"score_official": score, "score_hard": score}


# What a function is called with and has to return -> a function, score, score by the paper rule.
ARGUMENTS: dict[str, tuple[str, str, str, float, float]] = {
    "a text": ('"ab"', '"ab"', "return x", 1, 1),
    "a text with an escape": ('"a\\nb"', '"a\\nb"', "return x", 1, 0),
    "a text with a =": ('"a=b"', '"b"', "return x", 0, 1),
    "a text with two =": ('"a==b"', '"a==b"', "return x", 1, 0),
    "a truth": ("true", "false", "return not x", 1, 1),
    "an untruth": ("false", "true", "return not x", 1, 0),
    "an object": ('{"a": 1}', "1", "return x['a']", 1, 0),
    "a list of truths": ("[true, false]", "[false, true]", "return x[::-1]", 1, 1),
    "a decimal": ("2.0", "2", "return x", 1, 1),
    "a pair in a list": ("1", "[[1, 2]]", "return [(1, 2)]", 1, 0),
    "an object as the result": ("1", '{"a": 1}', "return {'a': x}", 1, 1),
    "an object with numbers as names": ("1", '{"1": 1}', "return {1: x}", 1, 0),
    "nothing": ("1", "null", "return None", 1, 1),
    "not a number": ("1", "1", "return '1'", 0, 0),
}


def test_arguments_and_results_as_the_papers_code_reads_them(tmp_path: Path) -> None:
    starter = {"starter": "def f(x):", "name": "f"}
    rows = [
        problem(name, "easy", hidden((given, expected)), [[given, expected]], **starter)
        for name, (given, expected, *_) in ARGUMENTS.items()
    ]
    docs = documents(data_dir=str(lay_out(tmp_path / "arguments", rows, [SUM])))["test"]
    texts = [block(f"def f(x):\n    {body}") for _, _, body, *_ in ARGUMENTS.values()]
    items = [Item(doc, split_thinking(text)) for doc, text in zip(list(docs)[:-1], texts, strict=True)]
    found = dict(zip(ARGUMENTS, grade_batch(GRADER, items), strict=True))
    assert {name: (verdict.score, verdict.paper) for name, verdict in found.items()} == {
        name: (score, paper) for name, (*_, score, paper) in ARGUMENTS.items()
    }


SUM_OF_TWO = f"{READ}print(a + b)"
# The problem, a response -> status, score, paper.
RULES: dict[str, tuple[int, str, tuple[str, float, float]]] = {
    "another fence": (0, f"```py\n{SUM_OF_TWO}\n```", ("ok", 1.0, 0.0)),
    "left open": (0, f"```python\n{SUM_OF_TWO}", ("ok", 1.0, 0.0)),
    "only in the thinking": (0, f"<think>```python\n{SUM_OF_TWO}\n```</think>That is it.", ("no_answer", 0.0, 1.0)),
    "thinking that never closes": (0, f"<think>```python\n{SUM_OF_TWO}\n```", ("truncated", 0.0, 1.0)),
    "two programs": (0, f"```python\n{SUM_OF_TWO}\n```\nOr\n```py\nprint(1)\n```", ("ok", 0.0, 1.0)),
    "no program": (0, "I cannot.", ("no_answer", 0.0, 0.0)),
    "nothing": (0, "", ("no_answer", 0.0, 0.0)),
    "an empty program": (0, "```python\n\n```", ("no_answer", 0.0, 0.0)),
    "a sample output last": (0, f"```python\n{SUM_OF_TWO}\n```\n```\n3\n```", ("ok", 1.0, 1.0)),
    "decimals": (1, block("print(float(input()) / 2)"), ("ok", 1.0, 1.0)),
    "other decimals": (1, block("print('%.3f' % (int(input()) / 2))"), ("ok", 1.0, 0.0)),
    "wrong on the public test": (1, block("n = int(input())\nprint(n / 2 if n > 1 else 7)"), ("ok", 0.0, 1.0)),
}


@pytest.mark.parametrize("name", RULES)
def test_both_rules(hub: Path, name: str) -> None:
    number, text, expected = RULES[name]
    found = verdict(list(documents(data_dir=str(hub))["test"])[number], text)
    assert (found.status, found.score, found.paper) == expected, found


REASONS = {
    "print(": "compile error",
    "print(0)": "wrong answer in test 1",
    f"{READ}print(a + b if a else 7)": "wrong answer in test 2",
    f"{READ}print(a + b if b != 2 else 7)": "wrong answer in test 3",
    "1 / 0": "crash in test 1",
    "while True: pass": "time limit in test 1",
    "x = [0] * 10**10\nprint(x)": "memory limit in test 1",
}


def test_the_reason_is_kept_and_never_the_test(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livecodebench, "LIMITS", Limits(test_seconds=0.5))
    monkeypatch.setattr(livecodebench, "PAPER_TEST_SECONDS", 0.5)
    doc = next(iter(documents(data_dir=str(hub))["test"]))
    items = [Item(doc, split_thinking(block(code))) for code in REASONS]
    found = grade_batch(GRADER, items)
    assert [verdict.reason for verdict in found] == list(REASONS.values())


def test_the_papers_code_has_no_limit_for_one_test(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livecodebench, "LIMITS", Limits(test_seconds=0.2))
    doc = next(iter(documents(data_dir=str(hub))["test"]))
    found = verdict(doc, block(f"import time\ntime.sleep(0.4)\n{SUM_OF_TWO}"))
    assert (found.score, found.reason, found.paper) == (0.0, "time limit in test 1", 1.0)


def test_five_megabytes_of_code(hub: Path) -> None:
    doc = next(iter(documents(data_dir=str(hub))["test"]))
    assert verdict(doc, block(f"x = '{'y' * 5_000_000}'\n{SUM_OF_TWO}")).score == 1.0


# ------------------------------------------------------------------------------ tests that cannot be used


class Harm:
    def __reduce__(self) -> Any:
        return Path.write_text, (HARMED, "unpickled here")


HARMED = Path("harmed")
UNUSABLE = {
    "no pickle": encoded(b"no pickle"),
    "not compressed": base64.b64encode(b"x").decode(),
    "not base64": "\u00e9",
    "a pickle that acts": encoded(pickle.dumps(Harm())),
    "not a list": encoded(pickle.dumps("3")),
    "without an output": encoded([{"input": "1 2"}]),
    "numbers": "[[1]]",
}


@pytest.mark.parametrize("private", UNUSABLE.values(), ids=UNUSABLE)
def test_tests_that_cannot_be_used_are_not_the_models_failure(
    tmp_path: Path, private: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = lay_out(tmp_path / "bad", [{**SUM, "private_test_cases": private}], [HALF])
    bad, good = documents(data_dir=str(folder))["test"]
    items = [Item(bad, split_thinking(block(SUM_OF_TWO))), Item(good, split_thinking(block("print(int(input()) / 2)")))]
    found = grade_batch(GRADER, items)
    assert [verdict.status for verdict in found] == ["sandbox_error", "ok"]
    assert (found[0].score, found[0].paper, found[0].measures) == (None, None, {})
    assert found[0].reason.startswith("sandbox error: ")
    assert not list(tmp_path.rglob("harmed"))


def test_a_problem_without_tests(tmp_path: Path) -> None:
    row = {**SUM, "public_test_cases": "[]", "private_test_cases": encoded([])}
    [doc, _] = documents(data_dir=str(lay_out(tmp_path / "bad", [row], [HALF])))["test"]
    assert verdict(doc, block(SUM_OF_TWO)).reason == "sandbox error: the problem has no tests"


def test_arguments_that_are_not_json(tmp_path: Path) -> None:
    row = {**ADD, "private_test_cases": hidden(("nums = [1]", "[2]"))}
    [_, doc] = documents(data_dir=str(lay_out(tmp_path / "bad", [SUM], [row])))["test"]
    assert verdict(doc, block(FUNCTIONS["class Solution"][0])).status == "sandbox_error"


def test_tests_are_decoded_once(hub: Path, cache: Path) -> None:
    docs = list(documents(data_dir=str(hub))["test"])
    assert not cache.exists()
    assert verdict(docs[0], block(SUM_OF_TWO)).score == 1.0
    [stored] = cache.iterdir()
    assert stored.name == f"{docs[0]['tests']}.json.zlib"
    lcb_tests._places.clear()
    assert verdict(docs[0], block(SUM_OF_TWO)).score == 1.0
    stored.write_bytes(b"damaged")
    found = verdict(docs[0], block(SUM_OF_TWO))
    assert found.reason == "sandbox error: tests are missing: load the benchmark in this process first"
    documents(data_dir=str(hub))
    assert verdict(docs[0], block(SUM_OF_TWO)).score == 1.0


def test_a_file_that_changed_meanwhile(hub: Path) -> None:
    docs = list(documents(data_dir=str(hub))["test"])
    path = hub / "livecodebench" / "code_generation_lite" / "test.jsonl"
    path.write_text(path.read_text().replace("1 2\\\\n", "1 3\\\\n"))
    assert "have changed in" in verdict(docs[0], block(SUM_OF_TWO)).reason


# ------------------------------------------------------------------------------ whole runs


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Outputs of some other tool, three a problem."""
    outputs = {
        "sum": [block(SUM_OF_TWO), block("print(3)"), "<think>cut"],
        "half": [block("print('%.2f' % (int(input()) / 2))"), block("print(int(input()) / 2)"), "no"],
        "add": [block(code) for code, *_ in list(FUNCTIONS.values())[:3]],
        "broken": [block("print(1)"), block("print(2)"), "no"],
    }
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps({"id": name, "out": texts}) + "\n" for name, texts in outputs.items()))
    return path


EXPECTED = {
    # broken has one response without a program, which is wrong whatever the tests are
    "score,sftgen": pytest.approx((1 / 3 + 2 / 3 + 1 + 0) / 4),
    "score_paper,sftgen": pytest.approx((1 / 3 + 1 / 3 + 1 / 3 + 0) / 4),
    "score_official,sftgen": pytest.approx((1 / 3 + 2 / 3 + 1 + 0) / 4),
    "score_easy,sftgen": pytest.approx(1 / 3),
    "score_medium,sftgen": pytest.approx(2 / 3),
    "score_hard,sftgen": pytest.approx(1 / 2),
    "coverage,sftgen": pytest.approx((3 + 3 + 3 + 1) / 12),
    "truncated,sftgen": pytest.approx(1 / 12),
    # Whoever cannot grade a program has still been given one.
    "answered,sftgen": pytest.approx((2 + 2 + 3 + 2) / 12),
}


def test_plain_lm_eval_from_stored_outputs(command: Command, hub: Path, stored: Path, tmp_path: Path) -> None:
    model = ("--model", "sftgen-replay", "--model_args", f"path={stored},text=out,key=id:question_id")
    data = ("--metadata", json.dumps({"data_dir": str(hub)}))
    log = ("--output_path", tmp_path / "out", "--log_samples")
    result = command("lm_eval", "--tasks", "sftgen_lcb_v2", *model, *data, *log, before=few_tasks)
    assert result.returncode == 0, result.stderr
    found = results(tmp_path / "out")["sftgen_lcb_v2"]
    assert {name: found[name] for name in EXPECTED} == EXPECTED
    # Private tests are in nothing that is written but the store.
    [samples] = (tmp_path / "out").rglob("samples_*.jsonl")
    written = [samples, *(path for path in Path(os.environ["SFTGEN_RUN_DIR"]).rglob("*") if path.is_file())]
    assert len(written) > 3
    for path in written:
        assert SECRET not in path.read_text()
        assert SUM["private_test_cases"] not in path.read_text()
    docs = [json.loads(line)["doc"] for line in samples.read_text().splitlines()]
    assert not any("test_cases" in name for doc in docs for name in doc)


def test_a_run_is_scored_again(command: Command, hub: Path, stored: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = ("--model", "sftgen-replay", "--model_args", f"path={stored},text=out,key=id:question_id")
    data = ("--metadata", json.dumps({"data_dir": str(hub)}))
    result = command("sftgen", "eval", "--tasks", "sftgen_lcb_v2", *model, *data, "--run", run)
    assert result.returncode == 0, result.stderr
    before = (run / "metrics.jsonl").read_text()
    (run / "verdicts" / "sftgen_lcb_v2.jsonl").unlink()
    result = command("sftgen", "rescore", run)
    assert result.returncode == 0, result.stderr
    assert '"score_medium"' in before
    assert (run / "metrics.jsonl").read_text() == before


def test_nothing_is_generated_where_programs_may_not_be_run(command: Command, hub: Path, tmp_path: Path) -> None:
    model = ("--model", "sftgen-replay", "--model_args", f"path={tmp_path / 'nothing'}")
    data = ("--metadata", json.dumps({"data_dir": str(hub)}))
    environment = {**os.environ, "SFTGEN_SANDBOX": "limits"}
    result = command("sftgen", "eval", "--tasks", "sftgen_lcb_v2", *model, *data, env=environment, cwd=tmp_path)
    assert result.returncode == 2
    assert "--allow-unsandboxed-code" in result.stderr
    assert "Traceback" not in result.stderr


# ------------------------------------------------------------------------------ stored submissions

EVERY = 1 if os.environ.get("FULL_AGREEMENT") else 25
"""Of the stored problems one in so many: all of them take minutes."""
# Official failures whose programs print what was expected: docs/code_agreement.md says of each why.
READS_0 = (
    *("abc301_b o1-preview", "abc315_b o1-mini", "abc349_a o1-mini", "abc349_a o1-preview"),
    *("abc359_b o1-mini", "abc359_b o1-preview", "abc365_b o1-mini"),
)
THREADS = (
    *("abc310_d o1-preview", "abc325_f o1-preview", "abc342_d o1-preview", "abc345_d o1-preview"),
    *("abc349_e o1-preview", "abc361_d o1-preview", "abc363_c o1-preview", "abc364_f o1-preview"),
    *("abc367_g o1-preview", "abc368_f o1-mini", "abc368_f o1-preview", "abc371_c o1-preview"),
    *("abc374_c o1-preview", "abc374_e o1-preview", "abc378_d o1-preview", "abc380_f o1-preview"),
    *("abc382_c o1-mini", "arc185_c o1-preview"),
)
AT_THE_LIMIT = ("abc301_e o1-mini", "abc301_e o1-preview", "abc324_d o1-preview")
NOT_OURS = {*READS_0, *THREADS, *AT_THE_LIMIT}


@pytest.fixture(scope="session")
def submissions(data_dir: Path) -> list[dict[str, Any]]:
    chosen = read_table(data_dir / "livecodebench" / "lcb_v5_o1_replay.jsonl.gz")
    named = {name.split()[0] for name in (*READS_0, *THREADS[-3:])}
    return [row for number, row in enumerate(chosen) if number % EVERY == 0 or row["question_id"] in named]


@pytest.fixture
def stored_hub(submissions: list[dict[str, Any]], tmp_path: Path) -> Path:
    """The stored problems as the hub has them, statements left out."""
    rows = []
    for row in submissions:
        by_kind = {
            kind: [[test["input"], test["output"]] for test in row["tests"] if test["kind"] == kind]
            for kind in ("sample", "private_fail")
        }
        other = {"starter": row["starter_code"], "name": row["fn_name"]} if row["fn_name"] else {}
        private = hidden(*map(tuple, by_kind["private_fail"]))
        rows.append(problem(row["question_id"], row["difficulty"], private, by_kind["sample"], **other))
    return lay_out(tmp_path / "stored", rows[::2], rows[1::2])


def test_stored_submissions_agree_with_the_official_verdicts(
    submissions: list[dict[str, Any]], stored_hub: Path
) -> None:
    docs = {doc["question_id"]: doc for doc in documents(data_dir=str(stored_hub))["test"]}
    items, expected = [], {}
    for row in submissions:
        for submission in row["submissions"]:
            name = f"{row['question_id']} {submission['model']}"
            if submission["use"] in ("expect_pass", "expect_fail"):
                expected[name] = float(submission["published_graded"])
                items.append(Item(docs[row["question_id"]], split_thinking(f"```python\n{submission['code']}\n```")))
    found = dict(zip(expected, grade_batch(GRADER, items, label="stored"), strict=True))
    other = {name: verdict for name, verdict in found.items() if verdict.score != expected[name]}
    for name, verdict in other.items():
        assert (name in NOT_OURS, verdict.score) == (True, 1.0), (name, verdict)
    # Those at the limit pass on some machines, and in some runs.
    assert set(other) >= (NOT_OURS - set(AT_THE_LIMIT)) & set(expected)
    differs = {name for name, verdict in found.items() if verdict.measures["score_official"] != expected[name]}
    # A thread that takes as long as Python lets it run is a race, there as here.
    assert differs <= {*AT_THE_LIMIT, *THREADS}
    assert len(differs) <= max(2, 0.005 * len(expected))
    assert len(expected) > 60


def test_stored_outputs_end_to_end(
    command: Command, data_dir: Path, submissions: list[dict[str, Any]], stored_hub: Path, tmp_path: Path
) -> None:
    chosen = {row["question_id"] for row in submissions}
    rows = read_table(data_dir / "livecodebench" / "outputs_o1-mini.jsonl.gz")
    rows = [row for row in rows if row["question_id"] in chosen]
    outputs = tmp_path / "outputs.jsonl"
    outputs.write_text("".join(json.dumps({"id": r["question_id"], "out": [r["output"]] * 3}) + "\n" for r in rows))
    model = ("--model", "sftgen-replay", "--model_args", f"path={outputs},text=out,key=id:question_id")
    data = ("--metadata", json.dumps({"data_dir": str(stored_hub)}))
    log = ("--output_path", tmp_path / "out", "--log_samples")
    result = command("sftgen", "eval", "--tasks", "sftgen_lcb_v2", *model, *data, *log)
    assert result.returncode == 0, result.stderr
    [samples] = (tmp_path / "out").rglob("samples_*.jsonl")
    scores = {row["doc"]["question_id"]: row["score"] for row in map(json.loads, samples.read_text().splitlines())}
    official = {row["question_id"]: row["graded"] for row in rows}
    # Officially right is right here; officially wrong may pass, since only a part of the tests is stored.
    # (Left out are problems whose samples in the statement were not read right.)
    trusted = {row["question_id"] for row in submissions if all(s["use"] != "exclude" for s in row["submissions"])}
    assert {name for name in trusted if official[name] and scores[name] != 1.0} == set()


def test_the_program_in_stored_outputs_is_the_official_one(data_dir: Path) -> None:
    rows = read_table(data_dir / "livecodebench" / "outputs_o1-mini.jsonl.gz")
    other = [row for row in rows if (last_program(row["output"]) or "").strip() != row["code"].strip()]
    # The official rule takes what is between the first two fences, and these begin with two.
    assert [row["question_id"] for row in other] == ["3637", "abc384_g"]
    assert [row["output"].count("```python\n```python\n") for row in other] == [1, 1]
    assert [row["code"] for row in other] == ["", ""]
