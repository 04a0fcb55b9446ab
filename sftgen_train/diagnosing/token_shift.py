"""The `token_shift` diagnostic: what changed token by token between the base and each checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sftgen_judges.diagnostics.labelling import DiagnosticError
from sftgen_judges.diagnostics.token_shift.summary import COLUMNS, POSITIONS, table_of
from sftgen_judges.plugins.contracts import Diagnostic, Finding, Measure, Metric, Probe, Table
from sftgen_judges.plugins.contracts.findings import Certainty
from sftgen_judges.records.model_id import folder_id
from sftgen_train.diagnosing.course import FEWEST, LEVEL, change_of
from sftgen_train.diagnosing.shift_course import WHOSE, summarise
from sftgen_train.diagnosing.shift_kept import BY_WAY, MEASURES, PIECES, Kept, leading, numbers_of, read_kept
from sftgen_train.diagnosing.shift_reading import Reading, reading_of
from sftgen_train.diagnosing.shift_texts import SOURCES, Text, texts_of
from sftgen_train.report.categories import safety_tasks
from sftgen_train.results.diagnosed import metrics_of

WITHOUT = {
    "vllm": "vLLM gives no distributions, so no KL, JS and entropy",
    "text": "the two vocabularies have no tokens in common, so no KL, JS, entropy and ranks",
}
"""Why a way of reading lacks numbers."""


def diagnose(probe: Probe) -> Iterator[Finding]:
    """Teacher-force the texts under the base and the checkpoint: a finding for each source of texts.

    Weights are loaded when the first text is read that was not read before.

    Raises:
        DiagnosticError: The base is not known, or its vocabulary is another one.
    """
    if probe.step == 0:
        return
    if probe.base is None:
        raise DiagnosticError("needs the base model, and the run does not tell it: put it in RUN/checkpoint-0")
    base_id = folder_id(Path(probe.base)) if Path(probe.base).is_dir() else probe.base
    texts = texts_of(probe, probe.tokenizer())
    reading = reading_of(probe, probe.base, texts.texts)
    shown = _to_show(texts.texts)
    kept: dict[str, list[Kept]] = {}
    for text in texts.texts:

        def measure(text: Text = text) -> Mapping[str, Any]:
            return _measured(text, reading, show=text in shown)

        found = read_kept(probe.once((*text.key, base_id, *filter(None, [reading.way])), measure))
        if found is None:
            texts.empty += 1
        else:
            kept.setdefault(text.source, []).append(found)
    for source, of in kept.items():
        yield _of_checkpoint(probe.step, source, of, texts.left_out)


def _to_show(texts: Sequence[Text]) -> list[Text]:
    """The first text of each source whose prompt is not meant to harm."""
    harmful = safety_tasks()
    shown = (
        next((text for text in texts if text.source == source and text.name.split("/")[0] not in harmful), None)
        for source in SOURCES
    )
    return [text for text in shown if text]


def _measured(text: Text, reading: Reading, *, show: bool) -> Mapping[str, Any]:
    shift, tokens = reading.read(text)
    facts = {"source": text.source, "name": text.name, "key": list(text.key), "cut": tokens.cut, "way": reading.way}
    if shift is None:
        return {**facts, "tokens": 0}
    shown = {"pieces": tokens.pieces[:PIECES]} if show else {}
    return {**facts, "tokens": len(shift), "arrays": shift.packed(), **shown}


# ------------------------------------------------------------------------------ one checkpoint


def _of_checkpoint(step: int, source: str, kept: Sequence[Kept], left_out: str) -> Finding:
    numbers, lead = numbers_of(kept), leading(kept)
    metrics = metrics_of(MEASURES, numbers, step=step)
    for position in POSITIONS:
        at = metrics_of([lead], numbers_of(kept, f" {position}"), step=step)
        metrics += [replace(metric, name=f"{metric.name} {position}") for metric in at]
    spread = np.concatenate([of.shift.distance for of in kept])
    tokens, p95 = len(spread), float(np.quantile(spread, 0.95))
    metrics.append(Metric(f"{lead.name} p95", p95, n=len(kept), unit="nats", step=step, exact=True))
    value = {metric.name: metric.value or 0.0 for metric in metrics}
    told, certainty = _concentrated(kept, lead)
    way = kept[0].way
    if lead.name == "kl":
        far = f"KL to the base is {value['kl']:.3g} nats a token"
    else:
        unit = "stretch of text that both models cut out" if way == "text" else "token"
        far = f"the loss is {value['loss_change']:+.3g} nats a {unit} against the base"
    if "shifted" in value:
        far = f"{value['shifted']:.1%} of the tokens have a rank above 3 under the base, and {far}"
    sentence = f"On {WHOSE[source]}, {far} (95th percentile {p95:.3g}); {told}."
    cut = sum(of.cut for of in kept)
    measured = f"{len(kept)} texts, {tokens:,} {'stretches' if way == 'text' else 'tokens'}"
    measured += f", {cut} cut at the context" if cut else ""
    measured += left_out + ("" if lead.name == "kl" else f"; {WITHOUT[way]}")
    return Finding(
        f"{source} at step {step}{BY_WAY[way]}", sentence, certainty, measured, tuple(metrics),
        Table(COLUMNS, tuple(table_of([of.shift for of in kept]))), step=step,
    )  # fmt: skip


def _concentrated(kept: Sequence[Kept], lead: Measure) -> tuple[str, Certainty]:
    """Whether the beginning of the texts is shifted more than their middle, by a paired test over texts."""
    first, middle, _ = POSITIONS
    change = change_of(lead, numbers_of(kept, f" {middle}"), numbers_of(kept, f" {first}"))
    if change is None or change.n < FEWEST:
        return f"{len(kept)} texts are too few to compare their beginning with their middle", "cannot tell"
    means = f"{change.after:.3g} in the first 5 % of a text and {change.before:.3g} in its middle"
    if change.p >= LEVEL:
        return f"that it differs along a text is not shown ({means})", "unclear"
    return f"it is {'higher' if change.after > change.before else 'lower'} at the beginning ({means})", "clear"


TOKEN_SHIFT = Diagnostic(
    "token_shift",
    version=1,
    level="checkpoint",
    needs=("text", "prompt", "logprobs", "model"),
    diagnose=diagnose,
    summarise=summarise,
)
