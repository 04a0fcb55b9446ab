"""Token shift: teacher-forcing under base and checkpoint through us, against a plain transformers loop.

    python benchmarks/token_shift.py [ROUNDS] [--device cuda]

Both read the same texts under two models with the vocabulary of Qwen3. The plain loop makes one forward pass a text and
model, and takes the token's own log-probability from a log-softmax in float32. Ours makes all quantities: ranks, KL,
Jensen-Shannon, entropies. They take turns; a ratio is one of the same turn, by processor time on a CPU, and the median
counts. Memory is measured in processes of their own: what a text of four times the length takes more.

The last line is one JSON object: tokens a second of ours over those of the loop.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from sftgen_judges.diagnostics.token_shift.forcing import force

VOCABULARY = 151_936
ON_CPU = {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 4}
ON_GPU = {**ON_CPU, "num_hidden_layers": 28}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
SHORT, WINDOW = 600, 128


def pair(size: dict[str, int], device: str, dtype: Any) -> list[Any]:
    """A model of random weights, and the same with a little noise."""
    config = Qwen3Config(
        vocab_size=VOCABULARY, num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
        max_position_embeddings=40960, **size,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        base = Qwen3ForCausalLM(config).to(dtype).eval()
    other = copy.deepcopy(base)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.003)
    return [base, other]


def plain(models: Sequence[Any], texts: Sequence[Sequence[int]]) -> list[Any]:
    """The usual loop."""
    found = []
    with torch.inference_mode():
        for text in texts:
            for model in models:
                ids = torch.tensor([text], device=model.device)
                logprobs = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
                found.append(logprobs.gather(-1, ids[0, 1:, None]).cpu())
    return found


def peak(work: Callable[..., Any], length: int) -> float:
    """GB that a process takes at most while it reads one text."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (work, length))


def _peak(work: Callable[..., Any], length: int) -> float:
    torch.set_num_threads(1)
    models = pair(SMALL, "cpu", torch.float32)
    work(models, texts_of([length]))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def ours(models: Sequence[Any], texts: Sequence[Sequence[int]]) -> list[Any]:
    """Ours, by windows that are short beside the texts."""
    return [force(*models, text, window=WINDOW) for text in texts]


def texts_of(lengths: Sequence[int]) -> list[list[int]]:
    """Texts of random tokens."""
    maker = torch.Generator().manual_seed(1)
    return [torch.randint(0, VOCABULARY, (length,), generator=maker).tolist() for length in lengths]


def main() -> None:
    """Take turns and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    cuda = given.device != "cpu"
    torch.set_num_threads(1)
    models = pair(ON_GPU, given.device, torch.bfloat16) if cuda else pair(ON_CPU, "cpu", torch.float32)
    texts = texts_of([1024] * 8 + [8192] * 2 if cuda else [64, 128])
    clock = time.perf_counter if cuda else time.process_time
    tokens = sum(len(text) - 1 for text in texts)
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for turn in range(given.rounds + 1):
        for name, work in (("ours", lambda: [force(*models, text) for text in texts]),
                           ("peer", lambda: plain(models, texts))):  # fmt: skip
            started = clock()
            work()
            if cuda:
                torch.cuda.synchronize()
            if turn:  # one to warm up
                times[name].append(tokens / (clock() - started))
    ratio = median(one / two for one, two in zip(times["ours"], times["peer"], strict=True))
    for name, found in times.items():
        print(f"{name}: {median(found):.1f} tokens/s ({min(found):.1f} to {max(found):.1f})")
    if not cuda:
        del models
        for name, work in (("ours", ours), ("the plain loop", plain)):
            short, long = (peak(work, length) for length in (SHORT, 4 * SHORT))
            print(f"{name}: {short:.2f} GB for {SHORT} tokens, {long - short:+.2f} GB for {4 * SHORT}")
    result = {
        "ratio": round(ratio, 3),
        "ours": round(median(times["ours"]), 1),
        "peer": round(median(times["peer"]), 1),
    }
    print(json.dumps({"name": "token_shift", **result, "unit": "tokens/s"}))


if __name__ == "__main__":
    main()
