"""The tokens of texts by vLLM and by transformers, in float32; `test_token_shift_vllm.py` runs it where vLLM is.

`python prompt_logprobs.py FOLDER` leaves what came out in `outcome.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from vllm import LLM

from sftgen_judges.diagnostics.token_shift.engine import prompt_logprobs
from sftgen_judges.diagnostics.token_shift.forcing import ForcingError, force
from sftgen_train.demo.tiny import Size, build_model, build_tokenizer


def main(folder: Path) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    made = build_model(tokenizer, Size(hidden=64, inner=128, layers=2, heads=2, head=32))
    with torch.no_grad():  # distributions that are far from flat
        made.model.embed_tokens.weight.mul_(20)
    made.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    texts = [torch.randint(0, 256, (length,)).tolist() for length in (40, 90, 7)]
    starts = [1, 30, 6]
    engine = LLM(str(folder / "model"), dtype="float32", max_model_len=128, enforce_eager=True)
    by_engine = prompt_logprobs(engine, texts, starts)
    refused = []
    for ids, start in ((texts[0] * 4, 1), (texts[0], 40)):
        try:
            prompt_logprobs(engine, [ids], [start])
        except ForcingError as error:
            refused.append(str(error))
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    forced = [force(model, model, ids, start=start) for ids, start in zip(texts, starts, strict=True)]
    pairs = list(zip(by_engine, forced, strict=True))
    outcome = {
        "tokens": [len(logprobs) for logprobs, _ in by_engine],
        "logprob": max(float(np.abs(one - two.logprob).max()) for (one, _), two in pairs),
        "ranks": [int((ranks != two.rank).sum()) for (_, ranks), two in pairs],
        "lowest": min(float(two.logprob.min()) for _, two in pairs),
        "highest": max(float(two.logprob.max()) for _, two in pairs),
        "refused": refused,
    }
    (folder / "outcome.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
