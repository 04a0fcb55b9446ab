r"""MATH500: 500 competition problems, the answer in `\boxed{}`, avg@3.

Protocol (arXiv 2604.06628): one user turn, the problem and the instruction after a line break and a space, byte for
byte as in the paper's code; temperature 0.6, top_p 0.95, three samples; 32,768 new tokens.

* `strict`: the last `\boxed{}` of the answer part (outside the thinking) that is not empty, compared as text, as a
  number, by its form and by its value. Several boxes are read together where the right answer has several values. A
  response without a box has no answer; one whose thinking never closed is wrong.
* `paper`: the paper's code runs math-verify's own extraction over the whole response, thinking
  included, against the boxed answer of the worked solution. The paper's version of math-verify is 0.7.0. Later ones, as
  here, also read a number in `\text{}` or with a bare unit (`\boxed{33 cm}`), and join several boxes otherwise.

A response is scored up to where it begins another question or turn (`readers.first_turn`). The `paper` rule reads all
of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.math import grading as math_grading
from sftgen_tasks.readers.first_turn import scores_first_turn

SOURCE = HubSource(
    task="sftgen_math500",
    repo="HuggingFaceH4/MATH-500",
    split="test",
    revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
    columns={"problem": str, "solution": str, "answer": str},
    id_column="unique_id",
    files=("math/math500_test",),
)
documents = SOURCE.documents
prompt = math_grading.prompt


@scores_first_turn(prompt)
def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score by both rules."""
    return math_grading.grade(doc["answer"], doc["solution"], response)


GRADER = Grader(
    "math500", version=5, grade=grade, time_limit=math_grading.TIME_LIMIT, chunk=math_grading.CHUNK,
    canonical=math_grading.canonical,
)  # fmt: skip
