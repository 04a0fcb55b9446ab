"""One vLLM engine for checkpoint after checkpoint: the same answers as from a fresh engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.gpu_check.bench import Bench, free, require

STEPS = (1, 2, 3)
LAST = STEPS[-1:]
"""What a fresh engine answers too: to start one takes long, and an error of an earlier reload would be there still."""
TASK = "sftgen_parity"


def kept_engine(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """`sftgen worker` with vLLM on three checkpoints, all by one engine, and the last by a fresh one."""
    import torch

    from sftgen_judges import Checkpoint
    from sftgen_judges.records.journal import read_rows
    from sftgen_judges.records.store import RunFolder
    from sftgen_train.checkpoints.sources import TRAINER
    from sftgen_train.evaluation.schedule import Suite, Tier
    from sftgen_train.queue.enqueueing import Enqueuer
    from sftgen_train.queue.policy import Backend, Policy
    from sftgen_train.queue.worker import work

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
    for name, steps in (("kept", STEPS), ("fresh", LAST)):
        run = RunFolder(folder / name)
        enqueuer = Enqueuer(run.path, suite)
        enqueuer.open(resumed=False)
        for step in steps:
            enqueuer.adopt(TRAINER, Checkpoint(step, folder / "training" / f"checkpoint-{step}"), "", f"step {step}")
        enqueuer.tell("finished")
        work(run.path, Backend("sftgen-vllm", arguments, fresh=name == "fresh"), Policy(wait=False))
        free()
        found[f"seconds_{name}"] = [row["seconds"] for row in read_rows(run.evaluations)]
        found[f"engines_{name}"] = run.manifest()["engines"]
        answers[name] = {(made.step, made.doc_hash): made.text for made in run.read_generations(TASK)}
    equal = [text == answers["kept"].get(key) for key, text in answers["fresh"].items()]
    found["equal_responses"] = f"{sum(equal)} of {len(equal)}"
    kept = [step for step, how in found["engines_kept"].items() if how.startswith("engine kept")]
    require(len(answers["kept"]) == len(STEPS) * documents, f"{len(answers['kept'])} responses were written down")
    require(len(equal) == documents and all(equal), f"only {sum(equal)} responses are those of a fresh engine")
    require(kept == ["2", "3"], f"the engine was kept for steps {kept}: {found['engines_kept']['1']}")
