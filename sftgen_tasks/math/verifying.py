r"""`math_verify`: the rule that published training sets were verified with, math-verify with the gold first.

* `strict`: what `verify(parse(gold), parse(answer))` says of the answer part, outside the thinking: math-verify also
  accepts a value that thinking which never closed passes through.
* `paper`: the same of the whole response.

The right answer counts as boxed. `math500` compares answers otherwise: it needs a box and reads more of its forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_tasks.math.grading import CHUNK, TIME_LIMIT, canonical, paper_equivalent


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score by math-verify's verdict alone."""
    from sftgen_tasks.math.reading import read

    gold = str(doc["answer"])
    paper = float(paper_equivalent(gold, response.text))
    found = read(response.answer) if response.answer else None
    if found is None or (not found.text and found.value is None):
        return Verdict.of(response, None, 0, paper=paper)
    right = paper_equivalent(gold, response.answer)
    return Verdict.of(response, found.text or str(found.value)[:200], right, paper=paper)


def unusable(doc: Mapping[str, Any]) -> str:
    """Why responses to a document cannot be verified; empty where they can."""
    from sftgen_tasks.math.reading import read

    gold = str(doc.get("answer") or "")
    if not gold.strip():
        return "no right answer"
    found = read(gold if "boxed" in gold else f"\\boxed{{{gold}}}")
    return "" if found.value is not None else "math-verify cannot parse the right answer"


GRADER = Grader(
    "math_verify", version=1, grade=grade, time_limit=TIME_LIMIT, chunk=CHUNK, canonical=canonical, unusable=unusable
)
