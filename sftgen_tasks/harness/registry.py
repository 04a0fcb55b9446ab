"""Names of our own models for `lm_eval --model`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.records.model_id import Identity, identity, identity_in_memory
from sftgen_tasks.harness.categories import KEY
from sftgen_tasks.harness.documents import OPTIONS
from sftgen_tasks.harness.limits import OPTION
from sftgen_tasks.harness.model import Model
from sftgen_tasks.harness.patches import spare_vllms_bar

MODELS = {
    "sftgen-hf": "sftgen_tasks.harness.backends.hf:StreamingHFLM",
    "sftgen-vllm": "sftgen_tasks.harness.backends.vllm_engine:StreamingVLLM",
    "sftgen-chat": "sftgen_tasks.harness.backends.chat:StreamingChat",
    "sftgen-replay": "sftgen_tasks.harness.backends.replay:ReplayLM",
}

SEEDS = {"sftgen-vllm": 1234}
"""The base seed of a model's samples where none is given, if it is not 0."""


class UnknownModelError(SftgenError, ValueError):
    """A model that lm_eval does not know."""


def register_models() -> None:
    """Add our models to lm_eval's registry; each is imported when it is asked for."""
    # Registers lm_eval's own; it does that by itself only while the registry is empty.
    import lm_eval.models  # noqa: F401
    from lm_eval.api.registry import model_registry

    for name, target in MODELS.items():
        if name not in model_registry:
            model_registry.register(name, target=target)


def require_model(name: str) -> None:
    """Check that lm_eval knows a model, without importing it.

    Raises:
        UnknownModelError: It does not; the message names what is close.
    """
    from lm_eval.api.registry import model_registry

    register_models()
    known = list(model_registry)
    if name not in known:
        told = did_you_mean(name, known) or f"; for example {', '.join(sorted(MODELS))}"
        raise UnknownModelError(f"model {name!r}: lm_eval knows no model of this name{told}")


def require_installed(name: str) -> None:
    """Check that this machine has the engine of a model.

    Raises:
        UnknownModelError: It has not.
    """
    if name in {"vllm", "sftgen-vllm"} and find_spec("vllm") is None:
        raise UnknownModelError(
            f"model {name!r}: vllm is not installed here; pip install 'sftgen[vllm]', or take the model sftgen-hf"
        )


def make_model(name: str, **arguments: Any) -> Model:
    """A model as `lm_eval --model NAME` makes it."""
    from lm_eval.api.registry import get_model

    register_models()
    spare_vllms_bar(name)
    made: Model = get_model(name)(**arguments)
    return made


def parse_model_args(text: str) -> dict[str, Any]:
    """`a=1,b=x` as lm_eval reads it."""
    from lm_eval.utils import simple_parse_args_string

    return dict(simple_parse_args_string(text))


def identity_of(name: str, arguments: Mapping[str, Any]) -> Identity:
    """The identity of what `lm_eval --model NAME --model_args ARGUMENTS` generates with.

    Args:
        name: Name of the lm_eval model.
        arguments: Its arguments.
    """
    if name == "sftgen-replay" and (Path(str(arguments.get("path"))) / "generations").is_dir():
        # What else is in a run directory changes with every command.
        arguments = {**arguments, "path": str(Path(str(arguments["path"])) / "generations")}
    local = arguments.get("pretrained") if name != "sftgen-chat" else None
    named = local or arguments.get("model") or arguments.get("pretrained") or name or "unknown"
    return identity(str(named), arguments, backend=name, served=not local)


def identity_of_model(lm: Any, metadata: Mapping[str, Any]) -> Identity:
    """The identity of a model that lm_eval evaluates, whoever made it.

    Args:
        lm: The model, None where it is not known.
        metadata: A task's metadata: lm_eval puts the arguments of a model that it made itself among them.
    """
    name = getattr(lm, "sftgen_name", None) or _STOCK.get(type(lm).__name__, type(lm).__name__ if lm else "")
    arguments = {key: value for key, value in metadata.items() if not _of_task(key, value)}
    if (
        not arguments.get("pretrained")
        and not arguments.get("model")
        and hasattr(getattr(lm, "model", None), "state_dict")
    ):
        return identity_in_memory(lm.model, lm.tokenizer, backend=name)
    return identity_of(name, arguments)


_STOCK = {
    "HFLM": "hf", "VLLM": "vllm", "LocalChatCompletion": "local-chat-completions",
    "LocalCompletionsAPI": "local-completions", "OpenAIChatCompletion": "openai-chat-completions",
    "OpenAICompletionsAPI": "openai-completions",
}  # fmt: skip
"""Names of lm_eval's own models by their class."""


def _of_task(key: str, value: Any) -> bool:
    if key == OPTION:  # limits by task, or an argument of the model
        return not isinstance(value, int)
    return key in OPTIONS or key in {"version", KEY, "config_source"} or key.startswith(("judge", "sftgen_"))
