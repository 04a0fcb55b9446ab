"""`sftgen gate` on run directories: exit codes, what is compared, JSON and JUnit."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.store import RunFolder
from sftgen_train.cli.main import app
from sftgen_train.gating import reading
from sftgen_train.results.run import add_results
from tests.train.report.made_runs import graded, made_run, truncated

MATH, IFEVAL = "sftgen_math500", "sftgen_ifeval"


def policy(folder: Path, head: str = "", drop: float = 0.02) -> Path:
    path = folder / "policy.yaml"
    path.write_text(
        f"{head}\nbenchmarks:\n"
        f"  math500: {{tier: critical, max_drop: {drop}, min_pairs: 100}}\n"
        f"  ifeval: {{tier: supporting, max_drop: {drop}, min_pairs: 100}}\n"
    )
    return path


def gate(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["gate", *map(str, arguments)], env={"COLUMNS": "300"})
    if isinstance(result.exception, SftgenError):
        raise result.exception
    return result


@pytest.mark.parametrize(
    ("math", "ifeval", "code", "word"),
    [([140, 80, 140], [90, 90, 90], 0, "GO"), ([140, 140, 80], [90, 90, 90], 1, "NO-GO"),
     ([140, 140, 134], [90, 90, 90], 2, "INCONCLUSIVE"), ([140, 140, 140], [90, 90, 50], 1, "NO-GO")],
)  # fmt: skip
def test_the_end_is_judged_against_the_base(
    tmp_path: Path, math: list[int], ifeval: list[int], code: int, word: str
) -> None:
    run = made_run(tmp_path / "run", {MATH: math, IFEVAL: ifeval}, [0, 5, 10])
    result = gate(policy(tmp_path), run.path)
    assert result.exit_code == code
    assert f"{word}: " in result.stdout


def test_all_steps_are_judged_where_asked(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", {MATH: [140, 80, 140], IFEVAL: [90, 90, 90]}, [0, 5, 10])
    assert gate(policy(tmp_path, "steps: all"), run.path).exit_code == 1
    assert gate(policy(tmp_path, "steps: [10]"), run.path).exit_code == 0
    assert "no value at step 7" in gate(policy(tmp_path, "steps: [7]"), run.path).stdout


def test_two_evaluations_outside_training(tmp_path: Path) -> None:
    for name, right in (("old", 140), ("new", 100)):
        run = RunFolder(tmp_path / name)
        run.update_manifest(model="m", tasks=[MATH, IFEVAL])
        add_results(run, None, [graded(MATH, None, right), graded(IFEVAL, None, 90)], seconds=1.0)
    files = ["--json", tmp_path / "gate.json", "--junit", tmp_path / "gate.xml"]
    result = gate(policy(tmp_path), tmp_path / "new", "--against", tmp_path / "old", *files)
    assert result.exit_code == 1
    found = json.loads((tmp_path / "gate.json").read_text())
    assert (found["outcome"], found["exit_code"]) == ("NO-GO", 1)
    assert found["benchmarks"][0]["comparisons"][0]["change"] == pytest.approx(-0.2)
    assert found["benchmarks"][0]["pairs"] == 200
    suite = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert dict(suite.items()) == {
        "name": "sftgen gate", "tests": "2", "failures": "1", "errors": "0", "skipped": "0"
    }  # fmt: skip
    [failure] = suite.findall("testcase[@name='math500']/failure")
    assert failure.get("message", "").startswith("NO-GO: changes by -0.200")
    # The other way round nothing drops.
    again = gate(policy(tmp_path), tmp_path / "old", "--against", tmp_path / "new", "--json", "-")
    assert (again.exit_code, json.loads(again.stdout)["outcome"]) == (0, "GO")


def test_what_does_not_compare_is_not_decided(tmp_path: Path) -> None:
    old = made_run(tmp_path / "old", {MATH: [140], IFEVAL: [90]}, [0])
    new = RunFolder(tmp_path / "new")
    new.update_manifest(model="m", tasks=[MATH, IFEVAL])
    add_results(new, 10, [graded(MATH, 10, 140, sampling="other"), graded(IFEVAL, 10, 90)], seconds=1.0)
    refused = gate(policy(tmp_path), new.path, "--against", old.path)
    assert (refused.exit_code, "another token limit at step 10" in refused.stdout) == (2, True)
    told = gate(policy(tmp_path, "other_settings: tell"), new.path, "--against", old.path)
    assert (told.exit_code, "another token limit at step 10" in told.stdout) == (0, True)


def test_an_end_that_is_not_there_is_not_decided(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", {MATH: [140, 140], IFEVAL: [90, 90]}, [0, 5])
    add_results(run, 10, [graded(IFEVAL, 10, 90)], seconds=1.0)
    result = gate(policy(tmp_path), run.path)
    assert (result.exit_code, "not evaluated at the last step, 10" in result.stdout) == (2, True)
    run.update_manifest(max_steps=20)
    assert "the run goes on (step 10 of 20)" in gate(policy(tmp_path), run.path).stdout
    assert gate(policy(tmp_path, "steps: [5]"), run.path).exit_code == 0


def test_documents_and_repeats_are_paired(tmp_path: Path) -> None:
    """Of a smaller evaluation with repeats only the shared documents count."""
    old = made_run(tmp_path / "old", {MATH: [140], IFEVAL: [90]}, [0])
    new = RunFolder(tmp_path / "new")
    new.update_manifest(model="m", tasks=[MATH, IFEVAL])
    add_results(new, 0, [graded(MATH, 0, 140, of=160, repeats=2), graded(IFEVAL, 0, 90, of=50)], seconds=1.0)
    result = gate(policy(tmp_path), new.path, "--against", old.path, "--json", "-")
    math, ifeval = json.loads(result.stdout)["benchmarks"]
    assert (math["pairs"], math["outcome"], math["cautions"]) == (160, "GO", ["40 documents are not in both runs"])
    assert ifeval["why"] == "50 pairs of documents; the policy asks for at least 100"


@pytest.mark.parametrize(("cut", "outcome"), [((0, 80), "NO-GO"), ((80, 0), "GO")])
def test_of_some_measures_less_is_better(tmp_path: Path, cut: tuple[int, int], outcome: str) -> None:
    run = RunFolder(tmp_path / "run")
    for step, of in zip((0, 5), cut, strict=True):
        add_results(run, step, [truncated(graded(MATH, step, 140), range(of))], seconds=1.0)
    rule = "{tier: critical, max_drop: 0.02, min_pairs: 100, measure: truncated, better: lower}"
    (tmp_path / "policy.yaml").write_text(f"benchmarks:\n  math500: {rule}\n")
    assert f"\n{outcome}: " in gate(tmp_path / "policy.yaml", run.path).stdout


def test_points_are_not_taken_for_shares(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", {MATH: [140, 100], IFEVAL: [90, 90]}, [0, 5])
    with pytest.raises(SftgenError, match=r"0\.02 is 2 points of 100"):
        gate(policy(tmp_path, drop=2), run.path)


def test_a_relative_drop_stands_in_json_and_junit(tmp_path: Path) -> None:
    """From 20 to 8 of 200 documents: 6 points, which are allowed, but three fifths of the score."""
    run = made_run(tmp_path / "run", {MATH: [20, 8]}, [0, 5])
    path = tmp_path / "policy.yaml"
    path.write_text(
        "benchmarks:\n  math500: {tier: critical, max_drop: 0.1, min_pairs: 100, max_relative_drop: 0.25}\n"
    )
    result = gate(path, run.path, "--json", str(tmp_path / "gate.json"), "--junit", str(tmp_path / "gate.xml"))
    assert result.exit_code == 1
    [found] = json.loads((tmp_path / "gate.json").read_text())["benchmarks"]
    told = found["comparisons"][0]["relative"]
    assert (found["outcome"], found["max_relative_drop"], told["change"]) == ("NO-GO", 0.25, pytest.approx(-0.6))
    assert told["p_drop_adjusted"] == pytest.approx(2 * told["p_drop"])
    assert told["low"] < -0.6 < told["high"] < -0.25
    assert "-60.0% of the baseline" in (tmp_path / "gate.xml").read_text()


@pytest.mark.parametrize("better", ["", ", better: higher"])
def test_a_measure_of_which_less_is_better_is_not_taken_the_wrong_way_round(tmp_path: Path, better: str) -> None:
    run = made_run(tmp_path / "run", {MATH: [140, 140]}, [0, 5])
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        f"benchmarks:\n  hex_phi: {{tier: critical, max_drop: 0.05, min_pairs: 20, measure: asr{better}}}\n"
    )
    with pytest.raises(SftgenError, match="hex_phi: of 'asr' less is better: expected `better: lower`"):
        gate(wrong, run.path)


@pytest.mark.parametrize(
    ("more", "told"), [("", True), ("  refusal: {tier: advisory, max_drop: 0.02, min_pairs: 9}\n", False)]
)
def test_a_policy_that_leaves_safety_out_is_told(tmp_path: Path, more: str, told: bool) -> None:
    run = made_run(tmp_path / "run", {MATH: [140, 140], IFEVAL: [90, 90], "sftgen_refusal": [180, 9]}, [0, 5])
    path = policy(tmp_path)
    path.write_text(path.read_text() + more)
    result = gate(path, run.path)
    assert result.exit_code == 0
    assert ("safety is not judged: the run has sftgen_refusal" in result.stdout) is told


def test_a_fault_of_the_gate_itself_is_no_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("score")

    monkeypatch.setattr(reading, "gate", fail)
    (tmp_path / "policy.yaml").touch()
    result = CliRunner().invoke(app, ["gate", str(tmp_path / "policy.yaml"), str(tmp_path)])
    assert isinstance(result.exception, SftgenError)  # which ends the command with 2
    assert "nothing is decided: KeyError" in str(result.exception)
