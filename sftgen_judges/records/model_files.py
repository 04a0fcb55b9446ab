"""What of a model stands in its folder, or on the hub: configuration, tokenizer, code and weights, each with a hash."""

from __future__ import annotations

import copy
import json
import os
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from sftgen_judges.records.hash_cache import cached_leaves
from sftgen_judges.records.schema import content_hash
from sftgen_judges.records.weights import file_leaves, weights_id

ADAPTER = "adapter_config.json"
# Where a file came from and what wrote it are not what it is; generation keeps a cache whatever the settings say.
NOISE = frozenset({
    "_name_or_path", "name_or_path", "transformers_version", "_commit_hash", "use_cache", "is_local",
    "local_files_only", "base_model_name_or_path", "peft_version",
})  # fmt: skip
CONFIGURATION = re.compile(
    r"(?:config|generation_config|adapter_config|params|preprocessor_config|processor_config|\w*quant\w*)\.json"
)
TOKENIZER = re.compile(
    r"(?:tokenizer|vocab|merges|chat_template|special_tokens_map|added_tokens|tekken|spiece|sentencepiece)[\w.-]*"
    r"|[\w.-]+\.(?:tiktoken|jinja|model)"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def files_by_content(path: Path) -> list[Any]:
    """All files of a folder, or the one file."""
    if path.is_file():
        return [leaf for _, leaf in cached_leaves(path, file_leaves)]
    files = sorted(found for found in path.rglob("*") if found.is_file())
    return [[found.relative_to(path).as_posix(), files_by_content(found)] for found in files]


def source(
    named: str, revision: str, *, subfolder: str = "", only: str = "", weights: bool = True, tokenizer: bool = True
) -> dict[str, Any] | None:
    """The parts of a folder or of a model on the hub; None where there is only a name."""
    folder = Path(named or os.devnull)
    if folder.is_file():
        return {"weights": content_hash(files_by_content(folder))}
    if not folder.is_dir():
        commit = _commit(named, revision)
        return {"commit": commit} if commit else None
    parts = folder_parts(folder, subfolder=subfolder, only=only, weights=weights)
    if not tokenizer:
        parts.pop("tokenizer", None)
        return parts
    return parts | (_base(folder) if weights else {})


def folder_parts(
    folder: Path, *, subfolder: str = "", only: str = "", weights: bool = True, fresh: bool = False
) -> dict[str, Any]:
    """The parts of a folder: hashes of its configuration, tokenizer, code and weights, as far as it has them.

    Args:
        folder: The folder.
        subfolder: Where in it the weights are, if not in the folder itself.
        only: Name of the one file of weights that counts.
        weights: Whether the weights are read.
        fresh: Whether every byte of them is read again, whatever the cache knows.

    Raises:
        OSError: A file cannot be read.
    """
    inside = folder / subfolder
    parts = small_parts(folder)
    if subfolder and inside.is_dir():
        parts |= {f"{name} of {subfolder}": value for name, value in small_parts(inside).items()}
    if weights and inside.is_dir():
        parts["weights"] = weights_id(inside, only=only if (inside / only).is_file() else "", fresh=fresh)
    return parts


def _base(folder: Path) -> dict[str, Any]:
    """The base of an adapter, by content."""
    settings = _json(folder / ADAPTER)
    named = settings.get("base_model_name_or_path") if isinstance(settings, dict) else None
    if not isinstance(named, str) or (Path(named) / ADAPTER).is_file():
        return {}
    return {"base": source(named, str(settings.get("revision") or "main")) or named}


def small_parts(folder: Path) -> dict[str, str]:
    """Configuration, tokenizer and code of a folder, as far as there are any."""
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    configuration = {name: _normal(path) for name, path in files.items() if CONFIGURATION.fullmatch(name)}
    tokenizer = {name: _normal(path) for name, path in files.items() if TOKENIZER.fullmatch(name)}
    parts = {"config": configuration, "tokenizer": tokenizer}
    if any("auto_map" in found for found in (*configuration.values(), *tokenizer.values()) if isinstance(found, dict)):
        parts["code"] = {name: path.read_bytes().hex() for name, path in files.items() if path.suffix == ".py"}
    return {name: content_hash(found) for name, found in parts.items() if found}


def _normal(path: Path) -> Any:
    """What a file says, without what says nothing of the model; its bytes where it is not JSON."""
    settings = _json(path)
    return path.read_bytes().hex() if settings is None else _quiet(settings)


def _json(path: Path) -> Any:
    if path.suffix != ".json" or not path.is_file():
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


def _quiet(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    # A tokenizer remembers how it padded last.
    passing = {"padding", "truncation"} if "pre_tokenizer" in settings else set()
    return {
        name: _quiet(value) if isinstance(value, dict) and name.endswith("_config") else value
        for name, value in settings.items()
        if name not in NOISE | passing
    }


def settings_in_memory(model: Any) -> dict[str, Any]:
    """The files of configuration that `save_pretrained` writes, by name."""
    found: dict[str, Any] = {}
    if (config := getattr(model, "config", None)) is not None:
        saved = copy.deepcopy(config)
        saved.architectures = [type(model).__name__]
        saved.dtype = str(model.dtype).removeprefix("torch.")
        found["config.json"] = _quiet(json.loads(saved.to_json_string()))
    if (generation := getattr(model, "generation_config", None)) is not None:
        found["generation_config.json"] = _quiet(json.loads(generation.to_json_string()))
    for name, adapter in getattr(model, "peft_config", {}).items():
        found[name] = _quiet(json.loads(json.dumps(adapter.to_dict(), default=str)))
    return found


@cache
def _commit(named: str, revision: str) -> str | None:
    """The commit of a model on the hub that would be loaded now: what the hub says, else what is in its cache."""
    if _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, constants
    from huggingface_hub.file_download import repo_folder_name

    if named.count("/") > 1 or not re.fullmatch(r"[\w./-]+", named):
        return None
    if not constants.HF_HUB_OFFLINE:
        with suppress(Exception):  # no network, no such model: loading it will say so
            return str(HfApi().repo_info(named, revision=revision, timeout=10).sha)
    reference = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=named, repo_type="model") / "refs" / revision
    with suppress(OSError, ValueError):
        found = reference.read_text().strip()
        return found if _COMMIT.fullmatch(found) else None
    return None
