"""Verdicts on made curves: what is claimed, and what cannot be told and why."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from sftgen_train.trajectory import (
    WORDS,
    Needed,
    Verdict,
    adjust_over_tasks,
    align,
    flip_test,
    read_curve,
    read_group,
    settle,
)
from sftgen_train.trajectory.landmarks import landmarks
from sftgen_train.trajectory.noise import noise_of
from sftgen_train.trajectory.so_far import Progress, so_far

Array = NDArray[np.float64]


def made(*right: int, documents: int = 200, changing: int = 0) -> Array:
    """At each step that many documents are right, always the same ones first; some others change at random."""
    values = np.array([[float(number < count) for count in right] for number in range(documents)])
    noise = np.random.default_rng(0).random((changing, len(right))) < 0.5
    return np.concatenate([values, noise.astype(float)])


def read(values: Array, **asked: object) -> Verdict:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_curve("task", align(values, range(0, 10 * values.shape[1], 10)), **asked)  # type: ignore[arg-type]


CURVES = [
    # documents right of 200 at steps 0, 10, ...; steps that dip; the end; the steps of a fall from a peak
    ((140, 140), (), "held", None),
    ((140, 180), (), "above base", None),
    ((140, 144, 160, 180), (), "above base", None),
    ((0, 0, 0), (), "held", None),
    ((200, 200), (), "held", None),
    ((140, 198, 140), (), "held", (10, 20)),
    ((140, 198, 140, 190), (), "above base", (10, 20)),
    ((140, 80, 140), (10,), "recovered", None),
    ((200, 0, 200), (10,), "recovered", None),
    # The way into a dip is no fall from a peak.
    ((140, 140, 80, 140), (20,), "recovered", None),
    ((140, 80, 100, 180), (10, 20), "above base", None),
    ((180, 60, 120), (10, 20), "not recovered", None),
    ((140, 80), (10,), "not recovered", None),
    ((140, 0, 0), (10, 20), "not recovered", None),
    ((140, 180, 60), (20,), "not recovered", (10, 20)),
    ((140, 80, 138), (10,), "cannot tell", None),
    ((140, 138, 138), (), "cannot tell", None),
]


@pytest.mark.parametrize(("right", "dips", "end", "fall"), CURVES, ids=[" ".join(map(str, case[0])) for case in CURVES])
def test_verdicts(right: Sequence[int], dips: tuple[int, ...], end: str, fall: tuple[int, int] | None) -> None:
    verdict = read(made(*right))
    assert (verdict.dips, verdict.end) == (dips, end)
    assert (verdict.fall and (verdict.fall.peak, verdict.fall.step)) == fall
    assert [point.mean for point in verdict.points] == pytest.approx([count / 200 for count in right])
    assert verdict.end_change == pytest.approx((right[-1] - right[0]) / 200)
    assert (verdict.lowest or 0) == 10 * min(range(1, len(right)), key=lambda step: right[step])
    assert verdict.end in WORDS
    assert (verdict.why != "") == (end == "cannot tell")
    assert end in verdict.sentence()


def test_a_small_loss_is_below_base_and_a_larger_delta_forgives_it() -> None:
    # 12 of 2,000 documents are lost, none is won.
    values = made(1400, 1000, 1388, documents=2000)
    assert read(values, delta=0.002).end == "not recovered"
    assert read(values, delta=0.006).end == "below base"
    strict = read(values, delta=0.02)
    assert strict.end == "recovered"
    assert {"recovered", "below base"} <= set(strict.claims)
    smallest = strict.smallest_delta
    assert 0.006 < smallest < 0.02
    assert read(values, delta=smallest + 1e-4).end == "recovered"
    assert read(values, delta=smallest - 1e-4).end == "below base"


def test_recovered_needs_an_end_above_the_lowest_step() -> None:
    """A large delta alone does not make a curve that stays where it fell recover."""
    verdict = read(made(1000, 900, 900, documents=2000), delta=0.2)
    assert verdict.dips == (10, 20)
    assert verdict.end == "below base"
    assert "recovered" not in verdict.claims
    assert read(made(1000, 900, 960, documents=2000), delta=0.2).end == "recovered"


def test_the_end_may_be_the_mean_of_the_last_two() -> None:
    values = made(140, 80, 150, 170)
    verdict = read(values, last=2)
    assert (verdict.end_steps, verdict.end_mean) == ((20, 30), pytest.approx(0.8))
    assert read(made(140, 170), last=2).end_steps == (10,)
    with pytest.raises(ValueError, match="expected 1 or 2"):
        read(values, last=3)


def test_what_would_settle_it_settles_it() -> None:
    rng = np.random.default_rng(1)
    rates = rng.beta(2, 2, 3000)[:, None] + np.array([0, -0.2, 0.03])

    def asked(documents: int, repeats: int) -> Verdict:
        answers = rng.random((documents, 3, repeats)) < rates[:documents, :, None]
        return read_curve("task", align(answers.astype(float), [0, 1, 2]))

    few = next(found for found in (asked(150, 2) for _ in range(50)) if found.end == "cannot tell")
    assert few.needed is not None
    assert few.needed.documents is not None
    assert few.needed.documents > 150
    assert f"{few.needed.documents:,} documents" in few.sentence()
    assert sum(asked(3000, 2).end != "cannot tell" for _ in range(3)) == 3
    # Repeats help only as far as documents agree.
    assert few.needed.repeats is not None
    assert few.needed.repeats > 2
    assert sum(asked(150, few.needed.repeats).end != "cannot tell" for _ in range(12)) > sum(
        asked(150, 2).end != "cannot tell" for _ in range(12)
    )


def test_documents_that_never_differ_need_as_many_as_delta_asks_for() -> None:
    verdict = read(made(50, 50, documents=100))
    assert verdict.end == "cannot tell"
    assert verdict.needed is not None
    assert verdict.needed.documents == 149  # 0.98 ** 149 < 0.05
    assert read(made(50, 50, documents=149)).end == "held"


def test_the_number_of_documents_has_a_chance_of_four_in_five() -> None:
    asked = {"rows": 100, "documents": 100, "delta": 0.02}
    unknown = settle(0.1, 0.1, **asked, repeats=float("nan"), noise=float("nan"))
    # (1.645 + 0.842) squared times as many, as in every table of sample sizes.
    assert unknown == Needed(619, None, repeats_known=False)
    # Half of the variance is noise of 4 repeats: without it, still three times as much as allowed.
    assert settle(0.1, 0.1, **asked, repeats=4, noise=0.005) == Needed(619, None, repeats_known=True)
    # Nine tenths: 4 * 0.009 / (0.1 ** 2 / 2.4865 ** 2 - 0.001) repeats.
    assert settle(0.1, 0.1, **asked, repeats=4, noise=0.009) == Needed(619, 59, repeats_known=True)
    assert settle(0.1, 0.1, **{**asked, "rows": 1}, repeats=4, noise=0.009) is None


def test_a_change_that_is_too_close_names_no_number() -> None:
    values = made(140, 130, 140, changing=40)
    verdict = read(values, delta=0)
    assert verdict.end_change == pytest.approx(0, abs=0.05)
    assert read(np.concatenate([values, 1 - values]), delta=0).needed is not None
    assert "no feasible number" in read(np.concatenate([values, 1 - values]), delta=0).sentence()


ODD = [
    (np.zeros((0, 3)), "no step has a value"),
    (np.full((5, 3), np.nan), "no step has a value"),
    (np.array([[1.0, np.nan], [np.nan, 1.0]]), "no document has a value at every step"),
    (np.array([[1.0, 0.0, 1.0]]), "one document only"),
    (made(140), "one step only"),
]


@pytest.mark.parametrize(("values", "why"), ODD)
def test_what_proves_nothing_cannot_be_told(values: Array, why: str) -> None:
    verdict = read(values)
    assert (verdict.end, verdict.why, verdict.dips) == ("cannot tell", why, ())
    assert why in verdict.sentence()


def test_one_cluster_proves_nothing() -> None:
    curves = align(made(140, 20, 140), [0, 1, 2], clusters=[1] * 200)
    verdict = read_curve("task", curves)
    assert (verdict.end, verdict.why, verdict.dips) == ("cannot tell", "all documents are of one cluster", ())


def test_without_step_0_there_is_no_base() -> None:
    curves = align(made(140, 80, 180, 80), [5, 10, 20, 40])
    verdict = read_curve("task", curves)
    assert (verdict.base, verdict.end, verdict.dips) == (None, "cannot tell", ())
    assert verdict.why == "no base: step 0 has no value"
    assert "dips" not in verdict.p
    # Peaks need no base.
    assert verdict.fall is not None
    assert (verdict.fall.peak, verdict.fall.at_end) == (20, True)
    assert read_curve("task", curves, base=5).end == "not recovered"
    assert read_curve("task", curves, base=40).why == "no step after the base, step 40"


def test_a_step_that_failed_is_left_out_and_said() -> None:
    values = made(140, 80, 180)
    values[:, 1] = np.nan
    verdict = read(values)
    assert ([point.step for point in verdict.points], verdict.dips, verdict.end) == ([0, 20], (), "above base")
    assert [entry.why for entry in verdict.left_out] == ["step 10: no document has a value"]


def test_the_verdict_rests_on_documents_that_every_step_has() -> None:
    # All that fell are missing at step 20.
    values = made(140, 80, 140)
    values[100:150, 2] = np.nan
    verdict = read(values)
    assert (verdict.shared, [point.documents for point in verdict.points]) == (150, [200, 200, 150])
    assert verdict.points[0].mean == pytest.approx(100 / 150)
    assert verdict.left_out[0].count == 50


def test_clusters_make_it_harder_to_claim() -> None:
    values = made(24, 14, 14, documents=30)
    apart = read_curve("task", align(values, [0, 1, 2]))
    together = read_curve("task", align(values, [0, 1, 2], clusters=np.arange(30) // 10))
    assert (apart.dips, together.dips) == ((1, 2), ())
    assert (apart.clusters, together.clusters) == (30, 3)


def test_lengths_are_read_without_a_scale() -> None:
    lengths = np.random.default_rng(0).normal(500, 100, (60, 1)) + np.array([[0, -90, 0, 200]])
    lengths += np.random.default_rng(1).normal(0, 30, lengths.shape)
    verdict = read(lengths, share=False, delta=20)
    assert (verdict.dips, verdict.end) == ((10,), "above base")
    assert verdict.points[3].high > 1


# ------------------------------------------------------------------------------ several tasks


def test_a_group_pools_what_its_tasks_do_not_show() -> None:
    """Each task loses 3 documents of 60 and wins 0: alone nothing, together a dip."""
    tasks = [align(made(40, 37, 40, documents=60), [0, 10, 20]) for _ in range(3)]
    assert all(not read_curve("task", curves).dips for curves in tasks)
    group = read_group("group", tasks)
    assert (group.dips, group.tasks, group.shared) == ((10,), 3, 180)
    assert group.points[1].change == pytest.approx(-0.05)


def test_a_group_weighs_its_tasks_equally_and_uses_their_common_steps() -> None:
    tasks = [align(made(10, 0, 10, documents=10), [0, 10, 20]), align(made(0, 400, documents=400), [0, 20])]
    group = read_group("group", tasks)
    assert [point.step for point in group.points] == [0, 20]
    assert [point.mean for point in group.points] == pytest.approx([0.5, 1.0])
    assert any("not evaluated for every task" in entry.why for entry in group.left_out)
    assert read_group("group", [tasks[0], align([[1.0]], [5])]).why == "no step has a value"
    with pytest.raises(ValueError, match="at least one task"):
        read_group("group", [])


def test_claims_about_several_tasks_are_adjusted() -> None:
    shown = read(made(140, 80, 140))
    barely = read(made(140, 135, 140))
    assert "dips" in barely.claims
    assert 0.025 < barely.p["dips"] <= 0.05
    found = adjust_over_tasks([shown, barely, read(made(140, 140, 140)), read(made(140))])
    assert ["dips" in verdict.claims_over_tasks for verdict in found] == [True, False, False, False]
    assert found[1].over_tasks["dips"] == pytest.approx(2 * barely.p["dips"])


# ------------------------------------------------------------------------------ noise


@pytest.mark.parametrize("spread", [0.0, 0.08])
def test_noise_of_documents_and_of_checkpoints_are_told_apart(spread: float) -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(40):
        rates = rng.beta(3, 3, (400, 1)) + rng.normal(0, spread, (1, 9))
        noise = noise_of((rng.random((400, 9)) < rates).astype(float), tuple(range(9)), late=6)
        assert noise is not None
        assert noise.checkpoints**2 == pytest.approx(max(0.0, noise.spread**2 - noise.sampling**2))
        found.append(noise)
    assert np.sqrt(np.mean([noise.spread**2 - noise.sampling**2 for noise in found]).clip(0)) == pytest.approx(
        spread, abs=0.012
    )
    assert np.mean([noise.p <= 0.05 for noise in found]) == pytest.approx(float(spread > 0), abs=0.15)
    assert noise_of(np.ones((10, 3)), (0, 1, 2)) is None


def test_arrays_that_cannot_be_read_are_refused_with_the_value() -> None:
    logits = align(np.array([[0.5, 0.5], [0.2, 3.25]]), [0, 10])
    for read in (lambda: read_curve("task", logits), lambda: read_group("group", [logits]), lambda: landmarks(logits)):
        with pytest.raises(ValueError, match=r"value 3\.25 of document 1 at step 10: expected 0 to 1"):
            read()
    assert read_curve("task", logits, share=False).end == "cannot tell"
    with pytest.raises(ValueError, match="the first nan of document 1 in column 0"):
        flip_test(np.array([[0.1, 0.2], [float("nan"), 0.1]]))
    with pytest.raises(ValueError, match="delta is nan: expected 0 or more"):
        read_curve("task", align(np.zeros((3, 2)), [0, 1]), delta=float("nan"))


@pytest.mark.parametrize(("end", "dips"), [(1.0, ()), (0.0, (10,))])
def test_documents_that_all_changed_alike_so_far_leave_doubt(end: float, dips: tuple[int, ...]) -> None:
    curves = align(np.tile([1.0, end], (30, 1)), (0, 10))
    live = so_far(read_curve("task", curves), [curves], Progress(10, 100, 8))
    assert live.dips == dips
    assert live.end_low < end - 1 < live.end_high
