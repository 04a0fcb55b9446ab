"""The `token_shift` diagnostic: what changed token by token between the base and each checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.diagnostics.labelling import DiagnosticError
from sftgen_judges.diagnostics.token_shift.forcing import force
from sftgen_judges.diagnostics.token_shift.losses import CHANGE, LOSS_CLASSES, loss_classes, risen
from sftgen_judges.diagnostics.token_shift.summary import COLUMNS, POSITIONS, Shift, short, sums_of, table_of
from sftgen_judges.diagnostics.token_shift.words import CLASSES
from sftgen_judges.plugins.contracts import (
    Diagnostic,
    Figure,
    Finding,
    History,
    Measure,
    Metric,
    Pane,
    Probe,
    Series,
    Table,
)
from sftgen_judges.plugins.contracts.findings import Certainty
from sftgen_judges.records.model_id import folder_id
from sftgen_train.diagnosing.course import FEWEST, LEVEL, change_of, course_of
from sftgen_train.diagnosing.shift_texts import SOURCES, Text, encoded, texts_of
from sftgen_train.report.trajectories import members_of, trained_on
from sftgen_train.results.diagnosed import Numbers, metrics_of

MEASURES = (
    Measure("kl", "KL(base‖checkpoint) of a token", unit="nats", per="tokens", exact=True),
    Measure("shifted", "share of tokens of rank > 3 under the base", share=True, per="tokens", exact=True),
    Measure("marginal", "share of tokens of rank 2 or 3", share=True, per="tokens", exact=True),
    Measure("js", "Jensen-Shannon divergence of a token", unit="nats", per="tokens", exact=True),
    Measure("loss", "loss of a token under the checkpoint", unit="nats", per="tokens", exact=True),
    Measure("entropy", "entropy of the checkpoint's next token", unit="nats", per="tokens", exact=True),
)
RISEN = 0.01
"""Share of all tokens whose loss must have risen, so that it counts as a beginning."""
PIECES = 1500
"""Tokens of a text that a figure shows."""
WHOSE = {
    "traces": "the traces",
    "base answers": "the base's own answers",
    "own answers": "the checkpoint's own answers",
}


@dataclass(frozen=True)
class _Kept:
    """What was measured of one text under one checkpoint."""

    source: str
    name: str
    key: str
    sums: Mapping[str, float]
    shift: Shift
    cut: bool
    pieces: tuple[str, ...]


def diagnose(probe: Probe) -> Iterator[Finding]:
    """Teacher-force the texts under the base and the checkpoint: a finding for each source of texts.

    Raises:
        DiagnosticError: The base is not known, or its vocabulary is another one.
    """
    if probe.step == 0:
        return
    if probe.base is None:
        raise DiagnosticError("needs the base model, and the run does not tell it: put it in RUN/checkpoint-0")
    base_id = folder_id(Path(probe.base)) if Path(probe.base).is_dir() else probe.base
    base, base_tokenizer = probe.load(probe.base)
    checkpoint, tokenizer = probe.load()
    require_alike(base, base_tokenizer, checkpoint, tokenizer)
    texts = texts_of(probe, tokenizer)
    shown = _to_show(texts.texts)
    kept: dict[str, list[_Kept]] = {}
    for text in texts.texts:

        def measure(text: Text = text) -> Mapping[str, Any]:
            return _measured(text, base, checkpoint, tokenizer, show=text in shown)

        found = _read(probe.once((*text.key, base_id), measure))
        if found is None:
            texts.empty += 1
        else:
            kept.setdefault(text.source, []).append(found)
    for source, of in kept.items():
        yield _of_checkpoint(probe.step, source, of, texts.left_out)


def require_alike(base: Any, base_tokenizer: Any, checkpoint: Any, tokenizer: Any) -> None:
    """Check that two models speak of the same tokens.

    Raises:
        DiagnosticError: They do not; it says what differs.
    """
    ours, theirs = base_tokenizer.get_vocab(), tokenizer.get_vocab()
    widths = [int(model.get_output_embeddings().weight.shape[0]) for model in (base, checkpoint)]
    differs = []
    if ours != theirs:
        others = sorted(token for token in {*ours, *theirs} if ours.get(token) != theirs.get(token))
        named = ", ".join(map(repr, others[:3])) + (" and others" if len(others) > 3 else "")
        differs.append(f"{len(others)} tokens are others or have other numbers ({named})")
    if widths[0] != widths[1]:
        differs.append(f"the base has logits for {widths[0]} tokens, the checkpoint for {widths[1]}")
    if differs:
        raise DiagnosticError(
            f"the checkpoint's vocabulary is not the base's: {'; '.join(differs)}. Distributions over different tokens "
            "cannot be compared; give the base the same tokenizer and resize its embeddings"
        )


def _to_show(texts: Sequence[Text]) -> list[Text]:
    """The first text of each source whose prompt is not meant to harm."""
    harmful = members_of("sftgen_safety")
    shown = (
        next((text for text in texts if text.source == source and text.name.split("/")[0] not in harmful), None)
        for source in SOURCES
    )
    return [text for text in shown if text]


def _measured(text: Text, base: Any, checkpoint: Any, tokenizer: Any, *, show: bool) -> Mapping[str, Any]:
    context = min(
        int(getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 30)) for model in (base, checkpoint)
    )
    ids, start, kinds, pieces = encoded(text, tokenizer, context)
    whole = encoded(text, tokenizer, 1 << 30)[0]
    facts = {"source": text.source, "name": text.name, "key": list(text.key), "cut": len(ids) < len(whole)}
    if len(ids) <= start:
        return {**facts, "tokens": 0}
    shift = Shift.of(force(base, checkpoint, ids, start=start), kinds)
    shown = {"pieces": pieces[:PIECES]} if show else {}
    return {**facts, "tokens": len(shift), "sums": sums_of(shift), "arrays": shift.packed(), **shown}


def _read(row: Mapping[str, Any]) -> _Kept | None:
    """What a row of a run's probes says, which may be a stranger's; None if it cannot be read, or holds no token."""
    try:
        if not row["tokens"]:
            return None
        shift = Shift.unpacked(row["arrays"])
        sums = {str(name): float(value) for name, value in row["sums"].items()}
        pieces = tuple(str(piece) for piece in row.get("pieces") or ())[:PIECES]
        key = json.dumps(row["key"])
        return _Kept(str(row["source"]), str(row["name"]), key, sums, shift, bool(row["cut"]), pieces)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _numbers(kept: Sequence[_Kept], suffix: str = "") -> Numbers:
    names = np.array([of.name for of in kept], dtype=object)
    found = {
        name: np.array([of.sums.get(f"{name}{suffix}", np.nan) for of in kept])
        for name in ("tokens", *(measure.name for measure in MEASURES))
    }
    return Numbers(names, names, found)


# ------------------------------------------------------------------------------ one checkpoint


def _of_checkpoint(step: int, source: str, kept: Sequence[_Kept], left_out: str) -> Finding:
    numbers = _numbers(kept)
    metrics = metrics_of(MEASURES, numbers, step=step)
    for position in POSITIONS:
        at = metrics_of(MEASURES[:1], _numbers(kept, f" {position}"), step=step)
        metrics += [replace(metric, name=f"{metric.name} {position}") for metric in at]
    spread = np.concatenate([of.shift["kl"] for of in kept])
    tokens = len(spread)
    metrics.append(Metric("kl p95", float(np.quantile(spread, 0.95)), n=len(kept), unit="nats", step=step, exact=True))
    told, certainty = _concentrated(kept)
    by_name = {metric.name: metric.value or 0.0 for metric in metrics}
    sentence = (
        f"On {WHOSE[source]}, {by_name['shifted']:.1%} of the tokens have a rank above 3 under the base, and KL to the "
        f"base is {by_name['kl']:.3g} nats a token (95th percentile {by_name['kl p95']:.3g}); {told}."
    )
    cut = sum(of.cut for of in kept)
    measured = f"{len(kept)} texts, {tokens:,} tokens" + (f", {cut} cut at the context" if cut else "") + left_out
    return Finding(
        f"{source} at step {step}", sentence, certainty, measured, tuple(metrics),
        Table(COLUMNS, tuple(table_of([of.shift for of in kept]))), step=step,
    )  # fmt: skip


def _concentrated(kept: Sequence[_Kept]) -> tuple[str, Certainty]:
    """Whether the beginning of the texts is shifted more than their middle, by a paired test over texts."""
    first, middle, _ = POSITIONS
    measure = MEASURES[0]
    change = change_of(measure, _numbers(kept, f" {middle}"), _numbers(kept, f" {first}"))
    if change is None or change.n < FEWEST:
        return f"{len(kept)} texts are too few to compare their beginning with their middle", "cannot tell"
    means = f"{change.after:.3g} in the first 5 % of a text and {change.before:.3g} in its middle"
    if change.p >= LEVEL:
        return f"that it differs along a text is not shown ({means})", "unclear"
    return f"it is {'higher' if change.after > change.before else 'lower'} at the beginning ({means})", "clear"


# ------------------------------------------------------------------------------ all checkpoints


def summarise(history: History) -> Iterator[Finding]:
    """The course over the checkpoints, the loss classes of tokens, which rise first, and a text in colour."""
    kept: dict[str, dict[int, list[_Kept]]] = {}
    for row in history.probes().rows():
        found = _read(json.loads(row["kept"]) if isinstance(row["kept"], str) else row["kept"])
        if found is not None and row["step"] is not None and found.source in SOURCES:
            kept.setdefault(found.source, {}).setdefault(int(row["step"]), []).append(found)
    changes = out_of_domain(history)
    for source, by_step in kept.items():
        steps = dict(sorted(by_step.items()))
        yield _course(source, steps, changes)
        if source != "own answers" and len(steps) > 1:
            yield from _losses(source, steps, changes)
            yield from _coloured(source, steps)


def _course(source: str, by_step: Mapping[int, Sequence[_Kept]], changes: Mapping[int, float]) -> Finding:
    measured = f"{len(next(iter(by_step.values())))} texts at {len(by_step)} checkpoints"
    numbers = {step: _numbers(kept) for step, kept in by_step.items()}
    finding = course_of(f"token shift on {WHOSE[source]}", MEASURES, numbers, task=source, measured_on=measured)
    value = {metric.step: metric.value for metric in finding.metrics if metric.name == "kl"}
    rows = tuple((str(step), _round(value.get(step)), _round(changes.get(step))) for step in by_step)
    return replace(
        finding, title=f"{source} over the checkpoints", task=None,
        metrics=tuple(replace(metric, task=None) for metric in finding.metrics),
        table=Table(("step", "KL to the base", "mean change of score out of domain"), rows),
    )  # fmt: skip


def _losses(source: str, by_step: Mapping[int, Sequence[_Kept]], changes: Mapping[int, float]) -> Iterator[Finding]:
    """Loss classes of the tokens of texts that every checkpoint read."""
    by_key = {step: {of.key: of for of in kept} for step, kept in by_step.items()}
    shared = sorted(set.intersection(*(set(of) for of in by_key.values())))
    shared = [key for key in shared if len({len(of[key].shift) for of in by_key.values()}) == 1]
    if not shared:
        return
    first = next(iter(by_key.values()))
    base = np.concatenate([-first[key].shift["base_logprob"] for key in shared])
    later = [np.concatenate([-of[key].shift["logprob"] for key in shared]) for of in by_key.values()]
    losses, kinds = np.stack([base, *later]), np.concatenate([first[key].shift["kind"] for key in shared])
    of_class, up = loss_classes(losses), risen(losses)[1:]
    steps = list(by_step)
    shares = [float((of_class == place).mean()) for place in range(len(LOSS_CLASSES))]
    named = ", ".join(f"{name} {share:.0%}" for name, share in zip(LOSS_CLASSES, shares, strict=True))
    measured = f"{len(shared)} texts, {len(kinds):,} tokens, base and {len(steps)} checkpoints"
    yield Finding(
        f"loss classes on {source}",
        f"Of the tokens of {WHOSE[source]} by their loss over the checkpoints: {named}.",
        "cannot tell",
        measured,
        tuple(Metric(name, share, n=len(shared), exact=True) for name, share in zip(LOSS_CLASSES, shares, strict=True)),
        Table(
            ("tokens of", "n", *LOSS_CLASSES), tuple(_class_row(name, of_class, kinds) for name in ("all", *CLASSES))
        ),
    )
    yield replace(_first_to_rise(source, up, kinds, steps, changes), measured_on=measured)


def _class_row(name: str, of_class: NDArray[Any], kinds: NDArray[Any]) -> tuple[str | float | None, ...]:
    rows = np.ones(len(kinds), dtype=bool) if name == "all" else kinds == CLASSES.index(name)
    shares = [float((of_class[rows] == place).mean()) if rows.any() else None for place in range(len(LOSS_CLASSES))]
    return name, int(rows.sum()), *map(_round, shares)


def _first_to_rise(
    source: str, up: NDArray[np.bool_], kinds: NDArray[Any], steps: Sequence[int], changes: Mapping[int, float]
) -> Finding:
    """The share of each kind of word whose loss has risen, by checkpoint, and the kind that leads at the first."""
    there = [name for name in CLASSES if (kinds == CLASSES.index(name)).any()]
    shares = {name: [float(row[kinds == CLASSES.index(name)].mean()) for row in up] for name in there}
    started = next((place for place in range(len(steps)) if up[place].mean() >= RISEN), None)
    if started is None:
        sentence = f"At no checkpoint has the loss of {RISEN:.0%} of the tokens risen by more than {CHANGE} nats."
    else:
        leads = max(there, key=lambda name: shares[name][started])
        sentence = (
            f"At step {steps[started]} losses begin to rise, most often those of {leads} tokens "
            f"({shares[leads][started]:.0%} of them, {float(up[started].mean()):.0%} of all)."
        )
    lowest = min((step for step in steps if changes.get(step, 0) < 0), key=lambda step: changes[step], default=None)
    sentence += f" Scores out of domain are lowest at step {lowest}." if lowest is not None else ""
    rows = tuple(
        (str(step), *(_round(shares[name][place]) for name in there), _round(changes.get(step)))
        for place, step in enumerate(steps)
    )
    columns = ("step", *(f"{name} risen" for name in there), "mean change of score out of domain")
    series = tuple(Series(name, tuple(map(str, steps)), tuple(shares[name])) for name in there)
    figure = Figure("lines", f"share of tokens whose loss rose by more than {CHANGE} nats", y="share", series=series)
    title = f"which tokens rise first on {source}"
    return Finding(title, sentence, "cannot tell", "", (), Table(columns, rows), figure)


def _coloured(source: str, by_step: Mapping[int, Sequence[_Kept]]) -> Iterator[Finding]:
    """One text at two checkpoints, its tokens coloured by their KL to the base."""
    panes = _panes(by_step)
    if panes:
        name = next(of.name for kept in by_step.values() for of in kept if of.pieces)
        figure = Figure("tokens", f"{name}, of {WHOSE[source]}", y="KL to the base in nats", panes=panes)
        sentence = f"A text of {WHOSE[source]} as {' and '.join(pane.title for pane in panes)} read it."
        yield Finding(f"a text of {source} in colour", sentence, "cannot tell", "1 text", figure=figure)


def _panes(by_step: Mapping[int, Sequence[_Kept]]) -> tuple[Pane, ...]:
    """One text at two checkpoints: the first, and the one farthest from the base; the last where that is the first."""
    texts = {step: next((of for of in kept if of.pieces), None) for step, kept in by_step.items()}
    found = {step: of for step, of in texts.items() if of is not None}
    if len(found) < 2 or len({of.key for of in found.values()}) > 1:
        return ()
    first, *_, last = found
    most = max(found, key=lambda step: float(found[step].shift["kl"].mean()))
    return tuple(
        Pane(f"step {step}", found[step].pieces, tuple(map(float, found[step].shift["kl"][: len(found[step].pieces)])))
        for step in (first, last if most == first else most)
    )


def out_of_domain(history: History) -> dict[int, float]:
    """The mean change of the scores of tasks out of domain since step 0, by step."""
    trained: set[str] = set()
    for row in history.records.sql("SELECT manifest FROM runs").rows():
        trained |= trained_on(json.loads(row["manifest"] or "{}"))
    rows = history.records.sql(
        "SELECT task, step, mean FROM metrics WHERE metric = 'score' AND step IS NOT NULL AND mean IS NOT NULL"
    ).rows()
    scores = {(row["task"], int(row["step"])): float(row["mean"]) for row in rows if row["task"] not in trained}
    changes: dict[int, list[float]] = {}
    for (task, step), mean in scores.items():
        if step and (task, 0) in scores:
            changes.setdefault(step, []).append(mean - scores[task, 0])
    return {step: float(np.mean(found)) for step, found in changes.items()}


def _round(value: float | None) -> float | None:
    return None if value is None else short(value)


TOKEN_SHIFT = Diagnostic(
    "token_shift",
    version=1,
    level="checkpoint",
    needs=("text", "prompt", "logprobs", "model"),
    diagnose=diagnose,
    summarise=summarise,
)
