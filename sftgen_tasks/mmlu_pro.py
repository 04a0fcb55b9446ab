r"""MMLU-Pro: questions of 14 subjects with up to ten options, the letter in `\boxed{}`, one sample.

Protocol (arXiv 2604.06628): one user turn with the question, an option a line and the instruction; temperature 0.6,
top_p 1.0, one sample; 32,768 new tokens; 1,000 of the 12,032 questions. Question and options stand as in the paper's
prompt. The instruction is in our own words, which should move little, of base models most.

* `strict`: in the answer part (outside the thinking) the last `\boxed{}` that holds a letter, else the last sentence
  such as "the answer is (B)", else the option that is written out, else a letter that stands alone. `readers.letters`
  has the rule in full. A letter counts only if the question has that option. A letter that is denied or only supposed
  is no answer, nor are several letters, the first letter of a word, a variable, a Roman numeral or the label of a
  part. A response without a letter has no answer; one whose thinking never closed is wrong.
* `paper`: the first "answer is B", "answer is (B", `\boxed{B}` or `\boxed{\text{B}}` of the whole response, thinking
  included (`paper.paper_mmlu_pro`). So a guess in the thinking goes before the final answer. Letter case matters, and
  the letter after "answer is" may be the beginning of a word.

A response is scored up to where it begins another question or turn (`readers.first_turn`). The `paper` rule reads all
of it.

The paper's authors did not release their 1,000 questions. Ours (`sftgen_mmlu_pro`) are drawn by `sample`: equally many
of each subject, in the order of SHA-256 of `SEED` and question id. Their manifest, `data/subsets/mmlu_pro_1000.json`,
holds ids and content hashes. It was made from the copies of the test split in the dataset authors' own result files of
June and October 2024, without the questions that differ between the two files and those that the authors announced to
change later. The full set is `sftgen_mmlu_pro_full`.

Blanks around a question or an option are removed: in some subjects they mark the right option. The paper's prompt
(`--metadata prompts=paper`) shows them, which may raise a score.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.schema import content_hash, doc_hash
from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.paper_prompts import PaperPrompt, note_original
from sftgen_tasks.data.rows import Rows, digest
from sftgen_tasks.data.tables import DataError, read_table
from sftgen_tasks.readers.first_turn import scores_first_turn
from sftgen_tasks.readers.letters import LETTERS, letter
from sftgen_tasks.readers.paper import paper_mmlu_pro

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

SEED, SIZE = 0, 1000
SUBJECTS = (
    *("biology", "business", "chemistry", "computer science", "economics", "engineering", "health"),
    *("history", "law", "math", "other", "philosophy", "physics", "psychology"),
)
INSTRUCTION = (
    "Please reason step by step, and put your final answer within \\boxed{}. "
    "Only give the letter of the option (A-J) in it."
)
SUBSET = Path(__file__).parent / "data" / "subsets" / "mmlu_pro_1000.json"

SOURCE = HubSource(
    task="sftgen_mmlu_pro",
    repo="TIGER-Lab/MMLU-Pro",
    split="test",
    revision="b189ec765aa7ed75c8acfea42df31fdae71f97be",
    columns={"question": str, "options": list, "answer": str, "category": str},
    id_column="question_id",
)


def documents(subject: str, full: bool = False, **metadata: Any) -> dict[str, Dataset]:
    """One subject's questions, of the subset or all, as lm_eval's `custom_dataset` wants them.

    Args:
        subject: As in the task's name, such as `computer_science`.
        full: Whether all questions are asked, instead of the subset.
        metadata: lm_eval's metadata; a `subset` made by `write_subset` replaces the one of the package.

    Raises:
        DataError: The rows are missing or malformed, or the questions of the subset are absent or have changed.
    """
    task = f"{SOURCE.task}_{'full_' * full}{subject}"
    rows, origin = SOURCE.read(**metadata)
    category = subject.replace("_", " ")
    docs = [
        document(row, f"{origin}, row {number}") for number, row in enumerate(rows, 1) if row["category"] == category
    ]
    if not full:
        docs, origin = _chosen(docs, origin, category, metadata.get("subset"))
    return finish(task, docs, origin, metadata, SOURCE.id_column)


def document(row: Mapping[str, Any], where: str = "row") -> dict[str, Any]:
    """A hub row as a document.

    Raises:
        DataError: The right answer is not one of the options.
    """
    options = [str(option).strip() for option in row["options"]]
    if row["answer"] not in tuple(LETTERS[: len(options)]):
        raise DataError(f"{where}: the answer is {row['answer']!r}, but there are {len(options)} options")
    doc = {
        "question_id": row.get(SOURCE.id_column),
        "question": row["question"].strip(),
        "options": options,
        "answer": row["answer"],
        "category": row["category"],
    }
    note_original(doc, question=row["question"], options=[str(option) for option in row["options"]])
    return doc


def prompt(doc: Mapping[str, Any]) -> str:
    """The user turn."""
    options = "\n".join(f"{name}. {option}" for name, option in zip(LETTERS, doc["options"], strict=False))
    return f"Question:\n{doc['question']}\nOptions:\n{options}\n{INSTRUCTION}"


PAPER_PROMPT = PaperPrompt("mmlu_pro")


@scores_first_turn(prompt)
def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score by both rules."""
    found = letter(response.answer, doc["options"])
    paper = paper_mmlu_pro(response.text) == doc["answer"]
    return Verdict.of(response, found, found == doc["answer"], paper=float(paper))


GRADER = Grader("mmlu_pro", version=4, grade=grade, canonical=str)


def sample(docs: Sequence[Mapping[str, Any]], left_out: Collection[int] = (), size: int = SIZE) -> Rows:
    """Draw equally many questions of each subject; if `size` does not divide, some subjects get one more.

    Subjects and their questions are put in the order of a hash of `SEED` and their name or id. This order depends
    neither on a random number generator nor on the order of `docs`.
    """
    subjects: dict[str, Rows] = defaultdict(list)
    for doc in docs:
        if doc["question_id"] not in left_out:
            subjects[doc["category"]].append(dict(doc))
    share, rest = divmod(size, len(subjects))
    chosen: Rows = []
    for rank, subject in enumerate(sorted(subjects, key=lambda name: content_hash(SEED, name))):
        ordered = sorted(subjects[subject], key=lambda doc: content_hash(SEED, doc["question_id"]))
        chosen += ordered[: share + (rank < rest)]
    return chosen


def write_subset(path: Path, left_out: Collection[int] = (), **metadata: Any) -> None:
    """Draw a subset of your own copy of the dataset and write its manifest, for `--metadata subset=...`.

    Args:
        path: The file to write.
        left_out: Ids of questions that are not drawn.
        metadata: lm_eval's metadata; `data_dir` is read here.
    """
    rows, origin = SOURCE.read(**metadata)
    chosen = sample([document(row) for row in rows], left_out)
    head = {"task": SOURCE.task, "origin": origin, "seed": SEED, "sha256": digest(chosen), "left_out": [*left_out]}
    docs = [{"id": str(doc["question_id"]), "category": doc["category"], "sha256": doc_hash(doc)} for doc in chosen]
    lines = ",\n".join(f"  {json.dumps(doc)}" for doc in docs)
    write_atomic(path, f'{json.dumps(head)[:-1]},\n "docs": [\n{lines}\n]}}\n')


def _chosen(docs: Rows, origin: str, category: str, subset: Any) -> tuple[Rows, str]:
    """The questions of the subset that belong to a subject, and a description of their origin."""
    path = SUBSET
    [manifest] = read_table(path, single=True)
    if subset:
        [given] = read_table(Path(str(subset)), single=True)
        if given.get("task") == SOURCE.task:  # a single subject's manifest is applied later, to these questions
            path, manifest = Path(str(subset)), given
    try:
        wanted = {doc["id"]: doc["sha256"] for doc in manifest["docs"] if doc["category"] == category}
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not a manifest of {SOURCE.task}, expected `docs` of id, category, sha256") from error
    by_id = {str(doc["question_id"]): doc for doc in docs}
    absent = [name for name in wanted if name not in by_id]
    changed = [name for name in wanted if name in by_id and doc_hash(by_id[name]) != wanted[name]]
    # At the pinned commit the content is fixed. The authors have corrected answers since: warn, and go on.
    pinned = SOURCE.revision in origin
    if absent or (changed and not pinned):
        raise DataError(
            f"{origin}: of the {len(wanted)} {category} questions in {path.name}, {len(absent)} are absent "
            f"({', '.join(absent[:3]) or 'none'}) and {len(changed)} have other content "
            f"({', '.join(changed[:3]) or 'none'}). Get {SOURCE.repo} at revision {SOURCE.revision[:12]}, or draw a "
            "subset of this copy: see docs/tasks.md, MMLU-Pro"
        )
    note = f"{origin}, {len(wanted)} questions of {path.name}"
    if changed:
        note += f", {len(changed)} with other content: {' '.join(changed)}"
        logger.warning("%s", note)
    return [by_id[name] for name in wanted], note
