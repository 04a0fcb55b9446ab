r"""GPQA-Diamond: 198 graduate-level questions with four options, the letter in `\boxed{}`, avg@3.

Protocol (arXiv 2604.06628): one user turn with the question, the options in one line and the instruction; temperature
0.6, top_p 0.95, three samples; 32,768 new tokens. Question and options stand as in the paper's prompt; the instruction
is in our own words, and blanks around question and options are removed. The paper's text (`--metadata prompts=paper`)
keeps them. Little should move either way; base models, which often give no letter, depend on the wording most.

The order of the options comes from a SHA-256 of the question with its options and `SEED`. So it is the same on every
machine and in every run, and differs between questions. Each document records it as `permutation`, where 0 is the right
answer. (The paper's code seeds it with Python's salted `hash`, which gives another order in every process.)

* `strict`: in the answer part (outside the thinking) the last `\boxed{}` that holds a letter, else the last sentence
  such as "the answer is (B)", else the option that is written out, else a letter that stands alone. `readers.letters`
  has the rule in full. A letter counts only if the question has that option. A letter that is denied or only supposed
  is no answer, nor are several letters, the first letter of a word, a variable, a Roman numeral or the label of a
  part. A response without a letter has no answer; one whose thinking never closed is wrong.
* `paper`: four patterns on the last box of the whole response, thinking included, or without a box on the whole
  response (`paper.paper_gpqa`). The patterns are tried in this order, and the first place where one is found gives the
  letter: "answer is B" or "answer: B", "choose B" or "choose option B", "option B is correct", "B is correct" or "B is
  the answer". Letter case does not matter, blanks and line breaks between the words may be any or none ("answeris B"),
  and the letter may be the beginning of a word: "the answer is a mixture" is A. "The answer is (B)" and "is: B" are not
  read. If no pattern is found, the text has to be one letter, which may be small and followed by a dot or a slash; so
  `\boxed{\text{B}}` and `\boxed{B) ...}` are not read. A last `\boxed{` that never closes is no box.

A response is scored up to where it begins another question or turn (`readers.first_turn`). The `paper` rule reads all
of it.

The dataset is gated, and its authors ask that no question appears online as plain text: keep sample logs private.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_judges.records.schema import content_hash
from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.paper_prompts import PaperPrompt, note_original
from sftgen_tasks.readers.first_turn import scores_first_turn
from sftgen_tasks.readers.letters import LETTERS, letter
from sftgen_tasks.readers.paper import paper_gpqa

if TYPE_CHECKING:
    from datasets import Dataset

SEED = 0
INSTRUCTION = (
    "Please reason step by step, and put your final answer within \\boxed{}. "
    "Only give the letter of the option (A, B, C or D) in it."
)
ANSWERS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

SOURCE = HubSource(
    task="sftgen_gpqa_diamond",
    repo="Idavidrein/gpqa",
    config="gpqa_diamond",
    split="train",
    revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd",
    columns={"Question": str, **dict.fromkeys(ANSWERS, str)},
    id_column="Record ID",
    gated=True,
)


def documents(**metadata: Any) -> dict[str, Dataset]:
    """The questions with their options in order, as lm_eval's `custom_dataset` wants them."""
    rows, origin = SOURCE.read(**metadata)
    return finish(SOURCE.task, [document(row) for row in rows], origin, metadata, "record_id")


def document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A hub row as a document: the options shuffled, the letter of the right one, and the order."""
    question, *answers = (row[column].strip() for column in ("Question", *ANSWERS))
    order = sorted(range(len(answers)), key=lambda index: content_hash(SEED, question, answers, index))
    doc = {
        "record_id": row.get(SOURCE.id_column),
        "question": question,
        "options": [answers[index] for index in order],
        "answer": LETTERS[order.index(0)],
        "permutation": order,
    }
    note_original(doc, question=row["Question"], options=[row[ANSWERS[index]] for index in order])
    return doc


def prompt(doc: Mapping[str, Any]) -> str:
    """The user turn."""
    options = ", ".join(f"{name}) {option}" for name, option in zip(LETTERS, doc["options"], strict=False))
    return f"Problem: {doc['question']}\nOptions: {options}\n{INSTRUCTION}"


PAPER_PROMPT = PaperPrompt("gpqa_diamond")


@scores_first_turn(prompt)
def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score by both rules."""
    found = letter(response.answer, doc["options"])
    paper = paper_gpqa(response.text) == doc["answer"]
    return Verdict.of(response, found, found == doc["answer"], paper=float(paper))


GRADER = Grader("gpqa_diamond", version=4, grade=grade, canonical=str)
