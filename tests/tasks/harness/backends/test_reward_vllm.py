"""A reward model behind a real `vllm serve` gives the logits that it gives in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sftgen_judges import Item, split_thinking
from sftgen_judges.reward.judge import REWARD
from sftgen_judges.scoring.grading import grade_batch
from tests.commands import Warm
from tests.judges.reward.test_reward import PAIRS
from tests.judges.reward.tiny_reward import build_reward_model, reference
from tests.tasks.harness.backends.test_vllm import VLLM_ENVIRONMENT
from tests.tasks.harness.backends.vllm_server import LONGEST, vllm_serving

pytestmark = [
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif(
        not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm: `make .venv-vllm/installed` makes it"
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_reward_model(tmp_path_factory.mktemp("models") / "rm")


@pytest.fixture(scope="module")
def address(vllm: Warm, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("serve") / "log"
    with vllm_serving(vllm, model, log, "--runner", "pooling") as found:
        yield found


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
