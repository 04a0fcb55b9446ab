"""Which parser reads LaTeX: the faster one, where the installed grammar is the one that it was proven for."""

from __future__ import annotations

import json
import logging
import sys
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from typing import Any

PROVEN = "6b816936ba0ce369962fcdd02e7c51ecb192f5883942a7089705558fdcb3e1b4"
"""`fingerprint()` of latex2sympy2_extended 1.11.0 with ANTLR 4.11."""


def fingerprint() -> str:
    """Hash of all that `latex.py` relies on: the names of rules and tokens, and ANTLR's network of the grammar."""
    from latex2sympy2_extended.antlr_parser import PSParser  # type: ignore[import-untyped]

    network = sys.modules[PSParser.__module__].serializedATN()
    return sha256(json.dumps([PSParser.ruleNames, PSParser.symbolicNames, network]).encode()).hexdigest()


@cache
def latex_reader() -> Any:
    """The class that converts LaTeX to SymPy. For another grammar it is math-verify's own, which is slower.

    The shortcuts of `latex.py` know alternatives of the grammar by number. In another grammar the same number can be
    another alternative, and a formula would be read as something else.
    """
    if fingerprint() == PROVEN:
        from sftgen_tasks.math.latex import LatexReader

        return LatexReader
    from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy  # type: ignore[import-untyped]

    logging.getLogger(__name__).warning(
        "latex2sympy2_extended %s has another grammar than 1.11.0. Verdicts stay right, but answers in mathematics are "
        "graded about twice as slowly. Run `pip install 'latex2sympy2_extended>=1.11,<1.12'` for the faster parser",
        version("latex2sympy2_extended"),
    )
    return _Latex2Sympy
