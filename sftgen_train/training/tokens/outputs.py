"""What a forward pass of a trainer says of the tokens of its batch.

What stands here of TRL, which is not imported: names of its configurations, and the fields of its `FusedCausalLMOutput`
(`log_probs`, `is_top1`, `label_mask`), read in version 1.16. Its trainers project the hidden states in tiles and never
make logits; they compute these fields for their own metrics. Any other output is read from `logits` and the labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import TrainingArguments

from sftgen_train.training.config import IGNORED

LARGEST_COPY = 1 << 26
"""Bytes of logits that are copied to float32 at once."""


@dataclass(frozen=True)
class Source:
    """Where the tokens of a trainer stand.

    Attributes:
        kinds: What the rows of a batch are, each an equal part of the batch in this order; empty if nothing is read.
        right: Whether there is a right token: the labels are not what the model itself has drawn.
        without_gradients: Whether a fused forward pass without gradients counts: TRL's SFT trainer makes one for its
            metrics where the loss needs the logits.
        reason: Why nothing is read.
    """

    kinds: tuple[str, ...] = ("trained",)
    right: bool = True
    without_gradients: bool = False
    reason: str = ""


_OWN = Source(("sampled",), right=False)
_SOURCES: Mapping[str, Source] = {
    "DPOConfig": Source(("chosen", "rejected")),
    "GRPOConfig": _OWN,
    "RLOOConfig": _OWN,
    "DistillationConfig": Source(
        (), reason="trl.DistillationTrainer compares hidden states with its teacher in tiles: in training it makes "
        "neither logits nor the probability of a token, and the tokens are the student's own samples; it logs its "
        "loss and entropy itself",
    ),
    "KTOConfig": Source(
        (), reason="the forward pass of trl.KTOTrainer does not say which responses are desirable, and undesirable "
        "ones have no right token",
    ),
    "SFTConfig": Source(without_gradients=True),
}  # fmt: skip


def source_of(args: TrainingArguments, model: Any) -> Source:
    """Where the tokens of a trainer with these arguments stand; of an unknown trainer, in logits and labels."""
    if getattr(model.config, "is_encoder_decoder", False):
        return Source((), reason="the model is an encoder-decoder, whose labels stand apart from its inputs")
    parallel = getattr(args, "parallelism_config", None)
    if parallel is not None and (getattr(parallel, "tp_size", None) or 1) > 1:
        return Source((), reason="under tensor parallelism several processes have the same tokens")
    for kind in type(args).__mro__:
        if kind.__module__.partition(".")[0] == "trl" and kind.__name__ in _SOURCES:
            return _SOURCES[kind.__name__]
    return Source()


@dataclass(frozen=True)
class Tokens:
    """The tokens of a batch, or of a part of its rows.

    Attributes:
        losses: Minus the log-probability of each label, shape (rows, positions), in nats.
        right: Whether the label is the most likely token, the same shape; None where nobody computed it.
        counted: Whether the position has a label, the same shape.
        keys: What tells the token apart, with all that stands before it, the same shape; None where nobody can tell.
    """

    losses: Tensor
    right: Tensor | None
    counted: Tensor
    keys: Tensor | None

    def parts(self, count: int) -> Iterator[Tokens]:
        """Equal parts of its rows.

        Raises:
            UnreadError: The rows are no multiple of them.
        """
        rows, left = divmod(len(self.losses), count)
        if left:
            raise UnreadError(f"a batch of {len(self.losses)} rows, expected {count} equal parts")
        for start in range(0, count * rows, rows) if rows else ():
            of = slice(start, start + rows)
            right = None if self.right is None else self.right[of]
            yield Tokens(self.losses[of], right, self.counted[of], None if self.keys is None else self.keys[of])


class UnreadError(ValueError):
    """A forward pass that says nothing of its tokens."""


def is_fused(output: Any) -> bool:
    """Whether TRL's fused head made an output."""
    return getattr(output, "log_probs", None) is not None and getattr(output, "label_mask", None) is not None


def read(args: tuple[Any, ...], given: Mapping[str, Any], output: Any) -> Tokens:
    """The tokens of a forward pass. Nothing waits for the device.

    Args:
        args: What the model was given by position.
        given: And by name.
        output: What it gave.

    Raises:
        UnreadError: There are no labels, or neither logits nor log-probabilities.
    """
    labels, shifted = given.get("labels"), given.get("shift_labels")
    if shifted is None and labels is not None:
        shifted = labels[:, 1:]
    if shifted is None:
        raise UnreadError("the trainer keeps the labels from the model (label smoothing or a loss of its own)")
    if is_fused(output):
        losses, counted = -output.log_probs.detach().float(), output.label_mask
        right = None if output.is_top1 is None else output.is_top1.bool()
    else:
        logits = getattr(output, "logits", None)
        if logits is None:
            raise UnreadError("a fused loss (for example Liger's) makes no logits")
        if logits.dim() != 3 or logits.shape[1] < shifted.shape[1]:
            raise UnreadError(f"logits of shape {tuple(logits.shape)} for labels of shape {tuple(shifted.shape)}")
        shifted = shifted.to(logits.device)
        losses, right = _from_logits(logits[:, : shifted.shape[1]], shifted.clamp(min=0))
        counted = shifted != IGNORED
    ids = given.get("input_ids", args[0] if args else None)
    # Virtual tokens of prompt learning stand before those of the batch.
    extra = losses.shape[1] - shifted.shape[1]
    keys = None
    if isinstance(ids, Tensor) and ids.dim() == 2 and extra >= 0 and ids.shape[1] >= shifted.shape[1]:
        found = _keys(ids, given.get("position_ids"), given.get("attention_mask"), shifted).to(losses.device)
        keys = torch.nn.functional.pad(found, (extra, 0), value=NO_KEY) if extra else found
    return Tokens(losses, right, counted.to(losses.device), keys)


def _from_logits(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Losses and whether the label is the most likely token, without a whole copy of the logits in float32."""
    rows = max(LARGEST_COPY // (4 * logits.shape[-1]), 1)
    losses = torch.empty(labels.shape, dtype=torch.float32, device=logits.device)
    right = torch.empty(labels.shape, dtype=torch.bool, device=logits.device)
    for row in range(labels.shape[0]):
        for start in range(0, labels.shape[1], rows):
            of = (row, slice(start, start + rows))
            piece, wanted = logits[of].detach().float(), labels[of]
            losses[of] = piece.logsumexp(-1) - piece.gather(-1, wanted[:, None])[:, 0]
            right[of] = piece.argmax(-1) == wanted
    return losses, right


# ------------------------------------------------------------------------------ which token it is

NO_KEY = torch.iinfo(torch.int64).max
"""The key of a position without one; keys are below it."""


def _keys(ids: Tensor, positions: Tensor | None, mask: Tensor | None, labels: Tensor) -> Tensor:
    """A number below 2^63 for each label and all tokens before it, the same wherever they stand in whichever batch.

    It is a sum, modulo 2^64, of mixed pairs of token and position: sums over the beginning of a sequence come from one
    running sum, also where several sequences are packed into a row.
    """
    count = torch.arange(ids.shape[1], device=ids.device)
    if positions is not None and positions.shape == ids.shape:
        places = positions
    elif mask is not None and mask.shape == ids.shape:
        places = mask.long().cumsum(1) - 1
    else:
        places = count.expand_as(ids)
    mixed = _mix(ids.long() * 0x1F123BB5 + _mix(places.long()))
    if mask is not None and mask.shape == ids.shape:
        mixed = mixed * (mask != 0)
    running = mixed.cumsum(1)
    # Where the sequence of each position begins: what the row holds before it is taken off.
    first = torch.where(places == 0, count, 0).cummax(1).values
    before = (running - mixed).gather(1, first)
    ahead = (running - before)[:, : labels.shape[1]]
    return _mix(ahead + _mix(labels.long() + 0x51ED270B)) & (NO_KEY - 1)


def _mix(numbers: Tensor) -> Tensor:
    """Murmur's finalizer: numbers that differ anywhere differ everywhere. Products wrap around."""
    numbers = (numbers ^ (numbers >> 33)) * -0xAE502812AA7333
    numbers = (numbers ^ (numbers >> 33)) * -0x3B314601E57A13AD
    return numbers ^ (numbers >> 33)
