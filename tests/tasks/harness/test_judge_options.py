"""A judge that is named for one evaluation is the judge of that evaluation only."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Judge
from sftgen_judges.asking.settings import judge_options, missing_settings, settings_for, with_options
from sftgen_judges.plugins.judge_settings import SettingsError
from sftgen_judges.policy import POLICY
from sftgen_judges.records.current import Recording
from sftgen_judges.records.store import RunFolder
from sftgen_judges.truth import TRUTH
from sftgen_tasks import load_tasks
from sftgen_tasks.harness.backends.replay import ReplayLM
from sftgen_tasks.harness.evaluation import evaluate
from sftgen_train.cli.main import app
from tests.judges.server import JudgeServer, say, serving

QUESTIONS = ["Paint a wall.", "Dry it."]


@pytest.fixture(autouse=True)
def _own_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sftgen eval` puts its own index of tasks into lm_eval, here for one test only."""
    import lm_eval.tasks

    monkeypatch.setattr(lm_eval.tasks, "TaskManager", lm_eval.tasks.TaskManager)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with (tmp_path / "hex_phi.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("prompt", "category"), *((question, "Malware") for question in QUESTIONS)])
    rows = [{"q": question, "out": "<think>hm</think>Gladly."} for question in QUESTIONS]
    (tmp_path / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def statuses(data: Path, run: Path, **options: Any) -> list[str]:
    """Evaluate in this process, as the trainer's callback does, and tell how each response was judged."""
    tasks = load_tasks(["sftgen_hex_phi"], {"data_dir": str(data), **options})
    model = ReplayLM(str(data / "outputs.jsonl"), text="out", key="q:question")
    [result] = evaluate(model, tasks, Recording(RunFolder(run), model="m"), chat_template=False)
    return [sample.verdict.status for sample in result.samples]


def at(server: JudgeServer, **more: Any) -> dict[str, Any]:
    return {"judge_model": "named", "judge_base_url": server.url, "judge_backoff": 0.01, **more}


def test_the_second_evaluation_of_a_process_does_not_see_the_judge_of_the_first(data: Path, tmp_path: Path) -> None:
    before = dict(os.environ)
    with serving(say('{"score": 4}')) as server:
        assert statuses(data, tmp_path / "first", **at(server)) == ["ok", "ok"]
        assert {call["body"]["model"] for call in server.calls} == {"named"}
        assert statuses(data, tmp_path / "second") == ["not_graded", "not_graded"]
        assert statuses(data, tmp_path / "third", **at(server, judge_model="other")) == ["ok", "ok"]
        assert [call["body"]["model"] for call in server.calls] == ["named"] * 2 + ["other"] * 2
    assert dict(os.environ) == before
    assert missing_settings(POLICY)


def test_the_same_holds_for_two_commands_of_a_process(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    monkeypatch.setenv("SFTGEN_DATA_DIR", str(data))
    run = tmp_path / "run"
    model = f"path={data / 'outputs.jsonl'},text=out,key=q:question"
    line = ["eval", "--tasks", "sftgen_hex_phi", "--model", "sftgen-replay", "--model_args", model, "--run", str(run)]

    def scored() -> set[str]:
        return {row["status"] for row in RunFolder(run).sample_rows()}

    with serving(say('{"score": 4}')) as server:
        flags = ["--judge-model", "named", "--judge-base-url", server.url]
        result = CliRunner().invoke(app, [*line, *flags], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert scored() == {"ok"}  # as scored again at the command's end, too
        asked = len(server.calls)
        CliRunner().invoke(app, ["rescore", str(run)], catch_exceptions=False)
        assert scored() == {"not_graded"}
        CliRunner().invoke(app, ["rescore", str(run), *flags], catch_exceptions=False)
        assert scored() == {"ok"}
        assert len(server.calls) == asked == 2  # every verdict is known
    assert "judge_base_url" not in (run / "manifest.json").read_text()


def test_options_go_before_the_general_variables_and_not_before_what_is_set_for_one_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SFTGEN_JUDGE_MODEL", "general")
    monkeypatch.setenv("SFTGEN_JUDGE_SEED", "1")
    monkeypatch.setenv("SFTGEN_JUDGE_POLICY_SEED", "2")
    options = {"judge_model": 7, "judge_seed": 3, "judge_extra_body": {"top_p": 0.9}, "judge": {"x": "y"}, "judge_": 1}
    policy, truth = settings_for(with_options(POLICY, options)), settings_for(with_options(TRUTH, options))
    assert (policy.model, policy.seed, policy.extra_body) == ("7", 2, {"top_p": 0.9})
    assert (truth.model, truth.seed) == (TRUTH.model, 3)  # the judge that was made for one model keeps it
    both = Judge("both", 1, (0, 1), 1, judge=lambda items: [], parts=(POLICY, TRUTH))
    assert [settings_for(part).max_tokens for part in with_options(both, {"judge_max_tokens": "9"}).parts] == [9, 9]
    assert judge_options({"judge_model": "", "judge_seed": None}) == {}


def test_a_key_is_no_option() -> None:
    with pytest.raises(SettingsError, match="SFTGEN_JUDGE_API_KEY") as caught:
        judge_options({"judge_api_key": "sk-secret"})
    assert "sk-secret" not in str(caught.value)


def test_options_beside_a_configuration_file_leave_its_metadata(data: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    model_args = {"path": str(data / "outputs.jsonl"), "text": "out", "key": "q:question"}
    (tmp_path / "eval.yaml").write_text(
        json.dumps(
            {
                "tasks": ["sftgen_hex_phi"],
                "model": "sftgen-replay",
                "model_args": model_args,
                "metadata": {"data_dir": str(data), "judge_model": "of the file"},
            }
        )
    )
    with serving(say('{"score": 4}')) as server:
        line = ["eval", "--config", str(tmp_path / "eval.yaml"), "--run", str(tmp_path / "run")]
        line += ["--judge-base-url", server.url, "--tasks", "sftgen_hex_phi"]
        result = CliRunner().invoke(app, line, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert {call["body"]["model"] for call in server.calls} == {"of the file"}
