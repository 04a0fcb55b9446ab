"""GO, NO-GO or INCONCLUSIVE, from paired differences: arrays in, frozen dataclasses out.

Both answers are positive claims. NO-GO: a drop beyond what is allowed is shown. GO: such a drop is excluded wherever it
must be. What is neither shown nor excluded is INCONCLUSIVE.

* NO-GO may come of any benchmark and step, so its p-values are adjusted over all of them (Holm): it is wrong in at most
  5 % of cases, however many are judged.
* GO needs every critical benchmark at every judged step, so each may be tested at 5 % (intersection-union test).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sftgen_train.gating.policy import Rule
from sftgen_train.trajectory import SIGNIFICANCE, Needed, flip, holm, limits, p_beyond, rows_of, settle, standard_errors
from sftgen_train.trajectory.alignment import Floats, Integers
from sftgen_train.trajectory.flips import DRAWS

Outcome = Literal["GO", "NO-GO", "INCONCLUSIVE"]
EXIT_CODES: Mapping[Outcome, int] = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}
_SHARE = (-1.0, 1.0)
"""What the change of a share can be."""


@dataclass(frozen=True)
class Pairs:
    """The documents that both sides of a comparison share.

    Attributes:
        steps: The judged step of each column.
        against: The step that it is compared with.
        changes: Documents x steps: candidate less baseline, a positive number where the candidate is better.
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
        p_drop_adjusted: The same after Holm's adjustment over benchmarks and steps.
        p_kept: p-value for "it does not drop by more than allowed".
    """

    step: int
    against: int
    change: float
    low: float
    high: float
    p_drop: float
    p_drop_adjusted: float
    p_kept: float


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
        adjusted = iter(holm([each.p_drop for place in family for each in found[place].comparisons]))
        for place in family:
            compared = tuple(replace(each, p_drop_adjusted=next(adjusted)) for each in found[place].comparisons)
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
    rows = rows_of(pairs.changes, pairs.clusters)
    flips = flip(rows, draws=draws, seed=seed)
    span = _SHARE if pairs.share else None
    compared = []
    for place, (step, against) in enumerate(zip(pairs.steps, pairs.against, strict=True)):
        of = np.eye(rows.columns)[:, [place]]
        ends = limits(flips, of, span=span)
        drop = p_beyond(flips, of, -rule.max_drop, "less", span=span)
        kept = p_beyond(flips, of, -rule.max_drop, "greater", span=span)
        change = float(rows.means[place])
        compared.append(Comparison(step, against, change, ends.low, ends.high, drop, drop, kept))
    worst = min(range(len(compared)), key=lambda place: compared[place].change)
    needed = settle(
        abs(compared[worst].change + rule.max_drop),
        float(standard_errors(rows, np.eye(rows.columns))[worst]),
        len(rows),
        count,
        repeats=float("nan"),
        noise=float("nan"),
        delta=rule.max_drop,
    )
    return replace(result, comparisons=tuple(compared), needed=needed)


def _decided(found: BenchmarkDecision) -> BenchmarkDecision:
    if not found.comparisons:
        return found
    allowed = f"{found.rule.max_drop:g} allowed"
    dropped = [each for each in found.comparisons if each.p_drop_adjusted <= SIGNIFICANCE]
    if dropped:
        worst = min(dropped, key=lambda each: (each.p_drop_adjusted, each.change))
        steps = ", ".join(str(each.step) for each in dropped)
        why = (
            f"changes by {worst.change:+.3f} at step {worst.step}, a drop of more than the {allowed} "
            f"(adjusted p {worst.p_drop_adjusted:.4f}; upper limit {worst.high:+.3f})"
        )
        why += f"; shown at steps {steps}" if len(dropped) > 1 else ""
        return replace(found, outcome="NO-GO", why=why, needed=None)
    open_steps = [each for each in found.comparisons if each.p_kept > SIGNIFICANCE]
    if not open_steps:
        worst = min(found.comparisons, key=lambda each: each.low)
        why = f"changes by {worst.change:+.3f} at step {worst.step}, lower limit {worst.low:+.3f}: within the {allowed}"
        return replace(found, outcome="GO", why=why, needed=None)
    worst = min(open_steps, key=lambda each: each.low)
    why = (
        f"changes by {worst.change:+.3f} at step {worst.step}, 95 % limits {worst.low:+.3f} and {worst.high:+.3f}: "
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
