r"""MMLU-Pro: the sampler and its manifest, documents, both rules, whole tasks, stored outputs of real models."""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from sftgen_judges import split_thinking
from sftgen_judges.records.schema import doc_hash
from sftgen_tasks import load_tasks
from sftgen_tasks.data.documents import loaded
from sftgen_tasks.data.rows import digest
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.harness.task import GradeFilter, process_results
from sftgen_tasks.mmlu_pro import SOURCE, SUBJECTS, SUBSET, document, documents, grade, prompt, sample, write_subset
from sftgen_tasks.readers.letters import letter
from sftgen_tasks.readers.paper import paper_mmlu_pro
from tests import portion

MANIFEST = json.loads(SUBSET.read_text())
# As the hub's rows: 20 a subject, ids in no order, blanks around options.
ROWS: list[dict[str, Any]] = [
    {
        "question_id": number * 11 % 280,
        "question": f"What is {number} + 1? ",
        "options": [str(number), f" {number + 1}", f"{number + 2}", *(["9.5"] * (number % 8))],
        "answer": "B",
        "answer_index": 1,
        "cot_content": "",
        "category": SUBJECTS[number % 14],
        "src": "made here",
    }
    for number in range(280)
]


def put(folder: Path, rows: list[dict[str, Any]], name: str = "data/test-00000-of-00001.parquet") -> Path:
    """Write rows where the hub has them."""
    import pyarrow
    import pyarrow.parquet

    file = folder / "TIGER-Lab" / "MMLU-Pro" / name
    if name.startswith("datasets--"):
        file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    file.write_bytes(buffer.getvalue())
    return file


@pytest.fixture
def hub(tmp_path: Path) -> dict[str, str]:
    """Metadata for a folder in the hub's layout and a subset of 28 of its questions."""
    put(tmp_path, ROWS)
    (tmp_path / "subset.json").write_text(json.dumps(manifest_of(sample([document(row) for row in ROWS], size=28))))
    return {"data_dir": str(tmp_path), "subset": str(tmp_path / "subset.json")}


def manifest_of(docs: list[dict[str, Any]]) -> dict[str, Any]:
    entries = [{"id": str(doc["question_id"]), "category": doc["category"], "sha256": doc_hash(doc)} for doc in docs]
    return {"task": "sftgen_mmlu_pro", "docs": entries}


# ------------------------------------------------------------------------------ documents


def test_a_document_keeps_what_is_asked_without_blanks_around() -> None:
    assert document(ROWS[9]) == {
        "question_id": 99,
        "question": "What is 9 + 1?",
        "options": ["9", "10", "11", "9.5"],
        "answer": "B",
        "category": "math",
    }


@pytest.mark.parametrize("answer", ["E", "b", "AB", "", "1"])
def test_an_answer_that_is_no_option_is_refused(answer: str) -> None:
    with pytest.raises(DataError, match=r"row 3: the answer is .* there are 4 options"):
        document({**ROWS[9], "answer": answer}, "row 3")


def test_the_prompt() -> None:
    assert prompt({"question": "2+2?", "options": ["3", "4", "5"]}) == (
        "Question:\n2+2?\nOptions:\nA. 3\nB. 4\nC. 5\n"
        "Please reason step by step, and put your final answer within \\boxed{}. "
        "Only give the letter of the option (A-J) in it."
    )


# The right answer is B, of ten options.
RULES: dict[str, tuple[str, tuple[str, float, float]]] = {
    "right": (r"<think>2+2</think>\boxed{B}", ("ok", 1.0, 1.0)),
    "as text": (r"\boxed{\text{B}}", ("ok", 1.0, 1.0)),
    "with the option": (r"\boxed{B. 4}", ("ok", 1.0, 0.0)),
    "a guess in the thinking": (r"<think>the answer is C?</think>\boxed{B}", ("ok", 1.0, 0.0)),
    "right in the thinking only": (r"<think>the answer is B?</think>\boxed{C}", ("ok", 0.0, 1.0)),
    "thinking that never closes": (r"<think>\boxed{B}, wait", ("truncated", 0.0, 1.0)),
    "a word": ("The answer is Basalt.", ("no_answer", 0.0, 1.0)),
    "nothing": ("", ("no_answer", 0.0, 0.0)),
}


@pytest.mark.parametrize(("text", "expected"), RULES.values(), ids=RULES)
def test_both_rules(text: str, expected: tuple[str, float, float]) -> None:
    verdict = grade({"options": list("0123456789"), "answer": "B"}, split_thinking(text))
    assert (verdict.status, verdict.score, verdict.paper) == expected


# ------------------------------------------------------------------------------ the subset


def test_the_sampler_draws_equally_many_a_subject() -> None:
    docs = [document(row) for row in ROWS]
    counts = Counter(doc["category"] for doc in sample(docs, size=100))
    assert sorted(counts.values()) == [7] * 12 + [8] * 2
    assert set(counts) == set(SUBJECTS)
    assert sample(docs, size=100) == sample(docs[::-1], size=100)
    # A smaller draw of a subject is the beginning of a larger one.
    small, large = ([doc for doc in sample(docs, size=size) if doc["category"] == "law"] for size in (28, 98))
    assert large[:2] == small
    left_out = {doc["question_id"] for doc in small}
    assert not left_out & {doc["question_id"] for doc in sample(docs, left_out, size=98)}


def test_the_manifest_of_the_package() -> None:
    docs = MANIFEST["docs"]
    assert len({doc["id"] for doc in docs}) == 1000
    counts = Counter(doc["category"] for doc in docs)
    assert set(counts) == set(SUBJECTS)
    assert set(counts.values()) == {71, 72}
    assert all(set(doc) == {"id", "category", "sha256"} and len(doc["sha256"]) == 64 for doc in docs)
    assert not {int(doc["id"]) for doc in docs} & set(MANIFEST["left_out"])


def test_a_subject_gets_its_questions_of_the_subset(hub: dict[str, str]) -> None:
    docs = list(documents("computer_science", **hub)["test"])
    assert docs == [doc for doc in sample([document(row) for row in ROWS], size=28) if doc["category"] == SUBJECTS[3]]
    assert "2 questions of subset.json" in loaded("sftgen_mmlu_pro_computer_science").origin
    assert len(documents("computer_science", full=True, **hub)["test"]) == 20


def refused(subject: str, **metadata: Any) -> str:
    with pytest.raises(DataError) as caught:
        documents(subject, **metadata)
    return str(caught.value)


CHANGES = {
    "question": lambda row: {**row, "question": "What?"},
    "option": lambda row: {**row, "options": [*row["options"][:-1], "other"]},
    "answer": lambda row: {**row, "answer": "A"},
    "category": lambda row: {**row, "category": "law" if row["category"] != "law" else "math"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_content_is_refused(change: str, hub: dict[str, str]) -> None:
    put(Path(hub["data_dir"]), [CHANGES[change](row) for row in ROWS])
    message = refused("history", **hub)
    # In another category a question is absent from its own.
    found = ("2 are absent", "0 have other") if change == "category" else ("0 are absent", "2 have other content")
    for part in (hub["data_dir"], "2 history questions", *found, "b189ec765aa7"):
        assert part in message


def test_absent_questions_are_refused(hub: dict[str, str]) -> None:
    del hub["subset"]
    message = refused("history", **hub)
    assert "of the 71 history questions in mmlu_pro_1000.json" in message
    assert "docs/tasks.md" in message


def test_columns_and_blanks_that_do_not_matter_are_not_content(hub: dict[str, str]) -> None:
    rows = [{**row, "question": row["question"].strip(), "src": "x", "more": 1} for row in ROWS[::-1]]
    before = list(documents("history", **hub)["test"])
    put(Path(hub["data_dir"]), rows)
    assert list(documents("history", **hub)["test"]) == before


def test_the_pinned_commit_is_asked_as_it_is_now(
    hub: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = f"datasets--TIGER-Lab--MMLU-Pro/snapshots/{SOURCE.revision}/data/test-00000-of-00001.parquet"
    put(tmp_path / "cache", [CHANGES["answer"](row) for row in ROWS], cache)
    with caplog.at_level(logging.WARNING):
        docs = documents("history", **{**hub, "data_dir": str(tmp_path / "cache")})["test"]
    assert list(docs["answer"]) == ["A", "A"]
    assert "2 with other content" in caplog.text
    assert "2 with other content" in loaded("sftgen_mmlu_pro_history").origin
    put(tmp_path / "cache", ROWS[:3], cache)
    assert "2 are absent" in refused("history", **{**hub, "data_dir": str(tmp_path / "cache")})


def test_a_subset_of_ones_own_copy(hub: dict[str, str], tmp_path: Path) -> None:
    write_subset(tmp_path / "mine.json", [0, 7], data_dir=hub["data_dir"])
    mine = json.loads((tmp_path / "mine.json").read_text())
    assert (mine["task"], mine["left_out"], len(mine["docs"])) == ("sftgen_mmlu_pro", [0, 7], 278)
    hub["subset"] = str(tmp_path / "mine.json")
    assert len(documents("biology", **hub)["test"]) == 19
    assert len(documents("law", **hub)["test"]) == 20


@pytest.mark.parametrize("docs", [None, [{"id": "1"}], ["1"], {}])
def test_what_is_no_manifest_is_refused(docs: Any, hub: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps({"task": "sftgen_mmlu_pro", "docs": docs}))
    assert "bad.json" in refused("law", **{**hub, "subset": str(tmp_path / "bad.json")})


# ------------------------------------------------------------------------------ whole tasks


def test_the_group_has_the_subjects_and_their_means(hub: dict[str, str]) -> None:
    for name, size in (("sftgen_mmlu_pro", 2), ("sftgen_mmlu_pro_full", 20)):
        group = load_tasks([name], hub)
        assert list(group.tasks) == [f"{name}_{subject.replace(' ', '_')}" for subject in SUBJECTS]
        assert {len(task.test_docs()) for task in group.tasks.values()} == {size}
        aggregates = group.groups[name].aggregate_metric_list
        assert [aggregate.metric for aggregate in aggregates] == ["score", "score_paper", "answered", "truncated"]
        assert all(aggregate.weight_by_size for aggregate in aggregates)


def test_one_subject_by_itself_decodes_as_in_the_group(hub: dict[str, str]) -> None:
    alone = load_tasks(["sftgen_mmlu_pro_law"], hub).tasks["sftgen_mmlu_pro_law"]
    grouped = load_tasks(["sftgen_mmlu_pro"], hub).tasks["sftgen_mmlu_pro_law"]
    settings = {"until": [], "do_sample": True, "temperature": 0.6, "top_p": 1.0, "top_k": 0, "max_gen_toks": 32768}
    assert alone.config.generation_kwargs == grouped.config.generation_kwargs == settings
    assert alone.config.repeats == 1
    [doc, _] = alone.test_docs()
    assert alone.doc_to_text(doc) == prompt(doc)
    assert alone.doc_to_target(doc) == "B"
    [graded] = GradeFilter("sftgen_mmlu_pro_law", grader="mmlu_pro").apply([[r"\boxed{(B)}"]], [doc])
    assert process_results(doc, [graded]) == {
        "score": 1.0,
        "score_paper": 0.0,
        "answered": 1.0,
        "truncated": 0.0,
        "coverage": 1.0,
        "wrote_on": 0.0,
        "score_whole": 1.0,
    }


# ------------------------------------------------------------------------------ real outputs

FILES = {
    "llama": ("model_outputs_Meta-Llama-3-8B_5shots.zip", "generated_text"),
    "gemini": ("model_outputs_gemini-1.5-flash-002_5shots.zip", "model_outputs"),
}


def outputs(folder: Path, name: str) -> list[dict[str, Any]]:
    """The origin's rows, each with the model's text as `text`."""
    file, column = FILES[name]
    with zipfile.ZipFile(folder / "mmlu_pro" / file) as archive:
        rows = json.loads(archive.read(file.replace(".zip", ".json")))
    return [{**row, "text": row[column]} for row in rows]


def origins_rule(text: str) -> str | None:
    """The dataset authors' three patterns; the last one, in linear time: the last letter that stands alone."""
    first = re.search(r"answer is \(?([A-J])\)?", text) or re.search(r"(?m)^.*[aA]nswer:\s*([A-J])", text)
    return first[1] if first else next(reversed(re.findall(r"\b[A-J]\b", text)), None)


def accuracy(rows: list[dict[str, Any]], read: list[str | None]) -> float:
    return round(100 * sum(found == row["answer"] for row, found in zip(rows, read, strict=True)) / len(rows), 2)


def test_the_manifest_comes_from_the_real_questions(data_dir: Path) -> None:
    older, newer = ({row["question_id"]: document(row) for row in outputs(data_dir, name)} for name in FILES)
    assert len(older) == 12_032
    left_out = set(MANIFEST["left_out"])
    assert {number for number, doc in older.items() if newer.get(number) != doc} <= left_out
    chosen = sample(list(newer.values()), left_out)
    assert manifest_of(chosen)["docs"] == MANIFEST["docs"]
    assert digest(chosen) == MANIFEST["sha256"]


def test_the_subset_is_loaded_from_the_real_questions(data_dir: Path, tmp_path: Path) -> None:
    put(tmp_path, outputs(data_dir, "llama"))
    tasks = load_tasks(["sftgen_mmlu_pro"], {"data_dir": str(tmp_path)}).tasks
    assert sum(len(task.test_docs()) for task in tasks.values()) == 1000
    full = load_tasks(["sftgen_mmlu_pro_full"], {"data_dir": str(tmp_path)}).tasks
    assert sum(len(task.test_docs()) for task in full.values()) == 12_032


def test_published_accuracy_of_a_chat_model(data_dir: Path) -> None:
    rows = outputs(data_dir, "gemini")
    texts = [row["text"] for row in rows]
    assert [origins_rule(text) for text in texts] == [row["pred"] for row in rows]
    assert accuracy(rows, [row["pred"] for row in rows]) == 64.09
    assert accuracy(rows, [paper_mmlu_pro(text) for text in texts]) == 63.81
    ours = [letter(row["text"], len(row["options"])) for row in rows]
    assert accuracy(rows, ours) == pytest.approx(64.04, abs=0.03)
    # Elsewhere than in the 396 rows where the origin fills in any letter that stands alone, 1 percent differs.
    first = [match and match[1] for match in (re.search(r"answer is \(?([A-J])", text) for text in texts)]
    assert sum(a != b for a, b in zip(ours, first, strict=True)) <= 120


def test_published_accuracy_of_a_base_model(data_dir: Path) -> None:
    rows = outputs(data_dir, "llama")
    paper = [paper_mmlu_pro(row["text"]) for row in rows]
    assert [None if found == "[invalid]" else found for found in paper] == [row["pred"] for row in rows]
    assert accuracy(rows, list(paper)) == 34.18
    # The model goes on with questions of its own: of the whole, the last answer would count.
    some = portion(rows, 6)
    graded = [grade(row, split_thinking(row["text"])) for row in some]
    means = {name: 100 * fmean(verdict.measures[name] for verdict in graded) for name in ("wrote_on", "score_whole")}
    ours, of_paper = fmean(verdict.score or 0 for verdict in graded), accuracy(some, list(portion(paper, 6)))
    assert 100 * ours == pytest.approx(of_paper, abs=0.3)
    assert means["wrote_on"] == pytest.approx(89, abs=2)
    assert means["score_whole"] < of_paper - 9
