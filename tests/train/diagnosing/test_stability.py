"""Documents won and lost, sharpening against loss, agreement of repeats: runs with known answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sftgen_judges import Finding, History, Verdict
from sftgen_judges.records.query import open_records
from sftgen_judges.records.store import RunFolder
from sftgen_train.diagnosing.consistency import CONSISTENCY
from sftgen_train.diagnosing.stability import STABILITY, _churned, _sharpened
from sftgen_train.results.run import add_results
from sftgen_train.trajectory.loading import TaskSamples
from sftgen_train.trajectory.pairing import Samples
from tests.train.report.made_runs import graded

TASK, DOCUMENTS, REPEATS = "sftgen_math500", 60, 8


def found(folder: Path, rights: dict[int, np.ndarray], kind: str = "stability") -> dict[str, Finding]:
    """The findings of a run whose answers are right where an array, documents x repeats, says so."""
    run = RunFolder(folder)
    run.update_manifest(model="m", tasks=[TASK])
    for step, right in rights.items():
        result = graded(TASK, step, 0, of=len(right), repeats=right.shape[1])
        samples = [
            replace(sample, verdict=Verdict("ok", float(of), answer=str(of)))
            for sample, of in zip(result.samples, right.reshape(-1).tolist(), strict=True)
        ]
        add_results(run, step, [replace(result, samples=samples)], 1.0)
    with open_records(folder) as records:
        diagnostic = {"stability": STABILITY, "consistency": CONSISTENCY}[kind]
        return {finding.title: finding for finding in diagnostic.diagnose(History(records, kind))}


def drawn(rates: np.ndarray | float, seed: int, repeats: int = REPEATS) -> np.ndarray:
    return (
        np.random.default_rng(seed).random((DOCUMENTS, repeats)) < np.broadcast_to(rates, DOCUMENTS)[:, None]
    ).astype(int)


HALF = np.full(DOCUMENTS, 0.5)
SURE = np.where(np.arange(DOCUMENTS) % 3 < 2, 0.97, 0.0)
"""Two thirds are answered nearly always, the others never: pass@1 up, pass@k down."""
SHARE = np.where(np.arange(DOCUMENTS) % 2, 0.98, 0.02)
"""As many are right as before, but always the same."""


@pytest.mark.parametrize(
    ("after", "word", "certainty"),
    [
        (SURE, "Sharpening: ", "clear"),
        (np.full(DOCUMENTS, 0.1), "Loss: ", "clear"),
        (HALF, "Neither sharpening nor loss is shown: ", "unclear"),
        (SHARE, "pass@8 fell, and no change of pass@1 is shown: ", "clear"),
    ],
)
def test_sharpening_is_told_from_loss(tmp_path: Path, after: np.ndarray, word: str, certainty: str) -> None:
    finding = found(tmp_path, {0: drawn(HALF, 1), 9: drawn(after, 2)})["sharpening or loss"]
    assert finding.sentence.startswith(word)
    assert finding.certainty == certainty
    assert finding.table
    assert finding.table.columns == ("step", "pass@1", "pass@2", "pass@4", "pass@8")
    assert "from step 0 to 9 pass@1 went from" in finding.sentence


@pytest.mark.parametrize(
    ("after", "word", "certainty"),
    [
        (lambda: drawn(1 - SURE, 2), "More changed than chance: ", "clear"),
        (lambda: drawn(SURE, 3), "No more than chance is shown: ", "unclear"),
        (
            lambda: drawn(SURE, 4, 1),
            "With one answer each nobody can tell luck from change: ",
            "cannot tell",
        ),
    ],
)
def test_what_changed_is_told_from_luck(
    tmp_path: Path, after: Callable[[], np.ndarray], word: str, certainty: str
) -> None:
    second = after()
    finding = found(tmp_path, {0: drawn(SURE, 1, second.shape[1]), 9: second})["won and lost"]
    assert finding.sentence.startswith(word)
    assert finding.certainty == certainty
    values = {metric.name: metric.value for metric in finding.metrics}
    assert sum(values[name] or 0 for name in ("won", "lost", "kept", "missed")) == pytest.approx(1)


def test_a_model_that_became_sure_changed_though_fewer_of_its_answers_did(tmp_path: Path) -> None:
    unsure = 0.5 + (SHARE - 0.5) * 0.4
    finding = found(tmp_path, {0: drawn(unsure, 1), 9: drawn(SHARE, 2)})["won and lost"]
    said = "Documents became easier or harder by more than chance, though no more answers changed: "
    assert finding.sentence.startswith(said)
    assert finding.certainty == "clear"


def test_of_one_answer_each_only_the_balance_tells(tmp_path: Path) -> None:
    before = drawn(HALF, 1, 1)
    after = np.where(np.arange(DOCUMENTS)[:, None] < 40, 0, before)
    finding = found(tmp_path, {0: before, 9: after})
    assert finding.keys() == {"won and lost"}
    assert finding["won and lost"].sentence.startswith("More were lost than won, which luck does not do: ")
    assert finding["won and lost"].certainty == "clear"


def test_where_every_document_moved_alike_it_is_no_luck(tmp_path: Path) -> None:
    finding = found(tmp_path, {0: np.ones((8, 2), int), 9: np.zeros((8, 2), int)})["won and lost"]
    assert finding.certainty == "clear"
    assert "100% lost" in finding.sentence


def test_a_document_that_was_not_answered_at_the_end_is_left_out_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    values = np.stack([drawn(0.2, 1), drawn(0.9, 2)], axis=1).astype(np.float64)
    values[0, 1] = np.nan
    found = _churned(
        TaskSamples("run", "run", TASK, Samples(values, (0, 10), np.arange(DOCUMENTS)), share=True, ways={})
    )
    assert f"{DOCUMENTS - 1} documents" in found.measured_on
    assert not recwarn.list


def test_agreement_of_repeats(tmp_path: Path) -> None:
    right = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]])
    finding = found(tmp_path, {0: right}, "consistency")["consistency"]
    values = {metric.name: (metric.value, metric.n) for metric in finding.metrics}
    assert values["majority"] == (pytest.approx((3 / 4 + 1 + 2 / 4) / 3), 3)
    assert values["pairs"] == (pytest.approx((3 / 6 + 1 + 2 / 6) / 3), 3)
    assert finding.certainty == "cannot tell"
    assert finding.measured_on.startswith("3 documents with 4 answers each at 1 step;")
    assert found(tmp_path / "one", {0: right[:, :1]}, "consistency") == {}


def test_where_nothing_changed_next_to_nothing_is_claimed() -> None:
    claimed, runs, documents = [0, 0], 40, 60
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        rates = rng.beta(0.5, 0.5, documents)  # most documents are nearly always or nearly never answered
        values = (rng.random((documents, 2, 4)) < rates[:, None, None]).astype(float)
        names = np.array([str(n) for n in range(documents)], dtype=object)
        of = TaskSamples("r", "f", TASK, Samples(values, (0, 9), names), share=True, ways={})
        for place, finding in enumerate((_churned(of), _sharpened(of))):
            claimed[place] += finding.certainty == "clear"
    # Each is wrong in at most 5 %: of 40 more than 6 would be chance once in a hundred times.
    assert max(claimed) <= 6


def test_agreement_of_repeats_is_claimed_to_change_where_it_does_and_next_to_never_else(tmp_path: Path) -> None:
    documents, repeats, same, other = 50, 3, 40, 10
    rng, run = np.random.default_rng(5), RunFolder(tmp_path)
    # How sure the model is of its answer: of each document alike at both steps, or less so at the second.
    sure = {f"same {n}": rng.beta(2, 2, documents) for n in range(same)}
    sure |= {f"less {n}": rng.beta(6, 2, documents) for n in range(other)}
    for step in (0, 9):
        rows = [
            {
                "task": task, "step": step, "model": str(step), "sampling_id": "s", "doc_hash": str(document),
                "repeat": repeat, "status": "ok", "score": 0.0, "evaluated_at": "2026-01-01T00:00:00+00:00",
                "answer": "7" if rng.random() < of - 0.35 * (step == 9 and task[0] == "l") else str(rng.integers(99)),
            }
            for task, each in sure.items() for document, of in enumerate(each) for repeat in range(repeats)
        ]  # fmt: skip
        run.add_evaluation(rows, [], {"step": step, "status": "ok"})
    with open_records(tmp_path) as records:
        findings = {of.task: of for of in CONSISTENCY.diagnose(History(records, "consistency"))}
    claimed = {task for task, finding in findings.items() if finding.certainty == "clear"}
    assert len(findings) == same + other
    # Wrong in at most 5 %: of 40 more than 6 would be chance once in a hundred times.
    assert sum(str(task).startswith("same") for task in claimed) <= 6
    assert {task for task in findings if str(task).startswith("less")} <= claimed
    assert all(" fell from " in findings[task].sentence for task in claimed if str(task).startswith("less"))
