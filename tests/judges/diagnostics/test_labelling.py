"""Labels are kept by content, as they come; a diagnostic that cannot go on says why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Batch, Diagnostic, Failure, Labels, Measure, Request, Sample, Span, Verdict, split_thinking
from sftgen_judges.diagnostics.labelling import DiagnosticError, annotator_of, label_samples
from sftgen_judges.records.query import open_records
from sftgen_judges.records.store import RunFolder
from tests.judges.server import fail, prompt_of, say, serving

WORDS = (Measure("words", "words"),)


def samples(texts: Iterable[str], step: int = 0, **facts: Any) -> list[Sample]:
    return [
        Sample("t", step, f"doc {n}", 0, split_thinking(text), Verdict("ok", 1.0), model="m", sampling_id="s", **facts)
        for n, text in enumerate(texts)
    ]


def counting(seen: list[str], **facts: Any) -> Diagnostic:
    def diagnose(batch: Batch) -> Iterator[Labels]:
        for answer in batch:
            seen.append(answer.response.text)
            yield Labels({"words": len(answer.response.text.split())})

    given = {"level": "sample", "needs": ("text",), "diagnose": diagnose, "measures": WORDS, **facts}
    return Diagnostic("words", 1, **given)


def numbers(run: RunFolder, diagnostic: Diagnostic, given: Iterable[Sample], **facts: Any) -> list[float | None]:
    found = label_samples(run, diagnostic, "t", given, annotator=annotator_of(diagnostic, facts))
    return [values and values.get("words") for _, values in found]


def test_equal_content_is_labelled_once_wherever_it_stands(tmp_path: Path) -> None:
    run, seen = RunFolder(tmp_path), list[str]()
    diagnostic = counting(seen)
    assert numbers(run, diagnostic, samples(["a b", "c", "a b"])) == [2, 1, 2]
    assert seen == ["a b", "c"]
    assert numbers(run, diagnostic, samples(["c", "a b", "new one here"], step=10)) == [1, 2, 3]
    assert seen == ["a b", "c", "new one here"]
    for changed in (replace(diagnostic, version=2), replace(diagnostic, needs=("text", "verdict"))):
        seen.clear()
        numbers(run, changed, samples(["a b"]))
        assert seen == ["a b"]
    rows = [json.loads(line) for line in run.labels("words", "t").read_text().splitlines()]
    assert {(row["step"], row["doc_hash"], row["numbers"]["words"]) for row in rows} >= {
        (0, "doc 2", 2),
        (10, "doc 1", 2),
    }


def test_what_is_not_needed_is_not_shown_and_makes_no_difference(tmp_path: Path) -> None:
    shown: list[Any] = []

    def diagnose(batch: Batch) -> Iterator[Labels]:
        for answer in batch:
            shown.append(answer)
            yield Labels({"words": 0})

    diagnostic = counting([], needs=(), diagnose=diagnose)
    run = RunFolder(tmp_path)
    numbers(run, diagnostic, samples(["a b", "c d"], thinking_tokens=3))
    assert [(answer.response.text, answer.verdict, answer.thinking_tokens) for answer in shown] == [("", None, 3)]


def broken_after(count: int) -> Callable[[Batch], Iterator[Labels]]:
    def diagnose(batch: Batch) -> Iterator[Labels]:
        for number, answer in enumerate(batch):
            if number == count:
                raise RuntimeError(f"about {answer.response.text}")
            yield Labels({"words": 1})

    return diagnose


@pytest.mark.parametrize(
    ("diagnose", "says"),
    [
        (broken_after(2), "raised RuntimeError"),
        (lambda batch: [Labels()], "gave labels for 1 of 3 responses"),
        (lambda batch: [1, 2, 3], "gave int, expected Labels"),
        (lambda batch: [Labels({"other": 1})], "labels hold 'other'; its measures are words"),
        (lambda batch: [(0, Labels()), (0, Labels())], "raised KeyError"),
    ],
)
def test_a_diagnostic_that_cannot_go_on_says_why_without_quoting(tmp_path: Path, diagnose: Any, says: str) -> None:
    with pytest.raises(DiagnosticError, match=f"^{says}") as raised:
        numbers(RunFolder(tmp_path), counting([], diagnose=diagnose), samples(["secret", "x", "secret too"]))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "labels",
    [
        Labels({"words": float("nan")}),
        Labels({"words": 1}, (Span("x", 0, 4),)),
        Labels({"words": 1}, (Span("x", 2, 2),)),
        Labels({"words": 1}, (Span("x", 0, 1, part="thinking"),)),
        Labels(failed="no reply"),
    ],
)
def test_labels_that_cannot_be_used_are_missing_and_made_again(tmp_path: Path, labels: Labels) -> None:
    given = [labels]
    diagnostic = counting([], diagnose=lambda batch: given)
    run = RunFolder(tmp_path)
    assert numbers(run, diagnostic, samples(["abc"])) == [None]
    given[0] = Labels({"words": 1}, (Span("x", 0, 3),))
    assert numbers(run, diagnostic, samples(["abc"])) == [1]


def test_so_many_of_each_step_are_chosen_alike(tmp_path: Path) -> None:
    seen: list[str] = []
    diagnostic = counting(seen, most=3, of=lambda answer: answer.response.text != "word 0")
    given = [*samples([f"word {n}" for n in range(20)]), *samples([f"term {n}" for n in range(20)], step=5)]
    found = list(label_samples(RunFolder(tmp_path), diagnostic, "t", given, annotator=annotator_of(diagnostic)))
    chosen = [{sample.doc_hash for sample, _ in found if sample.step == step} for step in (0, 5)]
    assert len(chosen[0]) == len(seen) / 2 == 3
    assert len(chosen[0] & chosen[1]) >= 2  # but for document 0, which is none of them at the first step


# ------------------------------------------------------------------------------ judges


def asking(**facts: Any) -> Diagnostic:
    def diagnose(batch: Batch) -> Iterator[tuple[int, Labels]]:
        assert batch.ask
        for place, outcome in batch.ask([Request(answer.response.text, max_tokens=4) for answer in batch]):
            if isinstance(outcome, Failure):
                yield place, Labels(failed=outcome.reason)
            elif outcome.text.isdigit():
                yield place, Labels({"words": int(outcome.text)}, evidence={"model": outcome.model})
            else:
                yield place, Labels(failed="the reply is no number")

    return counting([], needs=("text", "judge"), diagnose=diagnose, **facts)


def test_a_judge_is_asked_once_and_again_where_it_failed(tmp_path: Path) -> None:
    run, diagnostic = RunFolder(tmp_path), asking()
    with pytest.raises(DiagnosticError, match="needs a judge: set SFTGEN_JUDGE_MODEL"):
        numbers(run, diagnostic, samples(["one"]))

    def plan(prompt: str, times: int) -> Any:
        if "bad" in prompt and times == 1:
            return say("seven")
        return fail(400) if "refused" in prompt else say(str(len(prompt.split())))

    with serving(plan) as server:
        options = {"judge_model": "tiny", "judge_base_url": server.url}
        texts = ["one two", "bad one here", "refused", "one two"]
        assert numbers(run, diagnostic, samples(texts), **options) == [2, None, None, 2]
        asked = len(server.calls)
        assert numbers(run, diagnostic, samples(texts), **options) == [2, 3, None, 2]
        # Requests go out side by side, so the server may see them in either order.
        assert sorted(prompt_of(call["body"]) for call in server.calls[asked:]) == ["bad one here", "refused"]
        asked = len(server.calls)
        numbers(run, diagnostic, samples(["one two"]), **{**options, "judge_model": "other"})
        assert len(server.calls) == asked + 1
    rows = [json.loads(line) for line in run.labels("words", "t").read_text().splitlines()]
    assert {row["annotator"] for row in rows} == {"tiny", "other"}


def test_a_setting_of_a_diagnostics_judge_is_named_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTGEN_JUDGE_WORDS_MODEL", "mine")
    monkeypatch.setenv("SFTGEN_JUDGE_BASE_URL", "http://127.0.0.1:9/v1")
    assert annotator_of(asking()).name == "mine"
    assert annotator_of(asking(judge_model="made for")).name == "mine"
    monkeypatch.delenv("SFTGEN_JUDGE_WORDS_MODEL")
    assert annotator_of(asking(judge_model="made for")).name == "made for"


# ------------------------------------------------------------------------------ long journals


def test_labels_that_were_compacted_are_known_and_read_with_those_that_came_since(tmp_path: Path) -> None:
    run, seen = RunFolder(tmp_path), list[str]()
    diagnostic = counting(seen)
    texts = ["a b", "c", "d e f"]
    run.update_manifest(model="m")
    run.add_evaluation(
        [
            {"task": "t", "step": step, "doc_hash": f"doc {n}", "repeat": 0, "model": "m", "sampling_id": "s"}
            for step in (0, 10)
            for n in range(3)
        ],
        [], {},
    )  # fmt: skip
    numbers(run, diagnostic, samples(texts))
    journal = run.labels("words", "t")
    run.compact_labels("words", "t")
    assert journal.exists()  # a short one stays
    run.compact_labels("words", "t", least=0)
    assert not journal.exists()
    assert numbers(run, diagnostic, samples(texts)) == [2, 1, 3]
    assert not journal.exists()
    # Known labels for a later step; one of a text that is new; one that takes the place of another.
    assert numbers(run, diagnostic, samples(["c", "new one here now"], step=10)) == [1, 4]
    assert numbers(run, diagnostic, samples(["other text", "c"])) == [2, 1]
    assert seen == [*texts, "new one here now", "other text"]

    def read() -> list[tuple[Any, ...]]:
        with open_records(tmp_path) as records:
            rows = records.sql("SELECT step, doc_hash, numbers, spans FROM labels ORDER BY ALL").rows()
        return [(row["step"], row["doc_hash"], json.loads(row["numbers"])["words"], row["spans"]) for row in rows]

    expected = [(0, "doc 0", 2, "[]"), (0, "doc 1", 1, "[]"), (0, "doc 2", 3, "[]"), (10, "doc 0", 1, "[]"),
                (10, "doc 1", 4, "[]")]  # fmt: skip
    assert read() == expected
    given = label_samples(run, diagnostic, "t", samples(["a b"] * 300), annotator=annotator_of(diagnostic))
    next(given)
    run.compact_labels("words", "t", least=0)  # another process, meanwhile
    assert [found["words"] for _, found in given if found] == [2] * 299
    assert read()[1:] == [(0, "doc 1", 2, "[]"), (0, "doc 2", 2, "[]"), *expected[3:]]
    seen.clear()
    table = journal.with_suffix(".parquet")
    table.write_bytes(table.read_bytes()[:200])  # a damaged one: what it held is made again
    journal.unlink(missing_ok=True)
    assert numbers(run, diagnostic, samples(["a b"])) == [2]
    assert seen == ["a b"]


# ------------------------------------------------------------------------------ damage


def test_damaged_labels_are_made_again(tmp_path: Path) -> None:
    run, seen = RunFolder(tmp_path), list[str]()
    numbers(run, counting(seen), samples(["a b", "c"]))
    path = run.labels("words", "t")
    first, second = path.read_text().splitlines()
    path.write_text(f'{first}\n{second[:40]}\n[1]\n{{"content": 3}}\n')
    assert numbers(run, counting(seen), samples(["a b", "c"])) == [2, 1]
    assert seen == ["a b", "c", "c"]
    run.update_manifest(model="m")
    with open_records(tmp_path) as records:
        assert records.sql("SELECT count(*) AS n FROM labels").rows() == [{"n": 0}]  # no sample stands


def test_labels_are_written_into_no_other_folder(tmp_path: Path) -> None:
    from sftgen_judges.records.errors import RecordError

    run, elsewhere = RunFolder(tmp_path / "run"), tmp_path / "elsewhere"
    run.update_manifest(model="m")
    elsewhere.mkdir()
    (run.path / "labels").symlink_to(elsewhere)
    with pytest.raises(RecordError, match="outside of the run directory"):
        numbers(run, counting([]), samples(["a"]))
    assert not list(elsewhere.iterdir())
    with pytest.raises(RecordError, match="expected a name without slashes"):
        run.labels("../x", "t")
