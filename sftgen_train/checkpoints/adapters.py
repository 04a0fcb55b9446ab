"""An adapter's folder as arguments of the lm_eval model that is to apply it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftgen_train.checkpoints.leases import ADAPTER, CheckpointError

LARGEST = 1 << 20
"""Bytes of an adapter's configuration that is read."""
_VLLM = ("vllm", "sftgen-vllm")
_LEAST_RANK, _MOST_RANK = 8, 512
"""vLLM makes room for ranks that are powers of two; adapters of more than the most are no low-rank ones."""


def adapter_arguments(folder: Path, model: str) -> dict[str, Any]:
    """What an lm_eval model is given for a checkpoint that is an adapter.

    Args:
        folder: The checkpoint: an adapter and its tokenizer.
        model: Name of the lm_eval model: transformers and vLLM name the adapter differently.

    Returns:
        The base model, the adapter and the tokenizer; nothing for a checkpoint that is a whole model.

    Raises:
        CheckpointError: The adapter's configuration is damaged, names no base, or is of a form that vLLM has not.
    """
    path = folder / ADAPTER
    if not path.is_file():
        return {}
    config = _read(path)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(f"adapter {str(path)!r}: base_model_name_or_path is {base!r}; expected the base model")
    arguments = {"pretrained": base, "tokenizer": str(folder)}
    if model not in _VLLM:
        return arguments | {"peft": str(folder)}
    if config.get("peft_type") != "LORA":
        raise CheckpointError(
            f"adapter {str(path)!r}: peft_type is {config.get('peft_type')!r}, and vLLM applies LORA alone; evaluate "
            "it with --model sftgen-hf"
        )
    return arguments | {"lora_local_path": str(folder), "max_lora_rank": _room(config, path)}


def base_of(folder: Path) -> str | None:
    """The base model that an adapter names; None for a whole model or a damaged configuration."""
    try:
        return adapter_arguments(folder, "sftgen-hf").get("pretrained")
    except CheckpointError:
        return None


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        found = json.loads(text) if len(text) <= LARGEST else None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"adapter {str(path)!r} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"adapter {str(path)!r}: expected a mapping of at most {LARGEST:,} bytes")
    return found


def _room(config: Mapping[str, Any], path: Path) -> int:
    """The rank that vLLM has to make room for: the least that holds those of all modules."""
    pattern = config.get("rank_pattern") or {}
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, Mapping) else [])]
    wrong = [rank for rank in ranks if not isinstance(rank, int) or not 0 < rank <= _MOST_RANK]
    if wrong:
        raise CheckpointError(
            f"adapter {str(path)!r}: rank {wrong[0]!r}; vLLM takes whole numbers from 1 to {_MOST_RANK}. Evaluate it "
            "with --model sftgen-hf"
        )
    return max(_LEAST_RANK, 1 << (int(max(ranks)) - 1).bit_length())
