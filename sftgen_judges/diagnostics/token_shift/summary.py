"""The numbers of a text: how far its tokens are shifted, by kind of word and by position."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.diagnostics.token_shift.forcing import Forced
from sftgen_judges.diagnostics.token_shift.words import CLASSES

POSITIONS = ("first 5 %", "middle", "last 5 %")
MARGINAL, SHIFTED = 2, 4
"""Lowest rank under the base of a marginal and of a shifted token (URIAL, 2312.01552)."""
_KEPT: Mapping[str, Any] = {
    "base_logprob": np.float32, "logprob": np.float32, "rank": np.uint16, "own_rank": np.uint16, "kl": np.float32,
    "js": np.float32, "base_entropy": np.float32, "entropy": np.float32, "kind": np.uint8,
}  # fmt: skip
MOST_TOKENS = 1 << 20
"""Tokens of a text that is read back; a stranger's run may hold anything."""


@dataclass(frozen=True)
class Shift:
    """What was measured of one text: arrays with one entry a scored token.

    Attributes:
        values: `forcing.QUANTITIES` by name, and `kind`: the place of the kind of word in `CLASSES`.
    """

    values: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, forced: Forced, kinds: NDArray[np.uint8]) -> Shift:
        """What two models say of the tokens of a text, with their kinds of words."""
        found = {name: getattr(forced, name) for name in _KEPT if name != "kind"}
        return cls({**{name: np.minimum(found[name], 65535) if "rank" in name else found[name] for name in found},
                    "kind": kinds})  # fmt: skip

    def __len__(self) -> int:
        return len(self.values["kind"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.values[name]

    def packed(self) -> dict[str, str]:
        """The arrays as text, in 4 bytes a number or fewer, compressed."""
        return {
            name: base64.b64encode(zlib.compress(np.asarray(self.values[name]).astype(kind).tobytes(), 1)).decode()
            for name, kind in _KEPT.items()
        }

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> Shift:
        """The arrays again.

        Raises:
            ValueError: It is not what `packed` made.
        """
        values: dict[str, NDArray[Any]] = {}
        for name, kind in _KEPT.items():
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
    rank = shift["rank"][rows]
    return {
        f"tokens{suffix}": float(rows.sum()),
        f"shifted{suffix}": float((rank >= SHIFTED).sum()),
        f"marginal{suffix}": float(((rank >= MARGINAL) & (rank < SHIFTED)).sum()),
        f"kl{suffix}": float(shift["kl"][rows].sum()),
        f"js{suffix}": float(shift["js"][rows].sum()),
        f"loss{suffix}": float(-shift["logprob"][rows].sum()),
        f"base_loss{suffix}": float(-shift["base_logprob"][rows].sum()),
        f"entropy{suffix}": float(shift["entropy"][rows].sum()),
    }


COLUMNS = (
    "tokens of", "n", "marginal", "shifted", "KL", "KL p95", "JS", "JS p95", "loss", "base loss", "entropy",
    "base entropy",
)  # fmt: skip


def table_of(shifts: Sequence[Shift]) -> Iterator[tuple[str | float | None, ...]]:
    """Rows of `COLUMNS` over the tokens of some texts: all of them, by kind of word, by position."""
    whole = {name: np.concatenate([shift[name] for shift in shifts]) for name in _KEPT}
    positions = np.concatenate([positions_of(len(shift)) for shift in shifts])
    yield _row("all", whole, np.ones(len(positions), dtype=bool))
    for place, name in enumerate(CLASSES):
        yield _row(name, whole, whole["kind"] == place)
    for place, name in enumerate(POSITIONS):
        yield _row(name, whole, positions == place)


def _row(name: str, whole: Mapping[str, NDArray[Any]], rows: NDArray[np.bool_]) -> tuple[str | float | None, ...]:
    n = int(rows.sum())
    if not n:
        return (name, 0, *([None] * (len(COLUMNS) - 2)))
    rank, kl, js = (whole[of][rows] for of in ("rank", "kl", "js"))
    shares = [((rank >= MARGINAL) & (rank < SHIFTED)).mean(), (rank >= SHIFTED).mean()]
    spread = [kl.mean(), np.quantile(kl, 0.95), js.mean(), np.quantile(js, 0.95)]
    losses = [-whole["logprob"][rows].mean(), -whole["base_logprob"][rows].mean()]
    entropies = [whole["entropy"][rows].mean(), whole["base_entropy"][rows].mean()]
    return (name, n, *(short(value) for value in (*shares, *spread, *losses, *entropies)))


def short(value: Any) -> float:
    """A number with three digits that count."""
    return float(f"{value:.3g}")
