"""Log-probability and rank of the tokens of a text: vLLM's are those of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.train.evaluation.test_colocated import needs_vllm_environment

pytestmark = pytest.mark.xdist_group("vllm")


@needs_vllm_environment
def test_vllm_gives_the_same_numbers_in_float32(vllm_command: Command, tmp_path: Path) -> None:
    done = vllm_command(Path(__file__).with_name("prompt_logprobs.py"), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "outcome.json").read_text())
    assert found["tokens"] == [39, 60, 1]
    assert found["logprob"] < 1e-3
    assert found["ranks"] == [0, 0, 0]
    assert found["lowest"] < found["highest"] - 3
    assert "a text of 160 tokens that is scored from place 1: expected at most 127 tokens" in found["refused"][0]
    assert "scored from place 40" in found["refused"][1]
