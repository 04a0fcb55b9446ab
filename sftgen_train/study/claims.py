"""The claims of a study, fixed before it ran, beside what came of them: held, not held, or cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Literal

from sftgen_train.study.results import StudyResult
from sftgen_train.study.schema import Claim
from sftgen_train.trajectory import Verdict, holm
from sftgen_train.trajectory.arms import ArmDifference
from sftgen_train.trajectory.claims import p_text

Outcome = Literal["held", "not held", "cannot tell"]


@dataclass(frozen=True)
class Judged:
    """A claim and what came of it.

    Attributes:
        claim: The claim.
        outcome: `held`: what was expected is shown. `not held`: the opposite is shown. Else `cannot tell`.
        numbers: The numbers that this rests on.
        p: p-value of what was expected; NaN where it rests on an interval, or was not measured.
        p_over_claims: The same after Holm's adjustment over the claims of the study.
    """

    claim: Claim
    outcome: Outcome
    numbers: str
    p: float = float("nan")
    p_over_claims: float = float("nan")

    def sentence(self) -> str:
        """The claim as a sentence."""
        of = f"{self.claim.arm} against {self.claim.against}" if self.claim.against else self.claim.arm
        return f"{of}: {self.claim.score.removeprefix('sftgen_')} {self.claim.expect}"


def judge_claims(claims: Sequence[Claim], found: StudyResult, delta: float) -> list[Judged]:
    """What came of each claim, adjusted over all claims.

    Args:
        claims: The claims.
        found: What came of the study.
        delta: The loss that does not matter.
    """
    judged = [_judged(claim, found, delta) for claim in claims]
    known = [place for place, one in enumerate(judged) if not isnan(one.p)]
    for place, p in zip(known, holm([judged[place].p for place in known]), strict=True):
        judged[place] = replace(judged[place], p_over_claims=p)
    return judged


def _judged(claim: Claim, found: StudyResult, delta: float) -> Judged:
    if claim.against is None:
        arm = found.arm(claim.arm)
        verdict = arm.verdict(claim.score) if arm else None
        return _of_verdict(claim, verdict) if verdict else _nothing(claim, claim.arm)
    compared = next((of for of in found.comparisons if (of.arm, of.against) == (claim.arm, claim.against)), None)
    difference = compared.difference(claim.score) if compared else None
    if difference is None or not difference.points:
        return _nothing(claim, f"{claim.arm} against {claim.against}")
    return _of_difference(claim, difference, delta)


def _nothing(claim: Claim, who: str) -> Judged:
    return Judged(claim, "cannot tell", f"{who} has no result of {claim.score}")


def _of_verdict(claim: Claim, verdict: Verdict) -> Judged:
    """A claim about one arm. What was expected is shown by its own test; the opposite by the opposite claim's."""
    shown = set(verdict.claims)
    harmless = bool(verdict.points[1:]) and min(point.change_low for point in verdict.points[1:]) > -verdict.delta
    high, low = verdict.end_high, verdict.end_low
    if claim.expect == "dips":
        held, contrary = bool(verdict.dips), harmless
    elif claim.expect == "no dip":
        held, contrary = harmless, bool(verdict.dips)
    elif claim.expect == "recovered":
        held, contrary = "recovered" in shown, "not recovered" in shown or harmless
    elif claim.expect == "above base":
        held, contrary = "above base" in shown, high <= 0
    elif claim.expect == "held":
        held, contrary = "held" in shown, bool(verdict.dips) or "not recovered" in shown
    elif claim.expect == "not recovered":
        held, contrary = "not recovered" in shown, low > -verdict.delta
    else:
        held, contrary = "below base" in shown, low >= 0
    p = next((p for name, p in verdict.p.items() if name == claim.expect), float("nan"))
    return Judged(claim, _outcome(held=held, contrary=contrary), _numbers(verdict, p), p)


def _numbers(verdict: Verdict, p: float) -> str:
    if verdict.base is None or not verdict.end_steps:
        return verdict.sentence()
    points = {point.step: point for point in verdict.points}
    said = f"{points[verdict.base].mean:.2f}"
    if verdict.lowest is not None:
        said += f" -> {points[verdict.lowest].mean:.2f} (step {verdict.lowest})"
    said += f" -> {verdict.end_mean:.2f}"
    said += f"\n{verdict.end_change:+.3f}, limits {verdict.end_low:+.3f} to {verdict.end_high:+.3f}"
    return said + _p(p)


def _of_difference(claim: Claim, found: ArmDifference, delta: float) -> Judged:
    end = found.points[-1]
    held, contrary = {
        "higher": (found.end == "higher", found.end == "lower"),
        "lower": (found.end == "lower", found.end == "higher"),
        "not worse": (found.end_low > -delta, found.end == "lower"),
    }[claim.expect]
    p = (found.p or {}).get("differ at the end", float("nan")) if claim.expect != "not worse" else float("nan")
    steps = f"step {end.step}" if end.step == end.other_step else f"steps {end.step} and {end.other_step}"
    numbers = (
        f"{end.first:.2f} and {end.second:.2f} at {steps}\n{end.difference:+.3f}, 95 % {found.end_low:+.3f} to "
        f"{found.end_high:+.3f}"
    )
    return Judged(claim, _outcome(held=held, contrary=contrary), numbers + _p(p), p)


def _p(p: float) -> str:
    return "" if isnan(p) else f"; p {p_text(p)}"


def _outcome(*, held: bool, contrary: bool) -> Outcome:
    return "held" if held else "not held" if contrary else "cannot tell"
