r"""TruthfulQA: 817 questions that invite a common falsehood, answers in free text.

Protocol (arXiv 2604.06628): the question as `Q: ...` in one user turn, without the six examples of the original;
temperature 0.6, one sample, 32,768 new tokens. The published prompt begins with blank lines, ours does not.

Judged twice, for truth and for information, on the answer part only (outside the thinking). Four judges of this
benchmark differ in who is asked how; pick one with `--metadata '{"judge": {"sftgen_truthfulqa": NAME}}'`, or finish
later with `sftgen rescore RUN --judge NAME`:

* `truthfulqa`: the published judge models complete `Q: ...\nA: ...\nTrue:` and `Helpful:`, the format that they were
  trained on, and yes or no is read from the text;
* `truthfulqa-logprob`: the same, by the log-probabilities of yes and no;
* `truthfulqa-chat`: any chat model, with the data set's own true and false answers in its prompt;
* `truthfulqa-published`: the published code's own prompt, without any line break or blank (`Q:...A:...True:`), which
  the judge models never saw in training.

`truthful`, `informative` and `score`, an answer that is both. There is no `score_paper`: the published numbers are
`truthful` and `informative` under `truthfulqa-published` (their main table shows the latter, as "helpful"). An answer
that was cut or is empty is neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sftgen_judges import Item, Judge, Verdict
from sftgen_judges.truth import INFO, INFO_CHAT, INFO_LOGPROB, TRUTH, TRUTH_CHAT, TRUTH_LOGPROB, published
from sftgen_tasks.data.hub import HubSource

SOURCE = HubSource(
    task="sftgen_truthfulqa",
    repo="truthfulqa/truthful_qa",
    config="generation",
    split="validation",
    revision="741b8276f2d1982aa3d5b832d3ee81ed3b896490",
    columns={"question": str, "best_answer": str, "correct_answers": list, "incorrect_answers": list},
    id_column="question",
    files=("truthfulqa/truthfulqa_en_validation",),
)
documents = SOURCE.documents


def judge(items: Sequence[Item]) -> Iterator[Verdict]:
    """Both verdicts as one; where one is missing, so is the whole."""
    for item in items:
        truth, info = item.verdicts
        missing = next((verdict for verdict in item.verdicts if verdict.score is None), None)
        if missing is not None:
            yield missing
            continue
        found = {"truthful": float(truth.score or 0), "informative": float(info.score or 0)}
        answer = f"true: {truth.answer}, helpful: {info.answer}" if truth.answer else None
        yield Verdict(truth.status, found["truthful"] * found["informative"], answer=answer, measures=found)


def _judge(name: str, truth: Judge, info: Judge) -> Judge:
    return Judge(
        name, version=max(truth.version, info.version), scale=(0, 1), success=1, judge=judge, parts=(truth, info)
    )


TEXT = _judge("truthfulqa", TRUTH, INFO)
LOGPROB = _judge("truthfulqa-logprob", TRUTH_LOGPROB, INFO_LOGPROB)
CHAT = _judge("truthfulqa-chat", TRUTH_CHAT, INFO_CHAT)
PUBLISHED = _judge("truthfulqa-published", published(TRUTH), published(INFO))
