"""Policy files: every mistake at once, with its line, its value and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftgen_train.gating.policy import PolicyError, read_policy

KNOWN = ["sftgen_math500", "sftgen_ifeval", "sftgen_gpqa_diamond"]
RULE = "{tier: critical, max_drop: 0.02, min_pairs: 400}"


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError) as error:
        read_policy(path, KNOWN)
    return str(error.value)


def test_a_policy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"steps: [10, 20]\nbenchmarks:\n  math500: {RULE}\n  sftgen_ifeval: {RULE}\n")
    policy = read_policy(path, KNOWN)
    assert (policy.steps, policy.base, list(policy.benchmarks)) == ([10, 20], 0, ["math500", "sftgen_ifeval"])
    assert policy.benchmarks["math500"].max_drop == 0.02


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    text = """steps: lst
bse: 0
benchmarks:
  math50: {tier: critcal, max_drop: 0.02, min_pairs: 400}
  gpqa_diamond: 3
  ifeval:
    tier: supporting
    maxdrop: .03
    min_pairs: 0
"""
    first, *lines = refused(tmp_path, text).splitlines()
    assert first.endswith("has 8 mistakes:")
    assert [(int(line.split(":")[1]), line.split(": ", 1)[1]) for line in lines] == [
        (1, "steps: 'lst': input should be 'last' or 'all'; did you mean 'last'?"),
        (2, "bse is unknown; did you mean 'base'?"),
        (4, "benchmarks.math50.tier: 'critcal': input should be 'critical', 'supporting' or 'advisory'; did you mean "
            "'critical'?"),
        (4, "benchmark 'math50' is unknown; did you mean 'math500'?"),
        (5, "benchmarks.gpqa_diamond: '3': input should be a valid dictionary or instance of Rule"),
        (6, "benchmarks.ifeval.max_drop is missing"),
        (8, "benchmarks.ifeval.maxdrop is unknown; did you mean 'max_drop'?"),
        (9, "benchmarks.ifeval.min_pairs: '0': input should be greater than 0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a mapping"),
        ("- 1", "expected a mapping"),
        ("{a: ", ":1: not YAML"),
        ("benchmarks: {}", "at least 1"),
        (f"benchmarks:\n  math500: {RULE}\n  math500: {RULE}", ":3: math500 stands twice"),
        (f"benchmarks:\n  math500: {RULE}\n  sftgen_math500: {RULE}", ":3: benchmark 'sftgen_math500' is named twice"),
        ("benchmarks:\n  math500: {tier: critical, max_drop: .nan, min_pairs: 4}", ":2: benchmarks.math500.max_drop"),
        ("benchmarks:\n  math500: {tier: critical, max_drop: '0.1', min_pairs: 4}", "valid number"),
        (f"benchmarks:\n  math500: {RULE[:-1]}, max_relative_drop: 5}}", "less than or equal to 1"),
        (f"benchmarks:\n  math500: {RULE[:-1]}, max_relative_drop: 0}}", "greater than 0"),
        (f"benchmarks:\n  math500: {RULE[:-1]}, max_relativ_drop: 0.1}}", "did you mean 'max_relative_drop'?"),
        (f"steps: [last]\nbenchmarks:\n  math500: {RULE}", ":1: steps.0: 'last': input should be a valid integer"),
        ("x: &x [*x]", "more than 10,000 values"),
        ("? [1]\n: 2", "not YAML"),
        ("x: !!python/object/apply:os.getcwd []", "not YAML"),
        pytest.param("x: " + "[" * 2000, "not YAML", id="deep"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_a_large_file_and_a_missing_one(tmp_path: Path) -> None:
    assert "larger than" in refused(tmp_path, "#" * (1 << 20) + "\n")
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(tmp_path / "none", KNOWN)
