r"""HaluEval: does a candidate answer, reply or summary contain hallucinated information? Yes or No, one sample.

Protocol (arXiv 2604.06628): `sftgen_halueval_qa` shows knowledge, question and answer, `sftgen_halueval_dialogue`
knowledge, dialogue history and response, `sftgen_halueval_summarization` document and summary; one user turn,
zero-shot, temperature 0.6, top_p 1.0, 32,768 new tokens. The instructions are in our own words. The right answer is Yes
for a hallucinated candidate and No for another one.

* `strict`: `judgement` on the answer part (outside the thinking): the last boxed or labelled Yes or No, else one that
  stands alone, else one that the answer or a sentence begins with. No judgement, no answer; thinking that never closed
  is wrong.
* `paper`: the last word "yes" or "no" of the text as the published code strips it (`published.strip_thinking`), else
  the first line of the response, which counts as the word that it contains, "know" and "not" included; both or neither
  is wrong. So "Yes, there is no support" is read as No.

Besides `score`, which is the accuracy: `balanced_accuracy`, the mean of the accuracies on hallucinated and on other
candidates; `yes_rate`, how many of the judgements are Yes; `invalid`, how many responses ended without a judgement.

10,000 rows a task would dominate what a checkpoint costs, and how many the publication took is not known. Ours ask
1,000 of each (`sample`): 500 of each label, in the order of a SHA-256 of `SEED` and the row's content, so that it
depends on nothing but the rows. All of them are `sftgen_halueval_full_qa` and so on.
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
    """One of the three tasks: what it asks, and the columns it shows with the names it gives them."""

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
        id_column="id",  # the hub's rows have none: their hash names them
        files=(f"halueval/{kind}_samples",),
    )
    for kind, shown in KINDS.items()
}


def documents(kind: str, full: bool = False, **metadata: Any) -> dict[str, Dataset]:
    """One task's candidates, a sample or all, as lm_eval's `custom_dataset` wants them.

    Args:
        kind: `qa`, `dialogue` or `summarization`.
        full: All of them.
        metadata: lm_eval's.

    Raises:
        DataError: Nothing to read, or it is malformed.
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
    """Draw equally many different candidates a label, in the order of a hash of seed and content."""
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
# A choice between the two is no judgement: "Yes or No", "Yes/No".
_EITHER = r"(?! ?(?:/|,? or\b) ?(?:yes|no)\b)"
# "No" before a noun is none either ("no support", "no longer"), unless it denies the hallucination itself.
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
    r"""`yes` or `no`, or None where an answer says neither.

    The first of these that is there decides, and of several of its kind the last:

    1. a box with nothing but Yes or No, or a labelled one: "Judgement: Yes", "my final answer is No";
    2. one alone on its line, or alone as the last sentence (but not right behind a question);
    3. one that the answer begins with;
    4. one that a sentence begins with, then one behind "the answer is".

    Only the whole words count, in any case and markup: never "know", "not" or "another", no "no" that belongs to a
    noun ("there is no support"), and no "Yes or No".
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


def published(text: str) -> str | None:
    """What the published code takes for the judgement: `yes`, `no`, or None where it finds both or neither."""
    words = re.findall(r"\b(?:yes|no)\b", strip_thinking(text), re.IGNORECASE)
    said = (words[-1] if words else text.strip().partition("\n")[0]).lower()
    found = [word for word in ("yes", "no") if word in said]
    return found[0] if len(found) == 1 else None


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score by both rules."""
    found = judgement(response.answer)
    paper = float(published(response.text) == doc[LABEL])
    verdict = Verdict.of(response, found, found == doc[LABEL], paper=paper)
    measures: dict[str, Measure] = {
        "balanced_accuracy": [float(doc[LABEL] == "yes"), float(verdict.score or 0)],
        "invalid": float(verdict.status == "no_answer"),
    }
    if verdict.status == "ok":
        measures["yes_rate"] = float(found == "yes")
    return replace(verdict, measures=measures)


GRADER = Grader("halueval", version=1, grade=grade)
