"""One vLLM engine for checkpoint after checkpoint: the same answers as from fresh engines, in less time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.gpu_check.bench import Bench, free, require

STEPS = (1, 2, 3)
TASK = "sftgen_parity"


def kept_engine(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """`sftgen worker` with vLLM on three checkpoints, with one engine and with one each."""
    import torch

    from sftgen_judges import Checkpoint
    from sftgen_judges.records.journal import read_rows
    from sftgen_judges.records.store import RunFolder
    from sftgen_train.checkpoints.sources import TRAINER
    from sftgen_train.evaluation.schedule import Suite, Tier
    from sftgen_train.queue.enqueueing import Enqueuer
    from sftgen_train.queue.worker import Backend, Policy, work

    dtype = torch.bfloat16 if bench.cuda else torch.float32
    for step in STEPS:
        path = folder / "training" / f"checkpoint-{step}"
        bench.model(dtype, seed=step, tied=False).save_pretrained(path)
        bench.tokenizer().save_pretrained(path)
    free()
    documents, tokens = (4, 8) if bench.tiny else (64, 128)
    suite = Suite([Tier([TASK], every=1, limit=documents)], gen_kwargs={"max_gen_toks": tokens})
    share = {"gpu_memory_utilization": 0.3} if bench.cuda else {}
    arguments = {"max_model_len": 512, "enforce_eager": True, "dtype": str(dtype).removeprefix("torch."), **share}
    answers: dict[str, Any] = {}
    for name in ("kept", "fresh"):
        run = RunFolder(folder / name)
        enqueuer = Enqueuer(run.path, suite)
        enqueuer.open(resumed=False)
        for step in STEPS:
            enqueuer.adopt(TRAINER, Checkpoint(step, folder / "training" / f"checkpoint-{step}"), "", f"step {step}")
        enqueuer.tell("finished")
        work(run.path, Backend("sftgen-vllm", arguments, fresh=name == "fresh"), Policy(wait=False))
        free()
        found[f"seconds_{name}"] = [row["seconds"] for row in read_rows(run.evaluations)]
        found[f"engines_{name}"] = run.manifest()["engines"]
        answers[name] = {(made.step, made.doc_hash): made.text for made in run.read_generations(TASK)}
    equal = [text == answers["fresh"].get(key) for key, text in answers["kept"].items()]
    found["equal_responses"] = f"{sum(equal)} of {len(equal)}"
    kept = [step for step, how in found["engines_kept"].items() if how.startswith("engine kept")]
    require(len(equal) == len(STEPS) * documents, f"{len(equal)} responses were written down")
    require(all(equal), f"only {sum(equal)} of {len(equal)} responses are those of fresh engines")
    require(kept == ["2", "3"], f"the engine was kept for steps {kept}: {found['engines_kept']['1']}")
