"""Delta by task, as it is written and read."""

from __future__ import annotations

import pytest

from sftgen_train import HarnessCallback
from sftgen_train.trajectory.deltas import DeltaError, Deltas, deltas_of, parse_deltas


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Deltas(0.02, {})),
        ("0.05", Deltas(0.05, {})),
        ("0.05, math500=0.1", Deltas(0.05, {"math500": 0.1})),
        ("math500=0.1,aime24=0", Deltas(0.02, {"math500": 0.1, "aime24": 0.0})),
    ],
)
def test_written_deltas(text: str, expected: Deltas) -> None:
    assert parse_deltas(text) == expected
    assert deltas_of({"delta": expected.to_dict()}) == expected


def test_a_task_is_named_with_or_without_its_prefix() -> None:
    assert Deltas(0.02, {"math500": 0.1}).of("sftgen_math500") == 0.1
    assert Deltas(0.02, {"sftgen_math500": 0.1}).of("sftgen_math500") == 0.1
    assert Deltas(0.02, {"math500": 0.1}).of("sftgen_aime24") == 0.02


@pytest.mark.parametrize("text", ["x", "nan", "-0.1", "1.5", "0.1,0.2", "=0.1", "math500="])
def test_what_is_no_delta_is_refused_before_anything_is_loaded(text: str) -> None:
    with pytest.raises(DeltaError, match="delta"):
        HarnessCallback(tasks=["sftgen_parity"], delta=text)
