"""`scripts/gpu_check` without a GPU: a check prints one JSON line, also when it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.gpu_check import running
from scripts.gpu_check.bench import Bench, require
from tests import ROOT


def test_a_check_says_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    running.run_one("hashing", Bench("cpu", True))
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["check"], told["ok"]) == ("hashing", True)
    assert told["found"]["float32"]["gb_per_second"] > 0


def test_the_page_has_every_check() -> None:
    page = (ROOT / "docs" / "gpu_check.md").read_text()
    assert all(f"| `{name}` |" in page for name in running.CHECKS)
    assert set(running.WITH_VLLM) < set(running.CHECKS)


def test_a_check_that_fails_says_why_and_what_it_measured_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(bench: Any, folder: Any, found: dict[str, Any]) -> None:
        found["speed"] = 3
        require(found["speed"] > 4, "3 is too slow")

    monkeypatch.setitem(running.CHECKS, "hashing", (fails, 1))
    running.run_one("hashing", Bench("cpu", True))
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["ok"], told["error"], told["found"]) == (False, "CheckFailedError: 3 is too slow", {"speed": 3})
