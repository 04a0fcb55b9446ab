"""A reward model behind a real `vllm serve` gives the logits that it gives in this process."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftgen_judges import Item, split_thinking
from sftgen_judges.reward.judge import REWARD
from sftgen_judges.scoring.grading import grade_batch
from tests import PATIENCE
from tests.judges.reward.test_reward import PAIRS
from tests.judges.reward.tiny_reward import build_reward_model, reference
from tests.tasks.harness.backends.test_vllm import SETTINGS, VLLM_ENVIRONMENT

pytestmark = [
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif(
        not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm: `make .venv-vllm/installed` makes it"
    ),
]
LONGEST = 256


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_reward_model(tmp_path_factory.mktemp("models") / "rm")


@pytest.fixture(scope="module")
def address(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("w") as output:
        serving = subprocess.Popen(
            [
                VLLM_ENVIRONMENT / "bin" / "vllm", "serve", model, "--runner", "pooling", "--dtype", "float32",
                "--max-model-len", str(LONGEST), "--enforce-eager", "--host", "127.0.0.1", "--port", str(port),
            ],
            stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **SETTINGS},
        )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE
        while not _answers(port):
            assert serving.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        serving.terminate()
        try:
            serving.wait(30)
        except subprocess.TimeoutExpired:
            serving.kill()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_logits_are_those_of_transformers(model: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTGEN_JUDGE_REWARD_MODEL", str(model))
    items = [Item({"question": question}, split_thinking(answer)) for question, answer in PAIRS]
    monkeypatch.setenv("SFTGEN_JUDGE_REWARD_BASE_URL", address)
    served = grade_batch(REWARD, items)
    monkeypatch.setenv("SFTGEN_JUDGE_REWARD_BACKEND", "transformers")
    monkeypatch.setenv("SFTGEN_JUDGE_REWARD_EXTRA_BODY", f'{{"max_length": {LONGEST}}}')
    here = grade_batch(REWARD, items)
    assert [verdict.score for verdict in served] == pytest.approx([verdict.score for verdict in here], abs=1e-4)
    scores = [verdict.score for verdict in served if verdict.score is not None]
    # Raw: a sigmoid would be between 0 and 1.
    assert min(scores) < -2
    assert max(scores) > 2
    assert [verdict.measures["reward_truncated"] for verdict in served] == [
        verdict.measures["reward_truncated"] for verdict in here
    ]
    assert sum(verdict.measures["reward_truncated"] for verdict in served) > 0
    whole = [place for place, verdict in enumerate(served) if not verdict.measures["reward_truncated"]]
    assert [served[place].score for place in whole] == pytest.approx(
        [reference(model, items[place].doc["question"], items[place].response.answer) for place in whole], abs=1e-4
    )
