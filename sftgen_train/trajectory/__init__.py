"""Curves of checkpoints on the same documents: arrays in, frozen dataclasses out; no run is needed.

values, steps, documents = stack(documents, steps, scores, repeats)   # samples -> array
curves = align(values, steps, clusters=labels)                         # the documents that all steps share
verdict = read_curve("sftgen_math500", curves, delta=0.02)             # dips? recovered? or cannot tell
tests = flip_test(differences, clusters)                               # any paired differences
"""

from sftgen_train.trajectory.alignment import Curves, LeftOut, align, stack
from sftgen_train.trajectory.anytime import anytime_half_width
from sftgen_train.trajectory.claims import DELTA, SIGNIFICANCE, Fall, Point, Verdict
from sftgen_train.trajectory.flips import Flips, Rows, against, contrast, flip, pool, rows_of, standard_errors
from sftgen_train.trajectory.intervals import Band, Limits, band, change_band, limits, p_beyond, share_band
from sftgen_train.trajectory.lengths import Stages, length_stages
from sftgen_train.trajectory.max_t import Tests, flip_test, max_test
from sftgen_train.trajectory.noise import Noise, noise_of
from sftgen_train.trajectory.parts import Among, Parts, among_finished, split
from sftgen_train.trajectory.regime import Regime, read_regime
from sftgen_train.trajectory.settling import Needed, settle
from sftgen_train.trajectory.statistics import Estimate, estimate, holm
from sftgen_train.trajectory.verdicts import adjust_over_tasks, read_curve, read_group
from sftgen_train.trajectory.words import WORDS

__all__ = [
    "adjust_over_tasks", "against", "align", "Among", "among_finished", "anytime_half_width", "Band", "band",
    "change_band", "contrast", "Curves", "DELTA", "estimate", "Estimate", "Fall", "flip", "flip_test", "Flips", "holm",
    "LeftOut", "length_stages", "Limits", "limits", "max_test", "Needed", "Noise", "noise_of", "p_beyond", "Parts",
    "Point", "pool", "read_curve", "read_group", "read_regime", "Regime", "Rows", "rows_of", "settle", "share_band",
    "SIGNIFICANCE", "split", "stack", "Stages", "standard_errors", "Tests", "Verdict", "WORDS",
]  # fmt: skip
