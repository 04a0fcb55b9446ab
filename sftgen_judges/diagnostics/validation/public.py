"""Readers of two public labelled sets that have no licence: fetch them yourself, nothing of them comes with sftgen.

* Segments of Venhoff et al. (`cvenhoff/steering-thinking-llms`): `responses_MODEL.json`, a list of responses. Each has
  `original_message`, `full_response`, `thinking_process` and `annotated_thinking`, in which every stretch stands as
  `["label"]text["end-section"]`, often in a fence of three backticks and with blank lines between. In the first
  version, `annotated_responses_MODEL.json`, `responses` have `annotated_response` alone. The labels are a model's.
* Self-jailbreak of Yong and Bach, arXiv 2510.20956 (`BatsResearch/self-jailbreaking`): `artifacts/MODEL-think500-
  answer200-...jsonl`, as `selfjb_detect.py` writes them. Each line has `question`, `cot`, `response`,
  `safety_eval_score`, `safety_eval_res`, `eval_model`, `cot_sentences` ("sentence 0 - ..." a line), and `selfjb_annos`
  with the indices in `answer`. Only unsafe answers (`safety_eval_score`, StrongREJECT, above 1) are labelled, by a
  model; safe ones have no `selfjb_annos` and are left out.

Labels are of stretches of a text. Where the text itself is in the file, and all stretches stand in it in their order,
places are those in the text, so that a judge reads it with its line breaks. Otherwise the stretches are put together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

from sftgen_judges.diagnostics.validation.reading import (
    HELD_BYTES,
    LabelsError,
    documents_of,
    read_lines,
    read_list,
    read_set,
    size_of,
)
from sftgen_judges.plugins.contracts.labelled import GoldSpan, LabelledDocument, LabelledSet
from sftgen_judges.records.schema import text_hash

VENHOFF_LABELS: Mapping[str, str] = {
    "backtracking": "backtracking",
    "uncertainty-estimation": "uncertainty",
    "example-testing": "verification",
}
"""Their labels that mean nearly what ours do. `example-testing` is narrower than our verification."""
# Later files put a number before the label: ["56.9:backtracking"].
_SECTION = re.compile(r'\["(?:[\d.]+:)?(?P<label>[^"\]]{1,60})"\](?P<text>.*?)\["end-section"\]', re.DOTALL)
_SENTENCE = re.compile(r"^sentence (\d{1,6}) - ", re.MULTILINE)


def read_labels(path: Path) -> LabelledSet:
    """A labelled set from any file that is known: sftgen's own form, or one of the two public sets.

    Raises:
        LabelsError: It has none of the forms, or something in it is wrong.
    """
    if path.suffix == ".json":
        return read_venhoff(path)
    first = next(read_lines(path), (1, {}))[1]
    return read_self_jailbreak(path) if "cot_sentences" in first else read_set(path)


def read_venhoff(path: Path) -> LabelledSet:
    """Venhoff's segments from one `responses_MODEL.json`.

    A response without an annotation is left out, and so is one whose sections are all unreadable.

    Raises:
        LabelsError: The file has another layout.
    """
    documents = documents_of(path, lambda: _annotated(path))
    if not documents:
        raise LabelsError(f'{path}: no section ["label"]text["end-section"] in any annotation')
    return LabelledSet(
        f"venhoff/{path.stem}", documents, segment_labels=tuple(VENHOFF_LABELS.values()),
        origin="Venhoff et al., labelled by a model", licence="none",
    )  # fmt: skip


def _annotated(path: Path) -> Iterator[LabelledDocument]:
    known = False
    for number, row in enumerate(_responses(path)):
        if not isinstance(row, dict):
            continue
        known = known or bool({*_ANNOTATED} & {*row})
        text = next((row[name] for name in _ANNOTATED if isinstance(row.get(name), str)), "")
        if document := _sections(text, str(number), _question(row), row.get("thinking_process")):
            yield document
    if not known:
        raise LabelsError(f"{path}: expected a list of responses with 'annotated_thinking'")


def _responses(path: Path) -> Iterator[Any]:
    """The responses of a file: it is a list of them, or in the first version an object that has the list."""
    with suppress(OSError), path.open("rb") as file:
        if file.read(1 << 10).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
            yield from read_list(path)
            return
    if size_of(path) > HELD_BYTES:
        raise LabelsError(f"{path}: larger than {HELD_BYTES / 1e6:.0f} MB; expected a JSON list of responses")
    try:
        row = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise LabelsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'no JSON'}") from error
    rows = row.get("responses")
    yield from rows if isinstance(rows, list) else ()


_ANNOTATED = ("annotated_thinking", "annotated_response")


def _question(row: Mapping[str, Any]) -> str:
    """The question of a response; the published files name it in several ways."""
    for name in ("original_message", "question", "prompt", "original_prompt"):
        value = row.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            return value
    return ""


def _sections(annotated: str, name: str, question: str, thinking: Any) -> LabelledDocument | None:
    found = [
        (text, VENHOFF_LABELS.get(section["label"].strip()))
        for section in _SECTION.finditer(annotated)
        if (text := section["text"].strip())
    ]
    if not found:
        return None
    whole, places = _placed([text for text, _ in found], thinking)
    spans = tuple(GoldSpan(label, *place) for (_, label), place in zip(found, places, strict=True) if label)
    return LabelledDocument(name, question, whole, spans=spans, segments=tuple(places), split=split_of(name))


def _placed(pieces: Sequence[str], text: Any) -> tuple[str, list[tuple[int, int]]]:
    """A text with the places of its pieces: as it was written, or the pieces put together where they are not in it."""
    places: list[tuple[int, int]] = []
    end = 0
    for piece in pieces if isinstance(text, str) else ():
        start = text.find(piece, end)
        if start < 0:
            break
        end = start + len(piece)
        places.append((start, end))
    if isinstance(text, str) and len(places) == len(pieces):
        return text, places
    ends = list(accumulate(len(piece) + 1 for piece in pieces))
    return " ".join(pieces), [(end - 1 - len(piece), end - 1) for piece, end in zip(pieces, ends, strict=True)]


def read_self_jailbreak(path: Path) -> LabelledSet:
    """The self-jailbreak traces from one JSONL file of `selfjb_detect.py`.

    Raises:
        LabelsError: The file has another layout.
    """
    documents = documents_of(path, lambda: _judged(path))
    if not documents:
        raise LabelsError(f"{path}: no unsafe answer with 'selfjb_annos'")
    return LabelledSet(
        f"self-jailbreaking/{path.stem}", documents, segment_labels=("argues_past",),
        response_labels=("self_jailbreak",), origin="Yong and Bach, labelled by a model", licence="none",
    )  # fmt: skip


def _judged(path: Path) -> Iterator[LabelledDocument]:
    for number, row in read_lines(path):
        where = f"{path}, line {number}"
        found = row.get("selfjb_annos")
        if found is None:  # a safe answer, or one that was not labelled
            continue
        indices = found.get("answer") if isinstance(found, dict) else None
        sentences = row.get("cot_sentences")
        if not isinstance(sentences, str) or not isinstance(indices, list):
            raise LabelsError(f"{where}: expected 'cot_sentences', and 'selfjb_annos' with a list as 'answer'")
        yield _sentences(row, sentences, indices, str(number), where)


def _sentences(
    row: Mapping[str, Any], sentences: str, indices: Sequence[Any], name: str, where: str
) -> LabelledDocument:
    heads = list(_SENTENCE.finditer(sentences))
    ends = [*(head.start() for head in heads[1:]), len(sentences)]
    texts = {int(head[1]): sentences[head.end() : end].strip() for head, end in zip(heads, ends, strict=True)}
    texts = {number: text for number, text in texts.items() if text}
    whole, places = _placed(list(texts.values()), row.get("cot"))
    segments = dict(zip(texts, places, strict=True))
    absent = [index for index in indices if isinstance(index, bool) or index not in segments]
    if absent:
        raise LabelsError(f"{where}: label of sentence {absent[0]!r}, which is not in the text")
    return LabelledDocument(
        name, str(row.get("question") or ""), whole, str(row.get("response") or ""),
        spans=tuple(GoldSpan("argues_past", *segments[index]) for index in sorted({*indices})),
        holds={"self_jailbreak": bool(indices)}, segments=tuple(segments.values()), measures={"asr": 1.0},
        split=split_of(name),
    )  # fmt: skip


def split_of(name: str) -> Any:
    """`dev` for two documents in five, `test` for the others, by a hash of the name."""
    return "dev" if int(text_hash(name)[:8], 16) % 5 < 2 else "test"
