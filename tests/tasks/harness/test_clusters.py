"""Documents that a benchmark made of one source say so in their samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftgen_tasks import halueval
from sftgen_tasks.data.documents import finish, loaded
from sftgen_tasks.harness.graded import as_samples
from sftgen_tasks.harness.task import GradeFilter


def test_candidates_of_one_row_share_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTGEN_RUN_DIR", str(tmp_path))
    rows = [("K", "Q", "right", "no"), ("K", "Q", "wrong", "yes"), ("K", "other", "right", "no")]
    docs = [
        halueval.document("qa", {"knowledge": k, "question": q, "answer": a, "hallucination": label})
        for k, q, a, label in rows
    ]
    task = "sftgen_halueval_qa"
    finish(task, docs, "here", {}, None, cluster=halueval.KINDS["qa"].source)
    assert loaded(task).cluster == ("knowledge", "question")
    graded = GradeFilter(task, grader="halueval").apply([["No"], ["Yes"], ["No"]], docs)
    first, second, third = (as_samples(of_doc)[0].cluster for of_doc in graded)
    assert first == second
    assert first is not None
    assert third not in {None, first}


def test_other_documents_stand_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTGEN_RUN_DIR", str(tmp_path))
    doc = halueval.document("qa", {"knowledge": "K", "question": "Q", "answer": "A", "hallucination": "no"})
    finish("sftgen_halueval_qa", [doc], "here", {}, None)
    [[graded]] = GradeFilter("sftgen_halueval_qa", grader="halueval").apply([["No"]], [doc])
    assert as_samples([graded])[0].cluster is None
