"""Names of our own models for `lm_eval --model`."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_tasks.harness.model import Model

MODELS = {
    "sftgen-hf": "sftgen_tasks.harness.backends.hf:StreamingHFLM",
    "sftgen-vllm": "sftgen_tasks.harness.backends.vllm_engine:StreamingVLLM",
    "sftgen-chat": "sftgen_tasks.harness.backends.chat:StreamingChat",
    "sftgen-replay": "sftgen_tasks.harness.backends.replay:ReplayLM",
}


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
        close = get_close_matches(name, known, n=3) or sorted(MODELS)
        raise UnknownModelError(f"model {name!r}: lm_eval knows no model of this name; for example {', '.join(close)}")


def make_model(name: str, **arguments: Any) -> Model:
    """A model as `lm_eval --model NAME` makes it."""
    from lm_eval.api.registry import get_model

    register_models()
    made: Model = get_model(name)(**arguments)
    return made


def parse_model_args(text: str) -> dict[str, Any]:
    """`a=1,b=x` as lm_eval reads it."""
    from lm_eval.utils import simple_parse_args_string

    return dict(simple_parse_args_string(text))
