r"""TruthfulQA: 817 questions that invite a common falsehood, answers in free text.

Protocol (arXiv 2604.06628): the question as `Q: ...` in one user turn, without the six examples of the original;
temperature 0.6, one sample, 32,768 new tokens. The paper's prompt begins with two line breaks, ours does not
(`--metadata prompts=paper`). Trained models hardly notice; the scores of base models may move either way.

Two verdicts are asked for, one on truth and one on information, on the answer part only (outside the thinking), and
without the `A:` that an answer may begin with and further questions that a base model may write. This
benchmark has four judges. Choose one with `--metadata '{"judge": {"sftgen_truthfulqa": NAME}}'`, or judge later with
`sftgen rescore RUN --judge NAME`:

* `truthfulqa`: allenai's judge models complete `Q: ...\nA: ...\nTrue:` and `Helpful:`, the format of their training.
  Yes or no is read from their text.
* `truthfulqa-logprob`: the same models and texts; the log-probabilities of yes and no decide.
* `truthfulqa-chat`: any chat model, whose prompt shows the true and false answers of the data set.
* `truthfulqa-paper`: the same models with the prompt of the paper's code, which has no line break and no blank
  (`Q:...A:...True:`), and with the whole answer part. The judge models never saw this format in training.

The metrics are `truthful`, `informative` and `score`, the share of answers that are both. A truncated response or an
empty answer is neither truthful nor informative; `unclosed` is the share whose thinking never closed, `clipped` the
share of judged answers that were cut to the judge's context.

`paper`: `truthful_paper` and `informative_paper` are means over all questions, as in the paper's code. It judges every
response, also one whose thinking never closed or that has no answer (`paper.strip_thinking`); a reply with the word
"yes" anywhere means yes, any other reply means no. It costs calls, so it is on with `--metadata judge_unclosed=true`,
or later with `sftgen rescore RUN --judge-unclosed`; without it there are no such metrics. The paper's numbers are those
of the judge `truthfulqa-paper` (its main table shows `informative_paper`, as "helpful"). There is no `score_paper`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sftgen_judges import Item, Judge, Verdict
from sftgen_judges.truth import INFO, INFO_CHAT, INFO_LOGPROB, TRUTH, TRUTH_CHAT, TRUTH_LOGPROB, paper
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.paper_prompts import PaperPrompt
from sftgen_tasks.readers.judged import shares
from sftgen_tasks.readers.paper import strip_thinking

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
PAPER_PROMPT = PaperPrompt("truthfulqa", fields=lambda doc: {"question": doc["question"].strip()})


def judge(items: Sequence[Item]) -> Iterator[Verdict]:
    """Both verdicts as one; if one is missing, the whole is missing."""
    for item in items:
        truth, info = item.verdicts
        measures = shares(item)
        measures |= {f"{name}_paper": said.paper for name, said in _named(item) if said.paper is not None}
        missing = next((verdict for verdict in item.verdicts if verdict.score is None), None)
        if missing is not None:
            yield replace(missing, paper=None, measures=measures)
            continue
        found = {name: float(said.score or 0) for name, said in _named(item)}
        answer = f"true: {truth.answer}, helpful: {info.answer}" if truth.answer else None
        score = found["truthful"] * found["informative"]
        yield Verdict(truth.status, score, answer=answer, reason=truth.reason, measures={**found, **measures})


def _named(item: Item) -> list[tuple[str, Verdict]]:
    return list(zip(("truthful", "informative"), item.verdicts, strict=True))


def _of_text(judge: Judge) -> Judge:
    """The judge, which reads a response without an answer as the paper's code strips it."""
    assert judge.paper is not None
    return replace(judge, paper=replace(judge.paper, text=lambda response: strip_thinking(response.text)))


def _judge(name: str, truth: Judge, info: Judge, changes: int = 1) -> Judge:
    """Both as one; `changes` counts what changed in how they are asked beyond their versions."""
    version = max(truth.version, info.version) + changes
    parts = (_of_text(truth), _of_text(info))
    return Judge(name, version=version, scale=(0, 1), success=1, judge=judge, parts=parts)


TEXT = _judge("truthfulqa", TRUTH, INFO)
LOGPROB = _judge("truthfulqa-logprob", TRUTH_LOGPROB, INFO_LOGPROB)
CHAT = _judge("truthfulqa-chat", TRUTH_CHAT, INFO_CHAT)
PAPER = _judge("truthfulqa-paper", paper(TRUTH), paper(INFO), changes=0)
# The old name. A run stores verdicts of the parts only, and both judges have the same parts, `truth-published` and
# `info-published`. So each judge finds what the other has asked. The parts keep their names, because a stored verdict
# is found by the name of its part.
PUBLISHED = replace(PAPER, name="truthfulqa-published")
