"""The texts of the `token_shift` diagnostic: traces, the base's own answers, each checkpoint's own answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.diagnostics.labelling import DiagnosticError
from sftgen_judges.diagnostics.token_shift.words import classes_of
from sftgen_judges.plugins.contracts import Diagnostic, Probe, Sample
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.schema import Response, Verdict, text_hash
from sftgen_judges.records.store import RunFolder
from sftgen_train.diagnosing.answers import Documents, documents_facts

TRACES, MOST = "SFTGEN_TOKEN_SHIFT_TRACES", "SFTGEN_TOKEN_SHIFT_TEXTS"
"""Settings: a file of traces, one JSON object a line; and the most texts of each source."""
TEXTS = 20
SOURCES = ("traces", "base answers", "own answers")
_ANSWERS = """
SELECT task, doc_hash, repeat, prompt_hash, text, finish_reason, reasoning FROM (
    SELECT *, row_number() OVER (PARTITION BY task ORDER BY doc_hash, repeat) AS place FROM texts
    WHERE step = ? AND repeat = 0 AND prompt_hash IS NOT NULL
) ORDER BY place, task LIMIT ?
"""


@dataclass(frozen=True)
class Text:
    """A prompt and what follows it.

    Attributes:
        source: One of `SOURCES`.
        name: What tells it apart in its source: task and document, or the line of a file.
        prompt: The prompt as a model gets it, chat template applied.
        text: The response.
        ended: Whether the model ended it, so that an end token belongs to it.
        templated: Whether the prompt went through a chat template, which brings its own special tokens.
    """

    source: str
    name: str
    prompt: str
    text: str
    ended: bool = True
    templated: bool = True

    @property
    def key(self) -> tuple[str, ...]:
        """What it is, whatever measures it."""
        return self.source, self.name, text_hash(self.prompt), text_hash(self.text), str(self.ended)


@dataclass
class Texts:
    """The texts of one checkpoint, and what was left out.

    Attributes:
        texts: The texts.
        without_prompt: Answers whose prompt cannot be made again.
        empty: Texts without a token to score: empty ones, and those whose prompt fills the context.
    """

    texts: list[Text] = field(default_factory=list)
    without_prompt: int = 0
    empty: int = 0

    @property
    def left_out(self) -> str:
        """What was left out, for a person."""
        told = {"without a prompt that can be made again": self.without_prompt, "without a token to score": self.empty}
        return "; left out: " + ", ".join(f"{n} {why}" for why, n in told.items() if n) if any(told.values()) else ""


def texts_of(probe: Probe, tokenizer: Any) -> Texts:
    """The texts that a checkpoint is measured on: the same at every checkpoint, but for its own answers.

    Raises:
        DiagnosticError: A setting or the file of traces cannot be used.
    """
    most = _most()
    found = Texts()
    if path := os.environ.get(TRACES):
        found.texts += list(_traces(Path(path), most, tokenizer))
    prompts = _Prompts(probe, tokenizer)
    for source, step in (("base answers", 0), ("own answers", probe.step)):
        for row in probe.records.sql(_ANSWERS, (step, most)).rows():
            if not row["text"]:
                found.empty += 1
                continue
            made = None if row["reasoning"] else prompts(row)
            if made is None:
                found.without_prompt += 1
                continue
            name = f"{row['task']}/{row['doc_hash'][:16]}"
            prompt, templated = made
            found.texts.append(Text(source, name, prompt, row["text"], row["finish_reason"] == "stop", templated))
    return found


@dataclass(frozen=True)
class Encoded:
    """The tokens of a text.

    Attributes:
        text: The text.
        ids: Its tokens, prompt included.
        start: Place of the first token of the response that can be scored.
        spans: First character of the response and the one after the last that each token from `start` on stands for.
        pieces: The text of each of them.
        begin: Where in the response the first of them begins: behind its first token where the prompt is empty.
        cut: Whether something did not fit into the context.
    """

    text: Text
    ids: list[int]
    start: int
    spans: list[tuple[int, int]]
    pieces: list[str]
    begin: int
    cut: bool

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """The kind of word of each token."""
        return classes_of(self.text.text, self.spans)

    @property
    def ends(self) -> list[int]:
        """Where each token ends, ascending; an end token stands behind the text."""
        last = 0
        return [last := max(last, end + (start == end)) for start, end in self.spans]


def encoded(text: Text, tokenizer: Any, context: int) -> Encoded:
    """The tokens of a text.

    Prompt and response are encoded apart, as they were when the response was generated. What does not fit into the
    context is cut off.
    """
    prompt = tokenizer(text.prompt, add_special_tokens=not text.templated)["input_ids"]
    answer = tokenizer(text.text, add_special_tokens=False, return_offsets_mapping=True)
    ids, spans = list(answer["input_ids"]), [(int(start), int(end)) for start, end in answer["offset_mapping"]]
    pieces = [text.text[start:end] for start, end in spans]
    if text.ended and tokenizer.eos_token_id is not None:
        ids.append(tokenizer.eos_token_id)
        spans.append((len(text.text), len(text.text)))
        pieces.append(str(tokenizer.eos_token))
    begin = 0
    if not prompt:  # nothing comes before the first token
        begin = spans[0][1] if spans else 0
        prompt, ids, spans, pieces = ids[:1], ids[1:], spans[1:], pieces[1:]
    room = max(0, context - len(prompt))
    whole = [*prompt, *ids[:room]]
    return Encoded(text, whole, len(prompt), spans[:room], pieces[:room], begin, cut=len(ids) > room)


def _most() -> int:
    given = os.environ.get(MOST, str(TEXTS))
    if not given.isdigit() or not int(given):
        raise DiagnosticError(f"{MOST}={given!r}: expected a number of texts, at least 1")
    return int(given)


class _Prompts:
    """The prompts of answers as the model got them: made again, and proven by their hash."""

    def __init__(self, probe: Probe, tokenizer: Any) -> None:
        self._documents = Documents(documents_facts(RunFolder(probe.run).manifest()))
        self._tokenizer = tokenizer
        self._asks: Diagnostic = lookup("diagnostic", "token_shift")

    def __call__(self, row: Mapping[str, Any]) -> tuple[str, bool] | None:
        """The prompt, and whether it went through a chat template; None if what is made is not what was asked."""
        sample = Sample(row["task"], None, row["doc_hash"], 0, Response(""), Verdict("not_graded"))
        try:
            _, prompt = self._documents.seen_by(self._asks, row["task"])(sample)
        except DiagnosticError:
            return None
        messages = [{"role": "user", "content": prompt}]
        for made, templated in (*((made, True) for made in templates(self._tokenizer, messages)), (prompt, False)):
            if text_hash(made) == row["prompt_hash"]:
                return made, templated
        return None


def templates(tokenizer: Any, messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Messages through the chat template, as lm_eval asks for it and by its defaults; none without a template."""
    if getattr(tokenizer, "chat_template", None):
        for options in ({"enable_thinking": True}, {}):
            yield tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True, **options)


def _traces(path: Path, most: int, tokenizer: Any) -> Iterator[Text]:
    """The first traces of a file."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in zip(range(1, most + 1), lines, strict=False):
                try:
                    yield _trace(json.loads(line), f"line {number}", tokenizer)
                except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
                    raise DiagnosticError(
                        f"{TRACES}={path}, line {number}: expected a JSON object with `messages` that end with the "
                        f"assistant's, or with `prompt` (or `message`) and `completion` (or `response`): {error}"
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticError(f"{TRACES}={path} cannot be read: {error}") from error


def _trace(row: Mapping[str, Any], name: str, tokenizer: Any) -> Text:
    if "messages" in row:
        asked, answer = row["messages"][:-1], row["messages"][-1]
    else:
        asked = row["message"] if "message" in row else row["prompt"]
        answer = row["response"] if "response" in row else row["completion"]
    if isinstance(answer, list):
        [answer] = answer
    text = answer if isinstance(answer, str) else answer["content"]
    if isinstance(asked, str):
        return Text("traces", name, asked, _text(text), templated=False)
    made = [*templates(tokenizer, asked)]
    if not made:
        raise ValueError("the prompt is messages, and the tokenizer has no chat template")
    return Text("traces", name, made[-1], _text(text))


def _text(given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise ValueError("the response is no text")
    return given
