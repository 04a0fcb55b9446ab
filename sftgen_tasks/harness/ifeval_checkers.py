"""lm_eval's own checkers of IFEval's instructions."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from sftgen_tasks.data import punkt
from sftgen_tasks.harness.patches import hidden


@cache
def instruction_checkers() -> Any:
    """The package of lm_eval's checkers, imported once what they need is in place."""
    # NLTK imports these for classifiers and parsers that no checker uses, which takes a second; it can do without.
    with hidden("sklearn", "scipy"):
        import nltk  # noqa: F401

    punkt.ensure()  # before the checkers: their import would try a download of its own
    import langdetect
    import lm_eval.tasks.ifeval
    import lm_eval.tasks.ifeval.instructions_registry
    import lm_eval.tasks.ifeval.utils

    langdetect.DetectorFactory.seed = 0
    # It would print a whole response whose language it cannot tell.
    logging.getLogger("lm_eval.tasks.ifeval.instructions").setLevel(logging.CRITICAL)
    return lm_eval.tasks.ifeval
