"""The identity of what generates: weights, adapter, tokenizer, configuration and every argument that changes text.

Whatever serves stored responses again, or sets responses beside each other, goes by it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sftgen_judges.records.former_id import FORMER
from sftgen_judges.records.model_files import files_by_content, folder_parts, settings_in_memory, small_parts, source
from sftgen_judges.records.provenance import scrub
from sftgen_judges.records.schema import content_hash
from sftgen_judges.records.weights import weights_id_in_memory

CANNOT_CHANGE_TEXT = frozenset({
    # where and how fast it runs
    "device", "device_map", "batch_size", "max_batch_size", "parallelize", "max_memory_per_gpu", "max_cpu_memory",
    "offload_folder", "logits_cache", "gpu_memory_utilization", "tensor_parallel_size", "data_parallel_size",
    "pipeline_parallel_size", "max_num_seqs", "max_num_batched_tokens", "swap_space", "cpu_offload_gb",
    "disable_log_stats", "disable_log_requests", "disable_custom_all_reduce", "distributed_executor_backend",
    "num_concurrent", "max_retries", "timeout", "tokenized_requests", "cache_dir", "download_dir", "low_cpu_mem_usage",
    # who asks
    "api_key", "auth_token", "header", "token", "use_auth_token", "hf_token", "verify_certificate", "ca_cert_path",
})  # fmt: skip
"""Arguments of models that are no part of their identity. An argument that is not among them counts."""
DEFAULTS = {"dtype": "auto", "revision": "main", "load_format": "auto", "tokenizer_mode": "auto", "subfolder": ""}
"""Values that say the same as no value."""
ALIASES = {"hf-auto": "hf", "huggingface": "hf", "torch_dtype": "dtype"}
WITH_WEIGHTS = ("peft", "lora_local_path", "delta")
"""Arguments that name further weights."""


@dataclass(frozen=True)
class Identity:
    """What generates, part by part.

    Attributes:
        name: The model's name as it was given.
        parts: Name of a part to its hash; under `arguments` their values, under `--model` what generates.
        local: Whether its weights are known; of a served model only the name is.
    """

    name: str
    parts: Mapping[str, Any]
    local: bool = True

    @property
    def id(self) -> str:
        """The content id. The same parts give the same id wherever they lie."""
        found = content_hash(dict(self.parts))
        return f"model:{found}" if self.local else f"name:{scrub(self.name)}:{found[:16]}"

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Names of the parts and arguments that are others than those written down."""
        ours, theirs = _flat(self.parts), _flat(other)
        return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def model_id(model: str, **arguments: Any) -> str:
    """Content id of a model by its name and the arguments it is loaded with, see `identity`."""
    return identity(model, arguments).id


def identity(
    model: str, arguments: Mapping[str, Any] | None = None, *, backend: str = "", served: bool = False
) -> Identity:
    """The identity of a model by name.

    A folder is identified by what is in it, to the last byte, and a model of the hub by its commit. A server's
    model has only its name, its address and its arguments.

    Args:
        model: Folder, hub id or served name.
        arguments: Those it is loaded with (`--model_args`); one that is not known to leave text as it is counts.
        backend: Name of the lm_eval model that generates.
        served: Whether a server has it, so that the hub is not asked for the name.

    Raises:
        OSError: A file of the model cannot be read.
    """
    given = _that_count(arguments or {}, backend)
    revision, subfolder = str(given.pop("revision", "main")), str(given.pop("subfolder", ""))
    if served and not Path(model).is_absolute():
        known = None
    else:
        known = source(model, revision, subfolder=subfolder, only=str(given.get("gguf_file", "")))
    parts: dict[str, Any] = {"--model": ALIASES.get(backend, backend)} if backend else {}
    parts |= known if known is not None else {"name": scrub(model)}
    if revision != "main" and "commit" not in parts:
        parts["revision"] = revision
    if subfolder:
        parts["subfolder"] = subfolder
    for name in WITH_WEIGHTS:
        if name in given:
            named = str(given.pop(name))
            parts[name] = source(named, revision, tokenizer=False) or named  # asked for at the base's revision
    if (tokenizer := given.pop("tokenizer", None)) is not None:
        found = source(str(tokenizer), revision, weights=False) or {}
        own = found.get("tokenizer") or found.get("commit") or str(tokenizer)
        if own != parts.get("commit"):
            parts["tokenizer"] = own
    return Identity(model, parts | _by_content(given), known is not None)


def identity_in_memory(model: Any, tokenizer: Any = None, *, backend: str = "", **arguments: Any) -> Identity:
    """The identity of a torch model: that of the folder which its `save_pretrained` and its tokenizer's write.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        backend: Name of the lm_eval model that generates as this one does.
        arguments: What else decides what it writes, as an argument of that lm_eval model.
    """
    inner = getattr(model, "module", model)
    parts: dict[str, Any] = {"--model": backend} if backend else {}
    if settings := settings_in_memory(inner):
        parts["config"] = content_hash(settings)
    if tokenizer is not None:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            parts["tokenizer"] = small_parts(Path(folder)).get("tokenizer", repr(tokenizer))
    parts["weights"] = weights_id_in_memory(model)
    name = str(getattr(inner, "name_or_path", "") or type(inner).__name__)
    return Identity(name, parts | _by_content(_that_count(arguments, backend)))


def model_id_in_memory(model: Any, tokenizer: Any = None, **arguments: Any) -> str:
    """Content id of a torch model, see `identity_in_memory`."""
    return identity_in_memory(model, tokenizer, **arguments).id


def folder_id(folder: Path, *, fresh: bool = False) -> str:
    """Id of what a folder holds of a model, without the base of an adapter.

    Args:
        folder: The folder.
        fresh: Whether every byte is read again, whatever the cache knows.

    Raises:
        OSError: A file cannot be read.
    """
    return f"files:{content_hash(folder_parts(folder, fresh=fresh))}"


def is_former(found: str) -> bool:
    """Whether an id is of the form that sftgen wrote before, which left out most of what changes text."""
    return found.startswith(FORMER)


# -------------------------------------------------------------------------------------------- arguments


def _that_count(arguments: Mapping[str, Any], backend: str) -> dict[str, Any]:
    without = CANNOT_CHANGE_TEXT | {"pretrained", "model"}  # the name itself
    named = {ALIASES.get(name, name): value for name, value in arguments.items() if name not in without}
    if backend.startswith("sftgen-"):
        named.pop("seed", None)  # our own models draw from the seed of the sampling settings
    return {
        name: value for name, value in named.items() if value is not None and str(value) != DEFAULTS.get(name, object())
    }


def _by_content(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"arguments": {name: _value(name, value) for name, value in arguments.items()}} if arguments else {}


def _value(name: str, value: Any) -> Any:
    """The value of an argument; a file or folder that it names by what is in it, an address without secrets."""
    if not isinstance(value, str | bool | int | float):
        value = json.loads(json.dumps(value, default=str))
    if not isinstance(value, str):
        return value
    if "://" in value:
        address = urlsplit(value)
        return scrub(address._replace(netloc=address.netloc.rpartition("@")[2]).geturl())
    if ("/" in value or name == "path" or Path(value).suffix) and Path(value).exists():
        return content_hash(files_by_content(Path(value)))
    return scrub(value.removeprefix("torch."))


def _flat(parts: Mapping[str, Any]) -> dict[str, str]:
    arguments = parts.get("arguments")
    inner = arguments if isinstance(arguments, Mapping) else {}
    return {name: content_hash(value) for name, value in {**inner, **parts}.items() if name != "arguments"}
