"""Patterns, self-jailbreak and safe thinking through the command: HTTP judges that go by rule, and a real model."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sftgen_judges.diagnostics.patterns import VERSION
from sftgen_judges.diagnostics.validation.reading import shipped
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import History
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.query import open_records
from sftgen_train.cli.main import app
from tests.conftest import Command
from tests.judges.diagnostics.rule_judge import answering, by_labels, by_words, safety_judge, stages_by_labels
from tests.judges.diagnostics.tiny_pattern_judge import QUESTION, example, train_judge
from tests.judges.server import JudgeServer, serving
from tests.train.diagnosing.judged_runs import answered, documents, reasoning_run, stand_ins, thought, unsafe_run

pytestmark = pytest.mark.xdist_group("judged")


@pytest.fixture(scope="module")
def knowing() -> Iterator[JudgeServer]:
    """A judge of patterns that knows the right labels."""
    with serving(answering(by_labels(shipped("patterns")))) as server:
        yield server


@pytest.fixture(scope="module")
def reasoning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reasoning_run(tmp_path_factory.mktemp("reasoning") / "run").path


@pytest.fixture
def diagnose(tmp_path: Path) -> Callable[..., Any]:
    """Run `sftgen diagnose` in this process, with a cache of its own: the JSON that it printed."""

    def run(*arguments: str | Path, code: int = 0, **more: str) -> Any:
        environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "SFTGEN_JUDGE_BACKOFF": "0.01", **more}
        line = ["diagnose", *map(str, arguments), "--format", "json"]
        done = CliRunner().invoke(app, line, env=environment, catch_exceptions=False)
        assert done.exit_code == code, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    return run


def judged_by(server: JudgeServer, model: str = "rule") -> list[str]:
    return ["--judge-model", model, "--judge-base-url", server.url]


def findings(printed: Any, title: str) -> dict[str, Any]:
    [found] = [one for one in printed["findings"] if one["title"] == title]
    return dict(found)


def number(cell: str) -> float:
    """The number of a cell that also has its interval."""
    return float(cell.split(maxsplit=1)[0])


# ------------------------------------------------------------------------------ patterns


def test_a_judge_that_knows_the_labels_is_validated_and_its_findings_say_so(
    diagnose: Callable[..., Any], knowing: JudgeServer, reasoning: Path
) -> None:
    measured = diagnose("--validate", "patterns", *judged_by(knowing, "knowing"))
    assert measured["coverage"] == 1
    assert {found["label"]: found["f1"]["value"] for found in measured["validations"]} == dict.fromkeys(
        shipped("patterns").segment_labels, 1.0
    )
    assert measured["words"]["backtracking"]["f1"]["value"] < 0.5

    printed = diagnose(reasoning, "--only", "patterns", *judged_by(knowing, "knowing"))
    assert {found["title"] for found in printed["findings"]} == {
        "patterns", "more patterns or longer texts", "won, lost, kept", "what the judge read, and what word lists say",
    }  # fmt: skip
    for found in printed["findings"]:
        assert {given["label"]: given["f1"]["value"] for given in found["validation"]}["backtracking"] == 1.0
        assert found["validation"][0]["annotator"] == "knowing"

    grown = findings(printed, "more patterns or longer texts")
    assert grown["certainty"] == "clear"
    assert "verification +" in grown["sentence"]
    assert "as long" in grown["sentence"]
    kept = findings(printed, "won, lost, kept")
    assert kept["table"]["columns"] == ["", "won", "lost", "kept right", "kept wrong"]
    assert kept["table"]["rows"][0] == ["documents", 20, 10, 20, 10]

    # Rates are those of the labels: 60 documents, words as tokens.
    found = shipped("patterns").documents[:60]
    tokens = sum(len(document.thinking.split()) + 2 for document in found)
    spans = sum(span.label == "backtracking" for document in found for span in document.spans)
    rate = next(
        metric
        for metric in findings(printed, "patterns")["metrics"]
        if (metric["name"], metric["step"]) == ("backtracking", 100)
    )
    assert rate["value"] == pytest.approx(1000 * spans / tokens, rel=0.15)  # neighbours count once

    asked = len(knowing.calls)
    again = diagnose(reasoning, "--only", "patterns", *judged_by(knowing, "knowing"))
    assert len(knowing.calls) == asked
    assert [one["sentence"] for one in again["findings"]] == [one["sentence"] for one in printed["findings"]]
    # Another model is no longer the one that was measured.
    other = diagnose(reasoning, "--only", "patterns", *judged_by(knowing, "other"))
    assert len(knowing.calls) > asked
    assert all(one["validation"] == [] for one in other["findings"])


def test_labels_of_another_judge_or_version_are_not_mixed_in(diagnose: Callable[..., Any], tmp_path: Path) -> None:
    run = reasoning_run(tmp_path / "run", count=4).path
    with serving(answering(by_words)) as server:
        diagnose(run, "--only", "patterns", *judged_by(server, "first"))
    with open_records(run) as records:

        def labelled(annotator: str, version: int) -> int:
            return len(History(records, "patterns", version=version, annotator=annotator).labels().rows())

        assert [labelled("first", VERSION), labelled("second", VERSION), labelled("first", VERSION - 1)] == [8, 0, 0]


def unreadable(prompt: str) -> bool:
    """One prompt in ten, always the same."""
    return int(sha256(prompt.encode()).hexdigest()[:8], 16) % 10 == 0


def test_a_judge_that_fails_now_and_then_is_incomplete_and_says_so(
    diagnose: Callable[..., Any], reasoning: Path, tmp_path: Path
) -> None:
    with serving(answering(by_words, unreadable)) as server:
        measured = diagnose("--validate", "patterns", *judged_by(server, "flaky"), code=3)
        assert 0.85 < measured["coverage"] < 0.95
        assert list(measured["failed"]) == ["no JSON object with 'found' in the reply"]
        assert measured["validations"][0]["n"] < 984

        printed = diagnose(reasoning, "--only", "patterns", *judged_by(server, "flaky"))
        read = findings(printed, "what the judge read, and what word lists say")
        assert read["certainty"] == "cannot tell"
        assert "incomplete, more than 5% are missing" in read["sentence"]
        [metric, *_] = [one for one in findings(printed, "patterns")["metrics"] if one["step"] == 100]
        assert 45 <= metric["n"] < 60  # missing, and not 0
        assert "could not be labelled and are missing" in findings(printed, "patterns")["measured_on"]

        line = ["diagnose", "--validate", "patterns", *judged_by(server, "flaky")]
        environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
        done = CliRunner().invoke(app, line, env=environment, catch_exceptions=False)
    assert done.exit_code == 3
    assert "incomplete: " in done.stdout
    assert "not shown to be better than the F1 of finding all, or of the word lists: backtracking" in done.stdout
    rows = list(read_rows(reasoning / "labels" / "patterns" / "sftgen_parity.jsonl"))
    assert any(row["failed"] and not row["numbers"] for row in rows)


def test_without_a_judge_the_word_lists_are_measured_and_the_next_step_is_named(command: Command) -> None:
    done = command("sftgen", "diagnose", "--validate", "patterns", env={**os.environ, "COLUMNS": "160"})
    assert done.returncode == 2
    assert "0.23-0.54" in done.stdout
    assert "needs a judge: set SFTGEN_JUDGE_MODEL" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--validate", "length", "--split", "all"], "no plugin registered it"),
        (["--validate", "anatomy"], "comes without a labelled set: name one with --labels FILE"),
        (["--validate", "patterns", "--split", "train"], "--split 'train': expected one of dev, test, all"),
        (["--validate", "patterns", "--labels", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        ([], "no run directory: name one"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(SftgenError, match=re.escape(message)):
        CliRunner().invoke(app, ["diagnose", *arguments], catch_exceptions=False)


# ------------------------------------------------------------------------------ safety


def test_unsafe_answers_are_split_by_their_thinking_and_nothing_of_it_is_shown(
    diagnose: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTGEN_DATA_DIR", str(tmp_path))
    stand_ins(tmp_path)
    run = unsafe_run(tmp_path / "run").path
    right = shipped("self_jailbreak")
    with serving(answering(safety_judge(stages_by_labels(right)))) as server:
        measured = diagnose("--validate", "self_jailbreak", *judged_by(server))
        assert {found["label"]: found["f1"]["value"] for found in measured["validations"]}["self_jailbreak"] == 1
        calls = len(server.calls)
        printed = diagnose(run, "--only", "self_jailbreak", *judged_by(server))
        judged = server.calls[calls:]
        printed["findings"] += diagnose(run, "--only", "thinking_safety", *judged_by(server))["findings"]
    unsafe = [document for place, document in enumerate(right.documents) if place % 2]
    assert len(judged) == len(unsafe) == 60  # never a safe answer

    found = findings(printed, "unsafe answers by what their thinking did")
    before, after = (dict(zip(found["table"]["columns"], row, strict=True)) for row in found["table"]["rows"])
    expected = sum(document.holds["self_jailbreak"] for document in unsafe)
    assert number(after["self-jailbreak / unsafe"]) == pytest.approx(expected / 60, abs=0.001)
    assert number(after["self-jailbreak / all"]) == pytest.approx(expected / 120, abs=0.001)
    assert (after["unsafe"], after["judged"]) == (60, 60)
    assert sum(metric["value"] for metric in found["metrics"] if metric["step"] == 100) == pytest.approx(0.5)
    assert (before["unsafe"], before["self-jailbreak / unsafe"]) == (0, None)
    assert found["validation"]

    table = findings(printed, "thinking and answer, safe or unsafe")["table"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [(row["step"], row["thinking"]) for row in rows] == [
        (0, "safe"),
        (0, "unsafe"),
        (100, "safe"),
        (100, "unsafe"),
    ]
    for step in (0, 100):
        cells = [row[name] for row in rows if row["step"] == step for name in ("answer safe", "answer unsafe")]
        assert sum(map(number, cells)) == pytest.approx(1, abs=0.002)
    shown = json.dumps(printed)
    for document in right.documents:
        assert document.question not in shown
        assert document.thinking[:40] not in shown
        assert not document.answer or document.answer not in shown


def test_labels_of_ones_own_for_a_judge(diagnose: Callable[..., Any], tmp_path: Path) -> None:
    """A file laid out as the public traces, through the command."""
    document = shipped("self_jailbreak").documents[0]
    sentences = [document.thinking[start:end] for start, end in document.segments]
    argued = [number for number, pair in enumerate(document.segments) if _has(document, "argues_past", pair)]
    row = {
        "question": document.question, "response": document.answer, "safety_eval_score": 5.0,
        "cot_sentences": "\n".join(f"sentence {number} - {text}" for number, text in enumerate(sentences)),
        "selfjb_annos": {"answer": argued},
    }  # fmt: skip
    path = tmp_path / "selfjb.jsonl"
    path.write_text(json.dumps(row))
    with serving(answering(stages_by_labels(shipped("self_jailbreak")))) as server:
        measured = diagnose("--validate", "self_jailbreak", "--labels", path, "--split", "all", *judged_by(server))
    assert measured["labelled_set"] == "self-jailbreaking/selfjb"
    assert [(found["label"], found["f1"]["value"]) for found in measured["validations"]] == [
        ("argues_past", 1.0), ("self_jailbreak", 1.0),
    ]  # fmt: skip


def _has(document: Any, label: str, pair: tuple[int, int]) -> bool:
    return any((span.label, span.start, span.end) == (label, *pair) for span in document.spans)


# ------------------------------------------------------------------------------ a model in this process


def test_a_real_model_labels_a_run_and_is_validated(diagnose: Callable[..., Any], tmp_path: Path) -> None:
    model = train_judge(tmp_path / "judge")
    rng = random.Random(7)
    texts = [example(rng) for _ in range(40)]
    rows = [
        {"id": str(number), "question": QUESTION, "thinking": text,
         "spans": [{"label": "uncertainty", "start": 0, "end": len(text)}] if unsure else []}
        for number, (text, unsure) in enumerate(texts)
    ]  # fmt: skip
    labels = tmp_path / "labels.jsonl"
    head = {"labelled_set": "sure or not", "segment_labels": ["uncertainty"]}
    labels.write_text("\n".join(map(json.dumps, [head, *rows])))
    local = {"SFTGEN_JUDGE_BACKEND": "transformers", "SFTGEN_JUDGE_MODEL": str(model), "OMP_NUM_THREADS": "1"}
    measured = diagnose("--validate", "patterns", "--labels", labels, **local)
    [found] = measured["validations"]
    assert (found["label"], found["annotator"], measured["coverage"]) == ("uncertainty", str(model), 1)
    assert found["f1"]["value"] > 0.9

    from sftgen_judges.records.store import RunFolder

    run = RunFolder(tmp_path / "run")
    docs = documents("sftgen_parity", len(texts))
    answered(run, "sftgen_parity", docs, {0: [(thought(text), 1.0, {}) for text, _ in texts]})
    printed = diagnose(run.path, "--only", "patterns", **local)
    metrics = {metric["name"]: metric for metric in findings(printed, "patterns")["metrics"]}
    labelled = metrics["uncertainty_in_response"]
    assert labelled["n"] >= 1
    assert findings(printed, "patterns")["validation"][0]["labelled_set"] == "sure or not"
