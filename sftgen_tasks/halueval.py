r"""HaluEval: does a candidate answer, reply or summary contain hallucinated information? Yes or No, one sample.

Protocol (arXiv 2604.06628): `sftgen_halueval_qa` shows knowledge, question and answer, `sftgen_halueval_dialogue`
knowledge, dialogue history and response, `sftgen_halueval_summarization` document and summary; one user turn,
zero-shot, temperature 0.6, top_p 1.0, 32,768 new tokens. The instructions are in our own words. The right answer is Yes
for a hallucinated candidate and No for another one.

* `strict`: `judgement` reads the answer part (outside the thinking): the last boxed or labelled Yes or No, else one
  that stands alone, else one that the answer or a sentence begins with. A response without a judgement has no answer;
  one whose thinking never closed is wrong.
* `paper`: the last word "yes" or "no" of the text without its thinking, as the paper's code strips it
  (`paper.strip_thinking`), else the first line of the response. That line counts as "no" if it contains these letters,
  also within "know" or "not", and as "yes" in the same way; a line with both or neither is wrong. By this rule "Yes,
  there is no support" means No.

`score` is the accuracy. Further metrics are `balanced_accuracy`, the mean of the accuracies on hallucinated and on
other candidates; `yes_rate`, the share of judgements that are Yes; `invalid`, the share of responses that ended without
a judgement.

10,000 rows a task would dominate the cost of a checkpoint, and the paper does not say how many rows it used. These
tasks ask 1,000 rows each (`sample`): 500 of each label, in the order of a SHA-256 of `SEED` and the row's content, so
that the choice depends on the rows only. `sftgen_halueval_full_qa` and its siblings ask all rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_judges.records.schema import content_hash
from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.rows import Rows
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.readers.boxed import last_boxed
from sftgen_tasks.readers.paper import strip_thinking

if TYPE_CHECKING:
    from datasets import Dataset

    from sftgen_judges.records.schema import Measure

SEED, SIZE = 0, 1000
LABEL = "hallucination"


@dataclass(frozen=True)
class Kind:
    """One of the three tasks: its question, and the columns that it shows, with their names in the prompt."""

    question: str
    fields: Mapping[str, str]


KINDS = {
    "qa": Kind(
        "You check answers to questions. Decide whether the answer below contains hallucinated information: something "
        "false, something that the knowledge does not support, or something that does not answer the question.",
        {"knowledge": "Knowledge", "question": "Question", "answer": "Answer"},
    ),
    "dialogue": Kind(
        "You check replies in a dialogue. Decide whether the response below contains hallucinated information: "
        "something false, or something that the knowledge and the dialogue so far do not support.",
        {"knowledge": "Knowledge", "dialogue_history": "Dialogue", "response": "Response"},
    ),
    "summarization": Kind(
        "You check summaries. Decide whether the summary below contains hallucinated information: something false, or "
        "something that the document does not say or that does not follow from it.",
        {"document": "Document", "summary": "Summary"},
    ),
}
CUE = "Answer Yes if it contains hallucinated information, and No if it does not.\nYour judgement:"


SOURCES = {
    kind: HubSource(
        task=f"sftgen_halueval_{kind}",
        repo="pminervini/HaluEval",
        config=f"{kind}_samples",
        split="data",
        revision="12a856119f03975a94509091e8cada3e6be6ead7",
        columns={**dict.fromkeys(shown.fields, object), LABEL: str},  # a candidate may be empty
        id_column="id",  # the hub's rows have no id: their hash names them
        files=(f"halueval/{kind}_samples",),
    )
    for kind, shown in KINDS.items()
}


def documents(kind: str, full: bool = False, **metadata: Any) -> dict[str, Dataset]:
    """One task's candidates, a sample or all, as lm_eval's `custom_dataset` wants them.

    Args:
        kind: `qa`, `dialogue` or `summarization`.
        full: Whether all rows are asked.
        metadata: lm_eval's metadata.

    Raises:
        DataError: The rows are missing or malformed.
    """
    rows, origin = SOURCES[kind].read(**metadata)
    docs = [document(kind, row, f"{origin}, row {number}") for number, row in enumerate(rows, 1)]
    if not full and len(docs) > SIZE:
        docs = sample(docs)
        origin = f"{origin}, {len(docs)} of {len(rows)} rows by label, in hash order with seed {SEED}"
    return finish(f"sftgen_halueval_{'full_' * full}{kind}", docs, origin, metadata, None)


def document(kind: str, row: Mapping[str, Any], where: str = "row") -> dict[str, Any]:
    """A hub row as a document.

    Raises:
        DataError: Its label is neither yes nor no.
    """
    label = row[LABEL].strip().lower()
    if label not in {"yes", "no"}:
        raise DataError(f"{where}, column {LABEL!r}: expected yes or no, found {row[LABEL]!r}")
    return {"kind": kind, **{column: str(row[column] or "").strip() for column in KINDS[kind].fields}, LABEL: label}


def sample(docs: Sequence[Mapping[str, Any]], size: int = SIZE) -> Rows:
    """Draw different candidates, equally many of each label, in the order of a hash of seed and content."""
    ordered = [doc for _, doc in sorted({content_hash(SEED, dict(doc)): dict(doc) for doc in docs}.items())]
    left = {"yes": size // 2, "no": size // 2}
    chosen: Rows = []
    for doc in ordered:  # the labels stay mixed, so that --limit gives both
        if left[doc[LABEL]]:
            left[doc[LABEL]] -= 1
            chosen.append(doc)
    return chosen


def prompt(doc: Mapping[str, Any]) -> str:
    """The user turn."""
    kind = KINDS[doc["kind"]]
    shown = "\n".join(f"{name}: {doc[column]}" for column, name in kind.fields.items())
    return f"{kind.question}\n\n{shown}\n\n{CUE}"


# ------------------------------------------------------------------------------ reading a judgement

_NOISE = str.maketrans(dict.fromkeys("*_`\"'\u201c\u201d$#"))
_TEX = re.compile(r"\\(?:text|math)[a-z]{0,6}(?![a-zA-Z])|[{}]")
# "Yes or No" and "Yes/No" offer a choice and are not a judgement.
_EITHER = r"(?! ?(?:/|,? or\b) ?(?:yes|no)\b)"
# "No" before a noun is not a judgement either ("no support", "no longer"), unless it denies the hallucination itself.
_NO = (
    r"no(?= ?(?:[.,;:!)\]\u2013\u2014]|- |\n|\Z)"
    r"| (?:because|since|as|the|it|this|that|there|hallucinat|non-?factual))(?!\. ?\d)"
)
_WORD = rf"(?P<word>(?:yes\b|{_NO})){_EITHER}"
_LABELLED = re.compile(
    r"\b(?:judge?ment|verdict|decision|conclusion|final answer) ?"
    rf"(?:(?:is|would be|must be|:|=)[:\s]{{0,3}}){{1,2}}{_WORD}",
    re.IGNORECASE,
)
_ALONE = re.compile(r"^[^\w\n]{0,6}(yes|no)[^\w\n]{0,6}$", re.IGNORECASE | re.MULTILINE)
_LAST_SENTENCE = re.compile(r"[.!:;\n]\s{1,4}(yes|no)[^\w?]{0,6}\Z", re.IGNORECASE)
_LEADING = re.compile(rf"\W{{0,6}}{_WORD}", re.IGNORECASE)
_SENTENCE = re.compile(rf"(?:[.!:;]\s{{1,4}}|\n[^\w\n]{{0,6}}){_WORD}", re.IGNORECASE)
_ANSWER = re.compile(rf"\banswer ?(?:(?:is|would be|:|=)[:\s]{{0,3}}){{1,2}}{_WORD}", re.IGNORECASE)


def judgement(answer: str) -> str | None:
    r"""`yes` or `no`, or None if an answer has no judgement.

    The first of these that the answer has decides. If there are several of that kind, the last one counts.

    1. A box that contains only Yes or No.
    2. A labelled Yes or No: "Judgement: Yes", "my final answer is No".
    3. One that is alone on its line, or is the whole last sentence (but not directly after a question).
    4. The first word of the answer.
    5. The first word of a sentence.
    6. One after "the answer is".

    Only whole words count, in any letter case and markup. "Know", "not" and "another" do not count, nor does "no"
    before a noun ("there is no support"), nor "Yes or No".
    """
    box = _TEX.sub("", last_boxed(answer) or "").translate(_NOISE).strip(" .").lower()
    if box in {"yes", "no"}:
        return box
    text = answer.translate(_NOISE).strip()
    for find in (_last(_LABELLED), _standing_alone, _leading, _last(_SENTENCE), _last(_ANSWER)):
        found = find(text)
        if found:
            return found.lower()
    return None


def _last(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def find(text: str) -> str | None:
        found = None
        for match in pattern.finditer(text):
            found = match["word"]
        return found

    return find


def _standing_alone(text: str) -> str | None:
    last = _LAST_SENTENCE.search(text[-40:])
    found: list[str] = [last[1]] if last else _ALONE.findall(text)
    return found[-1] if found else None


def _leading(text: str) -> str | None:
    match = _LEADING.match(text)
    return match["word"] if match else None


# ------------------------------------------------------------------------------ scoring


def paper_judgement(text: str) -> str | None:
    """The judgement that the paper's code reads: `yes`, `no`, or None if it finds both or neither."""
    words = re.findall(r"\b(?:yes|no)\b", strip_thinking(text), re.IGNORECASE)
    said = (words[-1] if words else text.strip().partition("\n")[0]).lower()
    found = [word for word in ("yes", "no") if word in said]
    return found[0] if len(found) == 1 else None


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score by both rules."""
    found = judgement(response.answer)
    paper = float(paper_judgement(response.text) == doc[LABEL])
    verdict = Verdict.of(response, found, found == doc[LABEL], paper=paper)
    measures: dict[str, Measure] = {
        "balanced_accuracy": [float(doc[LABEL] == "yes"), float(verdict.score or 0)],
        "invalid": float(verdict.status == "no_answer"),
    }
    if verdict.status == "ok":
        measures["yes_rate"] = float(found == "yes")
    return replace(verdict, measures=measures)


GRADER = Grader("halueval", version=1, grade=grade)
