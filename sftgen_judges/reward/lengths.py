"""How long a pair a reward model takes by its files, without loading it or asking the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftgen_judges.reward.models import UNLIMITED, RewardModel

LARGEST_FILE = 32 << 20
"""Bytes of a configuration that are read; a tokenizer's may list all its special tokens."""


@dataclass(frozen=True)
class Lengths:
    """What the files of a reward model say in tokens, None where they say nothing.

    Attributes:
        tokenizer: `model_max_length` of its tokenizer.
        model: The positions of the model.
    """

    tokenizer: int | None
    model: int | None

    @property
    def cut_short(self) -> bool:
        """Whether pairs are cut at less than the model takes."""
        return None not in (self.tokenizer, self.model) and (self.tokenizer or 0) < (self.model or 0)


def lengths(model: RewardModel) -> Lengths | None:
    """The lengths of a reward model that is a folder or in the hub's cache; None where it is neither."""
    tokenizer, config = _read(model, "tokenizer_config.json"), _read(model, "config.json")
    if tokenizer is None or config is None:
        return None
    nested = config.get("text_config")
    positions = (nested if isinstance(nested, Mapping) else config).get("max_position_embeddings")
    return Lengths(_length(tokenizer.get("model_max_length")), _length(positions))


def _read(model: RewardModel, name: str) -> Mapping[str, Any] | None:
    path = Path(model.name) / name
    if not Path(model.name).is_dir():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            found = try_to_load_from_cache(model.name, name, revision=model.revision)
        except HFValidationError:  # no name of the hub
            return None
        if not isinstance(found, str):
            return None
        path = Path(found)
    try:
        if path.stat().st_size > LARGEST_FILE:
            return None
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _length(value: Any) -> int | None:
    """A number of tokens; a tokenizer without a limit has one that is too large to be one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < UNLIMITED:
        return None
    return int(value)
