"""A study from its file to its report: two arms, two seeds, killed once and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from sftgen_train.study import work
from sftgen_train.study.builders import Builder
from sftgen_train.study.claims import judge_claims
from sftgen_train.study.demo import FILE, demo_study
from sftgen_train.study.parts import DONE, parts_of
from sftgen_train.study.planning import plan_study
from sftgen_train.study.reading import read_study, shipped_studies
from sftgen_train.study.report import cautions_of
from sftgen_train.study.results import ArmResult, StudyResult, TaskOfArm, _compared, _pooled
from sftgen_train.study.schema import Claim
from sftgen_train.training import running
from sftgen_train.trajectory import align, read_curve
from sftgen_train.trajectory.loading import TaskSamples
from sftgen_train.trajectory.pairing import Samples
from tests import PATIENCE, ROOT, commands
from tests.conftest import Command
from tests.tasks.harness.backends.chat_server import ChatServer, chat_server
from tests.train.curation.teacher import answer, sums, write_config

WRONG = """\
name: my study
base: ./no-such-model
arms:
  one: {data: {made: countdown-trace}, seeds: [1, 1]}
  two: {data: {made: countdown-traces, with: {kind: verifed, row: 3}}, schedule: lr5e-5}
  three: {data: ./nothing.jsonl}
  one: {data: {recipe: gone.yaml}}
train: {learning_rat: 1.0, harness_limit: 3, max_steps: many}
benchmarks: {in-domain: [countdwn], out-of-domain: [parity, sftgen_parity]}
diagnostics: [consistancy]
comparisons: [{arm: one, against: tow}]
claims:
  - {arm: four, score: parity, expect: recovered}
  - {arm: one, score: maximum, expect: recovered}
  - {arm: one, score: parity, expect: recoverd}
sanity: {digit_sum: {at_least: 0.5}}
"""


def study_file(folder: Path, model: Path, **changes: Any) -> Path:
    """A study of two arms with two seeds on an untrained model."""
    rows = [{"prompt": f"What is {n}?", "completion": str(n)} for n in range(12)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values: dict[str, Any] = {
        "name": "small",
        "base": str(model),
        "arms": {
            "answers": {"data": "rows.jsonl"},
            "traces": {"data": {"made": "countdown-traces", "with": {"rows": 12}}},
        },
        "seeds": [0, 1],
        "train": {
            "max_steps": 1, "per_device_train_batch_size": 2, "disable_tqdm": True, "logging_steps": 1,
            "gradient_checkpointing": False,
        },
        "benchmarks": {"in-domain": ["parity"], "safety": ["refusal"]},
        "evaluation": {
            "steps": [0, 1], "limit": 3, "form": "in_process", "gen_kwargs": {"max_gen_toks": 2}, "batch_size": 8,
        },
        "comparisons": [{"arm": "traces", "against": "answers"}],
        "claims": [
            {"arm": "traces", "score": "parity", "expect": "recovered"},
            {"arm": "traces", "against": "answers", "score": "safety", "expect": "higher"},
        ],
        **changes,
    }  # fmt: skip
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def test_every_mistake_is_told_at_once_with_its_line_and_the_nearest_name(command: Command, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    done = command("sftgen", "study", "plan", tmp_path / "wrong.yaml")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    told = {line.partition(": ")[2] for line in done.stderr.splitlines() if ".yaml:" in line}
    for place, says in (
        ("name", "my study"), ("base", "no-such-model"), ("arms.two.data.with.kind", "verified"),
        ("arms.two.data.with.row", "did you mean 'rows'"), ("arms.two.schedule", "is no schedule"),
        ("arms.three.data", "no such file"), ("one stands twice", ""), ("train.learning_rat", "learning_rate"),
        ("train.harness_limit", "evaluation.limit"), ("train.max_steps", "many"),
        ("benchmarks.in-domain.0", "sftgen_countdown"),
        ("benchmarks", "sftgen_parity is evaluated already"), ("diagnostics.0", "consistency"),
        ("comparisons.0.against", "two"), ("claims.0.arm", "'four' is no arm"), ("claims.1.score", "is not evaluated"),
        ("claims.2.expect", "did you mean 'recovered'"), ("sanity.digit_sum", "sftgen_digit_sums"),
    ):  # fmt: skip
        assert any(line.startswith(place) and says in line for line in told), (place, done.stderr)
    assert any(":8: train" in line for line in done.stderr.splitlines()), done.stderr


def test_no_large_library_is_imported_to_tell_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("name: x\n")
    code = (
        "import sys, pathlib\nfrom sftgen_train.study.reading import StudyError, read_study\n"
        "try:\n    read_study(pathlib.Path(sys.argv[1]))\nexcept StudyError as error:\n    print(error)\n"
        "print({'torch', 'transformers', 'trl', 'lm_eval'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "wrong.yaml")], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.rstrip().endswith("set()"), done.stdout
    assert "base is missing" in done.stdout


def test_a_study_that_is_killed_goes_on_and_makes_nothing_twice(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    with chat_server(answer) as server:
        write_config(tmp_path, server, sums(12))
        kill_and_go_on(command, tiny_model, tmp_path, server)


def hold_after_the_first() -> None:
    """In a fork: where a run is done the next one does not begin, whatever the machine does meanwhile."""
    train = work.train_and_evaluate

    def waiting(*, run: str, **given: Any) -> None:
        while list(Path(run).parent.glob(f"*/{DONE}")):
            signal.pause()
        train(run=run, **given)

    work.train_and_evaluate = waiting  # type: ignore[assignment]


def kill_and_go_on(command: Command, tiny_model: Path, tmp_path: Path, server: ChatServer) -> None:
    """One arm is made of a teacher's responses, the other by a builder."""
    arms = {
        "answers": {"data": {"recipe": "curate.yaml", "set": "one"}},
        "traces": {"data": {"made": "countdown-traces", "with": {"rows": 12}}},
    }
    file = study_file(tmp_path, tiny_model, arms=arms)
    out = tmp_path / "out"
    log = tmp_path / "log"
    line = ("sftgen", "study", file, "--out", out, "--parallel", "1")
    started = commands.start(*line, cwd=tmp_path, out=log, err=log, before=hold_after_the_first)
    until = time.monotonic() + PATIENCE
    while not list(out.glob("runs/*/study-part.json")):
        assert started.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
    started.kill()
    started.wait(PATIENCE)
    [first] = [path.parent for path in out.glob("runs/*/study-part.json")]
    before = (first / "metrics.jsonl").read_bytes()
    assert len(server.asked) == 12 * 3  # the teacher's responses

    done = command(*line, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": begins") == 1 + 3  # the checks, and the runs that were missing
    assert (first / "metrics.jsonl").read_bytes() == before
    assert "Claims, fixed before the study ran" in done.stdout
    assert "Seeds are repeats of the training" in done.stdout
    assert len(server.asked) == 12 * 3
    [manifest] = {path.read_text() for path in out.glob("data/curate-*/sets/one/set.json")}
    hashes = {
        json.loads(path.read_text())["training_data"]["content_hash"]
        for path in out.glob("runs/answers-*/manifest.json")
    }
    assert hashes == {json.loads(manifest)["content_hash"]}
    found = json.loads((out / "report" / "results.json").read_text())
    assert [len(arm["runs"]) for arm in found["arms"]] == [2, 2]
    # An untrained model scores 0 everywhere: nothing is shown, and nothing is claimed.
    assert [claim["outcome"] for claim in found["claims"]] == ["cannot tell", "cannot tell"]
    page = (out / "report" / "index.html").read_text()
    assert page.count("<svg") == 2
    assert f'href="../runs/{first.name}/report.html"' in page

    again = command("sftgen", "study", file, "--out", out, cwd=tmp_path)
    assert ": begins" not in again.stdout

    study_file(tmp_path, tiny_model, arms={"answers": {**arms["answers"], "train": {"learning_rate": 0.5}}},
               comparisons=[], claims=[])  # fmt: skip
    planned = command("sftgen", "study", "plan", file, "--out", out, cwd=tmp_path).stdout
    assert "arm answers, seed 0 is stale: training.learning_rate changed; it is run again" in planned
    assert "arm answers, seed 1 is stale" in planned


def test_nothing_is_trained_on_a_base_that_fails_its_gate_or_without_end_token_or_data(
    command: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = study_file(tmp_path, tiny_model, sanity={"parity": {"at_least": 0.9}}, seeds=[0])
    done = command("sftgen", "study", file, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "sftgen_parity scores 0.000 on 3 documents: expected 0.9 to 1. Nothing was trained" in done.stdout
    assert "go on with --despite-sanity" in done.stdout
    assert not list(tmp_path.glob("out/runs/*/study-part.json"))

    study_file(tmp_path, tiny_model, seeds=[0], train={"max_steps": 1, "end_token": "<|eot_id|>"})
    done = command("sftgen", "study", file, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "end_token '<|eot_id|>' is not in the vocabulary" in done.stdout
    assert not list(tmp_path.glob("out/runs/*/study-part.json"))

    monkeypatch.setenv("SFTGEN_DATA_DIR", str(tmp_path))
    study_file(tmp_path, tiny_model, seeds=[0], benchmarks={"in-domain": ["aime24"]}, claims=[], sanity={})
    done = command("sftgen", "study", file, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "checks of every training: failed" in done.stdout
    assert "sftgen_aime24" in done.stdout
    assert "begins" not in done.stdout.partition("failed")[2]
    assert "Traceback" not in done.stdout + done.stderr
    done = command("sftgen", "study", file, "--out", file, cwd=tmp_path)
    assert done.returncode == 2
    assert "is no folder that can be written (File exists): name another with --out" in " ".join(done.stderr.split())


def test_what_this_machine_lacks_is_told_before_anything_is_made(
    command: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SFTGEN_JUDGE_MODEL", "SFTGEN_JUDGE_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    claims = [{"arm": "traces", "score": "hex_phi", "expect": "no dip"}]
    asked: dict[str, Any] = {"diagnostics": ["patterns", "token_shift"], "claims": claims, "judges": {"model": "j"}}
    file = study_file(tmp_path, tiny_model, benchmarks={"in-domain": ["parity"], "safety": ["hex_phi"]}, **asked)
    done = command("sftgen", "study", file, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / "out").exists()
    told = [line.partition("study.yaml:")[2].partition(": ")[2] for line in done.stderr.splitlines()[1:]]
    for place, says in (
        ("diagnostics.0", "'patterns' needs a judge: set SFTGEN_JUDGE_BASE_URL"),
        ("diagnostics.1", "'token_shift' measures weights while they wait in the queue"),
        ("claims.0.score", "sftgen_hex_phi is graded by a judge: set SFTGEN_JUDGE_BASE_URL"),
    ):
        assert any(line.startswith(place) and says in line for line in told), (place, done.stderr)
    planned = command("sftgen", "study", "plan", file, "--out", tmp_path / "out", cwd=tmp_path)
    assert planned.returncode == 0
    assert "It cannot run here:" in planned.stdout
    study_file(tmp_path, tiny_model, **{**asked, "claims": [], "judges": {"model": "j", "base_url": "http://x/v1"}},
               evaluation={"limit": 3})  # fmt: skip
    assert "cannot run" not in command("sftgen", "study", "plan", file, cwd=tmp_path).stdout


def test_seeds_are_repeats_of_the_training_and_claims_say_what_is_shown() -> None:
    """Every document falls in both seeds, and comes back in both."""
    falls = np.tile([[1.0, 0.0, 1.0]], (60, 1))
    samples = [of_seed(falls), of_seed(falls)]
    pooled = _pooled(samples)
    assert pooled.samples.values.shape == (60, 3, 2)
    verdict = read_curve("t", align(pooled.samples.values, pooled.samples.steps), delta=0.1)
    assert verdict.shared == 60  # not 120: seeds are no further documents
    arm = ArmResult("a", (), (TaskOfArm("t", "out-of-domain", verdict, ()),), ())
    claims = [Claim(arm="a", score=score, expect=word) for score, word in (  # type: ignore[arg-type]
        ("t", "dips"), ("t", "recovered"), ("out-of-domain", "no dip"), ("t", "not recovered"), ("t", "above base"),
        ("u", "dips"),
    )]  # fmt: skip
    judged = judge_claims(claims, StudyResult((arm,), ()), 0.1)
    outcomes = [one.outcome for one in judged]
    assert outcomes == ["held", "held", "not held", "not held", "cannot tell", "cannot tell"]
    assert judged[0].p_over_claims >= judged[0].p


def test_arms_of_different_length_are_compared_where_the_study_says() -> None:
    """Both fall alike till step 8; the longer one comes back after it."""
    short, long = of_seed(np.tile([[1.0, 0.0]], (60, 1))), of_seed(np.tile([[1.0, 0.0, 1.0]], (60, 1)))
    claims = [Claim(arm="long", against="short", score="t", expect="higher")]
    for at_ends, where, outcome in (
        (False, "at step 8, the last that both have: long ends at step 16, short at 8", "cannot tell"),
        (True, "each at its end: long ends at step 16, short at 8", "held"),
    ):
        found = _compared("long", "short", {"t": long}, {"t": short}, {"t": "general"}, at_ends=at_ends)
        result = StudyResult((), (found,))
        assert cautions_of(result) == [f"long against short is compared {where}"]
        [judged] = judge_claims(claims, result, 0.1)
        assert judged.outcome == outcome
    assert judged.numbers.startswith("0.00 and 1.00 at steps 8 and 16")
    assert cautions_of(StudyResult((), (replace(found, ends=(8, 8)),))) == []


def of_seed(values: np.ndarray) -> TaskSamples:
    documents = np.asarray([f"{place:03d}" for place in range(len(values))], dtype=object)
    return TaskSamples("r", "f", "t", Samples(values[:, :, None], (0, 8, 16)[: values.shape[1]], documents), True, {})


def test_a_plan_has_the_steps_of_the_publication(command: Command) -> None:
    done = command("sftgen", "study", "plan", "fixed-budget", "--json")
    assert done.returncode == 0, done.stderr
    planned = json.loads(done.stdout)
    # Both arms take their rows from one hub data set, and other numbers of them.
    assert [(run["steps"], run["rows"]) for run in planned["runs"]] == [(640, 32), (640, 32)]
    assert all(run["training_hours"] > 1 and run["evaluation_hours"] > 1 for run in planned["runs"])


def test_every_study_that_comes_with_sftgen_can_be_planned(tmp_path: Path) -> None:
    studies = shipped_studies()
    assert {f"{name}-tiny" for name in studies if not name.endswith("-tiny")} - set(studies) == {"demo-tiny"}
    for path in studies.values():
        planned = plan_study(read_study(path), path, tmp_path, device="h100")
        assert all(run.steps and not run.why for run in planned.runs), path


def test_workers_of_an_executor_evaluate_what_a_study_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(running, "train", lambda arguments: None)
    monkeypatch.setattr(work, "_looked_at", lambda file: [])
    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "queue").mkdir()
    work.train_and_evaluate("file", str(tmp_path), model="sftgen-hf", model_args={}, launch=None, engine="ray")
    [command] = ran
    assert command[2:7] == ["sftgen_train", "worker", str(tmp_path), "--model", "sftgen-hf"]
    assert command[-2:] == ["--engine", "ray"]


def test_an_executor_that_nobody_registered_is_told_before_anything_is_made(command: Command, tmp_path: Path) -> None:
    done = command("sftgen", "study", "run", "demo", "--out", tmp_path / "out", "--engine", "spark", cwd=tmp_path)
    assert done.returncode == 2
    assert "executor 'spark': no plugin registered it. Known: local, ray" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_base_that_one_study_made_is_not_made_again_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = []

    def make(folder: Path, progress: Any, *, seed: int) -> None:
        made.append(seed)
        folder.mkdir(parents=True)
        (folder / "weights").write_text(str(seed))

    builder = Builder("b", "", "", options={"seed": 0})
    builder.__dict__["make"] = make
    monkeypatch.setattr(work, "model_builders", lambda: {"b": builder})
    for study in ("one", "other"):
        path = tmp_path / study / "models" / "b-0123"
        work.make_model("b", str(path), {"seed": 7}, None)
        assert [file.name for file in path.iterdir()] == ["weights"]
        assert list(path.parent.iterdir()) == [path]
    assert made == [7]


def test_the_demo_names_its_arms_and_leaves_other_questions_out_of_every_row(command: Command, tmp_path: Path) -> None:
    done = command("sftgen", "demo", tmp_path, "--arm", "verifed")
    assert done.returncode == 2
    assert "no such arm, but verified, no-thinking, wrong, weak-base; did you mean 'verified'?" in done.stderr
    part = demo_study(["verified", "wrong"], [0, 1], docs_seed=8)
    assert list(part.arms) == ["verified", "wrong"]
    assert part.evaluation.metadata["docs_seed"] == 8
    assert {(claim.arm, claim.against) for claim in part.claims} == {
        ("verified", None), ("wrong", None), ("verified", "wrong"),
    }  # fmt: skip
    made = parts_of(part, FILE, tmp_path)
    assert all(8 in material.options["without_seeds"] for material in (*made.models, *made.data))
    assert len(made.runs) == 4
