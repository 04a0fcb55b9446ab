"""What the patterns of all steps say together: more patterns or only longer texts, items won and lost, word lists."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sftgen_judges.diagnostics.many_calls import MOST_MISSING
from sftgen_judges.diagnostics.pattern_words import WORDS, how_good
from sftgen_judges.diagnostics.rates import Rate, Sums, difference, factor, ratio
from sftgen_judges.plugins.contracts import Figure, Finding, History, Series, Table
from sftgen_judges.plugins.contracts.findings import Certainty

NAMES = tuple(WORDS)

Key = tuple[str, int]  # a task at a step
Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Course:
    """The labels of one task.

    Attributes:
        task: The task.
        steps: Its steps, in order.
        numbers: For each step and document the sums of its labels' numbers, over its responses.
        failed: For each step how many responses have no labels.
        labelled: For each step how many have.
        documents: For each step how many documents were answered.
        scores: For each step and document the mean score.
    """

    task: str
    steps: tuple[int, ...]
    numbers: Mapping[int, Mapping[str, Numbers]]
    failed: Mapping[int, int]
    labelled: Mapping[int, int]
    documents: Mapping[int, int]
    scores: Mapping[int, Mapping[str, float]]

    def sums(self, step: int, name: str, documents: Sequence[str]) -> Sums:
        """A number of some documents at a step."""
        given = self.numbers[step]
        return np.array([given.get(document, {}).get(name, 0.0) for document in documents])


def course(history: History) -> Iterator[Finding]:
    """The findings across steps, for each task."""
    for one in _courses(history):
        if len(one.steps) > 1:
            yield _more_or_longer(one)
            yield _by_outcome(one)
        yield _read_by_judge_and_words(one)


def _courses(history: History) -> Iterator[Course]:
    numbers: dict[str, dict[int, dict[str, dict[str, float]]]] = defaultdict(lambda: defaultdict(dict))
    failed: dict[Key, int] = defaultdict(int)
    labelled: dict[Key, int] = defaultdict(int)
    for row in history.labels().rows():
        task, step = row["task"], row["step"] or 0
        if row["failed"]:
            failed[task, step] += 1
            continue
        labelled[task, step] += 1
        sums = numbers[task][step].setdefault(row["doc_hash"], {})
        words = _plain(_object(row["evidence"]).get("words"))
        given = {
            **_plain(row["numbers"]),
            **{f"{name}_words": count for name, count in words.items()},
            "responses": 1.0,
        }
        for name, value in given.items():
            sums[name] = sums.get(name, 0.0) + value
    answered = history.records.sql(
        "SELECT task, coalesce(step, 0) AS step, doc_hash, avg(score) AS score FROM samples GROUP BY ALL"
    ).rows()
    scores: dict[Key, dict[str, float]] = defaultdict(dict)
    documents: dict[Key, int] = defaultdict(int)
    for row in answered:
        documents[row["task"], row["step"]] += 1
        if row["score"] is not None:
            scores[row["task"], row["step"]][row["doc_hash"]] = row["score"]
    for task in sorted(numbers):
        steps = tuple(sorted(numbers[task]))
        yield Course(
            task, steps, numbers[task],
            {step: failed[task, step] for step in steps},
            {step: labelled[task, step] for step in steps},
            {step: documents[task, step] for step in steps},
            {step: scores[task, step] for step in steps},
        )  # fmt: skip


def _object(value: Any) -> Mapping[str, Any]:
    given = json.loads(value) if isinstance(value, str) else value
    return given if isinstance(given, dict) else {}


def _plain(numbers: Any) -> Numbers:
    return {str(name): float(value) for name, value in _object(numbers).items() if isinstance(value, int | float)}


def _measured_on(one: Course, step: int) -> str:
    share = one.failed[step] / max(1, one.failed[step] + one.labelled[step])
    incomplete = f"; incomplete, {share:.0%} of the judgements are missing" if share > MOST_MISSING else ""
    return (
        f"{one.labelled[step]} responses to {len(one.numbers[step])} of {one.documents[step]} documents at step {step}"
        f"{incomplete}"
    )


def _ends(rate: Rate) -> tuple[float | None, float | None, float | None]:
    value = rate.value if rate.value == rate.value else None
    return (value, rate.low, rate.high) if rate.known else (value, None, None)


def _cell(rate: Rate, sign: str = "") -> str | None:
    """A number with its interval, as text."""
    if rate.value != rate.value:
        return None
    interval = f" ({rate.low:{sign}.2f} to {rate.high:{sign}.2f})" if rate.known else ""
    return f"{rate.value:{sign}.2f}{interval}"


def _more_or_longer(one: Course) -> Finding:
    """Whether there are more patterns in as many tokens, or only more tokens."""
    first, last = one.steps[0], one.steps[-1]
    both = [document for document in one.numbers[first] if document in one.numbers[last]]
    ones = {step: one.sums(step, "responses", both) for step in (first, last)}
    tokens = {step: one.sums(step, "tokens", both) for step in (first, last)}
    longer = factor((tokens[first], ones[first]), (tokens[last], ones[last]))
    rows: list[tuple[str | float | None, ...]] = []
    changed = []
    for name in NAMES:
        found = {step: one.sums(step, name, both) for step in (first, last)}
        # Six patterns are looked at: each at a level that bounds the chance of any false claim.
        level = 1 - 0.05 / len(NAMES)
        denser = difference((found[first], tokens[first]), (found[last], tokens[last]), scale=1000, level=level)
        more = difference((found[first], ones[first]), (found[last], ones[last]), level=level)
        then = ratio(found[first], tokens[first], scale=1000)
        rows.append((name, _cell(then), _cell(denser, "+"), _cell(more, "+"), _grew(denser, more)))
        if _shown(denser):
            changed.append(f"{name} {denser.value:+.1f} ({denser.low:+.1f} to {denser.high:+.1f})")
    length = (
        f"texts are \u00d7{longer.value:.1f} as long" if longer.value == longer.value else "the length is not known"
    )
    if changed:
        sentence = f"from step {first} to {last} in 1,000 tokens: {', '.join(changed)}; {length}"
    else:
        sentence = (
            f"from step {first} to {last} no pattern is shown to be more or less frequent in 1,000 tokens; {length}"
        )
    certainty: Certainty = "clear" if changed else "unclear" if longer.known else "cannot tell"
    return Finding(
        "more patterns or longer texts", sentence, certainty,
        f"{len(both)} documents that were judged at both steps; {_measured_on(one, last)}",
        table=Table(
            ("pattern", f"in 1,000 tokens at step {first}", "change", "change in a response", "what is shown"),
            tuple(rows),
        ),
        figure=_figure(one), task=one.task,
    )  # fmt: skip


def _shown(change: Rate) -> bool:
    return change.known and (change.low > 0 or change.high < 0)


def _grew(denser: Rate, more: Rate) -> str:
    """What two changes show, of patterns in as many tokens and in a response."""
    if not (denser.known and more.known):
        return "too few documents"
    if _shown(denser):
        return "more often" if denser.low > 0 else "less often"
    if _shown(more):
        return f"{'more' if more.low > 0 else 'fewer'} in a response only"
    return "nothing"


def _figure(one: Course) -> Figure:
    series = []
    for name in NAMES:
        rates = [
            ratio(one.sums(step, name, known), one.sums(step, "tokens", known), scale=1000)
            for step in one.steps
            for known in [list(one.numbers[step])]
        ]
        y, low, high = zip(*map(_ends, rates), strict=True)
        series.append(Series(name, one.steps, y, low, high))
    return Figure("lines", "patterns in 1,000 tokens", y="in 1,000 tokens", series=tuple(series))


def outcome(then: float, now: float) -> str:
    """What became of a document between two steps, by its mean scores.

    >>> outcome(0.0, 1.0), outcome(1.0, 0.5), outcome(1.0, 1.0), outcome(0.0, 0.0)
    ('won', 'lost', 'kept right', 'kept wrong')
    """
    if now != then:
        return "won" if now > then else "lost"
    return "kept right" if now >= 0.5 else "kept wrong"


OUTCOMES = ("won", "lost", "kept right", "kept wrong")


def _by_outcome(one: Course) -> Finding:
    """Patterns in documents that were won, lost and kept."""
    first, last = one.steps[0], one.steps[-1]
    then, now = one.scores[first], one.scores[last]
    groups: dict[str, list[str]] = {name: [] for name in OUTCOMES}
    for document in one.numbers[last]:
        if document in then and document in now:
            groups[outcome(then[document], now[document])].append(document)
    rates: dict[tuple[str, str], Rate] = {}
    lengths: list[float | None] = []
    for group, documents in groups.items():
        tokens = one.sums(last, "tokens", documents)
        answers = one.sums(last, "responses", documents)
        lengths.append(round(float(tokens.sum() / answers.sum())) if answers.sum() else None)
        for name in NAMES:
            rates[group, name] = ratio(one.sums(last, name, documents), tokens, scale=1000, level=1 - 0.05 / len(NAMES))
    rows: list[tuple[str | float | None, ...]] = [
        ("documents", *map(len, groups.values())),
        ("mean tokens", *lengths),
        *((f"{name} in 1,000 tokens", *(_cell(rates[group, name]) for group in OUTCOMES)) for name in NAMES),
    ]
    apart = [
        f"{name} ({rates['won', name].value:.1f} in won, {rates['lost', name].value:.1f} in lost)"
        for name in NAMES
        if rates["won", name].known and rates["lost", name].known and _apart(rates["won", name], rates["lost", name])
    ]
    told = all(rates[group, NAMES[0]].known for group in ("won", "lost"))
    if apart:
        sentence = f"at step {last} patterns in 1,000 tokens differ between documents won and lost: {', '.join(apart)}"
    elif told:
        sentence = f"at step {last} no pattern is shown to differ between documents won and lost since step {first}"
    else:
        sentence = "too few judged documents were won or lost to compare their patterns"
    return Finding(
        "won, lost, kept", sentence, "clear" if apart else "unclear" if told else "cannot tell",
        _measured_on(one, last),
        table=Table(("", *OUTCOMES), tuple(rows)),
        task=one.task,
    )  # fmt: skip


def _apart(one: Rate, other: Rate) -> bool:
    """Whether two intervals of separate documents do not meet: stricter than a test of their difference."""
    return one.low > other.high or one.high < other.low


def _read_by_judge_and_words(one: Course) -> Finding:
    """How much was judged, the rates of the very responses of this run, and what word lists would have said of them."""
    last = one.steps[-1]
    known = list(one.numbers[last])
    tokens = one.sums(last, "tokens", known)
    good = how_good()
    rows: list[tuple[str | float | None, ...]] = []
    for name in NAMES:
        by_judge = ratio(one.sums(last, name, known), tokens, scale=1000, of=one.documents[last])
        by_words = ratio(one.sums(last, f"{name}_words", known), tokens, scale=1000)
        rates = (good[name].precision, good[name].recall, good[name].f1)
        rows.append((name, _cell(by_judge), round(by_words.value, 2), *(round(rate.value, 2) for rate in rates)))
    missing = {step: one.failed[step] / max(1, one.failed[step] + one.labelled[step]) for step in one.steps}
    worst = max(missing, key=lambda step: missing[step])
    complete = missing[worst] <= MOST_MISSING
    sentence = f"the judge's replies could be read for {1 - missing[worst]:.1%} of the responses at step {worst}" + (
        ", and for no fewer at another" if complete else f": incomplete, more than {MOST_MISSING:.0%} are missing"
    )
    return Finding(
        "what the judge read, and what word lists say", sentence, "clear" if complete else "cannot tell",
        f"{_measured_on(one, last)}; word lists were measured on sftgen/patterns (test)",
        table=Table(
            ("pattern", "judge, in 1,000 tokens (this run)", "word list", "precision of the list", "recall", "F1"),
            tuple(rows),
        ),
        task=one.task,
    )  # fmt: skip
