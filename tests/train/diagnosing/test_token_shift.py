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

from sftgen_judges.diagnostics.labelling import DiagnosticError
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.store import RunFolder
from sftgen_train.cli.main import app
from sftgen_train.diagnosing import token_shift
from sftgen_train.diagnosing.shift_texts import MOST, TRACES, Text, encoded
from sftgen_train.diagnosing.token_shift import require_alike


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
    assert row["sums"]["kl"] == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-4)
    assert row["sums"]["loss"] == pytest.approx(-float(q.gather(-1, ids[0, start:, None]).sum()), rel=1e-5)

    figure = findings["a text of traces in colour"]["figure"]
    assert [pane["title"] for pane in figure["panes"]] == ["step 2", "step 3"]
    assert "".join(figure["panes"][0]["tokens"]) == "<think>\nso 0</think>\nwait, 0<|im_end|>"
    assert len(figure["panes"][0]["values"]) == len(answer)
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0
    report = (run / "report.html").read_text()
    assert "&lt;think&gt;" in report
    assert "token_shift" in report


def test_a_probe_that_is_killed_goes_on_where_it_was(run: Path, traces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, forced = token_shift.force, []

    def dies(*given: Any, **options: Any) -> Any:
        if len(forced) == 9:
            raise KeyboardInterrupt
        forced.append(given)
        return real(*given, **options)

    monkeypatch.setattr(token_shift, "force", dies)
    assert CliRunner().invoke(app, ["diagnose", str(run), "--only", "token_shift"]).exit_code != 0
    path = RunFolder(run).probes("token_shift")
    assert len(list(read_rows(path))) == 9
    monkeypatch.setattr(token_shift, "force", lambda *given, **options: forced.append(given) or real(*given, **options))
    diagnose(run)
    texts = 6 + 6 + 6 + 6 + 6  # traces and the base's answers at two checkpoints, own answers at one
    assert len(forced) == len(list(read_rows(path))) == texts
    forced.clear()
    diagnose(run)
    assert not forced


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


def test_another_vocabulary_is_refused_with_what_differs(tiny_model: Path) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    require_alike(model, tokenizer, model, tokenizer)
    other = AutoTokenizer.from_pretrained(tiny_model)
    other.add_tokens(["<plan>"])
    wider = AutoModelForCausalLM.from_pretrained(tiny_model)
    wider.resize_token_embeddings(len(other))
    with pytest.raises(DiagnosticError) as refused:
        require_alike(model, tokenizer, wider, other)
    n = len(tokenizer)
    assert f"1 tokens are others or have other numbers ('<plan>'); the base has logits for {n}" in str(refused.value)


def test_a_text_is_cut_at_the_context_and_may_be_empty(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ids, start, kinds, pieces = encoded(Text("traces", "1", "abc", "<think></think>12"), tokenizer, 6)
    assert (len(ids), start, len(kinds), pieces) == (6, 3, 3, ["<think>", "</think>", "1"])
    ids, start, *_ = encoded(Text("traces", "1", "abcdefg", "x"), tokenizer, 6)
    assert len(ids) == start == 7  # no room is left for the response
    ids, start, kinds, pieces = encoded(Text("traces", "1", "", "x"), tokenizer, 100)
    assert (len(ids), start, pieces) == (2, 1, ["<|im_end|>"])
