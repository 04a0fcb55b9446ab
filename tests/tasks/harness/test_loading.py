"""Tasks are loaded once, whoever asks for them: a group, a tier, lm_eval's own command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval.evaluator
import lm_eval.tasks
import pytest
from lm_eval.loggers import EvaluationTracker

from sftgen_judges.records.store import RunFolder
from sftgen_tasks import LoadedTasks, UnknownTaskError, load_tasks
from sftgen_tasks.harness.command_line import run_command_line
from sftgen_tasks.harness.loading import OwnTaskManager, RepeatedTaskError, resolve_tasks
from sftgen_tasks.harness.task import Task

SMALL = {"sftgen_parity": {"size": 4}, "docs_size": 6}
PROCEDURAL = ["sftgen_addition", "sftgen_maximum", "sftgen_reversal", "sftgen_parity", "sftgen_digit_sums"]


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks whose documents were loaded, in order."""
    found: list[str] = []
    download = Task.download

    def noted(task: Any, *arguments: Any, **options: Any) -> None:
        found.append(task.config.task)
        download(task, *arguments, **options)

    monkeypatch.setattr(Task, "download", noted)
    return found


def test_a_group_and_its_tasks_are_the_same_objects(downloads: list[str]) -> None:
    manager = OwnTaskManager(SMALL)
    group = load_tasks(["sftgen_procedural"], manager=manager)
    alone = load_tasks(["sftgen_parity"], manager=manager)
    assert list(group.tasks) == PROCEDURAL
    assert alone.tasks["sftgen_parity"] is group.tasks["sftgen_parity"]
    assert group.groups["sftgen_procedural"].get("sftgen_parity") is alone.tasks["sftgen_parity"]
    assert downloads == PROCEDURAL


def test_a_task_with_other_settings_is_another_one(downloads: list[str]) -> None:
    manager = OwnTaskManager(SMALL)
    plain = load_tasks(["sftgen_parity"], manager=manager).tasks["sftgen_parity"]
    mine = {"group": "mine", "task": [{"task": "sftgen_parity", "repeats": 2}]}
    changed = manager.load([mine])["tasks"]["sftgen_parity"]
    assert (plain.config.repeats, changed.config.repeats) == (1, 2)
    assert downloads == ["sftgen_parity"] * 2


def test_a_few_of_the_loaded_tasks() -> None:
    found = load_tasks(["sftgen_procedural"], SMALL)
    assert found.only(["sftgen_parity"]) == LoadedTasks({"sftgen_parity": found.tasks["sftgen_parity"]})


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        (["sftgen_procedural", "sftgen_parity"], RepeatedTaskError, "'sftgen_parity'.*by 'sftgen_procedural' and by"),
        (["sftgen_ood", "sftgen_mmlu_pro"], RepeatedTaskError, "sftgen_mmlu_pro_biology"),
        (["sftgen_nothing"], UnknownTaskError, "'sftgen_nothing'"),
        ([], UnknownTaskError, "none given"),
    ],
)
def test_names_that_cannot_be_evaluated_together(names: list[str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        resolve_tasks(names, OwnTaskManager())


def test_the_command_loads_once_returns_results_and_leaves_lm_eval_as_it_was(
    tmp_path: Path, downloads: list[str]
) -> None:
    before = (lm_eval.tasks.TaskManager, lm_eval.evaluator.evaluate, EvaluationTracker.save_results_aggregated)
    given = ["--model", "dummy", "--no_chat_template", "--limit", "3", "--metadata", '{"docs_size": 6}']
    results = run_command_line([*given, "--tasks", "sftgen_procedural"], tmp_path / "run")
    assert downloads == PROCEDURAL
    assert [(result.task, result.documents) for result in results] == [(task, 3) for task in PROCEDURAL]
    parity = results[-1]
    assert parity.values["score"] == [0.0] * 3
    assert [sample.verdict.status for sample in parity.samples] == ["no_answer"] * 3
    assert {sample.response.text for sample in parity.samples} == {"lol"}
    assert {sample.model for sample in parity.samples} == {RunFolder(tmp_path / "run").read_manifest()["model_id"]}
    after = (lm_eval.tasks.TaskManager, lm_eval.evaluator.evaluate, EvaluationTracker.save_results_aggregated)
    assert after == before


def test_predictions_only_are_graded_all_the_same(tmp_path: Path) -> None:
    given = ["--model", "dummy", "--no_chat_template", "--limit", "2", "--predict_only", "--tasks", "sftgen_parity"]
    [result] = run_command_line(given, tmp_path / "run")
    assert result.values["score"] == [0.0, 0.0]
    assert "bypass" not in result.values
