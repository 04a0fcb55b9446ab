"""`token_shift` by a vLLM engine: its numbers are those of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.train.evaluation.test_colocated import needs_vllm_environment

pytestmark = pytest.mark.xdist_group("vllm")


@needs_vllm_environment
def test_the_diagnostic_by_vllm_has_the_same_numbers_in_float32(vllm_command: Command, tmp_path: Path) -> None:
    done = vllm_command(Path(__file__).with_name("prompt_logprobs.py"), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "outcome.json").read_text())
    assert found["failed"] == {}
    # The longest text does not fit into the engine's context: its beginning is read.
    assert found["cut"] == [False, False, True]
    assert found["tokens"][0] < found["tokens"][1] < found["tokens"][2] < 128
    assert found["difference"] < 1e-3
    assert found["ranks"] == 0
    assert found["lowest"] < found["highest"] - 3
    assert found["quantities"] == ["base_logprob", "characters", "kind", "logprob", "own_rank", "rank"]
    assert "of the tokens have a rank above 3 under the base, and the loss is" in found["finding"]["sentence"]
    assert "vLLM gives no distributions, so no KL, JS and entropy" in found["finding"]["measured_on"]
    assert "SFTGEN_TOKEN_SHIFT_ENGINE=vllm reads whole models" in found["refused"][0]
