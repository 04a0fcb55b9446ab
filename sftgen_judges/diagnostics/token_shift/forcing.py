"""Teacher-forcing: what a base model and a checkpoint say of every token of a text, given the same prefix.

A text is read once by each model. Logits are made of some of its hidden states at a time, in the model's own number
format, and compared before the next: memory holds a block of them, however long the text is. Texts longer than a window
are read window by window with a cache of keys and values.
"""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.errors import SftgenError, first_line

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

WINDOW = 32_768
"""Tokens that a model reads at once."""
OWN_WINDOW = 2048
"""The same for a model that does something to its logits behind its head, so that they are made with the pass."""
BLOCK = 256
"""Rows of logits of each model at a time."""
ELEMENTS_ON_CPU = 1 << 17
"""Logits that are compared at a time: they stay in the processor's cache."""


class ForcingError(SftgenError):
    """A text or a model that cannot be teacher-forced."""


@dataclass(frozen=True)
class Forced:
    """What two models say of the tokens of a text: one entry a token that was scored.

    Distances are in nats and over the whole vocabulary, given the tokens before.

    Attributes:
        start: Place in the text of the first token that was scored.
        base_logprob: Log-probability of the token under the base, float64.
        logprob: Under the checkpoint.
        rank: Rank of the token under the base: 1 and the number of tokens with a greater logit.
        own_rank: Under the checkpoint.
        kl: Kullback-Leibler divergence from the base to the checkpoint, KL(base‖checkpoint).
        js: Jensen-Shannon divergence of the two, at most ln 2.
        base_entropy: Entropy of the base's distribution.
        entropy: Of the checkpoint's.
    """

    start: int
    base_logprob: Any
    logprob: Any
    rank: Any
    own_rank: Any
    kl: Any
    js: Any
    base_entropy: Any
    entropy: Any

    def __len__(self) -> int:
        return len(self.rank)

    @property
    def quantities(self) -> dict[str, Any]:
        """The arrays by their names."""
        return {name: getattr(self, name) for name in QUANTITIES}


QUANTITIES = ("base_logprob", "logprob", "rank", "own_rank", "kl", "js", "base_entropy", "entropy")


def force(base: Any, checkpoint: Any, ids: Sequence[int], *, start: int = 1, window: int = WINDOW) -> Forced:
    """Teacher-force a text under two models.

    Args:
        base: A transformers model of causal language, in eval mode.
        checkpoint: Another one over the same vocabulary.
        ids: The tokens of the text, prompt included.
        start: Place of the first token that is scored, at least 1: the prompt's length.
        window: Tokens read at once; memory grows with it.

    Returns:
        NumPy arrays, one entry a token from `start` on.

    Raises:
        ForcingError: Nothing is left to score, the vocabularies differ in size, or a model gives no numbers.
    """
    import torch

    _require_start(start, ids)
    tokens = torch.tensor(list(ids), device=base.device)
    parts: list[Tensor] = []
    with torch.inference_mode():
        pairs = zip(*(_blocks(model, tokens, start, window) for model in (base, checkpoint)), strict=True)
        for (first, ours), (_, theirs) in pairs:
            if ours.shape != theirs.shape:
                raise ForcingError(
                    f"the base has logits for {ours.shape[-1]} tokens and the checkpoint for {theirs.shape[-1]}; "
                    "expected the same vocabulary"
                )
            parts.append(_by_rows(ours, theirs.to(ours.device), tokens[first : first + len(ours)]))
        values = torch.cat(parts, dim=1).cpu().numpy()
    found = dict(zip(QUANTITIES, values, strict=True))
    for name, of in found.items():
        if not math.isfinite(float(of.sum())):
            raise ForcingError(f"{name} is no number at some tokens: the logits of a model hold NaN or infinity")
    return Forced(start, **{name: of.astype("int64") if "rank" in name else of for name, of in found.items()})


def logprobs(
    model: Any, ids: Sequence[int], *, start: int = 1, window: int = WINDOW
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Log-probability and rank of the tokens of a text under one model, as `force` has them.

    Args:
        model: A transformers model of causal language, in eval mode.
        ids: The tokens of the text, prompt included.
        start: Place of the first token that is scored, at least 1.
        window: Tokens read at once; memory grows with it.

    Raises:
        ForcingError: Nothing is left to score, or the model gives no numbers.
    """
    import torch

    _require_start(start, ids)
    tokens = torch.tensor(list(ids), device=model.device)
    parts: list[Tensor] = []
    with torch.inference_mode():
        for first, logits in _blocks(model, tokens, start, window):
            rows = max(1, ELEMENTS_ON_CPU // logits.shape[-1]) if logits.device.type == "cpu" else BLOCK
            for at in range(0, len(logits), rows):
                some = logits[at : at + rows]
                found = _distribution(some, tokens[first + at : first + at + len(some)])
                parts.append(torch.cat([found.logprob, found.rank], dim=1))
        values = torch.cat(parts).cpu().numpy()
    if not np.isfinite(values).all():
        raise ForcingError("the logits of the model hold NaN or infinity")
    return values[:, 0], values[:, 1].astype(np.int64)


def _require_start(start: int, ids: Sequence[int]) -> None:
    if not 1 <= start < len(ids):
        raise ForcingError(f"start {start} of a text of {len(ids)} tokens: expected a place from 1 to {len(ids) - 1}")


def _blocks(model: Any, tokens: Tensor, start: int, window: int) -> Iterator[tuple[int, Tensor]]:
    """Logits block by block, each with the place of the token that its first row is about."""
    end = len(tokens) - 1  # the last token is followed by none
    inner, apart = _whole(model), _has_head_apart(model)
    window = window if apart else min(window, OWN_WINDOW)
    cache = None
    for first in range(0, end, window):
        last = min(first + window, end)
        place = max(first, start - 1)
        given = {"input_ids": tokens[first:last].unsqueeze(0).to(model.device)}
        made = (inner.base_model if apart else model)(**given, past_key_values=cache, use_cache=end > window)
        cache = made.past_key_values if end > window else None
        rows = (made.last_hidden_state if apart else made.logits)[0, place - first :]
        for at in range(0, last - place, BLOCK):
            block = rows[at : at + BLOCK]
            yield place + at + 1, inner.get_output_embeddings()(block) if apart else block


def _whole(model: Any) -> Any:
    """The transformers model, with an adapter in it if there is one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


_apart: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def _has_head_apart(model: Any) -> bool:
    """Whether the logits of a model are what its head makes of hidden states, and nothing is done to them after it.

    Some models scale or cap them; it is tried on a few tokens, once a model.
    """
    if model not in _apart:
        import torch

        ids, inner = torch.arange(4, device=model.device).unsqueeze(0), _whole(model)
        try:
            states = inner.base_model(input_ids=ids, use_cache=False).last_hidden_state
            made = inner.get_output_embeddings()(states)
            _apart[model] = bool(torch.allclose(made, model(input_ids=ids, use_cache=False).logits, equal_nan=True))
        except (AttributeError, TypeError):  # put together in another way
            _apart[model] = False
    return _apart[model]


def _by_rows(base: Tensor, checkpoint: Tensor, tokens: Tensor) -> Tensor:
    """`QUANTITIES` x rows, in float64."""
    import torch

    if base.device.type == "cuda":
        return fused(base, checkpoint, tokens)
    rows = max(1, ELEMENTS_ON_CPU // base.shape[-1])
    parts = [
        _stacked(base[first : first + rows], checkpoint[first : first + rows], tokens[first : first + rows])
        for first in range(0, len(base), rows)
    ]
    return torch.cat(parts, dim=1)


def _stacked(base: Tensor, checkpoint: Tensor, tokens: Tensor) -> Tensor:
    import torch

    return torch.stack([values.double() for values in compare(base, checkpoint, tokens)])


def compare(base: Tensor, checkpoint: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
    """What two rows of logits say of a token and of each other.

    Logits are taken as float32, or as float64 where they are; what sums up a row is float64. Jensen-Shannon is worked
    out from the entropies of the two and of their middle.

    Args:
        base: Logits of the base, rows x vocabulary.
        checkpoint: Logits of the checkpoint, of the same shape.
        tokens: The token of each row.

    Returns:
        One value a row for each of `QUANTITIES`.
    """
    import torch

    p, q = (_distribution(logits, tokens) for logits in (base, checkpoint))
    kl = q.log_total - p.log_total + _sum(p.weights * (p.below - q.below)) / p.total
    both = p.weights / p.total.to(p.weights.dtype) + q.weights / q.total.to(q.weights.dtype)
    # Terms near 0, so that float32 is enough: without `near` their sum is as large as two entropies.
    near = ((p.entropy + q.entropy) / 2).to(both.dtype)
    logs = both.clamp(min=torch.finfo(both.dtype).tiny).log() + near
    js = math.log(2) - _sum(both * logs) / 2 + near.double() - (p.entropy + q.entropy) / 2
    # Of equal distributions a rounding error is left.
    found = (p.logprob, q.logprob, p.rank, q.rank, kl.clamp(min=0), js.clamp(min=0), p.entropy, q.entropy)
    return tuple(values.squeeze(-1) for values in found)


class _Distribution(NamedTuple):
    """Rows of a distribution: `weights` are exp(`below`), which are logits below the highest."""

    below: Tensor
    weights: Tensor
    total: Tensor
    log_total: Tensor
    logprob: Tensor
    rank: Tensor
    entropy: Tensor


def _distribution(logits: Tensor, tokens: Tensor) -> _Distribution:
    import torch

    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    own = logits.gather(-1, tokens.unsqueeze(-1))
    # Counted in the logits' own format: sums of truth values take a CPU five times as long.
    rank = _sum((logits - own).sign_().clamp_(min=0)) + 1
    highest = logits.amax(-1, keepdim=True)
    below = logits - highest
    weights = below.exp()
    total = _sum(weights)
    log_total = total.log()
    logprob = own.double() - highest.double() - log_total
    entropy = log_total - _sum(weights * below) / total
    return _Distribution(below, weights, total, log_total, logprob, rank, entropy)


def _sum(values: Tensor) -> Tensor:
    """The sums of rows in float64. A GPU also adds in it; on a CPU torch adds float32 pairwise, which is as good."""
    import torch

    if values.is_cuda:
        return values.sum(-1, keepdim=True, dtype=torch.float64)
    return values.sum(-1, keepdim=True).double()


# ------------------------------------------------------------------------------ fused, on a GPU


class _Fused:
    """`compare` in a few kernels that read the logits where they lie; as it stands where none can be compiled."""

    def __init__(self) -> None:
        self.works = importlib.util.find_spec("triton") is not None

    def __call__(self, base: Tensor, checkpoint: Tensor, tokens: Tensor) -> Tensor:
        from torch.nn.functional import pad

        given = base, checkpoint, tokens
        if missing := BLOCK - len(tokens):  # all calls have one shape, which is compiled once
            given = pad(base, (0, 0, 0, missing)), pad(checkpoint, (0, 0, 0, missing)), pad(tokens, (0, missing))
        if self.works:
            try:
                found: Tensor = self._compiled(*given)
                return found[:, : len(tokens)]
            except Exception as error:  # the compiler of this machine, in any way
                logger.warning("token shift goes on without compiled kernels, and is slower: %s", first_line(error))
                self.works = False
        return _stacked(base, checkpoint, tokens)

    @cached_property
    def _compiled(self) -> Any:
        import torch

        return torch.compile(_stacked, dynamic=False, fullgraph=True)


fused = _Fused()
