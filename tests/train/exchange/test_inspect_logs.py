"""inspect's logs as a run: archives and JSON files with known scores, and those of people who mean harm."""

from __future__ import annotations

import json
import os
import struct
import sys
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest

from sftgen_judges.records.query import open_records
from sftgen_train.cli.main import main
from tests.conftest import Command

MODEL = "hf/out/checkpoint-{}"
LONG = "The sum is four. " * 10


def header(step: int | None, **more: Any) -> dict[str, Any]:
    spec = {
        "created": "2026-01-01T00:00:00+00:00", "task": "evals/sums",
        "dataset": {"samples": 4, "sample_ids": [0, 1, 2, 3]},
        "model": "hf/local" if step is None else MODEL.format(step), "model_args": {"dtype": "bfloat16"},
        "config": {"epochs": 2}, "model_generate_config": {"max_tokens": 64}, **more,
    }  # fmt: skip
    results = {"total_samples": 8, "scores": [{"name": "match", "scorer": "match", "metrics": {}}]}
    plan = {"config": {"temperature": 0.6}}
    return {"version": 2, "status": "success", "eval": spec, "plan": plan, "results": results}


def sample(doc: int, epoch: int, value: Any, **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "4"}]}
    choice = {"message": said, "stop_reason": "stop"}
    usage = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14, "reasoning_tokens": 3}
    asked = {"role": "user", "content": f"{doc} + {doc}?", "id": f"random-{doc}-{epoch}"}
    return {
        "id": doc, "epoch": epoch, "input": f"{doc} + {doc}?", "target": str(2 * doc), "messages": [asked, said],
        "output": {"choices": [choice], "usage": usage},
        "scores": {"match": {"value": value, "answer": "4", "explanation": "it is four"}}, **more,
    }  # fmt: skip


def packed(path: Path, head: dict[str, Any] | None, samples: list[Any], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", kind) as file:
        if head is not None:
            file.writestr("header.json", json.dumps(head))
        for number, each in enumerate(samples):
            text = each if isinstance(each, str) else json.dumps(each)
            file.writestr(f"samples/../../../{number}_epoch_1.json", text)
    return path


def zstandard(path: Path, files: dict[str, bytes]) -> Path:
    """An archive as newer versions of inspect write it; Python's own writer knows that compression from 3.14 on."""
    begin, directory = b"", b""
    for name, data in files.items():
        small, named = pa.Codec("zstd").compress(data).to_pybytes(), name.encode()
        facts = struct.pack("<HHHHHLLLHH", 20, 0, 93, 0, 33, zlib.crc32(data), len(small), len(data), len(named), 0)
        directory += b"PK\x01\x02\x14\x00" + facts + struct.pack("<HHHLL", 0, 0, 0, 0, len(begin)) + named
        begin += b"PK\x03\x04" + facts + named + small
    end = struct.pack("<HHHHLLH", 0, 0, len(files), len(files), len(directory), len(begin), 0)
    path.write_bytes(begin + directory + b"PK\x05\x06" + end)
    return path


def test_checkpoints_become_a_run_with_verdicts_texts_and_repeats(command: Command, tmp_path: Path) -> None:
    both = [(doc, epoch) for doc in range(4) for epoch in (1, 2)]
    logs = tmp_path / "logs"
    packed(logs / "a.eval", header(0), [sample(doc, epoch, "C" if doc else "I") for doc, epoch in both])
    # Step 100, as one JSON file: a sample is missing, one failed, one has no number, one was cut.
    rows = [sample(doc, epoch, 1) for doc, epoch in both if (doc, epoch) != (3, 2)]
    rows[0] |= {"error": {"message": "CUDA \x1b[2J out of memory", "traceback": "t"}}
    rows[1]["scores"]["match"]["value"] = float("nan")
    rows[2]["output"]["choices"][0] |= {"stop_reason": "max_tokens"}
    rows[2]["scores"]["match"] |= {"value": "N", "explanation": LONG}
    rows[3] |= {"messages": [], "attachments": {"abc": LONG}}
    rows[3]["output"]["choices"][0]["message"] = {"role": "assistant", "content": "attachment://abc"}
    (logs / "b.json").write_text(json.dumps({**header(100), "samples": rows}))
    (logs / "listing.json").write_text('{"a.eval": 1}')
    files = {f"samples/{doc}_epoch_{epoch}.json": json.dumps(sample(doc, epoch, "P")).encode() for doc, epoch in both}
    whole = {"header.json": json.dumps(header(None, metadata={"step": 200})).encode(), **files}
    zstandard(logs / "c.eval", whole)
    ended = command("sftgen", "import", "inspect", tmp_path / "run", logs)
    assert ended.returncode == 0, ended.stderr
    assert [line for line in ended.stdout.splitlines() if line.startswith("step")] == [
        "step 0: sums 0.750 (4)", "step 100: sums 0.833 (3)", "step 200: sums 0.500 (4)"
    ]  # fmt: skip
    with open_records(tmp_path / "run") as records:
        found = records.sql("SELECT * FROM samples WHERE step = 100 ORDER BY doc_id, repeat").rows()
        assert [(row["doc_id"], row["repeat"], row["status"], row["score"]) for row in found[:4]] == [
            ("0", 0, "not_graded", None), ("0", 1, "not_graded", None), ("1", 0, "no_answer", 0.0), ("1", 1, "ok", 1.0)
        ]  # fmt: skip
        assert found[0]["reason"] == "imported: the sample failed: CUDA \x1b[2J out of memory"
        assert (found[2]["truncated"], found[2]["finish_reason"], found[2]["reason"]) == (
            True, "length", "imported: inspect read no answer"
        )  # fmt: skip
        assert (found[4]["tokens"], found[4]["thinking_tokens"], found[4]["answer"]) == (5, 3, "4")
        assert found[4]["reason"] == "it is four"
        assert len(found) == 7
        texts = records.sql("SELECT text, reasoning, sampling FROM texts WHERE step = 100 ORDER BY text").rows()
        assert [(row["text"], row["reasoning"]) for row in texts[:2]] == [("4", "Hm."), ("4", "Hm.")]
        assert texts[-1]["text"] == LONG
        assert json.loads(texts[0]["sampling"]) == {"max_tokens": 64, "temperature": 0.6}
        # One document at every step, whatever ids its messages have.
        hashes = records.sql("SELECT DISTINCT doc_hash FROM samples WHERE step <> 100").rows()
        assert len(hashes) == 4
        prompts = records.sql("SELECT prompt FROM prompts").rows()
        assert json.dumps([{"role": "user", "content": "3 + 3?"}]) in {row["prompt"] for row in prompts}
        metrics = records.sql("SELECT step, metric, mean, incomplete FROM metrics WHERE metric = 'truncated'").rows()
        assert [(row["step"], row["mean"], row["incomplete"]) for row in metrics if row["step"] == 200] == [
            (200, 0.0, None)
        ]
        assert {row["incomplete"] for row in metrics if row["step"] == 100} == {True}
    assert "sums" in command("sftgen", "trajectory", tmp_path / "run").stdout


def test_one_of_several_values_is_chosen_by_name(command: Command, tmp_path: Path) -> None:
    rows = [sample(doc, 1, {"right": doc % 2, "kind": 0.25, "words": 40}) for doc in range(4)]
    log = packed(tmp_path / "a.eval", header(None), rows)
    ended = command("sftgen", "import", "inspect", tmp_path / "run", f"5={log}", "--metric", "right")
    assert "step 5: sums 0.500 (4)" in ended.stdout, ended.stderr
    with open_records(tmp_path / "run") as records:
        means = {row["metric"]: row["mean"] for row in records.metrics.rows()}
        assert (means["kind"], means["words"], means["right"]) == (0.25, 40, 0.5)
    for metric, said in (("words", "words is 40; a score is a share"), ("wrong", "has no metric 'wrong'")):
        ended = command("sftgen", "import", "inspect", tmp_path / "none", f"5={log}", "--metric", metric)
        assert (ended.returncode, said in " ".join(ended.stderr.split())) == (2, True), ended.stderr


def test_what_cannot_be_read_is_named_and_nothing_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also what is meant to do harm: files that are larger than they say, names that lead elsewhere, damage."""
    right = [sample(0, 1, "C")]
    logs = tmp_path / "logs"
    packed(logs / "stepless.eval", header(None), right)
    (logs / "no.eval").write_text("no archive")
    packed(logs / "headless.eval", None, right)
    packed(logs / "foreign.eval", header(1), ['{"id": 1}'])
    packed(logs / "deep.eval", header(1), ["[" * 100_000])
    packed(logs / "twice.eval", header(1), right * 2)
    packed(logs / "empty.eval", header(1), [])
    packed(logs / "named.eval", header(1, task="evals/.."), right)
    whole = {"header.json": json.dumps(header(1)).encode(), "samples/1.json": json.dumps(right[0]).encode()}
    liar = zstandard(logs / "liar.eval", whole).read_bytes()
    size = struct.pack("<L", len(whole["samples/1.json"]))
    (logs / "liar.eval").write_bytes(liar.replace(size, struct.pack("<L", 50)))
    (logs / "bomb.eval").write_bytes(liar.replace(size, struct.pack("<L", 1 << 31)))
    (logs / "torn.eval").write_bytes(liar[: len(liar) // 2])
    (logs / "other.json").write_text('{"question": "what"}')
    directory = len(liar) - 22 + 12
    (logs / "list.eval").write_bytes(liar[:directory] + struct.pack("<L", 1 << 30) + liar[directory + 4 :])
    for name, said in {
        "stepless.eval": "does not say its step", "no.eval": "cannot be read",
        "headless.eval": "holds neither header.json",
        "foreign.eval": "epoch_1.json': input: Field required", "deep.eval": "recursion limit exceeded",
        "twice.eval": "sample 0 has epoch 1 twice", "empty.eval": "holds no sample",
        "named.eval": "expected a name with letters", "liar.eval": "is damaged",
        "bomb.eval": "has 2,147,483,648 bytes unpacked; expected at most", "torn.eval": "cannot be read",
        "other.json": "eval: Field required", "list.eval": "its list of files has 1,073,741,824 bytes",
        "absent.eval": "or a path that exists",
    }.items():  # fmt: skip
        err = refused(["import", "inspect", tmp_path / name, logs / name], monkeypatch, capsys)
        assert said in err, name
        assert not list((tmp_path / name).glob("samples*"))
    for given in ("x=logs", "1.5=logs"):
        err = refused(["import", "inspect", tmp_path / "run", given], monkeypatch, capsys)
        assert "expected STEP=PATH" in err
    # No file of an archive was written, wherever its name leads.
    assert not list(tmp_path.rglob("*_epoch_1.json"))


def refused(arguments: list[str | Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that ends with a mistake; in this process, for there are many."""
    monkeypatch.setattr(sys, "argv", ["sftgen", *map(str, arguments)])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command sets its own
    # The command sets variables for the libraries that it loads; the commands of other tests begin without them.
    with patch.dict(os.environ), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return " ".join(err.split())
