"""`scripts/gpu_check.py` without a GPU: a check prints one JSON line, also when it fails."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from tests import ROOT


@pytest.fixture(scope="module")
def script() -> Any:
    found = importlib.util.spec_from_file_location("gpu_check", ROOT / "scripts" / "gpu_check.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "gpu_check", module)  # its dataclass looks it up
        found.loader.exec_module(module)
    return module


def test_a_check_says_what_it_measured(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    script.run_one("hashing", script.Bench("cpu", True))
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["check"], told["ok"]) == ("hashing", True)
    assert told["found"]["float32"]["gb_per_second"] > 0


def test_a_check_that_fails_says_why_and_what_it_measured_before(
    script: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(bench: Any, folder: Any, found: dict[str, Any]) -> None:
        found["speed"] = 3
        script.require(found["speed"] > 4, "3 is too slow")

    monkeypatch.setitem(script.CHECKS, "hashing", (fails, 1))
    script.run_one("hashing", script.Bench("cpu", True))
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["ok"], told["error"], told["found"]) == (False, "CheckFailedError: 3 is too slow", {"speed": 3})
