r"""AIME24: the 30 problems of AIME I and II 2024, answers from 000 to 999 in `\boxed{}`, avg@10.

Protocol (arXiv 2604.06628; its code: `evaluation/math_eval/math_eval_budget.py`): the turn and the decoding of MATH500
(the paper's prompt, byte for byte), temperature 0.6, top_p 0.95, with ten samples; 32,768 new tokens.

* `strict`: the last `\boxed{}` of the answer part (outside the thinking) that is not empty is the same number. `033`
  and `33` are the same answer. A response without a box has no answer; one whose thinking never closed is wrong.
* `paper`: the paper's code runs math-verify's own extraction over the whole response, thinking included.
  That code takes the right answer from a column `solution` of a private copy of the problems, and puts a
  box around it if there is no box. Here the right answer is the number of the problem, in a box: of the 30
  public solutions one has no box and one boxes `\textbf{(073)}`, and math-verify reads neither.
  The paper's version of math-verify is 0.7.0. Later ones, as here, also read a number in `\text{}` or with a bare
  unit: `\boxed{\text{33}}`, `\boxed{\textbf{33}}`, `\boxed{33 units}`.

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
    task="sftgen_aime24",
    repo="HuggingFaceH4/aime_2024",
    split="train",
    revision="2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
    columns={"problem": str, "answer": str},
    id_column="id",
    files=("math/aime24_qwen25math",),
)
documents = SOURCE.documents
prompt = math_grading.prompt


@scores_first_turn(prompt)
def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score by both rules."""
    return math_grading.grade(doc["answer"], doc["answer"], response)


GRADER = Grader(
    "aime24", version=4, grade=grade, time_limit=math_grading.TIME_LIMIT, chunk=math_grading.CHUNK,
    canonical=math_grading.canonical,
)  # fmt: skip
