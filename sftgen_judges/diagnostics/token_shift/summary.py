"""The numbers of a text: how far its tokens are shifted, by kind of word and by position."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.diagnostics.token_shift.words import CLASSES

POSITIONS = ("first 5 %", "middle", "last 5 %")
MARGINAL, SHIFTED = 2, 4
"""Lowest rank under the base of a marginal and of a shifted token (URIAL, 2312.01552)."""
_KEPT: Mapping[str, Any] = {
    "base_logprob": np.float32, "logprob": np.float32, "rank": np.uint16, "own_rank": np.uint16, "kl": np.float32,
    "js": np.float32, "base_entropy": np.float32, "entropy": np.float32, "kind": np.uint8, "characters": np.uint16,
}  # fmt: skip
_ALWAYS = ("base_logprob", "logprob", "kind")
"""What every reading of a text has."""
MOST_TOKENS = 1 << 20
"""Tokens of a text that is read back; a stranger's run may hold anything."""


@dataclass(frozen=True)
class Shift:
    """What was measured of one text: arrays with one entry a scored token.

    Attributes:
        values: `forcing.QUANTITIES` by name, as far as a reading has them: log-probabilities always, ranks where the
            tokens are the same, divergences and entropies where whole distributions were there. `kind`: the place of
            the kind of word in `CLASSES`. `characters`: how much farther in the text a token ends than that before it.
    """

    values: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, quantities: Mapping[str, NDArray[Any]], kinds: NDArray[np.uint8], ends: Sequence[int]) -> Shift:
        """What two models say of the tokens of a text.

        Args:
            quantities: Some of `forcing.QUANTITIES`.
            kinds: The kinds of words.
            ends: Where each token ends, in characters of the text.
        """
        found = {name: np.minimum(of, 65535) if "rank" in name else of for name, of in quantities.items()}
        characters = np.clip(np.diff(np.asarray(ends, dtype=np.int64), prepend=0), 0, 65535)
        return cls({**found, "kind": kinds, "characters": characters})

    def __len__(self) -> int:
        return len(self.values["kind"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    @property
    def distance(self) -> NDArray[Any]:
        """How far each token is shifted: its KL to the base, or where that is not known how much likelier it was."""
        return self["kl"] if "kl" in self else self["base_logprob"] - self["logprob"]

    def packed(self) -> dict[str, str]:
        """The arrays as text, in 4 bytes a number or fewer, compressed."""
        return {
            name: base64.b64encode(zlib.compress(np.asarray(self.values[name]).astype(kind).tobytes(), 1)).decode()
            for name, kind in _KEPT.items()
            if name in self
        }

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> Shift:
        """The arrays again.

        Raises:
            ValueError: It is not what `packed` made.
        """
        values: dict[str, NDArray[Any]] = {}
        for name, kind in _KEPT.items():
            if name not in packed and name not in _ALWAYS:
                continue
            try:
                whole = zlib.decompressobj().decompress(base64.b64decode(packed[name], validate=True), 4 * MOST_TOKENS)
                values[name] = np.frombuffer(whole, kind)
            except (KeyError, TypeError, ValueError, zlib.error) as error:
                raise ValueError(f"{name} cannot be read") from error
        if len({len(found) for found in values.values()}) > 1 or not all(np.isfinite(v).all() for v in values.values()):
            raise ValueError("the arrays do not belong together")
        if len(values["kind"]) and int(values["kind"].max()) >= len(CLASSES):
            raise ValueError("a kind of word that is not known")
        return cls(values)


def positions_of(tokens: int) -> NDArray[np.uint8]:
    """The part of a text that each of its tokens stands in, as a place in `POSITIONS`."""
    place = (np.arange(tokens) + 0.5) / max(tokens, 1)
    return np.where(place < 0.05, 0, np.where(place > 0.95, 2, 1)).astype(np.uint8)


def sums_of(shift: Shift) -> dict[str, float]:
    """What is summed up over the tokens of a text, for means over texts with intervals."""
    found = _sums(shift, np.ones(len(shift), dtype=bool), "")
    for place, name in enumerate(POSITIONS):
        found |= _sums(shift, positions_of(len(shift)) == place, f" {name}")
    return found


def _sums(shift: Shift, rows: NDArray[np.bool_], suffix: str) -> dict[str, float]:
    loss, base_loss = (-float(shift[name][rows].sum(dtype=np.float64)) for name in ("logprob", "base_logprob"))
    found = {"tokens": float(rows.sum()), "loss": loss, "base_loss": base_loss, "loss_change": loss - base_loss}
    if "rank" in shift:
        rank = shift["rank"][rows]
        found["shifted"] = float((rank >= SHIFTED).sum())
        found["marginal"] = float(((rank >= MARGINAL) & (rank < SHIFTED)).sum())
    found |= {name: float(shift[name][rows].sum(dtype=np.float64)) for name in ("kl", "js", "entropy") if name in shift}
    return {f"{name}{suffix}": value for name, value in found.items()}


COLUMNS = (
    "tokens of", "n", "marginal", "shifted", "KL", "KL p95", "JS", "JS p95", "loss", "base loss", "entropy",
    "base entropy",
)  # fmt: skip


def table_of(shifts: Sequence[Shift]) -> Iterator[tuple[str | float | None, ...]]:
    """Rows of `COLUMNS` over the tokens of some texts: all of them, by kind of word, by position."""
    there = [name for name in _KEPT if all(name in shift for shift in shifts)]
    whole = {name: np.concatenate([shift[name] for shift in shifts]) for name in there}
    positions = np.concatenate([positions_of(len(shift)) for shift in shifts])
    yield _row("all", whole, np.ones(len(positions), dtype=bool))
    for place, name in enumerate(CLASSES):
        yield _row(name, whole, whole["kind"] == place)
    for place, name in enumerate(POSITIONS):
        yield _row(name, whole, positions == place)


def _row(name: str, whole: Mapping[str, NDArray[Any]], rows: NDArray[np.bool_]) -> tuple[str | float | None, ...]:
    n = int(rows.sum())
    of = {quantity: values[rows] for quantity, values in whole.items()} if n else {}
    means = {quantity: values.mean(dtype=np.float64) for quantity, values in of.items()}
    shares = [None, None]
    if "rank" in of:
        shares = [((of["rank"] >= MARGINAL) & (of["rank"] < SHIFTED)).mean(), (of["rank"] >= SHIFTED).mean()]
    spread = [
        number
        for quantity in ("kl", "js")
        for number in ((means[quantity], np.quantile(of[quantity], 0.95)) if quantity in of else (None, None))
    ]
    losses = [-means[quantity] if of else None for quantity in ("logprob", "base_logprob")]
    entropies = [means.get(quantity) for quantity in ("entropy", "base_entropy")]
    shown = (None if value is None else short(value) for value in (*shares, *spread, *losses, *entropies))
    return (name, n, *shown)


def short(value: Any) -> float:
    """A number with three digits that count."""
    return float(f"{value:.3g}")
