"""What `token_shift` keeps of a text that was read under one checkpoint, and its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sftgen_judges.diagnostics.token_shift.summary import Shift, sums_of
from sftgen_judges.plugins.contracts import Measure
from sftgen_train.diagnosing.shift_reading import WAYS
from sftgen_train.results.diagnosed import Numbers

MEASURES = (
    Measure("kl", "KL(base‖checkpoint) of a token", unit="nats", per="tokens", exact=True),
    Measure("shifted", "share of tokens of rank > 3 under the base", share=True, per="tokens", exact=True),
    Measure("marginal", "share of tokens of rank 2 or 3", share=True, per="tokens", exact=True),
    Measure("js", "Jensen-Shannon divergence of a token", unit="nats", per="tokens", exact=True),
    Measure("loss", "loss of a token under the checkpoint", unit="nats", per="tokens", exact=True),
    Measure(
        "loss_change", "its loss under the checkpoint, less that under the base", unit="nats", per="tokens", exact=True
    ),
    Measure("entropy", "entropy of the checkpoint's next token", unit="nats", per="tokens", exact=True),
)
PIECES = 1500
"""Tokens of a text that a figure shows."""
BY_WAY = {"": "", "vllm": ", by vLLM", "text": ", by text"}
"""What a title says of how texts were read."""


@dataclass(frozen=True)
class Kept:
    """What was measured of one text under one checkpoint.

    Attributes:
        source: Where the text is from.
        name: What tells it apart in its source.
        key: What it is, whatever measured it.
        way: How it was read.
        sums: Sums over its tokens, for means over texts.
        shift: Its tokens.
        cut: Whether its end did not fit into the context.
        pieces: The text of its tokens, of the texts that are shown.
    """

    source: str
    name: str
    key: str
    way: str
    sums: dict[str, float]
    shift: Shift
    cut: bool
    pieces: tuple[str, ...]


def read_kept(row: Any) -> Kept | None:
    """What a row of a run's probes says, which may be a stranger's; None if it cannot be read, or holds no token."""
    try:
        way = row.get("way", "")
        if not row["tokens"] or way not in WAYS:
            return None
        shift = Shift.unpacked(row["arrays"])
        pieces = tuple(str(piece) for piece in row.get("pieces") or ())[:PIECES]
        key = json.dumps(row["key"])
        return Kept(str(row["source"]), str(row["name"]), key, way, sums_of(shift), shift, bool(row["cut"]), pieces)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def numbers_of(kept: Sequence[Kept], suffix: str = "") -> Numbers:
    """The sums of texts, as numbers of documents.

    Args:
        kept: The texts.
        suffix: Of which part of them, as in `summary.sums_of`.
    """
    names = np.array([of.name for of in kept], dtype=object)
    found = {
        name: np.array([of.sums.get(f"{name}{suffix}", np.nan) for of in kept])
        for name in ("tokens", *(measure.name for measure in MEASURES))
    }
    return Numbers(names, names, found)


def leading(kept: Sequence[Kept]) -> Measure:
    """The measure that says how far texts are shifted: KL, or where no distribution was read the change of loss."""
    name = "kl" if all("kl" in of.shift for of in kept) else "loss_change"
    return next(measure for measure in MEASURES if measure.name == name)
