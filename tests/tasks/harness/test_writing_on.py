"""A response that writes on is scored by its first turn, and unknown markers of thinking are told."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Verdict, split_thinking
from sftgen_judges.records.current import Recording
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import gpqa_diamond, load_tasks, math500, mmlu_pro
from sftgen_tasks.harness.evaluation import evaluate
from sftgen_tasks.harness.generation import GeneratedText
from sftgen_tasks.harness.writing_on import grade_first_turns
from tests.tasks.harness.test_lm_eval_tasks import Scripted, answer_of, run

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

    def grade(items: Any) -> list[Verdict]:
        return [benchmark.grade(item.doc, item.response) for item in items]

    [item], [verdict] = grade_first_turns(grade, [Item(doc, split_thinking(text))], benchmark.prompt)
    measures = verdict.measures
    assert (verdict.score, measures["score_whole"], measures["wrote_on"]) == (first, whole, wrote_on)
    # The rule of the paper's code, and whoever reads the records, have the text as it was written.
    assert item.response.text == text
    assert verdict.paper == grade([Item(doc, split_thinking(text))])[0].paper


def test_math500_scores_first_turns_through_lm_eval(tmp_path: Path) -> None:
    (tmp_path / "math500.jsonl").write_text(json.dumps({**SUM, "unique_id": "1"}) + "\n")
    lm = Scripted(lambda _: "So \\boxed{2}.\n\nProblem: What is $2 + 2$?\n\nIt is \\boxed{4}.")
    result = run(lm, "sftgen_math500", tmp_path / "run", {"data_dir": str(tmp_path)})
    found = {name: result.values[name] for name in ("score", "score_whole", "wrote_on")}
    assert found == {"score": [1.0], "score_whole": [0.0], "wrote_on": [1.0]}
    [record, *_] = RunFolder(tmp_path / "run").read_generations("sftgen_math500")
    assert record.text.endswith(r"It is \boxed{4}.")


def test_a_response_of_three_turns_asks_the_grader_no_more_than_a_few_times() -> None:
    asked: list[int] = []

    def grade(items: Any) -> list[Verdict]:
        asked.append(len(items))
        return [math500.grade(item.doc, item.response) for item in items]

    texts = ["The answer is two." + "\n\nQuestion: Next?\nNo box." * 50, r"\boxed{2}"]
    grade_first_turns(grade, [Item(SUM, split_thinking(text)) for text in texts], math500.prompt)
    assert asked == [2, 1, 1, 1]


@pytest.mark.parametrize(("of_ten", "told"), [(0, False), (2, True), (10, True)])
def test_unknown_markers_are_told_in_metric_log_and_manifest(
    of_ten: int, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = iter(range(10))

    def answer(prompt: str) -> str:
        thinking = r"<ponder>\boxed{neither}</ponder>" if next(left) < of_ten else ""
        return rf"{thinking}\boxed{{{answer_of(prompt)}}}"

    with caplog.at_level(logging.WARNING):
        result = run(Scripted(answer), "sftgen_parity", tmp_path, limit=10)
    facts = RunFolder(tmp_path).manifest()["documents"]["sftgen_parity"]
    if told:
        assert sum(result.values["unknown_markers"]) == of_ten
        assert facts["unknown_markers"] == {"<ponder>": of_ten}
        [line] = [message for message in caplog.messages if "unknown marker" in message]
        assert f"{of_ten} of 10" in line
        assert "think_markers=OPENER,CLOSER" in line
    else:
        assert "unknown_markers" not in result.values
        assert "unknown_markers" not in facts
        assert "unknown marker" not in caplog.text


@pytest.mark.parametrize(
    ("opening", "response"),
    [
        ("", "<|channel>thought\n{wrong}\n<channel|>{right}"),
        ("<|channel>thought\n", "{wrong}\n<channel|>{right}"),
        ("[THINK]", "{wrong}[/THINK]{right}"),
        ("<deep_thought>\n", "{wrong}\n</deep_thought>\n{right}"),
    ],
)
def test_markers_that_nobody_set_are_found_and_the_records_keep_them(
    opening: str, response: str, tmp_path: Path
) -> None:
    def answer(prompt: str) -> str:
        return response.format(wrong=r"\boxed{neither}", right=rf"\boxed{{{answer_of(prompt)}}}")

    result = run(Scripted(answer, opening=opening), "sftgen_parity", tmp_path)
    assert result.values["score"] == [1.0, 1.0]
    assert {sample.response.thinking for sample in result.samples} == {r"\boxed{neither}"}
    # A rescore has neither model nor prompt.
    grading = load_tasks(["sftgen_parity"]).tasks["sftgen_parity"].grading
    records = RunFolder(tmp_path).read_generations("sftgen_parity")
    assert {grading._read(GeneratedText.of(record)).thinking for record in records} == {r"\boxed{neither}"}


def test_a_chat_templates_markers_reach_the_records(tmp_path: Path) -> None:
    class Templated(Scripted):
        def chat_template(self, chat_template: bool | str = False) -> str:
            return "{{ '<muse>' + message.thinking + '</muse>' }} {{ '[THINK]' + x + '[/THINK]' }}"

    tasks = load_tasks(["sftgen_parity"])
    evaluate(Templated(lambda _: "so B[/THINK]\\boxed{odd}"), tasks, Recording(RunFolder(tmp_path)), limit=1)
    [record] = RunFolder(tmp_path).read_generations("sftgen_parity")
    assert record.markers == "bracket-think"
