"""AlpacaEval from the hub's file to the report, with a tiny reward model made here."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from huggingface_hub import constants

from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.store import RunFolder
from sftgen_judges.reward.lengths import Lengths, lengths
from sftgen_judges.reward.models import PUBLISHED, RewardModel
from sftgen_tasks import load_tasks
from sftgen_tasks.alpaca_eval import SOURCE, documents
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.harness.backends.replay import ReplayLM
from sftgen_train.cli.doctor import diagnose
from tests.conftest import Command
from tests.judges.reward.tiny_reward import build_reward_model, reference

TASK = "sftgen_alpaca_eval"
ROWS = [
    {"dataset": "helpful", "instruction": f"Name {number} colours.\n", "output": "Red.", "generator": "baseline"}
    for number in range(1, 7)
]
OUTPUTS = ["Red.", "<think>two</think>\nRed and blue.", "<think>three, hm", "", "hm</think>Red, " * 9, "None."]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    (folder / SOURCE.repo).mkdir(parents=True)
    (folder / SOURCE.repo / "alpaca_eval.json").write_text(json.dumps(ROWS))
    return folder


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_reward_model(tmp_path_factory.mktemp("reward") / "rm")


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, hub: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SFTGEN_DATA_DIR", str(hub))
    return monkeypatch


@pytest.fixture
def stored(tmp_path: Path) -> str:
    """Outputs of another tool, for `sftgen-replay`."""
    rows = [{"q": row["instruction"], "out": out} for row, out in zip(ROWS, OUTPUTS, strict=True)]
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(rows))
    return f"path={path},text=out,key=q:question"


def metrics(run: Path) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in read_rows(run / "metrics.jsonl")}


def test_documents_are_those_of_the_hubs_file(hub: Path, tmp_path: Path) -> None:
    docs = list(documents(data_dir=str(hub))["test"])
    assert docs == [{"question": row["instruction"], "dataset": "helpful"} for row in ROWS]
    (tmp_path / "alpaca_eval.json.gz").write_bytes(gzip.compress(json.dumps(ROWS).encode()))
    assert list(documents(data_dir=str(tmp_path))["test"]) == docs


def test_without_data_the_error_names_the_file() -> None:
    with pytest.raises(
        DataError, match=r"SFTGEN_DATA_DIR to a folder that holds tatsu-lab/alpaca_eval/alpaca_eval.json"
    ):
        documents()


def test_the_real_instructions(data_dir: Path, tmp_path: Path) -> None:
    """The stored file has the hub's columns, with another model's outputs."""
    target = tmp_path / SOURCE.repo / "alpaca_eval.json.gz"
    target.parent.mkdir(parents=True)
    target.symlink_to(data_dir / "alpaca_eval" / "reference_gpt4_1106_preview.json.gz")
    docs = list(documents(data_dir=str(tmp_path))["test"])
    assert (len(docs), len({doc["question"] for doc in docs})) == (805, 805)


def test_the_prompt_and_the_decoding_of_the_paper(hub: Path) -> None:
    task = load_tasks([TASK], {"data_dir": str(hub)}).tasks[TASK]
    assert task.doc_to_text(task.test_docs()[0]) == "Name 1 colours.\n"
    assert task.config.repeats == 1
    assert task.config.generation_kwargs == {
        "until": [], "do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 50,
        "presence_penalty": 0.1, "frequency_penalty": 0.1, "max_gen_toks": 16384,
    }  # fmt: skip


def test_stored_outputs_to_mean_logits(
    command: Command, data: pytest.MonkeyPatch, reward: Path, stored: str, tmp_path: Path
) -> None:
    data.setenv("SFTGEN_JUDGE_REWARD_MODEL", f"tiny={reward}")
    data.setenv("SFTGEN_JUDGE_REWARD_BACKEND", "transformers")
    run = tmp_path / "run"
    result = command(
        "sftgen", "eval", "--tasks", TASK, "--model", "sftgen-replay", "--model_args", stored, "--run", run
    )
    assert result.returncode == 0, result.stderr

    def mean(answers: list[str]) -> float:
        return fmean(reference(reward, row["instruction"], answer) for row, answer in zip(ROWS, answers, strict=True))

    strict = ["Red.", "Red and blue.", "", "", "Red,", "None."]
    paper = ["Red.", "Red and blue.", "<think>three, hm", "", "Red,", "None."]
    found = metrics(run)
    assert found["score"]["mean"] == pytest.approx(mean(strict), abs=1e-4)
    assert found["reward_tiny"]["mean"] == found["score"]["mean"]
    assert found["score_paper"]["mean"] == pytest.approx(mean(paper), abs=1e-4)
    assert (found["coverage"]["mean"], found["answered"]["mean"]) == (1.0, pytest.approx(4 / 6))
    assert (found["truncated"]["mean"], found["reward_truncated"]["mean"]) == (pytest.approx(1 / 6), 0.0)
    assert (found["score"]["n"], found["reward_answered"]["n"]) == (6, 4)
    # lm_eval's own file has the standard error.
    [path] = (run / "results").rglob("results_*.json")
    written = json.loads(path.read_text())["results"][TASK]
    assert written["score,sftgen"] == pytest.approx(found["score"]["mean"])
    assert written["score_stderr,sftgen"] > 0


def test_graded_later_with_a_reward_model(
    command: Command, data: pytest.MonkeyPatch, reward: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = command(
        "sftgen", "eval", "--tasks", TASK, "--model", "sftgen-hf", "--model_args", f"pretrained={tiny_model}",
        "--gen_kwargs", "max_gen_toks=12", "--run", run,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert metrics(run)["coverage"]["mean"] == 0
    assert "score" not in metrics(run)
    assert "generated without" not in result.stderr
    made = list(RunFolder(run).read_generations(TASK))
    assert len(made) == 6
    assert {(record.sampling["top_k"], record.sampling["presence_penalty"]) for record in made} == {(50, 0.1)}
    data.setenv("SFTGEN_JUDGE_REWARD_MODEL", str(reward))
    data.setenv("SFTGEN_JUDGE_REWARD_BACKEND", "transformers")
    result = command("sftgen", "rescore", run)
    assert result.returncode == 0, result.stderr
    assert metrics(run)["coverage"]["mean"] == 1
    assert metrics(run)["reward_rm"]["n"] == 6
    assert list(RunFolder(run).read_generations(TASK)) == made


def test_a_model_that_is_no_reward_model_stops_before_anything_is_generated(
    command: Command, data: pytest.MonkeyPatch, tiny_model: Path, stored: str, tmp_path: Path
) -> None:
    data.setenv("SFTGEN_JUDGE_REWARD_MODEL", str(tiny_model))
    data.setenv("SFTGEN_JUDGE_REWARD_BACKEND", "transformers")
    run = tmp_path / "run"
    result = command(
        "sftgen", "eval", "--tasks", TASK, "--model", "sftgen-replay", "--model_args", stored, "--run", run
    )
    assert result.returncode == 2
    assert "its architecture is Qwen3ForCausalLM" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (run / "generations").exists()


@pytest.mark.parametrize("formatted", [True, False])
def test_penalties_go_to_a_backend_that_may_take_them(
    formatted: bool, hub: Path, stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = ReplayLM(**dict(part.split("=", 1) for part in stored.split(",")))
    task = load_tasks([TASK], {"data_dir": str(hub)}, {"presence_penalty": 0}).tasks[TASK]
    task.build_all_requests(
        apply_chat_template=formatted, chat_template=model.apply_chat_template if formatted else None
    )
    given = [instance.args[1].get("frequency_penalty") for instance in task.instances]
    assert given == [0.1 if formatted else None] * 6
    said = "generated without its frequency_penalty: the backend is not known"
    assert (said in caplog.text) is not formatted


def test_doctor_looks_at_how_long_a_pair_the_reward_model_takes(
    data: pytest.MonkeyPatch, reward: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short"
    shutil.copytree(reward, short)
    config = json.loads((short / "tokenizer_config.json").read_text())
    (short / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 2048}))
    data.setenv("SFTGEN_JUDGE_REWARD_BACKEND", "transformers")
    data.setenv("SFTGEN_JUDGE_REWARD_MODEL", f"whole={reward},short={short},absent=nobody/nothing")
    found = {finding.subject: finding for finding in diagnose([TASK]) if finding.subject.startswith("reward model")}
    whole, cut, absent = (found[f"reward model {name}"] for name in (reward, short, "nobody/nothing"))
    assert (whole.level, cut.level, absent.level) == ("ok", "warning", "ok")
    positions = json.loads((reward / "config.json").read_text())["max_position_embeddings"]
    assert f"takes 2048 tokens (model_max_length), the model {positions}: longer answers are truncated" in cut.message
    assert "not here yet" in absent.message
    # A published one in the hub's cache is looked at although another one is in use.
    name, _, revision = PUBLISHED["rb2"].partition("@")
    cache = tmp_path / "cache" / f"models--{name.replace('/', '--')}" / "snapshots"
    shutil.copytree(short, cache / revision)
    data.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert lengths(RewardModel("rb2", name, revision)) == Lengths(2048, positions)
    (cache / revision / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    assert lengths(RewardModel("rb2", name, revision)) == Lengths(None, positions)
    (cache / revision / "config.json").write_text("[" * 100_000)
    assert lengths(RewardModel("rb2", name, revision)) is None
