r"""Whether a boxed answer is the gold one, and what the published code would say, without waste.

Two questions, answered in worker processes (math-verify's own limits need a process's main thread):

* `strict_answer`: the `strict` rule, on the boxed answer alone: its text, then its number, then its form and value
  (`equality.py`).
* `paper_equivalent`: the `paper` rule of arXiv 2604.06628, `verify(parse(gold), parse(response))` of
  math-verify over the whole response. The verdict is math-verify's own; `reading.py` saves work that
  cannot change it.

`docs/math_agreement.md` holds how both fare on stored outputs of public models.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sftgen_judges import Response, Verdict
from sftgen_tasks.math.forms import LONGEST, values_of
from sftgen_tasks.math.text import as_number, same_number
from sftgen_tasks.readers.boxed import boxed
from sftgen_tasks.readers.looks import plain_latex

INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."
TIME_LIMIT = 30.0
"""Seconds for one response. math-verify stops itself after 5 s a step, except inside one huge power."""
CHUNK = 32
"""Responses a worker takes at once: most take less than handing them over."""


def prompt(doc: Mapping[str, Any]) -> str:
    """The user turn. The space after the line break is the paper's."""
    return f"{doc['problem']}\n {INSTRUCTION}"


def grade(gold: str, paper_gold: str, response: Response) -> Verdict:
    """Score a response by both rules, and report the share of answers that math-verify cannot read.

    Args:
        gold: The right answer.
        paper_gold: The text that the paper's code reads the right answer from.
        response: What the model wrote.
    """
    paper = paper_equivalent(paper_gold, response.text)  # first: what it parses is kept
    answer, right = strict_answer(gold, response.answer)
    return Verdict.of(
        response,
        answer,
        bool(right),
        paper=float(paper),
        parsable=right is not None,
        measures={"unparsable": float(right is None)},
    )


def strict_answer(gold: str, text: str) -> tuple[str | None, bool | None]:
    r"""The boxed answer of a text, and whether it is the gold one.

    The last box is the answer. Where the gold answer has several values and the last box has not, as many last boxes
    are read together: "`\boxed{1}` and `\boxed{2}`".

    Returns:
        None for a text without a box. The second is None where the answer cannot be parsed.
    """
    found = boxed(text)
    if not found:
        return None, False
    right = equivalent(gold, found[-1])
    if not right and len(found) > 1:
        together = _together(gold, found)
        if together and equivalent(gold, together):
            return together, True
    return found[-1], right


@lru_cache(maxsize=4096)
def equivalent(gold: str, answer: str) -> bool | None:
    r"""Whether a boxed answer is the gold one; None where it is not and cannot be parsed.

    >>> equivalent("33", "033"), equivalent(r"\frac12", "0.5"), equivalent("90", r"90^\circ")
    (True, True, True)
    """
    one, other = plain_latex(gold), plain_latex(answer)
    # `1, 234` is no number, but it may be how `1,234` is written.
    if one.replace(", ", ",") == other.replace(", ", ","):
        return True if one else None
    number, other_number = as_number(one), as_number(other)
    if number is not None and other_number is not None:
        return same_number(number, other_number, "." in one + other)
    if len(other) > LONGEST or len(one) > LONGEST:
        return None
    # SymPy and its grammar take longer to import than most answers to grade.
    from sftgen_tasks.math.equality import readable, same

    return same(gold, answer) or (False if readable(answer) else None)


def canonical(answer: str) -> str:
    r"""An answer in plain LaTeX, a plain number as a fraction: what a vote tells apart, without SymPy.

    >>> canonical(r"\dfrac{1}{2}"), canonical("0.5"), canonical("1{,}000"), canonical("$x$ + 1") == canonical("x+1")
    ('1/2', '1/2', '1000', True)
    """
    text = plain_latex(answer)
    number = as_number(text)
    return text if number is None else str(number)


def _together(gold: str, found: list[str]) -> str | None:
    """As many last boxes as the gold answer has values, as one list; None if it has one."""
    values = values_of(gold)
    if values < 2 or len(found) < values or any(values_of(one) > 1 for one in found[-values:]):
        return None
    return ", ".join(found[-values:])


@lru_cache(maxsize=8)  # a response that writes on is graded by its first turn too, with the same text
def paper_equivalent(gold: str, text: str) -> bool:
    r"""What `verify(parse(gold), parse(text))` of math-verify says, over a whole response.

    Args:
        gold: The worked solution, or the answer alone, which then counts as boxed.
        text: The response.
    """
    from sftgen_tasks.math.reading import verified

    return verified(gold if "boxed" in gold else _boxed(gold), text)


def _boxed(answer: str) -> str:
    return f"\\boxed{{{answer}}}"
