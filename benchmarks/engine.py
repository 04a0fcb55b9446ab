"""What the harness costs around vLLM: against `LLM.generate`, which is given the same prompts all at once.

    .venv-vllm/bin/python benchmarks/engine.py [ROUNDS [PROMPTS [ANSWERS]]]

One engine of a tiny model in this process, so that its processor time is counted too; without a cache of prefixes, so
that no run helps the next. Two measurements, whose rounds take turns and whose medians count:

* **Lengths from 10 to 1,000 tokens**, heavy-tailed: each response has end tokens of its own and is drawn from a seed of
  its own, so that both sides make the same texts and neither knows how long they become. Ours is what the model does
  when lm_eval asks it, with every response written down as it ends: in the order of the prompts, where no earlier
  length is known, and longest first, where an earlier evaluation tells them (printed only).
* **Many short answers** of 6 tokens to documents of one task. Ours is the whole evaluation, from the task to its
  metrics. What it takes beyond the engine's time is the harness's own cost of a sample, lm_eval's share included.

The last line is one JSON object: seconds of ours and of vLLM for the first, their ratio, and the milliseconds a sample
of the second.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from lm_eval.api.instance import Instance
from vllm import SamplingParams, TokensPrompt

from sftgen_judges.records.current import Recording, recording
from sftgen_judges.records.schema import doc_hash
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.backends.vllm_engine import StreamingVLLM
from sftgen_tasks.harness.evaluation import evaluate
from sftgen_tasks.harness.generation import sample_seed
from sftgen_tasks.harness.loading import LoadedTasks, load_tasks
from sftgen_tasks.harness.patches import replaced
from sftgen_tasks.harness.streaming import journal_generations
from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

SHORT, LONG = 10, 1000
ANSWER = 6
Times = tuple[float, float]
"""Seconds by the clock, and of the processor."""


def model(folder: Path) -> StreamingVLLM:
    """A model of random weights, in vLLM."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    build_model(tokenizer, Size(hidden=64, inner=128, layers=2, heads=2, head=32)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with recording(Recording(RunFolder(folder / "none"))):
        return StreamingVLLM(
            str(folder), dtype="float32", max_model_len=2048, enforce_eager=True, enable_prefix_caching=False,
            batch_size=256, max_num_seqs=64,
        )  # fmt: skip


def spread(count: int, vocabulary: int) -> list[Instance]:
    """Requests whose responses end by chance, after 10 to 1,000 tokens."""
    rng = random.Random(0)
    requests = []
    for number in range(count):
        mean = SHORT * (LONG / SHORT) ** rng.random()
        ends = rng.sample(range(vocabulary), max(1, round(vocabulary / mean)))
        settings = {
            "until": [], "do_sample": True, "temperature": 1.0, "max_gen_toks": LONG, "min_tokens": SHORT,
            "stop_token_ids": sorted(ends), "ignore_eos": True,
        }  # fmt: skip
        prompt = f"Tell me about the number {number}. "
        doc = {"question": prompt}
        requests.append(Instance("generate_until", doc, (prompt, settings), number, metadata=("spread", number, 1)))
    return requests


def timed(work: Callable[[], Any]) -> tuple[Times, Any]:
    """What a piece of work takes, and what it gives."""
    start = time.perf_counter(), time.process_time()
    made = work()
    return (time.perf_counter() - start[0], time.process_time() - start[1]), made


def bare(lm: StreamingVLLM, requests: Sequence[Instance]) -> list[int]:
    """The same prompts and settings by vLLM alone, all at once; the lengths of the responses."""
    encoded = lm.tok_encode([request.args[0] for request in requests], add_special_tokens=lm.add_bos_token)
    sampling = []
    for request in requests:
        given = {name: value for name, value in request.args[1].items() if name not in {"until", "do_sample"}}
        limit = given.pop("max_gen_toks")
        seed = sample_seed(lm.seed, request.args[0], 0) if given["temperature"] else None
        given |= {
            "stop": [lm.tokenizer.eos_token],
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
        }
        sampling.append(SamplingParams(max_tokens=limit, seed=seed, **given))
    prompts = [TokensPrompt(prompt_token_ids=tokens) for tokens in encoded]
    return [len(output.outputs[0].token_ids) for output in lm.model.generate(prompts, sampling, use_tqdm=False)]


def recorded(lm: StreamingVLLM, requests: Sequence[Instance], folder: Path, step: int = 0) -> Recording:
    """By our model as lm_eval asks it, each response written down."""
    generate = lm.generate_until
    run = Recording(RunFolder(folder), step=step, model=f"step {step}", seed=lm.seed)
    try:
        journal_generations(lm, run, None, resume=True)
        lm.generate_until(requests)
    finally:
        lm.generate_until = generate
    return run


def lengths_of(run: Recording, requests: Sequence[Instance]) -> list[int | None]:
    """The lengths of the responses that were written down."""
    found = {record.doc_hash: record.tokens for record in run.folder.read_generations("spread", run.model)}
    return [found.get(doc_hash(request.doc)) for request in requests]


def note_lengths(folder: Path, requests: Sequence[Instance], lengths: Sequence[int]) -> None:
    """Leave the lengths behind as those of an earlier evaluation."""
    rows = [
        {
            "task": "spread", "step": 0, "doc_hash": doc_hash(request.doc), "repeat": 0, "model": "step 0",
            "sampling_id": "0", "tokens": length,
        }
        for request, length in zip(requests, lengths, strict=True)
    ]  # fmt: skip
    RunFolder(folder).add_evaluation(rows, [], {"step": 0, "status": "ok"})


def asked_of(lm: StreamingVLLM, tasks: LoadedTasks) -> list[Instance]:
    """What an evaluation of tasks asks a model."""
    asked: list[Instance] = []

    def generate_each(requests: Sequence[Instance], _: Sequence[int]) -> Iterator[list[tuple[int, str]]]:
        asked.extend(requests)
        yield [(place, "0") for place in range(len(requests))]

    with tempfile.TemporaryDirectory() as folder, replaced(lm, "generate_each", generate_each):
        evaluate(lm, tasks, Recording(RunFolder(Path(folder)), model="asked"))
    return asked


def main() -> None:
    """Take turns and print."""
    given = [int(number) for number in sys.argv[1:]]
    rounds, prompts, answers = (given + [5, 200, 2000][len(given) :])[:3]
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        lm = model(folder / "model")
        requests = spread(prompts, len(lm.tokenizer))
        metadata = {"docs_size": answers}
        tasks = load_tasks(
            ["sftgen_addition"], metadata, {"max_gen_toks": ANSWER, "min_tokens": ANSWER, "ignore_eos": True}
        )
        questions = asked_of(lm, tasks)
        times: dict[str, list[Times]] = {}

        def measure(name: str, work: Callable[[], Any]) -> Any:
            spent, result = timed(work)
            times.setdefault(name, []).append(spent)
            return result

        expected = bare(lm, requests)
        note_lengths(folder / "known", requests, expected)
        bare(lm, questions)
        sizes = sorted(expected)
        print(f"lengths: {sizes[0]} to {sizes[-1]} tokens, median {median(sizes):.0f}")
        for number in range(rounds):
            one, two = folder / f"spread {number}", folder / f"answers {number}"
            whole = Recording(RunFolder(two), model="m", seed=lm.seed)
            made_by_us = measure("recorded", lambda one=one: recorded(lm, requests, one))
            alone = measure("vLLM alone", lambda: bare(lm, requests))
            longest = measure(
                "longest first", lambda number=number: recorded(lm, requests, folder / "known", number + 1)
            )
            if not alone == lengths_of(made_by_us, requests) == lengths_of(longest, requests) == expected:
                sys.exit("the responses differ, or some were not written down")
            measure("evaluation", lambda whole=whole: evaluate(lm, tasks, whole))
            measure("answers alone", lambda: bare(lm, questions))
            print(
                f"round {number + 1}: "
                + ", ".join(f"{name} {found[-1][0]:.2f} s (CPU {found[-1][1]:.2f})" for name, found in times.items())
            )
    ratio = of_pairs(times, "recorded", "vLLM alone", lambda ours, peer: ours / peer)
    known = of_pairs(times, "longest first", "vLLM alone", lambda ours, peer: ours / peer)
    cost = of_pairs(times, "evaluation", "answers alone", lambda ours, peer: (ours - peer) * 1000 / answers)
    print(f"recorded / vLLM alone: {ratio[0]:.3f} (CPU {ratio[1]:.3f}); longest first {known[0]:.3f} ({known[1]:.3f})")
    print(f"own cost: {cost[0]:.2f} ms a sample (CPU {cost[1]:.2f})")
    seconds = {name: median(wall for wall, _ in found) for name, found in times.items()}
    found = {
        "ratio": round(ratio[0], 3),
        "ours": round(seconds["recorded"], 3),
        "peer": round(seconds["vLLM alone"], 3),
    }
    print(json.dumps({"name": "engine", **found, "unit": "s", "ms_a_sample": round(cost[0], 3)}))


def of_pairs(
    times: dict[str, list[Times]], ours: str, peer: str, figure: Callable[[float, float], float]
) -> tuple[float, float]:
    """The median over the rounds of a figure of two times of one round: by the clock, and of the processor."""
    pairs = list(zip(times[ours], times[peer], strict=True))
    wall, processor = (median(figure(one[kind], two[kind]) for one, two in pairs) for kind in (0, 1))
    return wall, processor


if __name__ == "__main__":
    main()
