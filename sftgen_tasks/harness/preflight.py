"""Checks of a model before anything heavy is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sftgen_judges.errors import SftgenError

SECRETS = ("api_key", "auth_token", "header")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")


class ModelError(SftgenError, ValueError):
    """A model folder that cannot be used."""


def is_local(model: str) -> bool:
    """Whether a model is meant as a folder here, not as a hub id (`organisation/name`)."""
    return Path(model).exists() or model.startswith((".", "/", "~")) or model.count("/") != 1


def check_local_model(model: str, *, chat_template: bool) -> None:
    """Check that a local model folder is whole; a hub id passes unchecked.

    Args:
        model: Folder or hub id.
        chat_template: Whether a chat template is needed.

    Raises:
        ModelError: Not a folder, or without configuration, tokenizer or chat template.
    """
    if not is_local(model):
        return
    folder = Path(model)
    if not folder.is_dir():
        raise ModelError(f"model {model!r}: no such folder")
    if not (folder / "config.json").is_file():
        raise ModelError(f"model folder {model!r} has no config.json: is it a checkpoint in Hugging Face format?")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"model folder {model!r} has no tokenizer (looked for {', '.join(TOKENIZER_FILES)}): "
            "copy the base model's tokenizer files into it"
        )
    if chat_template and not has_chat_template(folder):
        raise ModelError(
            f"tokenizer in {model!r} has no chat template: add chat_template.jinja there, "
            "or evaluate with plain prompts (`sftgen eval --no_chat_template`)"
        )


def has_chat_template(folder: Path) -> bool:
    """Whether a model folder has a chat template, in a file of its own or in the tokenizer's."""
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    return bool(_read(folder / "tokenizer_config.json").get("chat_template"))


def check_no_secrets(model_args: Mapping[str, Any]) -> None:
    """Check that no key is among a model's arguments, which are written into results and manifest.

    Raises:
        ModelError: One is; says where it belongs.
    """
    found = [name for name in SECRETS if model_args.get(name)]
    if "@" in urlsplit(str(model_args.get("base_url") or "")).netloc:
        found.append("base_url with a password")
    if found:
        raise ModelError(
            f"--model_args {', '.join(found)}: model arguments are written into the results. "
            "Put the key into the environment variable OPENAI_API_KEY"
        )


def max_model_len(folder: Path) -> int | None:
    """The longest sequence a local model takes, if its configuration tells."""
    config = _read(folder / "config.json")
    for holder in (config, config.get("text_config") or {}):
        for name in ("max_position_embeddings", "n_positions", "max_sequence_length"):
            if isinstance(holder.get(name), int):
                return int(holder[name])
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
