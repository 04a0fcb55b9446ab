"""Several contrasts tested at once by sign flips: Westfall and Young's max-t, exact for symmetric differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sftgen_train.trajectory.alignment import Floats
from sftgen_train.trajectory.flips import DRAWS, TIE, Flips, flip, quadratic, quotient, rows_of, standard_errors
from sftgen_train.trajectory.statistics import holm

Alternative = Literal["less", "greater", "two-sided"]


@dataclass(frozen=True)
class Tests:
    """Contrasts tested together, one entry each.

    Attributes:
        change: The contrast's mean.
        standard_error: Its standard error between rows; infinite with one row.
        t: Their quotient.
        p: Adjusted p-value for the largest of all contrasts (single-step).
        p_step_down: The same, where contrasts that were found before no longer count; never above `p`.
        p_alone: p-value of this contrast alone, for one that was named before looking.
        p_paired: Paired t-test with Holm's adjustment, a cross-check that needs no flips.
        exact: Whether all flips were taken.
    """

    change: Floats
    standard_error: Floats
    t: Floats
    p: Floats
    p_step_down: Floats
    p_alone: Floats
    p_paired: Floats
    exact: bool


def max_test(flips: Flips, contrasts: Floats, alternative: Alternative = "less") -> Tests:
    """Test several contrasts of the columns at once.

    Each flip is studentised with its own variance. For flips of equally large rows this t is a growing function of
    sum / √(sum of squares), the same for all contrasts, so the latter is compared.

    Args:
        flips: Of the rows.
        contrasts: Columns x contrasts; the identity where columns are differences already.
        alternative: `less`: does a contrast fall? `greater`: does it rise? `two-sided`: either.
    """
    rows = flips.rows
    change = rows.means @ contrasts
    scale = np.sqrt(quadratic(rows.values, contrasts))
    # The sum after a flip is the whole less twice what is in the subset.
    found = quotient(change - 2 * (flips.values @ contrasts), scale)
    found = {"less": np.negative, "greater": np.positive, "two-sided": np.abs}[alternative](found)
    seen = found[0] - TIE
    error = standard_errors(rows, contrasts)
    t = quotient(change, error)
    alone = (found >= seen).mean(axis=0)
    single = (found.max(axis=1, initial=-np.inf)[:, None] >= seen).mean(axis=0)
    order = np.argsort(-seen, kind="stable")
    # For each contrast the largest among itself and those that are less clear.
    remaining = np.maximum.accumulate(found[:, order[::-1]], axis=1)[:, ::-1]
    down = np.empty_like(single)
    down[order] = np.maximum.accumulate((remaining >= seen[order]).mean(axis=0))
    paired = np.asarray(holm(_paired(t, len(rows), alternative).tolist()))
    return Tests(change, error, t, single, down, alone, paired, flips.exact)


def flip_test(
    differences: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    alternative: Alternative = "less",
    draws: int = DRAWS,
    seed: int = 0,
) -> Tests:
    """Test the means of paired differences: the whole of this module in one call.

    Args:
        differences: Documents x comparisons, without NaN: for example one run less another at each step.
        clusters: As `rows_of`.
        alternative: As `max_test`.
        draws: Random flips.
        seed: Of the random numbers.

    Raises:
        ValueError: As `rows_of`.
    """
    rows = rows_of(differences, clusters)
    return max_test(flip(rows, draws=draws, seed=seed), np.eye(rows.columns), alternative)


def _paired(t: Floats, rows: int, alternative: Alternative) -> Floats:
    from scipy.special import stdtr  # takes a while to import, so only where it is needed

    if rows == 1:
        return np.ones_like(t)
    tail = stdtr(rows - 1, {"less": t, "greater": -t, "two-sided": -np.abs(t)}[alternative])
    found = np.minimum(1.0, 2 * tail) if alternative == "two-sided" else tail
    return np.asarray(np.where(t == 0, 1.0, found))
