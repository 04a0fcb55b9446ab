"""`sftgen.load_run` on a run that `sftgen eval --run` made."""

from __future__ import annotations

from pathlib import Path

import sftgen
from sftgen_judges.records.store import RunFolder
from tests.judges.records.run_folders import listing


def test_a_real_run_is_read_whole(whole: Path) -> None:
    before = listing(whole)
    run, records = RunFolder(whole), sftgen.load_run(whole)
    written = run.metric_rows()
    assert {(row["task"], row["metric"], row["mean"]) for row in records.metrics.rows()} == {
        (row["task"], row["metric"], row["mean"]) for row in written
    }
    for task in ("sftgen_parity", "sftgen_refusal"):
        scores = records.scores(task)[None]
        assert scores.keys() == {record.doc_hash for record in run.read_generations(task)}
        [mean] = [row["mean"] for row in written if (row["task"], row["metric"]) == (task, "score")]
        assert sum(scores.values()) / len(scores) == mean
    [about] = records.runs.rows()
    assert about["manifest"]
    assert about["model_id"]
    assert listing(whole) == before


def test_a_sample_and_its_text_find_each_other(whole: Path) -> None:
    records = sftgen.load_run([whole])
    joined = records.sql(
        "SELECT t.text, t.tokens, s.score FROM samples AS s JOIN texts AS t ON s.run = t.run AND s.task = t.task "
        "AND s.step IS NOT DISTINCT FROM t.step AND s.doc_hash = t.doc_hash AND s.repeat = t.repeat"
    ).to_arrow()
    assert joined.num_rows == 48
    stored = RunFolder(whole).read_generations("sftgen_parity")
    [text] = records.document("sftgen_parity", stored[5].doc_hash).rows()
    assert (text["text"], text["seed"], text["model"]) == (stored[5].text, stored[5].seed, stored[5].model)
