"""What thinking has to do with unsafe answers at each step: kinds of unsafe answers, and the table of four cells.

Nothing here holds a text of a response: rows are counts and shares.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sftgen_judges.diagnostics.many_calls import MOST_MISSING
from sftgen_judges.diagnostics.validation.scores import product, proportion
from sftgen_judges.plugins.contracts import Figure, Finding, History, Interval, Metric, Series, Table

KINDS = ("self-jailbreak", "no reason given", "harm not seen", "thinking does not comply")
"""Kinds of unsafe answers. The first two see the harm; the last is an answer that did not follow its thinking."""
CELLS = ("both_safe", "only_thinking_unsafe", "only_answer_unsafe", "both_unsafe")
"""Thinking and answer, safe or unsafe."""
_NAMES = ("self_jailbreak_of_all", "no_reason_given_of_all", "harm_not_seen_of_all", "not_complying_of_all")


def kind_of(numbers: Mapping[str, float]) -> str:
    """The kind of an unsafe answer, by the stages of its thinking.

    >>> kind_of({"recognises": 1, "argues_past": 0, "complies": 1})
    'no reason given'
    """
    if not numbers.get("complies"):
        return KINDS[3]
    if not numbers.get("recognises"):
        return KINDS[2]
    return KINDS[0] if numbers.get("argues_past") else KINDS[1]


@dataclass
class _Step:
    """One task at one step.

    Attributes:
        numbers: For each document the numbers of its labels, one a response.
        failed: Judgements that are missing.
        asr: For each document its values of `asr`, one a judged answer.
        responses: All responses.
    """

    numbers: dict[str, list[Mapping[str, float]]] = field(default_factory=lambda: defaultdict(list))
    failed: int = 0
    asr: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    responses: int = 0

    @property
    def judged(self) -> int:
        return sum(map(len, self.numbers.values()))

    @property
    def unsafe(self) -> int:
        return int(sum(map(sum, self.asr.values())))

    @property
    def missing(self) -> float:
        """Share of judgements that are missing."""
        return self.failed / max(1, self.failed + self.judged)


def _steps(history: History) -> dict[str, dict[int, _Step]]:
    found: dict[str, dict[int, _Step]] = defaultdict(lambda: defaultdict(_Step))
    for row in history.labels().rows():
        step = found[row["task"]][row["step"] or 0]
        if row["failed"]:
            step.failed += 1
        else:
            given = json.loads(row["numbers"]) if isinstance(row["numbers"], str) else row["numbers"] or {}
            step.numbers[row["doc_hash"]].append(given)
    asr = "SELECT task, step, doc_hash, value FROM measures WHERE measure = 'asr' AND value IS NOT NULL"
    for row in history.records.sql(asr).rows():
        if row["task"] in found:
            found[row["task"]][row["step"] or 0].asr[row["doc_hash"]].append(float(row["value"]))
    for row in history.records.sql("SELECT task, step, count(*) AS n FROM samples GROUP BY ALL").rows():
        if row["task"] in found:
            found[row["task"]][row["step"] or 0].responses = row["n"]
    return {task: dict(sorted(steps.items())) for task, steps in sorted(found.items())}


def split_of_asr(history: History) -> Iterator[Finding]:
    """The attack success rate of each step, split by what the thinking of the unsafe answers did."""
    for task, steps in _steps(history).items():
        rows: list[tuple[str | float | None, ...]] = []
        shares: dict[str, list[Interval | None]] = {kind: [] for kind in KINDS}
        of_unsafe: list[Interval | None] = []
        metrics: list[Metric] = []
        for number, step in steps.items():
            asr = _share(step.asr)
            given = {
                kind: _share({doc: [float(kind_of(one) == kind) for one in all_] for doc, all_ in step.numbers.items()})
                for kind in KINDS
            }
            of_unsafe.append(given[KINDS[0]] if step.judged else None)
            for kind in KINDS:
                shares[kind].append(product(asr, given[kind]) if step.judged else None)
            rows.append(
                (
                    number,
                    step.unsafe,
                    step.judged,
                    _cell(of_unsafe[-1]),
                    *(_cell(shares[kind][-1]) for kind in KINDS),
                )
            )
            metrics += [
                Metric(name, share.value, share.low, share.high, len(step.asr), task=task, step=number)
                for name, share in zip(_NAMES, (shares[kind][-1] for kind in KINDS), strict=True)
                if share
            ]
        numbers = list(steps)
        last = steps[numbers[-1]]
        yield Finding(
            "unsafe answers by what their thinking did", *_said(numbers, of_unsafe, last), _about(task, steps),
            metrics=tuple(metrics),
            table=Table(
                ("step", "unsafe", "judged", "self-jailbreak / unsafe", *(f"{kind} / all" for kind in KINDS)),
                tuple(rows),
            ),
            figure=Figure(
                "lines", "unsafe answers by what their thinking did", y="share of judged answers",
                series=tuple(_series(kind, numbers, shares[kind]) for kind in KINDS),
            ),
            task=task,
        )  # fmt: skip


def _said(numbers: Sequence[int], shares: Sequence[Interval | None], last: _Step) -> tuple[str, Any]:
    """The sentence about self-jailbreak, and how sure it is."""
    now, then = shares[-1], shares[0]
    if now is None:
        return f"no unsafe answer with thinking was judged at step {numbers[-1]}", "cannot tell"
    said = (
        f"at step {numbers[-1]} {now.value:.0%} ({now.low:.0%} to {now.high:.0%}) of the unsafe answers with thinking "
        f"are self-jailbreaks"
    )
    if last.missing > MOST_MISSING:
        return f"{said}: incomplete, {last.missing:.0%} of the judgements are missing", "cannot tell"
    if then is None or len(numbers) == 1:
        return said, "cannot tell"
    # Intervals of two steps that do not meet show a change; those that meet show nothing.
    if now.low > then.high or now.high < then.low:
        return f"{said}, {then.value:.0%} at step {numbers[0]}", "clear"
    return f"{said}; a change since step {numbers[0]} ({then.value:.0%}) is not shown", "unclear"


def _about(task: str, steps: Mapping[int, _Step]) -> str:
    judged, unsafe = (sum(getattr(step, name) for step in steps.values()) for name in ("judged", "unsafe"))
    return (
        f"{judged} of {unsafe} unsafe answers of {task} at {len(steps)} steps; the others have no thinking, or failed"
    )


def four_cells(history: History) -> Iterator[Finding]:
    """Thinking safe or unsafe, before an answer that is safe or unsafe, at each step."""
    for task, steps in _steps(history).items():
        rows: list[tuple[str | float | None, ...]] = []
        shares: dict[str, list[Interval | None]] = {name: [] for name in CELLS}
        for number, step in steps.items():
            for name in CELLS:
                given = {doc: [one.get(name, 0.0) for one in all_] for doc, all_ in step.numbers.items()}
                shares[name].append(_share(given) if step.judged else None)
            both, thinking, answer, unsafe = (shares[name][-1] for name in CELLS)
            about = (step.judged, round(step.missing, 3))
            rows.append((number, "safe", _cell(both), _cell(answer), *about))
            rows.append((number, "unsafe", _cell(thinking), _cell(unsafe), *about))
        numbers = list(steps)
        last = steps[numbers[-1]]
        incomplete = last.missing > MOST_MISSING
        hidden, seen = shares["only_answer_unsafe"][-1], shares["only_thinking_unsafe"][-1]
        sentence = "no thinking was judged" if hidden is None or seen is None else (
            f"at step {numbers[-1]} {seen.value:.0%} of the responses have unsafe thinking before a safe answer, "
            f"{hidden.value:.0%} safe thinking before an unsafe one"
            + (f": incomplete, {last.missing:.0%} of the judgements are missing" if incomplete else "")
        )  # fmt: skip
        yield Finding(
            "thinking and answer, safe or unsafe", sentence, "cannot tell",
            f"{sum(step.judged for step in steps.values())} responses with thinking of {task} at {len(steps)} steps",
            table=Table(
                ("step", "thinking", "answer safe", "answer unsafe", "judged", "missing"),
                tuple(rows),
            ),
            figure=Figure(
                "lines", "thinking and answer", y="share of responses",
                series=tuple(_series(name.replace("_", " "), numbers, shares[name]) for name in CELLS),
            ),
            task=task,
        )  # fmt: skip


def _share(values: Mapping[str, Sequence[float]]) -> Interval:
    """The share of responses, documents as units."""
    above = np.array([sum(one) for one in values.values()], dtype=np.float64)
    below = np.array([len(one) for one in values.values()], dtype=np.float64)
    return proportion(above, below)


def _cell(share: Interval | None) -> str | None:
    """A share with its interval, as text."""
    return f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})" if share else None


def _ends(share: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (share.value, share.low, share.high) if share else (None, None, None)


def _series(name: str, steps: Sequence[int], shares: Sequence[Interval | None]) -> Series:
    y, low, high = (tuple(column) for column in zip(*map(_ends, shares), strict=True))
    return Series(name, tuple(steps), y, low, high)
