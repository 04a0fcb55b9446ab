"""GO, NO-GO or INCONCLUSIVE, from paired differences: arrays in, frozen dataclasses out.

Both answers are positive claims. NO-GO: a drop beyond what is allowed is shown. GO: such a drop is excluded wherever it
must be. What is neither shown nor excluded is INCONCLUSIVE.

* NO-GO may come of any benchmark and step, so its p-values are adjusted over all of them (Holm): it is wrong in at most
  5 % of cases, however many are judged.
* GO needs every critical benchmark at every judged step, so each may be tested at 5 % (intersection-union test).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sftgen_train.gating.policy import Rule
from sftgen_train.trajectory import SIGNIFICANCE, Needed, flip, holm, limits, p_beyond, rows_of, settle, standard_errors
from sftgen_train.trajectory.alignment import Floats, Integers
from sftgen_train.trajectory.flips import DRAWS, Flips, Rows
from sftgen_train.trajectory.intervals import ratio_limits

Outcome = Literal["GO", "NO-GO", "INCONCLUSIVE"]
EXIT_CODES: Mapping[Outcome, int] = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}
_SIDES: tuple[Literal["less", "greater"], ...] = ("less", "greater")
_SHARE = (-1.0, 1.0)
"""What the change of a share can be."""


@dataclass(frozen=True)
class Pairs:
    """The documents that both sides of a comparison share.

    Attributes:
        steps: The judged step of each column.
        against: The step that it is compared with.
        changes: Documents x steps: candidate less baseline, a positive number where the candidate is better.
        baseline: Documents x steps: the baseline itself; without it relative drops are not decided.
        clusters: The label of each document's cluster.
        share: Whether the measure lies between 0 and 1.
        open: Why nothing can be decided whatever the numbers; empty otherwise.
        cautions: What a reader has to know first.
    """

    steps: tuple[int, ...]
    against: tuple[int, ...]
    changes: Floats
    clusters: Integers
    share: bool = True
    open: str = ""
    cautions: tuple[str, ...] = ()
    baseline: Floats | None = None


@dataclass(frozen=True)
class Relative:
    """The change as a share of the baseline's mean, where the policy limits it.

    Attributes:
        change: Mean change over mean baseline; negative is worse.
        low: One-sided lower 95 % limit.
        high: One-sided upper 95 % limit.
        p_drop: p-value for "it drops by more than this share".
        p_drop_adjusted: As of `Comparison`.
        p_kept: p-value for "it does not drop by more than this share".
    """

    change: float
    low: float
    high: float
    p_drop: float
    p_drop_adjusted: float
    p_kept: float


@dataclass(frozen=True)
class Comparison:
    """One benchmark at one judged step.

    Attributes:
        step: The step.
        against: The step that it is compared with.
        change: Mean change; negative is worse.
        low: One-sided lower 95 % limit.
        high: One-sided upper 95 % limit.
        p_drop: p-value for "it drops by more than allowed".
        p_drop_adjusted: The same after Holm's adjustment over benchmarks, steps, and drops in points and in shares.
        p_kept: p-value for "it does not drop by more than allowed".
        relative: The same as a share of the baseline; None where the policy does not ask.
    """

    step: int
    against: int
    change: float
    low: float
    high: float
    p_drop: float
    p_drop_adjusted: float
    p_kept: float
    relative: Relative | None = None

    @property
    def p_drops(self) -> list[float]:
        """Of everything that may show a drop."""
        return [self.p_drop, *([self.relative.p_drop] if self.relative else [])]

    @property
    def dropped(self) -> bool:
        """Whether a drop beyond what is allowed is shown."""
        return min(self.p_drops_adjusted) <= SIGNIFICANCE

    @property
    def kept(self) -> bool:
        """Whether every such drop is excluded."""
        return self.p_kept <= SIGNIFICANCE and (self.relative is None or self.relative.p_kept <= SIGNIFICANCE)

    @property
    def p_drops_adjusted(self) -> list[float]:
        """The same, adjusted."""
        return [self.p_drop_adjusted, *([self.relative.p_drop_adjusted] if self.relative else [])]

    def adjusted(self, ps: Iterator[float]) -> Comparison:
        """The same with the next adjusted p-values."""
        return replace(
            self,
            p_drop_adjusted=next(ps),
            relative=replace(self.relative, p_drop_adjusted=next(ps)) if self.relative else None,
        )


@dataclass(frozen=True)
class BenchmarkDecision:
    """What was decided of one benchmark.

    Attributes:
        name: The benchmark.
        rule: What the policy asks of it.
        outcome: GO, NO-GO or INCONCLUSIVE, for this benchmark alone.
        why: The sentence to it.
        pairs: Documents that were compared.
        comparisons: The numbers of each judged step.
        needed: What would settle an INCONCLUSIVE; None if nothing is open or nothing is known.
        cautions: What a reader has to know first.
    """

    name: str
    rule: Rule
    outcome: Outcome
    why: str
    pairs: int
    comparisons: tuple[Comparison, ...] = ()
    needed: Needed | None = None
    cautions: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The sentence to it and the cautions, of which one may be the sentence."""
        return "; ".join(dict.fromkeys([self.why, *self.cautions]))


@dataclass(frozen=True)
class Decision:
    """What was decided of a run.

    Attributes:
        outcome: GO, NO-GO or INCONCLUSIVE.
        why: The sentence to it.
        benchmarks: Each benchmark of the policy, in its order.
    """

    outcome: Outcome
    why: str
    benchmarks: tuple[BenchmarkDecision, ...]

    @property
    def exit_code(self) -> int:
        """0 for GO, 1 for NO-GO, 2 for INCONCLUSIVE."""
        return EXIT_CODES[self.outcome]


def decide(rules: Mapping[str, Rule], pairs: Mapping[str, Pairs], *, draws: int = DRAWS, seed: int = 0) -> Decision:
    """Decide from paired differences.

    Args:
        rules: What is asked of each benchmark.
        pairs: The differences of each; a benchmark that is not here was not evaluated.
        draws: Random flips.
        seed: Of the random numbers.
    """
    found = [_compared(name, rule, pairs.get(name), draws, seed) for name, rule in rules.items()]
    # What is told only takes no power from what decides.
    for tiers in ({"critical", "supporting"}, {"advisory"}):
        family = [place for place, each in enumerate(found) if each.rule.tier in tiers]
        adjusted = iter(holm([p for place in family for each in found[place].comparisons for p in each.p_drops]))
        for place in family:
            compared = tuple(each.adjusted(adjusted) for each in found[place].comparisons)
            found[place] = _decided(replace(found[place], comparisons=compared))
    outcome, why = _overall(found)
    return Decision(outcome, why, tuple(found))


def _compared(name: str, rule: Rule, pairs: Pairs | None, draws: int, seed: int) -> BenchmarkDecision:
    """The numbers of a benchmark, or why there are none."""
    if pairs is None:
        return BenchmarkDecision(name, rule, "INCONCLUSIVE", "not evaluated", 0)
    count = len(pairs.changes)
    result = BenchmarkDecision(name, rule, "INCONCLUSIVE", pairs.open, count, cautions=pairs.cautions)
    if pairs.open:
        return result
    if count < rule.min_pairs:
        short = f"{count} pairs of documents; the policy asks for at least {rule.min_pairs}"
        return replace(result, why=short)
    asked = rule.max_relative_drop
    base = pairs.baseline if pairs.baseline is not None else np.full_like(pairs.changes, np.nan)
    tells = base.mean(axis=0) > 0
    if asked is not None and not tells.all():
        said = "max_relative_drop: the baseline is not above 0, so a share of it says nothing"
        result = replace(result, cautions=(*result.cautions, said))
    whole = asked is not None and bool(tells.all())
    rows = rows_of(np.concatenate([pairs.changes, base], axis=1) if whole else pairs.changes, pairs.clusters)
    flips = flip(rows, draws=draws, seed=seed)
    span = _SHARE if pairs.share else None
    compared = []
    for place, (step, against) in enumerate(zip(pairs.steps, pairs.against, strict=True)):
        of = np.eye(rows.columns)[:, [place]]
        ends = limits(flips, of, span=span)
        drop = p_beyond(flips, of, -rule.max_drop, "less", span=span)
        kept = p_beyond(flips, of, -rule.max_drop, "greater", span=span)
        relative = None
        if asked is not None:
            relative = _relative(flips, place, len(pairs.steps), asked, share=pairs.share) if whole else _UNKNOWN
        change = float(rows.means[place])
        compared.append(Comparison(step, against, change, ends.low, ends.high, drop, drop, kept, relative))
    return replace(result, comparisons=tuple(compared), needed=_needed(rows, compared, rule, count))


_UNKNOWN = Relative(np.nan, np.nan, np.nan, 1.0, 1.0, 1.0)
"""Of a baseline that is 0: neither shown nor excluded."""


def _relative(flips: Flips, place: int, steps: int, allowed: float, *, share: bool) -> Relative:
    """The change as a share of the baseline, whose columns stand after those of the changes."""
    change, base = (np.eye(flips.rows.columns)[:, [column]] for column in (place, steps + place))
    # Where no more than this share of the baseline is lost, the change and this share of it add up to 0 or more.
    kept, span = change + allowed * base, (-1.0, 1.0 + allowed) if share else None
    means, ends = flips.rows.means, ratio_limits(flips, change, base)
    drop, held = (p_beyond(flips, kept, 0.0, side, span=span) for side in _SIDES)
    return Relative(float(means[place] / means[steps + place]), ends.low, ends.high, drop, drop, held)


def _needed(rows: Rows, compared: Sequence[Comparison], rule: Rule, documents: int) -> Needed | None:
    """What would settle the open question that needs most."""
    steps, questions = len(compared), []
    for place, each in enumerate(compared):
        of = np.eye(rows.columns)[:, [place]]
        if each.p_kept > SIGNIFICANCE:
            questions.append((each.change + rule.max_drop, of))
        if each.relative and each.relative.p_kept > SIGNIFICANCE and rows.columns > steps:
            part = of + (rule.max_relative_drop or 0.0) * np.eye(rows.columns)[:, [steps + place]]
            questions.append((float((rows.means @ part)[0]), part))
    asked = [(abs(gap), float(standard_errors(rows, of)[0])) for gap, of in questions]
    if not asked:
        return None
    gap, error = min(asked, key=lambda question: question[0] / max(question[1], 1e-12))
    nan = float("nan")
    return settle(gap, error, len(rows), documents, repeats=nan, noise=nan, delta=rule.max_drop)


def _told(each: Comparison, rule: Rule) -> str:
    text = f"changes by {each.change:+.3f} at step {each.step}"
    if each.relative and rule.max_relative_drop is not None:
        of = each.relative
        text += f" ({of.change:+.1%} of the baseline, 95 % limits {of.low:+.1%} and {of.high:+.1%})"
    return text


def _decided(found: BenchmarkDecision) -> BenchmarkDecision:
    if not found.comparisons:
        return found
    rule = found.rule
    allowed = (
        f"{rule.max_drop:g}" + (f" or {rule.max_relative_drop:.0%}" if rule.max_relative_drop else "") + " allowed"
    )
    dropped = [each for each in found.comparisons if each.dropped]
    if dropped:
        worst = min(dropped, key=lambda each: (min(each.p_drops_adjusted), each.change))
        steps = ", ".join(str(each.step) for each in dropped)
        why = (
            f"{_told(worst, rule)}, a drop of more than the {allowed} "
            f"(adjusted p {min(worst.p_drops_adjusted):.4f}; upper limit {worst.high:+.3f})"
        )
        why += f"; shown at steps {steps}" if len(dropped) > 1 else ""
        return replace(found, outcome="NO-GO", why=why, needed=None)
    open_steps = [each for each in found.comparisons if not each.kept]
    if not open_steps:
        worst = min(found.comparisons, key=lambda each: each.low)
        why = f"{_told(worst, rule)}, lower limit {worst.low:+.3f}: within the {allowed}"
        return replace(found, outcome="GO", why=why, needed=None)
    worst = min(open_steps, key=lambda each: each.low)
    why = (
        f"{_told(worst, rule)}, 95 % limits {worst.low:+.3f} and {worst.high:+.3f}: "
        f"a drop of more than the {allowed} is neither shown nor excluded"
    )
    return replace(found, why=why + (f"; {found.needed.sentence()}" if found.needed else ""))


def _overall(found: Sequence[BenchmarkDecision]) -> tuple[Outcome, str]:
    def named(outcome: Outcome, *tiers: str) -> list[str]:
        return [each.name for each in found if each.outcome == outcome and each.rule.tier in tiers]

    if dropped := named("NO-GO", "critical", "supporting"):
        return "NO-GO", f"a drop beyond what is allowed is shown: {', '.join(dropped)}"
    if undecided := named("INCONCLUSIVE", "critical"):
        return "INCONCLUSIVE", f"critical, and not decided: {', '.join(undecided)}"
    critical, open_ones = named("GO", "critical"), named("INCONCLUSIVE", "supporting")
    if not critical:
        kept = named("GO", "supporting")
        if not kept or open_ones:
            return "INCONCLUSIVE", "the policy has no critical benchmark, and not every supporting one is shown to hold"
    why = f"no drop beyond what is allowed: {', '.join(critical or named('GO', 'supporting'))}"
    return "GO", why + (f"; supporting, and not decided: {', '.join(open_ones)}" if open_ones else "")
