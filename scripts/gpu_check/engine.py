"""A vLLM engine beside the training, and a worker with vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.gpu_check.bench import Bench, free, require
from scripts.gpu_check.training import deterministic, harness, outcome, sft


def vllm(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """A vLLM engine beside the training: transfer, sleep, waking; then `sftgen worker` with vLLM."""
    import torch
    from transformers import AutoModelForCausalLM

    from sftgen_judges.records.weights import weights_id_in_memory
    from sftgen_train.queue.policy import Backend
    from sftgen_train.queue.worker import work

    deterministic()
    dtype = torch.bfloat16 if bench.cuda else torch.float32
    start = folder / "model"
    bench.model(dtype, tied=False).save_pretrained(start)
    bench.tokenizer().save_pretrained(start)
    engine = {"max_model_len": 512, "enforce_eager": True}

    def trained(output: str, callbacks: Sequence[Any], **settings: Any) -> str:
        model = AutoModelForCausalLM.from_pretrained(start, dtype=dtype).to(bench.device)
        spent, trainer = bench.timed(lambda: sft(bench, folder / output, callbacks, model, **settings))
        found[f"seconds_{output}"] = round(spent, 2)
        return weights_id_in_memory(trainer.model)

    unprecise = {} if bench.cuda else {"bf16": False}
    bare = trained("bare", [], **unprecise)
    free()
    beside = trained("colocated", [harness("colocated", engine=engine)], **unprecise)
    found["colocated"] = outcome(folder / "colocated")
    found["weights_equal"] = bare == beside
    free()
    trained("queue", [harness("queue")], **unprecise)
    share = {"gpu_memory_utilization": 0.3} if bench.cuda else {}
    arguments = {**engine, **share, "dtype": str(dtype).removeprefix("torch.")}
    free()
    spent, steps = bench.timed(lambda: work(folder / "queue", Backend("sftgen-vllm", arguments)))
    found["worker"] = {"seconds": round(spent, 2), "steps": sorted(steps), **outcome(folder / "queue")}
    require(found["weights_equal"], "the engine beside it changed the training")
