"""AlpacaEval: 805 instructions, each answer scored by a reward model.

Protocol (arXiv 2604.06628): the instruction as the one user turn, no system prompt, as in the paper's code; temperature
0.7, top_p 0.9, top_k 50, presence and frequency penalty 0.1, 16,384 new tokens, one sample. vLLM and sftgen-hf take all
of these. lm_eval's hf has no such penalties: it generates without them, and a warning says so. The paper's number is
the mean of the raw logits of allenai/Llama-3.1-8B-Instruct-RM-RB2; the paper does not use win rates against a baseline.

The judge `reward` scores the responses (`sftgen_judges.reward.judge` explains how to name reward models and where they
run). The logit of its first model is the score. Without a reward model, responses are kept and not graded; `sftgen
rescore` grades them later.

* `strict`: the logit of the instruction with the answer part (outside the thinking). An empty answer, or a response
  whose thinking never closed, gets the logit of the empty answer, because a logit has no natural zero.
  `reward_answered` is the mean without these responses; `unclosed` is the share whose thinking never closed.
* `paper`: the logit of the instruction with the text after the last `</think>`, or with the whole response if it has
  no `</think>`. So the paper's code scores thinking that never closed as if it were the answer. That code takes every
  token of the beginning out of the text and lets the tokenizer add one; here there is exactly one. This differs for a
  tokenizer that adds none, which no model of the paper is known to have, and for an answer that spells a token of the
  beginning or end.

The hub loads this data set with a script, which is no longer run; its data file is read directly.
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
    """A hub row as a document; the output of the baseline is left out."""
    return {"question": row["instruction"], "dataset": row["dataset"]}
