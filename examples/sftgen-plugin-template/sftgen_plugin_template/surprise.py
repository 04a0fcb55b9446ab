"""`template_surprise`, a diagnostic of level `checkpoint`: how likely does a checkpoint find plain English?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from sftgen_judges import Diagnostic, Finding, Metric, Probe

TEXTS = (
    "The sun rises in the east and sets in the west.",
    "Water boils at a lower temperature on a high mountain.",
    "She put the letter into an envelope and wrote the address on it.",
)


def diagnose(probe: Probe) -> Iterator[Finding]:
    """The mean loss of each text in nats a token, measured once and kept."""
    import torch

    model, tokenizer = probe.load()

    def measure(text: str) -> Mapping[str, Any]:
        ids = tokenizer(text, return_tensors="pt").input_ids.to(model.device)
        with torch.inference_mode():
            return {"loss": float(model(ids, labels=ids).loss)}

    losses = [probe.once([text], lambda text=text: measure(text))["loss"] for text in TEXTS]
    yield Finding(
        "plain English",
        f"A token of plain English costs {fmean(losses):.2f} nats.",
        "cannot tell",  # three texts and no test: it makes no claim
        f"{len(losses)} sentences of the plugin",
        metrics=(Metric("loss", fmean(losses), n=len(losses), unit="nats", step=probe.step, exact=True),),
        step=probe.step,
    )


SURPRISE = Diagnostic("template_surprise", 1, "checkpoint", needs=("model", "logprobs"), diagnose=diagnose)
