"""A response that writes on is scored by its first turn."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Response, Verdict, split_thinking
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import aime24, gpqa_diamond, halueval, math500, mmlu_pro
from sftgen_tasks.readers.first_turn import scores_first_turn
from tests.tasks.harness.test_lm_eval_tasks import Scripted, run

LETTERS = {"question": "What is the capital of France?", "options": ["Rome", "Paris", "Oslo"], "answer": "B"}
SUM = {"problem": "What is $1 + 1$?", "solution": r"It is $\boxed{2}$.", "answer": "2"}

# Benchmark, document, response, score of the first turn, score of the whole, whether it wrote on.
RESPONSES: dict[str, tuple[Any, dict[str, Any], str, float, float, bool]] = {
    "another question with options": (
        mmlu_pro, LETTERS, "Paris. The answer is (B).\n\nQuestion:\nOf Norway?\nOptions:\nA. Oslo\nThe answer is (A).",
        1, 0, True,
    ),
    "a wrong answer, then a right letter": (
        mmlu_pro, LETTERS, "The answer is (A).\n\nQuestion:\nOf Norway?\nOptions:\nB. Oslo\nThe answer is (B).",
        0, 1, True,
    ),
    "a letter alone": (mmlu_pro, LETTERS, "B\n\nQuestion:\nOf Norway?\nAnswer: C", 1, 0, True),
    "the question first": (
        mmlu_pro, LETTERS, "Let me answer this.\n\nQuestion: What about France?\nIt is Paris.\n\\boxed{B}", 1, 1, False
    ),
    "parts": (mmlu_pro, LETTERS, "Question 1: The answer is (A)\n\nQuestion 2: The answer is (B)", 1, 1, False),
    "another problem": (
        gpqa_diamond, LETTERS, "\\boxed{B}\n\nProblem: And of Norway?\nOptions: A) Oslo\n\\boxed{A}", 1, 0, True
    ),
    "boxes": (math500, SUM, "So \\boxed{2}.\n\nProblem: What is $2 + 2$?\n\nIt is \\boxed{4}.", 1, 0, True),
    "the user's turn": (math500, SUM, "\\boxed{2}<|im_end|>\n<|im_start|>user\nThanks, and 3?\n\\boxed{3}", 1, 0, True),
    "several questions": (math500, SUM, "\\boxed{2}" + "\n\nQuestion: Next?\n\\boxed{9}" * 3, 1, 0, True),
    "a question in the thinking": (
        math500, SUM, "<think>\n\\boxed{7}\nQuestion: What is it?\n</think>\n\\boxed{2}", 1, 1, False
    ),
    "no answer in the first turn": (math500, SUM, "The answer is two.\n\nQuestion: 1 + 1?\n\\boxed{2}", 1, 1, False),
}  # fmt: skip


@pytest.mark.parametrize("case", RESPONSES.values(), ids=RESPONSES)
def test_a_benchmark_scores_the_first_turn_and_tells_the_score_of_the_whole(
    case: tuple[Any, dict[str, Any], str, float, float, bool],
) -> None:
    benchmark, doc, text, first, whole, wrote_on = case
    verdict = benchmark.GRADER.grade(doc, split_thinking(text))
    measures = verdict.measures
    assert (verdict.score, measures["score_whole"], measures["wrote_on"]) == (first, whole, wrote_on)
    # The rule of the paper's code reads the text as it was written.
    assert verdict.paper == benchmark.grade.__wrapped__(doc, split_thinking(text)).paper


def test_math500_scores_first_turns_through_lm_eval(tmp_path: Path) -> None:
    (tmp_path / "math500.jsonl").write_text(json.dumps({**SUM, "unique_id": "1"}) + "\n")
    lm = Scripted(lambda _: "So \\boxed{2}.\n\nProblem: What is $2 + 2$?\n\nIt is \\boxed{4}.")
    result = run(lm, "sftgen_math500", tmp_path / "run", {"data_dir": str(tmp_path)})
    found = {name: result.values[name] for name in ("score", "score_whole", "wrote_on")}
    assert found == {"score": [1.0], "score_whole": [0.0], "wrote_on": [1.0]}
    [record, *_] = RunFolder(tmp_path / "run").read_generations("sftgen_math500")
    assert record.text.endswith(r"It is \boxed{4}.")


def test_no_more_than_a_few_turns_are_tried() -> None:
    asked: list[str] = []

    @scores_first_turn(lambda _: "Question:\nWhat?")
    def grade(_doc: Any, response: Response) -> Verdict:
        asked.append(response.answer)
        return Verdict.of(response, None, 0)

    text = "The answer is two." + "\n\nQuestion:\nNext?\nNo box." * 50
    assert grade({}, split_thinking(text)).status == "no_answer"
    assert len(asked) == 4
    assert grade({}, split_thinking("One turn.")).measures == {"wrote_on": 0.0, "score_whole": 0.0}
    assert len(asked) == 5


@pytest.mark.parametrize("benchmark", [math500, aime24, gpqa_diamond, mmlu_pro, halueval])
def test_the_rule_of_a_benchmark_goes_to_a_worker_process(benchmark: Any) -> None:
    assert pickle.loads(pickle.dumps(benchmark.grade)) is benchmark.grade
