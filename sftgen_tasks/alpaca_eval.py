"""AlpacaEval: 805 instructions, each answer scored by a reward model.

Protocol (arXiv 2604.06628): the instruction as the one user turn, no system prompt; temperature 0.7, top_p 0.9,
top_k 50, presence and frequency penalty 0.1, 16,384 new tokens, one sample. vLLM takes all of these; transformers
has no such penalties and generates without them, which it says. The published number is the mean of the raw logits
of allenai/Llama-3.1-8B-Instruct-RM-RB2; win rates against a baseline are no part of it.

Scored by the judge `reward` (`sftgen_judges.reward.judge` tells how to name reward models and where they run);
its first model's logit is the score. Without one, responses are kept and not graded, for `sftgen rescore`.

* `strict`: the logit of the instruction with the answer part (outside the thinking). An empty answer, or thinking
  that never closed, is scored as the empty answer: a logit has no zero to give it instead. `reward_answered` is
  the mean without those.
* `paper`: with what follows the last `</think>`, or the whole response without one, so that thinking that never
  closed is scored as if it were the answer.

The data set is a script that is no longer run; its file is read directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.hub import HubSource

if TYPE_CHECKING:
    from datasets import Dataset

SOURCE = HubSource(
    task="sftgen_alpaca_eval",
    repo="tatsu-lab/alpaca_eval",
    config="alpaca_eval",
    split="eval",
    revision="2edc6fad8be6b14ea7230aabfd08188da6b8b814",
    columns={"instruction": str, "dataset": str},
    id_column="instruction",
    files=("alpaca/alpaca_eval",),
    data_file="alpaca_eval.json",
)


def documents(**metadata: Any) -> dict[str, Dataset]:
    """The instructions, as lm_eval's `custom_dataset` wants them."""
    rows, origin = SOURCE.read(**metadata)
    return finish(SOURCE.task, [document(row) for row in rows], origin, metadata, "question")


def document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A hub row as a document; the baseline's output is not needed."""
    return {"question": row["instruction"], "dataset": row["dataset"]}
