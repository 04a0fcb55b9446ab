"""Every word of a verdict and of a regime with its definition: for the docs, the terminal and the tooltips."""

from __future__ import annotations

from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "dips": (
            "At least one later step is below the base: one-sided sign-flip test of the mean change, over all steps "
            "at once, adjusted p at most 0.05."
        ),
        "no dip shown": "No step is shown to be below the base. This does not say that there was no dip.",
        "above base": "At the end the score is above the base: the lower limit of the change is above 0.",
        "recovered": (
            "The task dips, the end is above the lowest step (the test pays for choosing the lowest), and the lower "
            "limit of the end's change from the base is above -delta."
        ),
        "held": "No dip is shown, and the lower limit of the end's change from the base is above -delta.",
        "not recovered": "The upper limit of the end's change from the base is below -delta.",
        "below base": "The upper limit of the end's change from the base is below 0, but not below -delta.",
        "cannot tell": "None of the claims about the end is shown. The verdict names what would settle it.",
        "falls after a peak": (
            "A later step is below an earlier peak that is not below the base: the same test over all pairs of "
            "steps after the base, since peak and later step were chosen by looking. Where the later step dips, the "
            "peak must be above the base."
        ),
        "base": "Step 0, before training. Without it nothing is said of dip and recovery.",
        "end": "The last step, or the mean of the last two where this was asked for.",
        "delta": "The loss that does not matter, named before: 2 points of 100 unless configured, for each task.",
        "smallest delta": "The smallest delta with which the end would not be called worse than the base.",
        "limit": "One-sided 95 % limit of a change that was named before looking, from sign flips.",
        "band": "95 % intervals of all steps that hold together, from the same flips.",
        "adjusted p": (
            "How often the clearest of all compared steps is as clear as this one by chance (4,000 sign flips of "
            "whole documents, or all flips of at most 12)."
        ),
        "paired t": "A plain paired t-test with Holm's adjustment over steps, as a cross-check.",
        "over tasks": "The claim stands after Holm's adjustment over all tasks of the sentence.",
        "sampling noise": "What other documents and other answers of the same checkpoints would change.",
        "checkpoint noise": "The spread of late checkpoints that sampling noise does not explain.",
        "so far": "The run goes on: what stands here is no verdict yet.",
        "anytime-valid": "An interval that holds however often it is looked at while documents and steps come in.",
    }
)

REGIMES = MappingProxyType(
    {
        "over-fitted": (
            "the last step is shown to be below an earlier peak of the score, and the length is shown to grow"
        ),
        "under-optimised": (
            "no such fall is shown, and the score is shown to rise, or the length to move by more than a tenth"
        ),
        "converged": (
            "no such fall is shown, the score's change is within delta, and the length's within a tenth, all shown"
        ),
        "cannot tell": "everything else, and a run that goes on",
    }
)
"""How far a training is: what one more doubling of training did to score and length, see `regime`."""
