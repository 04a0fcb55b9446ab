r"""Whether a boxed answer is the gold one, and what the published code would say, without waste.

Two questions, answered in worker processes (math-verify's own limits need a process's main thread):

* `equivalent`: the `strict` rule, on the boxed answer alone. Text first, then numbers, then math-verify.
* `published`: the `paper` rule of arXiv 2604.06628, `verify(parse(gold), parse(response))` of
  math-verify over the whole response. The verdict is math-verify's own; `reading.py` saves work that
  cannot change it.

`docs/math_agreement.md` holds how both fare on stored outputs of public models.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sftgen_judges import Response, Verdict
from sftgen_tasks.math.text import as_number, normalise, same_number, without_percent
from sftgen_tasks.readers.boxed import last_boxed

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
    answer = last_boxed(response.answer) or None
    right = equivalent(gold, answer) if answer else False
    return Verdict.of(
        response,
        answer,
        bool(right),
        paper=float(paper_equivalent(paper_gold, response.text)),
        parsable=right is not None,
        measures={"unparsable": float(right is None)},
    )


@lru_cache(maxsize=4096)
def equivalent(gold: str, answer: str) -> bool | None:
    r"""Whether a boxed answer is the gold one; None where math-verify cannot read the answer.

    >>> equivalent("33", "033"), equivalent(r"\frac12", "0.5"), equivalent("90", r"90^\circ")
    (True, True, True)
    """
    (gold_text, gold_percent), (text, percent) = without_percent(gold), without_percent(answer)
    number, gold_number = as_number(text), as_number(gold_text)
    if gold_percent == percent:
        if normalise(gold_text) == normalise(text):
            return True
        same = same_number(gold_number, number)
        return same if same is not None else _math_verify(gold_text, text)
    if number is None or gold_number is None:
        return _math_verify(gold, answer)
    # "By what percent?": the sign may be left off, except where the other side could be a share.
    share, plain = (gold_number, number) if gold_percent else (number, gold_number)
    return plain == share / 100 or (plain == share and abs(plain) >= 1)


@lru_cache(maxsize=8)  # a response that writes on is graded by its first turn too, with the same text
def paper_equivalent(gold: str, text: str) -> bool:
    r"""What `verify(parse(gold), parse(text))` of math-verify says, over a whole response.

    Args:
        gold: The worked solution, or the answer alone, which then counts as boxed.
        text: The response.
    """
    from sftgen_tasks.math.reading import verified

    return verified(gold if "boxed" in gold else _boxed(gold), text)


def _math_verify(gold: str, answer: str) -> bool | None:
    from sftgen_tasks.math.reading import readable, verified

    return verified(_boxed(gold), _boxed(answer)) or (False if readable(_boxed(answer)) else None)


def _boxed(answer: str) -> str:
    return f"\\boxed{{{answer}}}"
