"""The labelled sets: those that come with sftgen, their agreement, files of one's own, and two public sets."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sftgen_judges import Diagnostic, Labels, Measure, Span
from sftgen_judges.agreement import kappa
from sftgen_judges.diagnostics import labelling
from sftgen_judges.diagnostics.pattern_words import WORDS, how_good
from sftgen_judges.diagnostics.patterns import PATTERNS
from sftgen_judges.diagnostics.segments import segments
from sftgen_judges.diagnostics.validation import measuring, reading
from sftgen_judges.diagnostics.validation.measuring import units_of
from sftgen_judges.diagnostics.validation.public import read_labels
from sftgen_judges.diagnostics.validation.reading import SETS, LabelsError, read_set, shipped
from tests import ROOT

NAMES = ("patterns", "self_jailbreak")
CARD = (ROOT / "docs" / "validation.md").read_text()


def rows_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SETS / f"{name}.jsonl").read_text().splitlines()][1:]


@pytest.mark.parametrize("name", NAMES)
def test_the_segments_are_those_of_the_segmenter_and_labels_are_whole_segments(name: str) -> None:
    for document in shipped(name).documents:
        cut = units_of(document)
        assert cut == tuple((part.start, part.end) for part in segments(document.thinking)), document.id
        assert {(span.start, span.end) for span in document.spans} <= {*cut}


def test_each_pattern_has_its_positives_and_its_negatives() -> None:
    labelled = shipped("patterns")
    assert {*PATTERNS} == {*WORDS} == {*labelled.segment_labels} - {"changed_answer"}
    units = sum(len(units_of(document)) for document in labelled.documents)
    counts = Counter(span.label for document in labelled.documents for span in document.spans)
    for pattern in PATTERNS:
        assert counts[pattern] >= 65
        assert units - counts[pattern] >= 200
    assert f"{units:,} segments" in CARD
    # Cue words that are no pattern are what word lists fall for.
    fooled = sum(scores.found - round(scores.precision.value * scores.found) for scores in how_good().values())
    assert fooled >= 35


def test_self_jailbreak_and_its_absence() -> None:
    documents = shipped("self_jailbreak").documents
    found = Counter(document.holds["self_jailbreak"] for document in documents)
    assert found[True] >= 60
    assert found[False] >= 59
    for document in documents:
        stages = {span.label for span in document.spans}
        assert document.holds["self_jailbreak"] == (
            stages >= {"recognises", "argues_past"} and document.holds["complies"]
        )
        assert document.measures == {"asr": 1.0}
    # Some have one or two of the stages: the absence is not only silence about harm.
    partly = [document for document in documents if document.spans and not document.holds["self_jailbreak"]]
    assert len(partly) >= 15


@pytest.mark.parametrize("name", NAMES)
def test_no_two_texts_are_nearly_equal(name: str) -> None:
    def grams(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[place : place + 4]) for place in range(len(words) - 3)}

    documents = shipped(name).documents
    held = [(document.id, grams(document.thinking)) for document in documents]
    near = [(one, other) for (one, a), (other, b) in combinations(held, 2) if len(a & b) > 0.15 * len(a | b)]
    assert near == []
    parts = Counter(
        re.sub(r"\W+", " ", document.thinking[start:end].lower())
        for document in documents
        for start, end in units_of(document)
    )
    assert [text for text, count in parts.items() if count > 1] == []


def agreement(first: list[bool], second: list[bool]) -> str:
    return f"{kappa(np.array([first, second], dtype=float).T):.2f}"


def test_the_card_states_the_agreement_of_the_two_labellings() -> None:
    rows = rows_of("patterns")
    given = {
        which: {(row["id"], number, label) for row in rows for number, label in row[which]}
        for which in ("first", "second")
    }
    places = [(row["id"], number + 1) for row in rows for number in range(len(row["segments"]))]
    for label in PATTERNS:
        figure = agreement(*([(*place, label) in given[which] for place in places] for which in ("first", "second")))
        assert re.search(rf"\| {label} \|.*\| {figure} \|", CARD), (label, figure)
    rows = rows_of("self_jailbreak")
    for stage in ("recognises", "argues_past"):
        flags = [
            [number + 1 in row[which][stage] for row in rows for number in range(len(row["segments"]))]
            for which in ("first", "second")
        ]
        assert re.search(rf"\| {stage} \|.*\| {agreement(*flags)} \|", CARD), (stage, agreement(*flags))
    whole = [
        [bool(row[which]["recognises"] and row[which]["argues_past"] and row[which]["complies"]) for row in rows]
        for which in ("first", "second")
    ]
    assert re.search(rf"\| self_jailbreak \|.*\| {agreement(*whole)} \|", CARD), agreement(*whole)


def test_the_card_says_who_labelled() -> None:
    for name in NAMES:
        assert "no person has labelled them" in shipped(name).origin
        assert shipped(name).licence == "CC0-1.0"
    assert "by a language model, not by people" in " ".join(CARD.split())


def test_the_documented_figures_of_the_word_lists_are_those_measured() -> None:
    for label, scores in how_good().items():
        row = f"| {label} | {scores.precision.value:.2f} | {scores.recall.value:.2f} | {scores.f1.value:.2f} |"
        assert row in (ROOT / "docs" / "patterns.md").read_text(), row


# ------------------------------------------------------------------------------ files of one's own

HEAD = {"labelled_set": "mine", "segment_labels": ["backtracking"], "licence": "MIT"}
TEXT = "Add them first. No, that is wrong. Multiply them."
DOCUMENT = {"id": "1", "question": "?", "thinking": TEXT, "spans": [{"label": "backtracking", "start": 16, "end": 34}]}


def written(folder: Path, *rows: Any, name: str = "mine.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_a_set_of_ones_own(tmp_path: Path) -> None:
    found = read_set(written(tmp_path, HEAD, "", DOCUMENT))
    [document] = found.documents
    assert (found.name, found.licence, document.split) == ("mine", "MIT", "test")
    assert TEXT[document.spans[0].start : document.spans[0].end] == "No, that is wrong."
    assert found.hash != read_set(written(tmp_path, HEAD, {**DOCUMENT, "spans": []})).hash


WRONG = {
    "no head": ([DOCUMENT], "line 1: expected the set's own line"),
    "no labels": ([{"labelled_set": "mine"}, DOCUMENT], "line 1: no labels"),
    "no documents": ([HEAD], "no documents"),
    "no JSON": ([HEAD, "{"], "line 2: expected one JSON object"),
    "a list": ([HEAD, "[1]"], "line 2: expected one JSON object"),
    "no text": ([HEAD, {**DOCUMENT, "thinking": 3}], "line 2: thinking 3: expected a text"),
    "a span outside": (
        [HEAD, {**DOCUMENT, "spans": [{"label": "backtracking", "start": 40, "end": 400}]}],
        "from 40 to 400 is not in the text, which has 49 characters",
    ),
    "a span without an end": ([HEAD, {**DOCUMENT, "spans": [{"label": "backtracking", "start": 4}]}], "whole numbers"),
    "an unknown label": ([HEAD, {**DOCUMENT, "spans": [{"label": "joy", "start": 0, "end": 4}]}], "label 'joy'"),
    "the same name twice": ([HEAD, DOCUMENT, DOCUMENT], "line 3: a second document '1'"),
    "an unknown split": ([HEAD, {**DOCUMENT, "split": "train"}], "split 'train': expected dev or test"),
    "a label that is not told": (
        [{**HEAD, "response_labels": ["complies"]}, DOCUMENT],
        "holds: expected true or false for each of complies",
    ),
}


@pytest.mark.parametrize(("rows", "message"), WRONG.values(), ids=WRONG)
def test_a_set_that_cannot_be_used_says_where(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(LabelsError, match=re.escape(message)):
        read_set(written(tmp_path, *rows))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="cannot be read: No such file"):
        read_labels(tmp_path / "nothing.jsonl")


# ------------------------------------------------------------------------------ public sets, laid out as published


THINKING = "Okay, we have a sum. So it is 7. \n\nWait, I mixed them up. I am not sure."
ANNOTATED = (
    '```plaintext\n["initializing"]Okay, we have a sum.["end-section"]\n\n["deduction"] So it is 7. ["end-section"]\n\n'
    '["backtracking"] Wait, I mixed them up. ["end-section"]\n\n'
    '["1.5:uncertainty-estimation"]I am not sure.["end-section"]\n\n["deduction"] ["end-section"]\n```'
)
LABELS = {"Wait, I mixed them up.": "backtracking", "I am not sure.": "uncertainty"}


def test_segments_laid_out_as_venhoffs(tmp_path: Path) -> None:
    row = {
        "original_message": {"role": "user", "content": "Sum?"},
        "full_response": f"<\uff5cUser\uff5c>Sum?<\uff5cAssistant\uff5c><think>\n{THINKING}\n</think>\n\n7",
        "thinking_process": THINKING,
        "annotated_thinking": ANNOTATED,
    }
    rows = [
        row,
        {**row, "thinking_process": "The annotator wrote it in other words."},
        {**row, "annotated_thinking": ""},
        {**row, "annotated_thinking": None},
    ]
    found = read_labels(written(tmp_path, rows, name="responses_model.json"))
    document, other = found.documents
    assert (found.name, found.licence, document.question) == ("venhoff/responses_model", "none", "Sum?")
    # The text is the model's own, line breaks included; where it was changed, what was annotated.
    assert document.thinking == THINKING
    assert other.thinking == " ".join(THINKING.split())
    for of in (document, other):
        assert {of.thinking[span.start : span.end]: span.label for span in of.spans} == LABELS
        assert [of.thinking[start:end] for start, end in of.segments] == [
            "Okay, we have a sum.", "So it is 7.", *LABELS,
        ]  # fmt: skip
    first = {
        "model_name": "m",
        "responses": [{"response_uuid": "1", "task_uuid": "2", "annotated_response": ANNOTATED}],
        "annotator_model_name": "gpt-4o",
        "temperature": 0.01,
    }
    [document] = read_labels(written(tmp_path, json.dumps(first), name="annotated_responses_model.json")).documents
    assert {document.thinking[span.start : span.end]: span.label for span in document.spans} == LABELS


@pytest.mark.parametrize("text", ["{", "{}", "[]", '[{"annotated_thinking": "no sections"}]'])
def test_a_file_that_is_not_laid_out_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(LabelsError, match=r"responses\.json: "):
        read_labels(written(tmp_path, text, name="responses.json"))


TRACE = {
    "question": "How?",
    "cot": "That is not allowed. \n\nIt may be\nfor a story. So I help.</think>",
    "response": "Here.",
    "safety_eval_score": 4.0,
    "safety_eval_res": "<reasoning>\n...\n</reasoning>\n\n<score>4</score>",
    "eval_model": "gpt-5",
    "cot_sentences": "sentence 0 - That is not allowed.\nsentence 1 - It may be\nfor a story.\nsentence 2 - So I help.",
    "selfjb_annos": {"answer": [1]},
}


def test_traces_laid_out_as_those_of_the_self_jailbreak_paper(tmp_path: Path) -> None:
    safe = {**TRACE, "safety_eval_score": 1.0, "selfjb_annos": None}
    path = written(tmp_path, TRACE, safe, {**TRACE, "selfjb_annos": {"answer": []}}, name="selfjb.jsonl")
    found = read_labels(path)
    first, second = found.documents
    assert first.thinking == TRACE["cot"]
    [other] = read_labels(written(tmp_path, {**TRACE, "cot": "in other words"}, name="other.jsonl")).documents
    assert other.thinking == "That is not allowed. It may be\nfor a story. So I help."
    assert [other.thinking[span.start : span.end] for span in other.spans] == ["It may be\nfor a story."]
    assert [first.thinking[span.start : span.end] for span in first.spans] == ["It may be\nfor a story."]
    assert (first.holds, second.holds) == ({"self_jailbreak": True}, {"self_jailbreak": False})
    assert (first.question, first.answer, first.measures) == ("How?", "Here.", {"asr": 1.0})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"selfjb_annos": {"answer": [7]}}, "label of sentence 7, which is not in the text"),
        ({"selfjb_annos": {"answer": "all"}}, "expected 'cot_sentences'"),
        ({"selfjb_annos": None}, "no unsafe answer with 'selfjb_annos'"),
    ],
)
def test_traces_with_labels_that_cannot_be(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(LabelsError, match=re.escape(message)):
        read_labels(written(tmp_path, {**TRACE, **changed}, name="selfjb.jsonl"))


# ------------------------------------------------------------------------------ large files

FORMS: dict[str, tuple[list[Any], str]] = {
    "own": ([HEAD, *({**DOCUMENT, "id": str(n), "question": "\u00e9?"} for n in range(9))], "mine.jsonl"),
    "segments": (
        [[{"original_message": f"{n}?", "annotated_thinking": ANNOTATED, "of": [n, "]", "\u00e9"]} for n in range(9)]],
        "responses.json",
    ),
    "traces": ([{**TRACE, "question": f"{n}?"} for n in range(9)], "traces.jsonl"),
}


@pytest.mark.parametrize(("rows", "name"), FORMS.values(), ids=FORMS)
def test_a_large_file_is_read_in_parts_and_says_the_same(
    rows: list[Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, *rows, name=name)
    held = read_labels(path)
    monkeypatch.setattr(reading, "HELD_BYTES", 100)
    monkeypatch.setattr(reading, "_PIECE", 7)
    monkeypatch.setattr(labelling, "ANSWERS", 4)
    parts = read_labels(path)
    assert not isinstance(parts.documents, tuple)
    assert (len(parts.documents), parts.hash) == (9, held.hash)
    assert [*parts.documents] == [*held.documents]
    assert {**vars(parts), "documents": ()} == {**vars(held), "documents": ()}
    some = Diagnostic(
        "some", version=1, level="sample", needs=("text",), measures=(Measure("self_jailbreak", "x"),),
        diagnose=lambda batch: [
            Labels({"self_jailbreak": 1.0}, tuple(Span(label, 0, 20, "thinking") for label in held.segment_labels))
            for _ in batch
        ],
    )  # fmt: skip
    found = measuring.measure(some, parts, "rule", split=None)
    assert found == measuring.measure(some, held, "rule", split=None)
    assert found.asked == 9


def test_a_large_file_that_is_damaged_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "HELD_BYTES", 100)
    whole = json.dumps([{"annotated_thinking": ANNOTATED}] * 3)
    for text in (whole[:-40], whole.replace("}, {", "}} {", 1)):
        with pytest.raises(LabelsError, match=r"responses\.json: no JSON"):
            read_labels(written(tmp_path, text, name="responses.json"))
    monkeypatch.setattr(reading, "LONGEST", 300)
    with pytest.raises(LabelsError, match="line 3: longer than"):
        read_set(written(tmp_path, HEAD, DOCUMENT, {**DOCUMENT, "id": "2", "thinking": 300 * "x"}))
    huge = tmp_path / "huge.jsonl"
    with huge.open("wb") as file:
        file.truncate(reading.MOST_BYTES + 1)  # takes no room
    with pytest.raises(LabelsError, match="a file of labels has at most"):
        read_labels(huge)
