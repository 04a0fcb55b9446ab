"""Decisions from arrays: what is shown, what is open, and how often a decision is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from sftgen_train.gating.decision import BenchmarkDecision, Decision, Pairs, decide
from sftgen_train.gating.policy import Rule


def rule(tier: str = "critical", drop: float = 0.02, pairs: int = 10) -> Rule:
    return Rule.model_validate({"tier": tier, "max_drop": drop, "min_pairs": pairs})


def changed(down: int, up: int = 0, of: int = 1000, steps: int = 1) -> Pairs:
    """So many documents of all get worse at each step, so many get better."""
    changes = np.zeros(of)
    changes[:down], changes[down : down + up] = -1, 1
    return Pairs(tuple(range(1, steps + 1)), (0,) * steps, np.repeat(changes[:, None], steps, axis=1), np.arange(of))


def decided(**benchmarks: tuple[str, Pairs]) -> Decision:
    return decide(
        {name: rule(tier) for name, (tier, _) in benchmarks.items()},
        {name: pairs for name, (_, pairs) in benchmarks.items()},
        draws=500,
    )


KEPT, DROPPED, OPEN = changed(5, 5), changed(80), changed(25, 5)


@pytest.mark.parametrize(
    ("benchmarks", "outcome"),
    [
        ({"a": ("critical", KEPT)}, "GO"),
        ({"a": ("critical", KEPT), "b": ("critical", DROPPED)}, "NO-GO"),
        ({"a": ("critical", KEPT), "b": ("critical", OPEN)}, "INCONCLUSIVE"),
        ({"a": ("critical", OPEN), "b": ("supporting", DROPPED)}, "NO-GO"),
        ({"a": ("critical", KEPT), "b": ("supporting", OPEN)}, "GO"),
        ({"a": ("critical", KEPT), "b": ("advisory", DROPPED)}, "GO"),
        ({"a": ("supporting", KEPT)}, "GO"),
        ({"a": ("supporting", OPEN), "b": ("supporting", KEPT)}, "INCONCLUSIVE"),
        ({"a": ("advisory", KEPT)}, "INCONCLUSIVE"),
    ],
)
def test_what_each_tier_does(benchmarks: dict[str, tuple[str, Pairs]], outcome: str) -> None:
    assert decided(**benchmarks).outcome == outcome


def test_what_is_open_says_why_and_what_would_settle_it() -> None:
    decision = decide({"a": rule(), "b": rule(pairs=2000), "c": rule()}, {"a": OPEN, "b": KEPT}, draws=500)
    a, b, c = decision.benchmarks
    assert "neither shown nor excluded" in a.why
    assert "documents would settle it" in a.why
    assert b.why == "1000 pairs of documents; the policy asks for at least 2000"
    assert c.why == "not evaluated"
    assert (decision.outcome, decision.exit_code) == ("INCONCLUSIVE", 2)


def test_few_documents_that_agree_exclude_little() -> None:
    # None of 100 fell; 3 in 100 may still do.
    assert decided(a=("critical", changed(0, of=100))).outcome == "INCONCLUSIVE"
    assert decided(a=("critical", changed(0, of=150))).outcome == "GO"


def test_one_document_decides_nothing() -> None:
    assert decide({"a": rule(pairs=1)}, {"a": changed(0, of=1)}).outcome == "INCONCLUSIVE"


def test_p_values_are_adjusted_over_what_decides() -> None:
    decision = decided(a=("critical", OPEN), b=("supporting", OPEN), c=("advisory", OPEN))
    a, _, c = (each.comparisons[0] for each in decision.benchmarks)
    assert a.p_drop_adjusted == pytest.approx(min(1, 2 * a.p_drop))
    assert c.p_drop_adjusted == c.p_drop


def test_a_drop_at_the_limit_is_seldom_called_larger() -> None:
    """Six benchmarks whose true drop is exactly what is allowed: NO-GO in at most 5 %, GO in hardly any."""
    random, rounds = np.random.default_rng(0), 80
    sizes = [(500, 3), (198, 3), (541, 1), (30, 10), (300, 1), (511, 3)]
    said = []
    for seed in range(rounds):
        pairs = {}
        for number, (documents, repeats) in enumerate(sizes):
            able = 1 / (1 + np.exp(-random.normal(0, 1.8, documents)))
            base = random.binomial(repeats, able) / repeats
            # Every document loses in proportion: 0.02 on average.
            later = [random.binomial(repeats, able * (1 - 0.02 / able.mean())) / repeats - base for _ in range(2)]
            pairs[str(number)] = Pairs((1, 2), (0, 0), np.stack(later, axis=1), np.arange(documents))
        said.append(decide({name: rule() for name in pairs}, pairs, draws=400, seed=seed).outcome)
    # Two standard errors above 5 %.
    assert said.count("NO-GO") / rounds <= 0.05 + 2 * (0.05 * 0.95 / rounds) ** 0.5
    assert said.count("GO") == 0


def relative(down: int, right: int, share: float, of: int = 1000, drop: float = 0.5) -> BenchmarkDecision:
    """The decision on a baseline of so many right documents, of which so many fall."""
    base = np.repeat([1.0, 0.0], [right, of - right])
    changes = np.where(np.arange(of) < down, -1.0, 0.0)
    asked = Rule.model_validate({"tier": "critical", "max_drop": drop, "min_pairs": 10, "max_relative_drop": share})
    pairs = Pairs((1,), (0,), changes[:, None], np.arange(of), baseline=base[:, None])
    [found] = decide({"a": asked}, {"a": pairs}, draws=500).benchmarks
    return found


@pytest.mark.parametrize(
    ("down", "right", "outcome"),
    [(10, 500, "GO"), (25, 100, "NO-GO"), (12, 100, "INCONCLUSIVE"), (0, 0, "INCONCLUSIVE")],
)
def test_a_drop_is_limited_as_a_share_of_the_baseline(down: int, right: int, outcome: str) -> None:
    found = relative(down, right, 0.1)
    assert found.outcome == outcome
    told = found.comparisons[0].relative
    assert told
    if right:
        assert told.change == pytest.approx(-down / right)
        assert told.low <= told.change <= told.high
        assert "of the baseline" in found.why
    else:
        assert "the baseline is not above 0" in found.cautions[0]


def test_a_drop_in_points_counts_where_the_baseline_says_nothing() -> None:
    # A rate of which less is better, 0 at the baseline.
    assert relative(100, 0, 0.1, drop=0.02).outcome == "NO-GO"


def test_both_kinds_of_drop_are_adjusted_together() -> None:
    [found] = relative(12, 100, 0.1).comparisons
    assert found.relative
    assert found.relative.p_drop_adjusted == pytest.approx(min(1, 2 * found.relative.p_drop))
