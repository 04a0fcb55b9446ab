"""The stream of `sftgen-vllm`: killed at any moment it loses what was under way, and the engine is left free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.tasks.harness.backends.test_vllm import VLLM_ENVIRONMENT

KILLS = 20
pytestmark = [
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif(
        not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm: `make .venv-vllm/installed` makes it"
    ),
]


@pytest.fixture(scope="module")
def outcome(vllm_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("stream")
    done = vllm_command(Path(__file__).with_name("vllm_stream.py"), folder, str(KILLS))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "outcome.json").read_text())


def test_a_killed_stream_loses_nothing_that_it_was_handed(outcome: Any) -> None:
    killed = outcome["killed"]
    assert killed["responses"] == 80
    assert killed["kills"] == KILLS
    assert killed["runs"] < KILLS  # one run was killed more than once
    assert (killed["lost"], killed["again"], killed["differ"]) == (0, 0, 0)


def test_all_requests_are_in_one_queue(outcome: Any) -> None:
    assert outcome["loops"]["all"] == [700, 700, [512, 188], 0]


def test_a_caller_that_stops_early_leaves_the_engine_free(outcome: Any) -> None:
    assert outcome["loops"]["closed"] == [30, 0]


def test_a_request_that_vllm_gives_up_is_no_answer(outcome: Any) -> None:
    said, left = outcome["loops"]["failed"]
    assert said.startswith("EngineStoppedError: vLLM gave up a request (abort). Every response that came before")
    assert left == 0


def test_a_prompt_without_room_is_refused_and_a_short_one_gets_what_is_left(outcome: Any) -> None:
    said, left = outcome["loops"]["long"]
    assert said.startswith("PromptTooLongError: t: a prompt of 5000 tokens")
    assert left == 0
    assert outcome["loops"]["budget"] == [4096 - 10, 10, True]


def test_kernels_that_a_processor_has_not_are_refused_before_anything_is_loaded(outcome: Any) -> None:
    assert outcome["loops"]["invariant"].startswith("BatchInvarianceError: batch_invariant=True: vLLM has such kernels")


def test_with_other_processes_the_same_responses_come_in_chunks(outcome: Any) -> None:
    assert outcome["loops"]["parallel"] == [[256, 44], True]
