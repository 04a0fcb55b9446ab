r"""HaluEval: does a candidate answer, reply or summary contain hallucinated information? Yes or No, one sample.

Protocol (arXiv 2604.06628): `sftgen_halueval_qa` shows knowledge, question and answer, `sftgen_halueval_dialogue`
knowledge, dialogue history and response, `sftgen_halueval_summarization` document and summary; one user turn,
zero-shot, temperature 0.6, top_p 1.0, 32,768 new tokens. The instructions are in our own words. The right answer is Yes
for a hallucinated candidate and No for another one, and our prompt says so. The paper's prompt (`--metadata
prompts=paper`) never says what a Yes means, writes other names of fields and another cue, and keeps blanks. With it a
base model may be nearer to 50 %; with ours a model that takes Yes for "correct" is put right.

* `strict`: `judgement` reads the answer part (outside the thinking): what a Yes or No is an answer to comes before
  where it stands. A box, a field or question about hallucination and a judgement by name come first, then a word that
  stands alone, then sentences about hallucination, then other words. A response without a judgement has no answer; one
  whose thinking never closed is wrong.
* `paper`: the last word "yes" or "no" of the text without its thinking, as the paper's code strips it
  (`paper.strip_thinking`), else the first line of the response. That line counts as "no" if it contains these letters,
  also within "know" or "not", and as "yes" in the same way; a line with both or neither is wrong. By this rule "Yes,
  there is no support" means No.

A response is scored up to where it goes on with another candidate, question or turn (`readers.first_turn`). The `paper`
rule reads all of it.

`score` is the accuracy. Further metrics are `balanced_accuracy`, the mean of the accuracies on hallucinated and on
other candidates; `yes_rate`, the share of judgements that are Yes; `invalid`, the share of responses that ended without
a judgement; `contradictory`, the share of judgements whose word and explanation say different things.

10,000 rows a task would dominate the cost of a checkpoint, and the paper does not say how many rows it used. These
tasks ask 1,000 rows each (`sample`): 500 of each label, in the order of a SHA-256 of `SEED` and the row's content, so
that the choice depends on the rows only. `sftgen_halueval_full_qa` and its siblings ask all rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_judges.records.schema import content_hash
from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.paper_prompts import PaperPrompt, note_original
from sftgen_tasks.data.rows import Rows
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.readers.boxed import boxed
from sftgen_tasks.readers.first_turn import scores_first_turn
from sftgen_tasks.readers.paper import strip_thinking
from sftgen_tasks.readers.statements import fields, statements, support
from sftgen_tasks.readers.yes_no import Role, Word, prose, words

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
    source: tuple[str, ...]
    """The columns of a source row, of which both candidates are made."""


KINDS = {
    "qa": Kind(
        "You check answers to questions. Decide whether the answer below contains hallucinated information: something "
        "false, something that the knowledge does not support, or something that does not answer the question.",
        {"knowledge": "Knowledge", "question": "Question", "answer": "Answer"},
        ("knowledge", "question"),
    ),
    "dialogue": Kind(
        "You check replies in a dialogue. Decide whether the response below contains hallucinated information: "
        "something false, or something that the knowledge and the dialogue so far do not support.",
        {"knowledge": "Knowledge", "dialogue_history": "Dialogue", "response": "Response"},
        ("knowledge", "dialogue_history"),
    ),
    "summarization": Kind(
        "You check summaries. Decide whether the summary below contains hallucinated information: something false, or "
        "something that the document does not say or that does not follow from it.",
        {"document": "Document", "summary": "Summary"},
        ("document",),
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
    name = f"sftgen_halueval_{'full_' * full}{kind}"
    return finish(name, docs, origin, metadata, None, total=len(rows), cluster=KINDS[kind].source)


def document(kind: str, row: Mapping[str, Any], where: str = "row") -> dict[str, Any]:
    """A hub row as a document.

    Raises:
        DataError: Its label is neither yes nor no.
    """
    label = row[LABEL].strip().lower()
    if label not in {"yes", "no"}:
        raise DataError(f"{where}, column {LABEL!r}: expected yes or no, found {row[LABEL]!r}")
    shown = {column: str(row[column] or "") for column in KINDS[kind].fields}
    doc = {"kind": kind, **{column: text.strip() for column, text in shown.items()}, LABEL: label}
    note_original(doc, **shown)
    return doc


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


PAPER_PROMPT = PaperPrompt("halueval", text=lambda doc: doc["kind"])


# ------------------------------------------------------------------------------ reading a judgement


@dataclass(frozen=True)
class Judgement:
    """What an answer says of the candidate.

    Attributes:
        said: `yes` (hallucinated) or `no`, None without a judgement.
        contradictory: Whether the Yes or No and the explanation beside it say different things.
    """

    said: str | None
    contradictory: bool = False


def judgement(answer: str) -> str | None:
    """`yes` or `no`, or None if an answer has no judgement; see `read_judgement`."""
    return read_judgement(answer).said


def read_judgement(answer: str) -> Judgement:
    r"""Read the judgement of an answer.

    What a Yes or No answers comes before where it stands. The first of these that the answer has decides. If there are
    several of that kind, the last one counts.

    1. A box (`\boxed{Yes}`) or `<answer>` with a judgement in it.
    2. The answer to a field or a question about hallucination, or to a judgement by name ("Hallucination: Yes",
       "Judgement: Yes", "my final answer is No", "Verdict: Hallucinated").
    3. A word that is alone on its line, or is the whole last sentence; "Conclusion: Yes".
    4. A sentence about hallucination ("The answer contains hallucinated information").
    5. The first word of the answer, else of a sentence, else one after "the answer is".
    6. What the answer says about support ("The answer is supported by the knowledge" means No).

    A sentence about hallucination also beats a labelled word or a conclusion if it explains it: in "Conclusion: No, the
    document does not mention Paris. The summary contains hallucinated information." the No answers something else.

    Another field ("Supported: No", "Corrected answer: No"), the answer to another question, the restated candidate, a
    supposition, "Yes or No", and a No that belongs to a noun ("no support") are no judgements.
    """
    inside = (_decide(prose(content)) for content in reversed(boxed(answer)))
    of_box = next((found for found in inside if found.said), None)
    text = prose(answer)
    found = _decide(text)
    return replace(of_box, contradictory=_contradicts(text, of_box.said == "yes")) if of_box else found


def _decide(text: str) -> Judgement:
    by_role: dict[Role, Word] = {word.role: word for word in words(text)}
    said = [Word(yes, Role.JUDGEMENT, place, place) for place, yes in fields(text)]
    named = max(
        [*said, *(by_role[role] for role in (Role.ASKED, Role.JUDGEMENT) if role in by_role)], key=_place, default=None
    )
    told = max(statements(text), default=None)
    ends = [by_role[role] for role in (Role.ALONE, Role.CONCLUSION) if role in by_role]
    plain = by_role.get(Role.TAGGED) or named or max(ends, key=_place, default=None)
    plain = plain or next(
        (by_role[role] for role in (Role.LEADING, Role.SENTENCE, Role.ANSWER) if role in by_role), None
    )
    if told and (plain is None or _answers_something_else(plain, told[0], text)):
        yes = told[1]
    elif plain:
        yes = plain.yes
    else:
        upheld = by_role[Role.SUPPORT].yes if Role.SUPPORT in by_role else _not(support(text))
        return Judgement(None if upheld is None else "yes" if upheld else "no")
    return Judgement("yes" if yes else "no", plain is not None and _contradicts(text, plain.yes))


def _place(word: Word) -> int:
    return word.start


def _answers_something_else(word: Word, told: int, text: str) -> bool:
    """Whether a sentence about hallucination, which ends at `told`, says more than a word."""
    if word.role in {Role.LEADING, Role.SENTENCE, Role.ANSWER}:
        return True
    same_line = word.end <= told and "\n" not in text[word.end : told].rstrip("\n")
    return (word.role is Role.CONCLUSION and told > word.start) or (word.role is Role.JUDGEMENT and same_line)


def _contradicts(text: str, yes: bool) -> bool:
    """Whether the explanation says something else than the word."""
    told = max(statements(text), default=None)
    explained = told[1] if told else _not(support(text))
    return explained is not None and explained != yes


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


# ------------------------------------------------------------------------------ scoring


def paper_judgement(text: str) -> str | None:
    """The judgement that the paper's code reads: `yes`, `no`, or None if it finds both or neither."""
    words = re.findall(r"\b(?:yes|no)\b", strip_thinking(text), re.IGNORECASE)
    said = (words[-1] if words else text.strip().partition("\n")[0]).lower()
    found = [word for word in ("yes", "no") if word in said]
    return found[0] if len(found) == 1 else None


def _candidate(doc: Mapping[str, Any]) -> str:
    """The part of the prompt that a model repeats when it goes on with another candidate."""
    return prompt(doc).partition("\n\n")[2].rpartition("\n")[0]


@scores_first_turn(_candidate)
def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score by both rules."""
    found = read_judgement(response.answer)
    paper = float(paper_judgement(response.text) == doc[LABEL])
    verdict = Verdict.of(response, found.said, found.said == doc[LABEL], paper=paper)
    measures: dict[str, Measure] = {
        "balanced_accuracy": [float(doc[LABEL] == "yes"), float(verdict.score or 0)],
        "invalid": float(verdict.status == "no_answer"),
    }
    if verdict.status == "ok":
        measures["yes_rate"] = float(found.said == "yes")
        measures["contradictory"] = float(found.contradictory)
    return replace(verdict, measures=measures)


GRADER = Grader("halueval", version=4, grade=grade)
