"""A study from its file to its report: two arms, two seeds, killed once and started again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tests import PATIENCE, ROOT, commands
from tests.conftest import Command

WRONG = """\
name: my study
base: ./no-such-model
arms:
  one: {data: {made: countdown-trace}, seeds: [1, 1]}
  two: {data: {made: countdown-traces, with: {kind: verifed, row: 3}}, schedule: lr5e-5}
  three: {data: ./nothing.jsonl}
  one: {data: {recipe: gone.yaml}}
train: {learning_rat: 1.0, harness_limit: 3}
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
        ("arms.three.data", "no such file"), ("one stands twice", ""), ("train.learning_rat", "'learning_rate'"),
        ("train.harness_limit", "evaluation.limit"), ("benchmarks.in-domain.0", "sftgen_countdown"),
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
    file = study_file(tmp_path, tiny_model)
    out = tmp_path / "out"
    log = tmp_path / "log"
    started = commands.start("sftgen", "study", file, "--out", out, "--parallel", "1", cwd=tmp_path, out=log, err=log)
    until = time.monotonic() + PATIENCE
    while not list(out.glob("runs/*/study-part.json")):
        assert started.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
    started.kill()
    started.wait(PATIENCE)
    [first] = [path.parent for path in out.glob("runs/*/study-part.json")]
    before = (first / "metrics.jsonl").read_bytes()

    done = command("sftgen", "study", file, "--out", out, "--parallel", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": begins") == 1 + 3  # the checks, and the runs that were missing
    assert (first / "metrics.jsonl").read_bytes() == before
    assert "Claims, fixed before the study ran" in done.stdout
    assert "Seeds are repeats of the training" in done.stdout
    found = json.loads((out / "report" / "results.json").read_text())
    assert [len(arm["runs"]) for arm in found["arms"]] == [2, 2]
    # An untrained model scores 0 everywhere: nothing is shown, and nothing is claimed.
    assert [claim["outcome"] for claim in found["claims"]] == ["cannot tell", "cannot tell"]
    page = (out / "report" / "index.html").read_text()
    assert page.count("<svg") == 2
    assert f'href="../runs/{first.name}/report.html"' in page

    again = command("sftgen", "study", file, "--out", out, cwd=tmp_path)
    assert ": begins" not in again.stdout

    study_file(tmp_path, tiny_model, arms={"answers": {"data": "rows.jsonl", "train": {"learning_rate": 0.5}}},
               comparisons=[], claims=[])  # fmt: skip
    planned = command("sftgen", "study", "plan", file, "--out", out, cwd=tmp_path).stdout
    assert "arm answers, seed 0 is stale: training.learning_rate changed; it is run again" in planned
    assert "arm answers, seed 1 is stale" in planned
