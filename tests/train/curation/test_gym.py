"""Questions of reasoning-gym, with a stand-in of the library's shape: the real one was run by hand, see docs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from sftgen_judges import Response
from sftgen_train.cli.main import app
from sftgen_train.curation import gym
from sftgen_train.curation.gym import GymError, grade, is_safe, write_gym
from sftgen_train.curation.reading import stream_rows

SAFE = """
class Doubles:
    def __init__(self, seed, size, most=50):
        if most < 1:
            raise ValueError("most must be positive")
        self.seed, self.size, self.most = seed, size, most
    def __getitem__(self, place):
        number = (self.seed + 11 * place) % self.most
        return {"question": f"Twice {number}?", "answer": str(2 * number), "metadata": {"number": number, "set": {1}}}
    def score_answer(self, answer, entry):
        return 1.0 if int(answer) == 2 * entry["metadata"]["number"] else 0.01
"""
UNSAFE = """
class Sums:
    def __init__(self, seed, size):
        self.seed = seed
    def __getitem__(self, place):
        return {"question": f"{place}+1?", "answer": str(place + 1), "metadata": {}}
    def score_answer(self, answer, entry):
        return float(eval(answer) == int(entry["answer"]))
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(tmp_path))
    kinds: dict[str, Any] = {}
    for name, code, made in (("doubles_task", SAFE, "Doubles"), ("sums_task", UNSAFE, "Sums")):
        (tmp_path / f"{name}.py").write_text(code)
        kinds[made.lower()] = getattr(__import__(name), made)
    made = ModuleType("reasoning_gym")
    made.__version__ = "0"  # type: ignore[attr-defined]
    made.factory = SimpleNamespace(DATASETS=kinds)  # type: ignore[attr-defined]
    made.create_dataset = lambda name, **options: kinds[name](**options)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reasoning_gym", made)
    gym.scorer.cache_clear()
    return made


def test_a_set_holds_different_questions_that_its_own_grader_verifies(library: ModuleType, tmp_path: Path) -> None:
    made = write_gym(tmp_path / "set", "doubles", rows=40, seed=3)
    rows = list(stream_rows(str(tmp_path / "set")))
    assert (made.rows, len({row["question"] for row in rows})) == (40, 40)
    for row in rows:
        assert grade(row, Response(row["completion"], answer=row["completion"])).score == 1
    again = write_gym(tmp_path / "again", "doubles", rows=40, seed=3)
    assert again.content_hash == made.content_hash
    assert write_gym(tmp_path / "other", "doubles", rows=40, seed=4).content_hash != made.content_hash


def test_the_command_passes_options_on(library: ModuleType, tmp_path: Path) -> None:
    words = ["data", "gym", "doubles", "--rows", "6", "--to", str(tmp_path / "set"), "--option", "most=6"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    questions = {row["question"] for row in stream_rows(str(tmp_path / "set"))}
    assert questions == {f"Twice {number}?" for number in range(6)}


def test_responses_are_scored_by_the_library_and_only_full_marks_are_right(library: ModuleType) -> None:
    doc = {"question": "Twice 4?", "answer": "8", "task": "doubles", "metadata": json.dumps({"number": 4})}

    def score(answer: str) -> float | None:
        return grade(doc, Response(answer, answer=answer)).score

    assert [score(f"So <answer>{answer}</answer>") for answer in ("8", " +8 ", "9", "eight")] == [1, 1, 0, 0]
    assert (score("It is \\boxed{8}."), score("It is 8."), score("<answer>" + "8" * 30_000 + "</answer>")) == (1, 0, 0)


def test_a_strangers_answer_is_never_evaluated(library: ModuleType, tmp_path: Path) -> None:
    doc = {"question": "1+1?", "answer": "2", "task": "sums", "metadata": "{}"}
    trace = tmp_path / "ran"
    for answer, expected in (("2", 1), ("1+1", 0), (f"open({str(trace)!r}, 'w') and 2", 0)):
        text = f"<answer>{answer}</answer>"
        assert grade(doc, Response(text, answer=text)).score == expected
    assert not trace.exists()
    unsafe = ("eval(x)", "sympy.sympify(x)", "parse_expr(x)", "pickle.loads(x)", "subprocess.run(x)", "exec(x)")
    assert [is_safe(code) for code in (*unsafe, "int(x)")] == [False] * 6 + [True]


def test_mistakes_are_told_before_anything_is_written(library: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with pytest.raises(GymError, match="no task 'double'; did you mean 'doubles'"):
        write_gym(folder, "double", rows=5)
    with pytest.raises(GymError, match="does not take these options: most must be positive"):
        write_gym(folder, "doubles", rows=5, options={"most": 0})
    assert not folder.exists()
    with pytest.raises(GymError, match="gave 7 different questions"):
        write_gym(folder, "doubles", rows=9, options={"most": 7})


def test_an_absent_library_names_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(GymError, match=r"pip install 'sftgen\[reasoning-gym\]'"):
        write_gym(tmp_path / "set", "doubles", rows=1)
