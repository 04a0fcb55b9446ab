"""Token shift by vLLM and by transformers, in float32; `test_token_shift_vllm.py` runs it where vLLM is.

`python prompt_logprobs.py FOLDER` leaves what came out in `outcome.json`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from sftgen_judges.diagnostics.labelling import DiagnosticError
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.store import RunFolder
from sftgen_train.demo.tiny import Size, build_model, build_tokenizer
from sftgen_train.diagnosing.running import diagnose_run
from sftgen_train.diagnosing.shift_kept import Kept, read_kept
from sftgen_train.diagnosing.shift_reading import ENGINE, ByEngine
from sftgen_train.diagnosing.shift_texts import TRACES


def build(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    tokenizer = build_tokenizer([])
    made = build_model(tokenizer, Size(hidden=64, inner=128, layers=2, heads=2, head=32))
    with torch.no_grad():  # distributions that are far from flat
        made.model.embed_tokens.weight.mul_(20)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def diagnosed(run: Path, **options: Any) -> tuple[list[Kept], dict[str, Any]]:
    """What the diagnostic keeps of the texts, and its outcome."""
    outcome = diagnose_run(run, ["token_shift"], model_args={"dtype": "float32", "device": "cpu", **options})
    rows = [row["kept"] for row in read_rows(RunFolder(run).probes("token_shift"))]
    told = {finding.title: finding for finding in outcome.findings.get("token_shift", ())}
    return [found for row in rows if (found := read_kept(row))], {"failed": outcome.failed, "told": told}


def main(folder: Path) -> None:
    run = folder / "run"
    RunFolder(run).update_manifest(model=str(folder / "base"), tasks=[])
    build(folder / "base", 0)
    build(run / "checkpoint-4", 1)
    rows = [
        {"prompt": "What is 12 + 30? ", "completion": f"<think>\nwait, {n}</think>\n\\boxed{{42}}" * n}
        for n in (1, 3, 9)
    ]
    (folder / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.environ[TRACES] = str(folder / "traces.jsonl")
    by_transformers, _ = diagnosed(run)
    os.environ[ENGINE] = "vllm"
    both, engine = diagnosed(run, max_model_len=128, enforce_eager=True)
    by_engine = [found for found in both if found.way == "vllm"]
    refused = []
    (run / "checkpoint-4" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "x"}))
    try:
        ByEngine(SimpleNamespace(checkpoint=run / "checkpoint-4"), "base", [])  # type: ignore[arg-type]
    except DiagnosticError as error:
        refused.append(str(error))
    pairs = [(found.shift, next(one.shift for one in by_transformers if one.key == found.key)) for found in by_engine]
    longest = [(one, two.values) for one, two in pairs]
    outcome = {
        "failed": engine["failed"],
        "tokens": [len(one) for one, _ in pairs],
        "cut": [found.cut for found in by_engine],
        "difference": max(
            float(np.abs(one[name] - two[name][: len(one)]).max())
            for one, two in longest
            for name in ("base_logprob", "logprob")
        ),
        "ranks": sum(
            int((one[name] != two[name][: len(one)]).sum()) for one, two in longest for name in ("rank", "own_rank")
        ),
        "lowest": min(float(one["logprob"].min()) for one, _ in pairs),
        "highest": max(float(one["logprob"].max()) for one, _ in pairs),
        "quantities": sorted(pairs[0][0].values),
        "finding": {
            "sentence": engine["told"]["traces at step 4, by vLLM"].sentence,
            "measured_on": engine["told"]["traces at step 4, by vLLM"].measured_on,
        },
        "refused": refused,
    }
    (folder / "outcome.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
