r"""GPQA-Diamond: the order of options, the prompt, both rules, the hub's file and the whole task; no real question."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import split_thinking
from sftgen_tasks import load_tasks
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.gpqa_diamond import ANSWERS, SOURCE, document, documents, grade, prompt
from sftgen_tasks.harness.task import GradeFilter, process_results

# As the hub's: more columns than we use, line breaks and commas inside.
ROWS = [
    {
        "Pre-Revision Question": "old",
        "Question": f"What is {n} + 1?\n\nChoose, please. ",
        "Correct Answer": f"{n + 1}\n",
        "Incorrect Answer 1": f"{n}",
        "Incorrect Answer 2": f"{n + 2}, or so",
        "Incorrect Answer 3": f"{n + 3}",
        "Record ID": f"rec{n}",
        "Canary String": "",
    }
    for n in range(400)
]


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A folder with the CSV where the hub has it."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    file = tmp_path / "Idavidrein" / "gpqa" / "gpqa_diamond.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(text.getvalue().encode())
    return tmp_path


def test_a_document_holds_the_question_the_options_and_their_order() -> None:
    row = ROWS[7]
    doc = document(row)
    assert list(doc) == ["record_id", "question", "options", "answer", "permutation"]
    assert (doc["record_id"], doc["question"]) == ("rec7", "What is 7 + 1?\n\nChoose, please.")
    assert doc["options"] == [row[ANSWERS[index]].strip() for index in doc["permutation"]]
    assert doc["options"]["ABCD".index(doc["answer"])] == "8"
    assert sorted(doc["permutation"]) == [0, 1, 2, 3]


def test_the_order_is_pinned() -> None:
    # The same on every machine and Python; another order is another evaluation.
    assert [document(row)["answer"] for row in ROWS[:12]] == list("DDCBDCDBAAAA")
    assert document(ROWS[0])["permutation"] == [3, 1, 2, 0]


def test_the_order_depends_on_content_only() -> None:
    row = ROWS[3]
    moved = {column: f" {text}\n" for column, text in reversed(row.items())} | {"Record ID": "other"}
    assert document(moved)["permutation"] == document(row)["permutation"]
    changed = [document({**row, "Question": f"{row['Question']}{n}"})["permutation"] for n in range(9)]
    assert len({tuple(order) for order in changed}) > 1


def test_right_answers_stand_at_every_place_equally_often() -> None:
    docs = [document(row) for row in ROWS]
    places = Counter(doc["answer"] for doc in docs)
    # Of 400 expect 100 each; chi-squared below 16.27 (3 degrees of freedom, 0.1 percent).
    assert sum((places[name] - 100) ** 2 / 100 for name in "ABCD") < 16.27
    assert len({tuple(doc["permutation"]) for doc in docs}) == 24


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_every_process_gives_the_same_order(seed: str, hub: Path) -> None:
    program = (
        "import json, sys; from sftgen_tasks.gpqa_diamond import documents\n"
        "print(json.dumps([doc['permutation'] for doc in documents(data_dir=sys.argv[1])['test']]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(hub)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [document(row)["permutation"] for row in ROWS]


def test_the_prompt() -> None:
    doc = {"question": "2+2?", "options": ["3", "4", "5", "6"]}
    assert prompt(doc) == (
        "Problem: 2+2?\nOptions: A) 3, B) 4, C) 5, D) 6\n"
        "Please reason step by step, and put your final answer within \\boxed{}. "
        "Only give the letter of the option (A, B, C or D) in it."
    )


# The right answer is B.
RULES: dict[str, tuple[str, tuple[str, float, float]]] = {
    "right": (r"<think>2+2</think>\boxed{B}", ("ok", 1.0, 1.0)),
    "wrong": (r"<think>2+2</think>\boxed{C}", ("ok", 0.0, 0.0)),
    "as text": (r"\boxed{\text{B}}", ("ok", 1.0, 0.0)),
    "with the option": (r"\boxed{B) 4}", ("ok", 1.0, 0.0)),
    "in brackets": (r"\boxed{(B)}", ("ok", 1.0, 0.0)),
    "in bold": ("<think>hm</think>It is **B**", ("ok", 1.0, 0.0)),
    "a statement": ("The correct answer is B.", ("ok", 1.0, 1.0)),
    "a guess in the thinking": (r"<think>\boxed{B}?</think>Answer: C", ("ok", 0.0, 1.0)),
    "thinking that never closes": (r"<think>the correct answer is B, wait", ("truncated", 0.0, 1.0)),
    "an article": ("The correct answer is between the lines.", ("no_answer", 0.0, 1.0)),
    "nothing": ("", ("no_answer", 0.0, 0.0)),
    "no option": (r"\boxed{E}", ("no_answer", 0.0, 0.0)),
}


@pytest.mark.parametrize(("text", "expected"), RULES.values(), ids=RULES)
def test_both_rules(text: str, expected: tuple[str, float, float]) -> None:
    verdict = grade({"options": ["3", "4", "5", "6"], "answer": "B"}, split_thinking(text))
    assert (verdict.status, verdict.score, verdict.paper) == expected


def test_the_hubs_file_and_a_plain_one_give_the_same_documents(hub: Path, tmp_path: Path) -> None:
    from_csv = list(documents(data_dir=str(hub))["test"])
    assert from_csv == [document(row) for row in ROWS]
    other = tmp_path / "other"
    other.mkdir()
    kept = (*SOURCE.columns, SOURCE.id_column)
    lines = [json.dumps({column: row[column] for column in kept}) + "\n" for row in ROWS]
    (other / "gpqa_diamond.jsonl").write_text("".join(lines))
    assert list(documents(data_dir=str(other))["test"]) == from_csv


def test_without_the_data_the_error_says_where_to_ask() -> None:
    with pytest.raises(DataError, match=r"gated.*huggingface.co/datasets/Idavidrein/gpqa.*HF_TOKEN"):
        documents()


def test_the_whole_task(hub: Path) -> None:
    task = load_tasks(["sftgen_gpqa_diamond"], {"data_dir": str(hub)}).tasks["sftgen_gpqa_diamond"]
    assert task.config.repeats == 3
    settings: dict[str, Any] = task.config.generation_kwargs
    assert (settings["temperature"], settings["top_p"], settings["max_gen_toks"]) == (0.6, 0.95, 32768)
    docs = list(task.test_docs())
    assert len(docs) == 400
    assert task.doc_to_text(docs[0]) == prompt(docs[0])
    assert task.doc_to_target(docs[0]) == docs[0]["answer"]
    right = rf"<think>hm</think>\boxed{{{docs[0]['answer']}}}"
    [graded] = GradeFilter("sftgen_gpqa_diamond", grader="gpqa_diamond").apply([[right, "?", "<think>"]], docs[:1])
    assert process_results(docs[0], [graded]) == {
        "score": pytest.approx(1 / 3),
        "score_paper": pytest.approx(1 / 3),
        "answered": pytest.approx(1 / 3),
        "truncated": pytest.approx(1 / 3),
        "coverage": 1.0,
        "wrote_on": 0.0,
        "score_whole": pytest.approx(1 / 3),
    }


def test_a_subset_of_documents_can_be_named(hub: Path, tmp_path: Path) -> None:
    from sftgen_tasks.data.documents import make_manifest

    docs = list(documents(data_dir=str(hub))["test"])
    manifest = tmp_path / "subset.json"
    manifest.write_text(json.dumps(make_manifest("sftgen_gpqa_diamond", docs[5:8])))
    assert [doc["id"] for doc in json.loads(manifest.read_text())["docs"]] == ["rec5", "rec6", "rec7"]
    assert list(documents(data_dir=str(hub), subset=str(manifest))["test"]) == docs[5:8]
