"""docs/queries.md: every query runs, and gives the columns that the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sftgen_judges.records.journal import append_rows
from sftgen_judges.records.query import Records, open_records
from tests.judges.records.run_folders import add, compact, generation, metric, sample, start

PAGE = (Path(__file__).parents[3] / "docs" / "queries.md").read_text(encoding="utf-8")
QUESTION = re.compile(r"^## (\d+)\. (.+?)$.*?^```sql\n(.*?)^```\n\n\| (.*?) \|\n", re.MULTILINE | re.DOTALL)
STEPS = (0, 20, 320)
IFEVAL = {"prompt_strict": 0.0, "inst_strict": [1, 3], "inst_loose": [2, 3]}


@pytest.fixture(scope="module", params=["live", "compacted"])
def records(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Records:
    run = start(tmp_path_factory.mktemp("run"))
    for step in STEPS:
        for task in ("sftgen_countdown", "sftgen_parity"):
            wrong = [float(step != 20 and n < 2) for n in range(4)]
            add(
                run,
                samples=[sample(n, task=task, step=step, score=score) for n, score in enumerate(wrong)],
                texts=[generation(n, task=task, step=step) for n in range(4)],
                metrics=[metric(task=task, step=step)],
            )
        facts = {"step": step, "status": "ok", "seconds": 1.5, "at": "2026-01-01T00:00:00+00:00"}
        append_rows(run / "evaluations.jsonl", [facts])
    add(run, samples=[sample(task="sftgen_ifeval", step=0, measures=IFEVAL)])
    if request.param == "compacted":
        compact(run)
    return open_records(run)


def test_there_are_ten_questions() -> None:
    assert [number for number, *_ in QUESTION.findall(PAGE)] == [str(number) for number in range(1, 11)]
    assert PAGE.count("```sql") == 10


@pytest.mark.parametrize(("number", "question", "query", "header"), QUESTION.findall(PAGE))
def test_a_query_of_the_page_gives_what_the_page_shows(
    records: Records, number: str, question: str, query: str, header: str
) -> None:
    found = records.sql(query).to_arrow()
    assert found.column_names == header.split(" | "), question
    assert found.num_rows > 0
    if number == "3":
        assert found.column("score").to_pylist() == [0.5, 0.0, 0.5]
    if number == "6":
        assert found.column("scores").to_pylist() == ["1 0 1"] * 2
    if number == "10":
        assert found.column("share").to_pylist() == [0.667, 0.333, None]


def test_the_page_names_every_view(records: Records) -> None:
    for view in (
        "samples",
        "all_samples",
        "measures",
        "metrics",
        "all_metrics",
        "texts",
        "all_texts",
        "evaluations",
        "labels",
        "probes",
        "findings",
        "training_tokens",
        "runs",
    ):
        assert f"`{view}`" in PAGE
        columns = records.sql(f"SELECT * FROM {view}").to_arrow().column_names
        assert columns[:2] == ["run", "folder"]
