"""Judges and a teacher behind a real `vllm serve` of a tiny model: text, log-probabilities, a schema, refusals."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftgen_judges import Item, Judge, Reply, Request, Response, Verdict
from sftgen_judges.asking.replies import read_score
from sftgen_judges.asking.settings import with_settings
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_judges.records.store import RunFolder
from sftgen_judges.scoring.grading import grade_batch
from sftgen_judges.truth import TRUTH_LOGPROB
from tests import commands
from tests.commands import Warm
from tests.conftest import Command
from tests.judges.tiny_judge import example, train_judge
from tests.tasks.harness.backends.test_vllm import VLLM_ENVIRONMENT
from tests.tasks.harness.backends.vllm_server import vllm_serving
from tests.train.curation.teacher import sums, write_config

pytestmark = [
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif(
        not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm: `make .venv-vllm/installed` makes it"
    ),
]


@pytest.fixture(scope="module")
def server(vllm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    model = train_judge(folder / "model")
    with vllm_serving(vllm, model, folder / "log", "--served-model-name", "judge") as address:
        yield address


def rate(_item: Item, _settings: JudgeSettings) -> Request:
    # No object: within one, a model that has never seen JSON writes white space for ever.
    return Request(({"role": "user", "content": "Rate."},), max_tokens=8, schema={"enum": [1, 2, 3, 4, 5]})


def rated(reply: Reply) -> Verdict:
    return Verdict("ok", read_score(reply, (1, 5)))


def test_judging_with_a_served_model(server: str, command: Command, tmp_path: Path) -> None:
    drawn = [example(random.Random(f"vllm {n}")) for n in range(40)]
    rows = [{"question": question, "response": answer, "people": true} for question, answer, true in drawn]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = ("--base-url", server, "--model", "judge")
    for source, judge in (("in", "truth"), ("truth", "truth-logprob")):
        files = (tmp_path / f"{source}.jsonl", "--out", tmp_path / f"{judge}.jsonl")
        done = command("sftgen", "judge", "run", judge, *files, *line)
        assert done.returncode == 0, done.stderr
        assert "40 of 40 judged" in done.stdout
    done = command("sftgen", "judge", "agreement", tmp_path / "truth-logprob.jsonl", "--labels", "people", "--json")
    assert done.returncode == 0, done.stderr
    assert [pair["accuracy"]["value"] for pair in json.loads(done.stdout)["pairs"]] == [1, 1, 1]
    [first, *_] = map(json.loads, (tmp_path / "truth-logprob.jsonl").read_text().splitlines())
    assert first["truth-logprob_evidence"]["model"] == "judge"
    assert first["truth-logprob_evidence"]["prompt_tokens"] > 0

    # A schema that the server holds the model to, which has never seen a score.
    item = [Item({"question": "?"}, Response("x", answer="x"))]
    judge = Judge("rate", 1, (1, 5), 5, prompt=rate, read=rated, needs=("chat",))
    at = {"base_url": server, "model": "judge"}
    [held] = grade_batch(with_settings(judge, **at), item)
    assert held.status == "ok"
    assert "dropped" not in held.evidence
    [free] = grade_batch(with_settings(judge, structured=False, **at), item)
    assert free.status == "judge_error"

    # An answer that the server finds too long is cut.
    [long] = grade_batch(with_settings(TRUTH_LOGPROB, **at), [Item({"question": "?"}, Response("x", answer="x" * 999))])
    assert long.measures["clipped"] == 1
    assert 150 < 999 - long.evidence["clipped_chars"] < 256
    # What else the server refuses is missing, with the server's own words; a wrong model stops the batch.
    [asked] = grade_batch(
        with_settings(TRUTH_LOGPROB, **at), [Item({"question": "?" * 999}, Response("x", answer="x"))]
    )
    assert asked.reason.startswith("HTTP 400: ")
    [other] = grade_batch(with_settings(judge, base_url=server, model="gone"), item)
    assert other.reason.startswith("HTTP 404: ")


def test_a_teacher_behind_a_real_server_is_killed_and_goes_on(server: str, command: Command, tmp_path: Path) -> None:
    def configured(name: str, concurrent: int) -> Path:
        teacher = {
            "base_url": f"{server}/chat/completions", "model": "judge", "logprobs": True, "entropy": True,
            "sampling": {"max_tokens": 24}, "args": {"num_concurrent": concurrent},
        }  # fmt: skip
        sets = {"one": {"steps": ["random"]}, "likely": {"steps": [{"logprob": {"keep": 2}}], "form": "messages"}}
        return write_config(tmp_path / name, None, sums(20), teacher=teacher, sets=sets)

    killed = commands.start("sftgen", "curate", "--config", configured("a", 1))
    run = RunFolder(tmp_path / "a" / "pool")
    journal = run.generations("curate_00001")
    while not journal.exists() or len(journal.read_text().splitlines()) < 5:
        assert killed.poll() is None, "it ended before"
        time.sleep(0.005)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    before = [*run.read_generations("curate_00000"), *run.read_generations("curate_00001")]
    said = [command("sftgen", "curate", "--config", configured(name, 4), "--processes", "1") for name in "aab"]
    assert {done.returncode for done in said} == {0}, said[0].stderr
    after = [record for number in range(4) for record in run.read_generations(f"curate_{number:05d}")]
    assert len(after) == 60
    assert {record.key: record for record in after}.items() >= {record.key: record for record in before}.items()
    for record in after:
        assert record.logprob is not None
        assert record.entropy is not None
        assert record.logprob < 0 < record.entropy
    hashes = [re.findall("content hash (.*)$", done.stdout.replace(" (stood before)", ""), re.M) for done in said]
    assert len(hashes[0]) == 2
    assert hashes[0] == hashes[1] == hashes[2]
