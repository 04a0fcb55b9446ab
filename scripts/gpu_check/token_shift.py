"""The token shift beside a plain loop of forward passes, and beside float64."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from scripts.gpu_check.bench import Bench, free, require


def changed(bench: Bench, model: Any) -> Any:
    """A checkpoint of it: a little noise on every weight."""
    import copy

    import torch

    other = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.003)
    return other.eval()


def texts_of(bench: Bench, lengths: Sequence[int]) -> list[list[int]]:
    """Texts of random tokens."""
    import torch

    maker = torch.Generator().manual_seed(2)
    return [torch.randint(0, bench.vocabulary, (length,), generator=maker).tolist() for length in lengths]


def plain_loop(bench: Bench, models: Sequence[Any], texts: Sequence[Sequence[int]]) -> list[Any]:
    """The usual loop: a forward pass a text and model, log-softmax in float32, the token's own log-probability."""
    import torch

    found = []
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([text], device=bench.device)
            for model in models:
                logprobs = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
                found.append(logprobs.gather(-1, ids[0, 1:, None]).squeeze(-1).cpu())
                del logprobs


def passes(bench: Bench, models: Sequence[Any], texts: Sequence[Sequence[int]]) -> None:
    """The forward passes alone, without logits."""
    import torch

    with torch.inference_mode():
        for text in texts:
            for model in models:
                model.model(input_ids=torch.tensor([text], device=bench.device), use_cache=False)


def in_float64(base: Any, other: Any, tokens: Any) -> dict[str, Any]:
    """Every quantity by its definition, in float64."""
    p, q = base.double().log_softmax(-1), other.double().log_softmax(-1)
    own = [values.gather(-1, tokens[:, None]) for values in (p, q)]
    middle = ((p.exp() + q.exp()) / 2).log()
    return {
        "base_logprob": own[0][:, 0], "logprob": own[1][:, 0], "rank": (p > own[0]).sum(-1) + 1,
        "own_rank": (q > own[1]).sum(-1) + 1, "kl": (p.exp() * (p - q)).sum(-1),
        "js": ((p.exp() * (p - middle)).sum(-1) + (q.exp() * (q - middle)).sum(-1)) / 2,
        "base_entropy": -(p.exp() * p).sum(-1), "entropy": -(q.exp() * q).sum(-1),
    }  # fmt: skip


def token_shift(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """Teacher-forcing: numbers against float64, tokens a second against a plain loop, memory by length of text."""
    import torch

    base = bench.model(torch.float32)
    other = changed(bench, base)
    shift_numbers(bench, base, other, found)
    models = [base.to(torch.bfloat16), other.to(torch.bfloat16)]
    free()
    shift_speed(bench, models, found)
    shift_memory(bench, models, found)
    worst = max(found["largest_error_float32"].values())
    require(worst <= 2e-6, f"float32 is {worst} off float64")
    require(bench.tiny or found["ratio"] >= 0.9, f"{found['ratio']} of the tokens a second of a plain loop")


def shift_numbers(bench: Bench, base: Any, other: Any, found: dict[str, Any]) -> None:
    """How far float32 is from float64, and windows from a whole pass."""
    import torch

    from sftgen_judges.diagnostics.token_shift.forcing import force

    [text] = texts_of(bench, [60 if bench.tiny else 600])
    tokens = torch.tensor(text, device=bench.device)
    forced = force(base, other, text)
    with torch.inference_mode():
        logits = [model(input_ids=tokens[None]).logits[0, :-1] for model in (base, other)]
        reference = in_float64(logits[0], logits[1], tokens[1:])
    found["largest_error_float32"] = {
        name: float((torch.as_tensor(getattr(forced, name)) - values.cpu()).abs().max())
        for name, values in reference.items()
    }
    by_windows = force(base, other, text, window=len(text) // 5)
    found["largest_difference_by_windows"] = {
        name: float(abs(getattr(forced, name) - getattr(by_windows, name)).max()) for name in ("logprob", "kl", "js")
    }
    found["mean_kl"], found["mean_rank"] = float(forced.kl.mean()), float(forced.rank.mean())


def shift_speed(bench: Bench, models: Sequence[Any], found: dict[str, Any]) -> None:
    """Tokens a second beside a plain loop, and where the time goes."""
    import torch

    from sftgen_judges.diagnostics.token_shift import forcing

    texts = texts_of(bench, [90, 40] if bench.tiny else [1024] * 8 + [8192] * 2)
    scored = sum(len(text) - 1 for text in texts)

    def ours(**options: Any) -> Any:
        return [forcing.force(*models, text, **options) for text in texts]

    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for turn in range(5):
        spent, _ = bench.timed(ours)
        alone, _ = bench.timed(lambda: plain_loop(bench, models, texts))
        if turn:
            times["ours"].append(scored / spent)
            times["peer"].append(scored / alone)
        else:
            found["first_seconds"] = round(spent, 2)
    found |= {f"tokens_per_second_{name}": round(median(values)) for name, values in times.items()}
    found["ratio"] = round(median(a / b for a, b in zip(times["ours"], times["peer"], strict=True)), 3)
    spent, _ = bench.timed(lambda: passes(bench, models, texts))
    found["tokens_per_second_without_logits"] = round(scored / spent)
    spent, _ = bench.timed(lambda: ours(window=2048))
    found["tokens_per_second_window_2048"] = round(scored / spent)
    block = torch.randn(2, forcing.BLOCK, bench.vocabulary, device=bench.device, dtype=torch.bfloat16)
    own = torch.zeros(forcing.BLOCK, dtype=torch.long, device=bench.device)
    forcing._by_rows(block[0], block[1], own)
    spent, _ = bench.timed(lambda: [forcing._by_rows(block[0], block[1], own) for _ in range(10)])
    found["seconds_a_block_compared"] = round(spent / 10, 5)
    found["compiled"] = bench.cuda and forcing.fused.works
    if found["compiled"]:
        forcing.fused.works = False
        spent, _ = bench.timed(ours)
        found["tokens_per_second_not_compiled"] = round(scored / spent)
        forcing.fused.works = True


def shift_memory(bench: Bench, models: Sequence[Any], found: dict[str, Any]) -> None:
    """What texts of different lengths take beside the weights, and how fast they are read."""
    from sftgen_judges.diagnostics.token_shift.forcing import force

    for text in texts_of(bench, [200, 600] if bench.tiny else [2048, 20_000]):
        for name, work in (
            ("", lambda text=text: force(*models, text)),
            ("_windows_of_4096", lambda text=text: force(*models, text, window=4096)),
            ("_peer", lambda text=text: plain_loop(bench, models, [text])),
        ):
            with bench.peak(found, f"peak_gb_{len(text)}_tokens{name}"):
                spent, _ = bench.timed(work)
            found[f"tokens_per_second_{len(text)}_tokens{name}"] = round(len(text) / spent)
