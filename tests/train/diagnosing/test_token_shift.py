"""`token_shift` over the checkpoints of a real training: its numbers, going on after a kill, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from sftgen_judges.diagnostics.token_shift.summary import Shift, sums_of
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.store import RunFolder
from sftgen_train.cli.main import app
from sftgen_train.diagnosing import probing, shift_reading
from sftgen_train.diagnosing.shift_reading import ALIGN
from sftgen_train.diagnosing.shift_texts import MOST, TRACES, Text, encoded


@pytest.fixture
def run(trained_alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with checkpoints of steps 2 and 3, evaluated at 0, 1 and 3."""
    shutil.copytree(trained_alone, tmp_path / "run")
    monkeypatch.setenv(MOST, "6")
    return tmp_path / "run"


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows: list[dict[str, Any]] = [
        {"message": [{"role": "user", "content": f"What is {n}?"}], "response": f"<think>\nso {n}</think>\nwait, {n}"}
        for n in range(4)
    ]
    rows.append({"prompt": "1 + 1 is ", "completion": "2"})
    rows.append({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "<think></think>y"}]})
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv(TRACES, str(path))
    return path


def diagnose(run: Path, code: int = 0) -> dict[str, Any]:
    arguments = ["diagnose", str(run), "--only", "token_shift", "--model-args", "device=cpu", "--format", "json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output + repr(done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_source_is_measured_and_the_numbers_are_those_of_a_plain_pass(run: Path, traces: Path) -> None:
    findings = {found["title"]: found for found in diagnose(run)["findings"]}
    expected = {f"{source} at step {step}" for source in ("traces", "base answers") for step in (2, 3)}
    expected |= {"own answers at step 3"}  # step 2 was not evaluated
    expected |= {f"{source} over the checkpoints" for source in ("traces", "base answers", "own answers")}
    for source in ("traces", "base answers"):
        expected |= {
            f"loss classes on {source}",
            f"which tokens rise first on {source}",
            f"a text of {source} in colour",
        }
    assert set(findings) == expected
    last = findings["traces at step 3"]
    assert last["measured_on"].startswith("6 texts, ")
    metrics = {metric["name"]: metric for metric in last["metrics"]}
    assert 0 < metrics["kl"]["low"] <= metrics["kl"]["value"] <= metrics["kl"]["high"]

    rows = [row["kept"] for row in read_rows(RunFolder(run).probes("token_shift")) if row["step"] == 3]
    [row] = [row for row in rows if row["name"] == "line 1"]
    tokenizer = AutoTokenizer.from_pretrained(run / "checkpoint-3")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 0?"}], tokenize=False, add_generation_prompt=True
    )
    answer = tokenizer("<think>\nso 0</think>\nwait, 0<|im_end|>")["input_ids"]
    start = len(tokenizer(prompt)["input_ids"])
    ids = torch.tensor([tokenizer(prompt)["input_ids"] + answer])
    base = RunFolder(run).manifest()["model"]
    with torch.no_grad():
        p, q = (
            AutoModelForCausalLM.from_pretrained(path)(input_ids=ids).logits[0, start - 1 : -1].double().log_softmax(-1)
            for path in (base, run / "checkpoint-3")
        )
    assert row["tokens"] == len(answer)
    sums = sums_of(Shift.unpacked(row["arrays"]))
    assert sums["kl"] == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-4)
    assert sums["loss"] == pytest.approx(-float(q.gather(-1, ids[0, start:, None]).sum()), rel=1e-5)

    figure = findings["a text of traces in colour"]["figure"]
    assert [pane["title"] for pane in figure["panes"]] == ["step 2", "step 3"]
    assert "".join(figure["panes"][0]["tokens"]) == "<think>\nso 0</think>\nwait, 0<|im_end|>"
    assert len(figure["panes"][0]["values"]) == len(answer)
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0
    report = (run / "report.html").read_text()
    assert "&lt;think&gt;" in report
    assert "token_shift" in report


def test_a_probe_that_is_killed_goes_on_where_it_was(run: Path, traces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, forced = shift_reading.force, []

    def dies(*given: Any, **options: Any) -> Any:
        if len(forced) == 9:
            raise KeyboardInterrupt
        forced.append(given)
        return real(*given, **options)

    monkeypatch.setattr(shift_reading, "force", dies)
    assert CliRunner().invoke(app, ["diagnose", str(run), "--only", "token_shift"]).exit_code != 0
    path = RunFolder(run).probes("token_shift")
    assert len(list(read_rows(path))) == 9
    monkeypatch.setattr(
        shift_reading, "force", lambda *given, **options: forced.append(given) or real(*given, **options)
    )
    load, loaded = probing._load, []
    monkeypatch.setattr(probing, "_load", lambda path, args: loaded.append(Path(path).name) or load(path, args))
    diagnose(run)
    texts = 6 + 6 + 6 + 6 + 6  # traces and the base's answers at two checkpoints, own answers at one
    assert len(forced) == len(list(read_rows(path))) == texts
    # The base is loaded once for both checkpoints; what is known needs no weights.
    assert loaded == [Path(RunFolder(run).manifest()["model"]).name, "checkpoint-2", "checkpoint-3"]
    forced.clear()
    loaded.clear()
    diagnose(run)
    assert not forced
    assert not loaded


def test_bad_settings_are_told_before_anything_is_forced(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MOST, "many")
    assert "SFTGEN_TOKEN_SHIFT_TEXTS='many': expected a number" in diagnose(run, code=1)["failed"]["token_shift"]
    monkeypatch.setenv(MOST, "3")
    monkeypatch.setenv(TRACES, str(tmp_path / "none.jsonl"))
    assert "none.jsonl cannot be read" in diagnose(run, code=1)["failed"]["token_shift"]
    (tmp_path / "none.jsonl").write_text('{"prompt": "x", "completion": "y"}\n{"text": "x"}\n')
    assert (
        "none.jsonl, line 2: expected a JSON object with `messages`" in diagnose(run, code=1)["failed"]["token_shift"]
    )


def test_another_vocabulary_is_refused_or_aligned_by_text(
    run: Path, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run / "checkpoint-2")
    tokenizer = AutoTokenizer.from_pretrained(run / "checkpoint-3")
    model = AutoModelForCausalLM.from_pretrained(run / "checkpoint-3")
    n = len(tokenizer)
    tokenizer.add_tokens(["so 1", "wait"])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(run / "checkpoint-3")
    tokenizer.save_pretrained(run / "checkpoint-3")
    refused = diagnose(run, code=1)["failed"]["token_shift"]
    assert f"2 tokens are others or have other numbers ('so 1', 'wait'); the base has logits for {n}" in refused
    assert "SFTGEN_TOKEN_SHIFT_ALIGN=text" in refused
    monkeypatch.setenv(ALIGN, "words")
    assert "SFTGEN_TOKEN_SHIFT_ALIGN='words': expected 'text'" in diagnose(run, code=1)["failed"]["token_shift"]
    monkeypatch.setenv(ALIGN, "text")
    findings = {found["title"]: found for found in diagnose(run)["findings"]}
    found = findings["traces at step 3, by text"]
    assert "no KL, JS, entropy and ranks" in found["measured_on"]
    assert "stretch of text that both models cut out" in found["sentence"]
    names = {metric["name"] for metric in found["metrics"]}
    assert {"loss", "loss_change"} <= names
    assert not {"kl", "js", "shifted", "entropy"} & names

    [row] = [row["kept"] for row in read_rows(RunFolder(run).probes("token_shift")) if row["kept"]["name"] == "line 2"]
    shift = Shift.unpacked(row["arrays"])
    base = RunFolder(run).manifest()["model"]
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 1?"}], tokenize=False, add_generation_prompt=True
    )
    lengths = []
    for path, name in ((base, "base_logprob"), (run / "checkpoint-3", "logprob")):
        encode, reads = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
        asked = encode(prompt)["input_ids"]
        answer = encode("<think>\nso 1</think>\nwait, 1<|im_end|>")["input_ids"]
        lengths.append(len(answer))
        ids = torch.tensor([asked + answer])
        with torch.no_grad():
            logits = reads(input_ids=ids).logits[0, len(asked) - 1 : -1].double().log_softmax(-1)
        assert shift[name].sum() == pytest.approx(float(logits.gather(-1, ids[0, len(asked) :, None]).sum()), rel=1e-5)
    # "so 1" and "wait" are four tokens each to the base, and one to the checkpoint: one stretch each.
    assert lengths[0] == lengths[1] + 6
    assert len(shift) == row["tokens"] == lengths[1]
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0


def test_a_text_is_cut_at_the_context_and_may_be_empty(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    found = encoded(Text("traces", "1", "abc", "<think></think>12"), tokenizer, 6)
    assert (len(found.ids), found.start, found.pieces, found.cut) == (6, 3, ["<think>", "</think>", "1"], True)
    assert len(found.kinds) == 3
    assert found.ends == [7, 15, 16]
    found = encoded(Text("traces", "1", "abcdefg", "x"), tokenizer, 6)
    assert len(found.ids) == found.start == 7  # no room is left for the response
    found = encoded(Text("traces", "1", "", "x"), tokenizer, 100)
    assert (len(found.ids), found.start, found.pieces, found.cut) == (2, 1, ["<|im_end|>"], False)
    assert (found.begin, found.ends) == (1, [2])
