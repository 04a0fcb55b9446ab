"""Markers of thinking through lm_eval: found without a setting, and told where they are not known."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sftgen_judges.records.current import Recording
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import load_tasks
from sftgen_tasks.harness.evaluation import evaluate
from tests.tasks.harness.test_lm_eval_tasks import Scripted, answer_of, run


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
    assert {grading.read(record).thinking for record in records} == {r"\boxed{neither}"}


def test_a_chat_templates_markers_reach_the_records(tmp_path: Path) -> None:
    class Templated(Scripted):
        def chat_template(self, chat_template: bool | str = False) -> str:
            return "{{ '<muse>' + message.thinking + '</muse>' }} {{ '[THINK]' + x + '[/THINK]' }}"

    tasks = load_tasks(["sftgen_parity"])
    evaluate(Templated(lambda _: "so B[/THINK]\\boxed{odd}"), tasks, Recording(RunFolder(tmp_path)), limit=1)
    [record] = RunFolder(tmp_path).read_generations("sftgen_parity")
    assert record.markers == "bracket-think"
