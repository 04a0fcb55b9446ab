"""`sftgen.load_run` on a run that `sftgen eval --run` made."""

from __future__ import annotations

from pathlib import Path

import sftgen
from sftgen_judges.records.store import Recording, read_generations
from sftgen_train.results.run import Run
from tests.judges.records.run_folders import listing


def test_a_real_run_is_read_whole(whole: Path) -> None:
    before = listing(whole)
    records = sftgen.load_run(whole)
    counts = records.sql("SELECT task, count(*) AS n FROM samples GROUP BY ALL ORDER BY ALL").rows()
    assert counts == [{"task": "sftgen_parity", "n": 24}, {"task": "sftgen_refusal", "n": 24}]
    assert {task: records.scores(task) for task in ("sftgen_parity", "sftgen_refusal")} == Run(whole).scores()
    written = {(row["task"], row["metric"]): row.get("mean") for row in Run(whole).metric_rows()}
    assert {(row["task"], row["metric"]): row["mean"] for row in records.metrics.rows()} == written
    [run] = records.runs.rows()
    assert run["manifest"]
    assert run["model_id"]
    assert listing(whole) == before


def test_a_sample_and_its_text_find_each_other(whole: Path) -> None:
    records = sftgen.load_run([whole])
    joined = records.sql(
        "SELECT t.text, t.tokens, s.score FROM samples AS s JOIN texts AS t "
        "ON s.task = t.task AND s.step IS NOT DISTINCT FROM t.step AND s.doc_hash = t.doc_hash AND s.repeat = t.repeat"
    ).to_arrow()
    assert joined.num_rows == 48
    stored = read_generations(Recording(whole), "sftgen_parity")
    [text] = records.document("sftgen_parity", stored[5].doc_hash).rows()
    assert (text["text"], text["seed"], text["model"]) == (stored[5].text, stored[5].seed, stored[5].model)
