"""Nine checkpoints by one `sftgen sweep`, against nine cold `lm_eval` runs, or against nine fresh engines of vLLM.

    python benchmarks/sweep.py [--engines] [DOCUMENTS [ROUNDS]]

Nine checkpoints of a tiny model of random weights, the same documents of one task, the same greedy settings and batch
size, one thread. Ours is the installed command from its start to its end: plan, queue, generations on disk, scores with
intervals, report. The peer is the installed `lm_eval --model hf` on each checkpoint in turn, with results and samples
written. Both must give the same scores. Where several rounds are asked for, sides take turns and medians count.

With `--engines`, where vLLM is installed, both sides are `sftgen sweep` with `sftgen-vllm`: one keeps the engine and
reloads its weights, the other starts a fresh one for each checkpoint (`fresh_engines: true`).

The last line is one JSON object; `ratio` is the peer's seconds over ours, and `cpu_ratio` the same of processor time,
which others on the machine change less.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

STEPS = (10, 20, 40, 80, 160, 320, 480, 640, 800)
TASK = "sftgen_parity"
TOKENS = 8
BATCH = 16
BIN = Path(sys.executable).parent
Times = tuple[float, float]
"""Seconds by the clock, and of processors."""


def checkpoints(folder: Path) -> None:
    """Weights of their own at each step, by a seed; not tied, since vLLM on a CPU reloads tied ones wrongly."""
    import torch
    from transformers import AutoModelForCausalLM

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    tokenizer = build_tokenizer([])
    config = build_model(tokenizer, Size(hidden=64, inner=128, layers=2, heads=2, head=32)).config
    config.tie_word_embeddings = False
    for step in STEPS:
        torch.manual_seed(step)
        path = folder / f"checkpoint-{step}"
        AutoModelForCausalLM.from_config(config).save_pretrained(path)
        tokenizer.save_pretrained(path)


def timed(*line: str | Path) -> Times:
    """What a command takes, its children included.

    Raises:
        RuntimeError: It failed.
    """
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        list(map(str, line)), env={**os.environ, **quiet}, capture_output=True, text=True, check=False
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{line[0]}: {done.stderr[-2000:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sweep(folder: Path, out: Path, documents: int) -> tuple[Times, dict[int, float]]:
    """Ours, and the score of each step."""
    from sftgen_judges.records.store import RunFolder

    spent = timed(
        BIN / "sftgen", "sweep", "--checkpoints", folder, "--tasks", TASK, "--limit", str(documents), "--gen-kwargs",
        json.dumps({"max_gen_toks": TOKENS}), "--model-args", f"device=cpu,batch_size={BATCH}", "--out", out,
    )  # fmt: skip
    rows = RunFolder(out).metric_rows()
    return spent, {row["step"]: row["mean"] for row in rows if row["metric"] == "score"}


def by_engines(folder: Path, out: Path, documents: int, *, fresh: bool) -> tuple[Times, dict[int, float]]:
    """A sweep by vLLM, and the score of each step."""
    from sftgen_judges.records.store import RunFolder

    asked = {
        "checkpoints": {"tiny": str(folder)}, "tasks": [TASK], "limit": documents, "out": str(out),
        "gen_kwargs": {"max_gen_toks": TOKENS}, "model": "sftgen-vllm", "fresh_engines": fresh,
        "model_args": {"dtype": "float32", "max_model_len": 256, "enforce_eager": True},
    }  # fmt: skip
    file = out.with_suffix(".yaml")
    file.write_text(json.dumps(asked))
    spent = timed(BIN / "sftgen", "sweep", file)
    run = RunFolder(out)
    engines = Counter(how.partition(":")[0] for how in run.manifest()["engines"].values())
    print(f"{dict(engines)}: {spent[0]:.1f} s (CPU {spent[1]:.1f})", flush=True)
    return spent, {row["step"]: row["mean"] for row in run.metric_rows() if row["metric"] == "score"}


def one_by_one(folder: Path, out: Path, documents: int) -> tuple[Times, dict[int, float]]:
    """The peer: a command a checkpoint."""
    wall = cpu = 0.0
    scores = {}
    for step in STEPS:
        results = out / str(step)
        spent = timed(
            BIN / "lm_eval", "--model", "hf", "--model_args", f"pretrained={folder / f'checkpoint-{step}'}", "--tasks",
            TASK, "--limit", str(documents), "--batch_size", str(BATCH), "--device", "cpu", "--apply_chat_template",
            "--gen_kwargs", f"max_gen_toks={TOKENS}", "--output_path", results, "--log_samples",
        )  # fmt: skip
        wall, cpu = wall + spent[0], cpu + spent[1]
        [found] = results.rglob("results_*.json")
        scores[step] = json.loads(found.read_text())["results"][TASK]["score,sftgen"]
        print(f"lm_eval, step {step}: {spent[0]:.1f} s (CPU {spent[1]:.1f})", flush=True)
    return (wall, cpu), scores


def main() -> None:
    """Take turns and print."""
    engines = "--engines" in sys.argv
    given = [int(number) for number in sys.argv[1:] if number != "--engines"]
    documents, rounds = (given + [100, 1][len(given) :])[:2]
    ours: list[Times] = []
    theirs: list[Times] = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        checkpoints(folder / "training")
        for number in range(rounds):
            training, out, other = folder / "training", folder / f"sweep-{number}", folder / f"peer-{number}"
            if engines:
                spent, found = by_engines(training, out, documents, fresh=False)
                peer, expected = by_engines(training, other, documents, fresh=True)
            else:
                spent, found = sweep(training, out, documents)
                print(f"sftgen sweep: {spent[0]:.1f} s (CPU {spent[1]:.1f})", flush=True)
                peer, expected = one_by_one(training, other, documents)
            ours.append(spent)
            theirs.append(peer)
            if found != expected:
                sys.exit(f"the scores differ: {found} and {expected}")
    wall, cpu = (median(side) for side in zip(*ours, strict=True))
    peer_wall, peer_cpu = (median(side) for side in zip(*theirs, strict=True))
    print(
        json.dumps(
            {
                "name": "sweep of engines" if engines else "sweep", "ratio": round(peer_wall / wall, 2),
                "ours": round(wall, 1), "peer": round(peer_wall, 1), "unit": "s", "cpu_ratio": round(peer_cpu / cpu, 2),
                "cpu_ours": round(cpu, 1), "cpu_peer": round(peer_cpu, 1), "checkpoints": len(STEPS),
                "documents": documents, "rounds": rounds,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
