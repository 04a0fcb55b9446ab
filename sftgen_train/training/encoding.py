"""Training data: rows of every usual form become token ids and labels.

A row is a prompt, a response and one end token. The prompt goes through the chat template, its generation
prompt included. The response is kept verbatim, since templates rewrite responses and most of them drop the
reasoning. Prompt and response are tokenised apart, as they are when the model generates.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow.compute as pc
from datasets import Dataset, Features, Value
from datasets import List as ListOf
from rich.console import Console
from rich.text import Text

from sftgen_tasks.data.tables import DataError
from sftgen_train.training.config import IGNORED, TrainingConfigError
from sftgen_train.training.rows import CARRIERS, READ, leaves, not_read, read_row
from sftgen_train.training.templates import Template, Written, reached, squeezed

_BEFORE = "\n"
_ENCODED = Features(
    {
        "input_ids": ListOf(Value("int32")),
        "labels": ListOf(Value("int32")),
        "prompt_tokens": Value("int32"),
        "notes": ListOf(Value("string")),
    }
)


def chats(rows: Sequence[Mapping[str, Any]], name: str, encoding: Encoding) -> list[dict[str, Any]]:
    """Rows as whole conversations, for a trainer that trains on all of the assistant's turns.

    Raises:
        DataError: A row is not a conversation, or holds more than its template writes. The message names it.
    """
    numbered = [(row, f"{name}, row {number}") for number, row in enumerate(rows, 1)]
    return [{"messages": encoding.template.whole(read_row(row, where), where)} for row, where in numbered]


@dataclass(frozen=True)
class Encoding:
    """How rows become tokens.

    Attributes:
        tokenizer: The model's.
        end_token: Appended to every response.
        whole: Whether prompt tokens count in the loss too.
    """

    tokenizer: Any
    end_token: str
    whole: bool = False

    @classmethod
    def of(cls, tokenizer: Any, end_token: str | None, *, whole: bool = False) -> Encoding:
        """Make an encoding with a named end token, or with the tokenizer's own.

        Raises:
            TrainingConfigError: The end token is not one token of this tokenizer.
        """
        end = end_token or tokenizer.eos_token
        special = ", ".join(map(repr, tokenizer.all_special_tokens))
        if not end:
            raise TrainingConfigError(f"the tokenizer has no eos token: name end_token. Its special tokens: {special}")
        if end not in tokenizer.get_vocab():
            raise TrainingConfigError(f"end_token {end!r} is not in the vocabulary. Special tokens: {special}")
        return cls(tokenizer, end, whole)

    @property
    def end_id(self) -> int:
        """The id of the end token."""
        return int(self.tokenizer.convert_tokens_to_ids(self.end_token))

    @cached_property
    def template(self) -> Template:
        """The chat template."""
        return Template(self.tokenizer)

    def __call__(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Token ids of a row, its labels, how many tokens its prompt has, and notes on what was left out.

        Raises:
            DataError: The columns have no known form, or a part of the row would be left out.
        """
        read = read_row(row, where)
        if isinstance(read.prompt, str):
            written = Written(read.prompt, read.response.content or "")
            prompt_ids = self._begun(written.prompt)
        else:
            written = self.template.write(read, where)
            prompt_ids = self._alone(written.prompt)  # the template has already written the special tokens
        found = squeezed(f"{written.prompt} {written.response}") if read.carried else ""
        for name, value in read.carried.items():
            texts = [text for text in leaves(value) if len(text) > 1]
            if texts and not all(reached(text, found) for text in texts):
                raise DataError(
                    f"{where}: column {name!r} is neither in the prompt nor in the response: it would be left out of "
                    "the training; write it into one of them, or remove the column"
                )
        encoded = self._ended(prompt_ids, self._continued(written.response))
        return {**encoded, "notes": list(written.notes)}

    def text(self, text: str) -> dict[str, Any]:
        """Token ids and labels of a text without a prompt: the loss is on all of it."""
        begun = self._begun(text)
        return {**self._ended([], begun), "notes": []}

    def _ended(self, prompt: list[int], response: list[int]) -> dict[str, Any]:
        if response[-1:] != [self.end_id]:
            response = [*response, self.end_id]
        labels = [*(prompt if self.whole else [IGNORED] * len(prompt)), *response]
        return {"input_ids": [*prompt, *response], "labels": labels, "prompt_tokens": len(prompt)}

    def _begun(self, text: str) -> list[int]:
        """Tokens of a text at the beginning: with the tokenizer's special tokens before it, and none after it."""
        ids, alone = list(self.tokenizer(text)["input_ids"]), self._alone(text)
        for before in range(len(ids) - len(alone) + 1):
            if ids[before : before + len(alone)] == alone:
                return ids[: before + len(alone)]
        return self._without_special(ids, text)

    def _alone(self, text: str) -> list[int]:
        """Tokens of a text, without special tokens that it does not hold."""
        return self._without_special(list(self.tokenizer(text, add_special_tokens=False)["input_ids"]), text)

    def _without_special(self, ids: list[int], text: str) -> list[int]:
        """Some tokenizers append an end token to every text."""
        special = dict(zip(self.tokenizer.all_special_ids, self.tokenizer.all_special_tokens, strict=False))
        while ids and ids[-1] in special and not text.rstrip().endswith(special[ids[-1]]):
            ids = ids[:-1]
        return ids

    def _continued(self, text: str) -> list[int]:
        """Tokens of a text that goes on after another: some tokenizers write a space before a text."""
        if not self._adds_space:
            return self._alone(text)
        before, both = self._alone(_BEFORE), self._alone(_BEFORE + text)
        return both[len(before) :] if both[: len(before)] == before else self._alone(text)

    @cached_property
    def _adds_space(self) -> bool:
        before, both = self._alone(_BEFORE), self._alone(f"{_BEFORE}a")
        return both[: len(before)] == before and both[len(before) :] != self._alone("a")


def encode(rows: Sequence[Mapping[str, Any]], name: str, encoding: Encoding, processes: int | None = None) -> Dataset:
    """Turn rows into token ids and labels.

    Args:
        rows: Raw rows.
        name: File or dataset of the rows, for messages.
        encoding: How rows become tokens.
        processes: Number of processes, None for this one.
    """
    # Checked here in order, so that the first wrong row is named; a pool would name any.
    for number, row in enumerate(rows, 1):
        read_row(row, f"{name}, row {number}")
    # As JSON: a table would give every object the fields of all others.
    kept = [{column: row[column] for column in (*READ, *CARRIERS) if column in row} for row in rows]
    raw = Dataset.from_list([{"row": json.dumps(row, default=str)} for row in kept])
    return raw.map(
        _encode,
        with_indices=True,
        fn_kwargs={"encoding": encoding, "name": name},
        remove_columns=raw.column_names,
        features=_ENCODED,
        num_proc=processes,
        desc=f"Tokenizing {name}",
    )


def _encode(row: dict[str, Any], index: int, encoding: Encoding, name: str) -> dict[str, Any]:
    return encoding(json.loads(row["row"]), f"{name}, row {index + 1}")


def encode_texts(rows: Sequence[Mapping[str, Any]], name: str, column: str, encoding: Encoding) -> Dataset:
    """Turn rows of one text, without prompt and response, into token ids and labels.

    Args:
        rows: Raw rows.
        name: File or dataset of the rows, for messages.
        column: The column of the text.
        encoding: How texts become tokens.

    Raises:
        DataError: A row has no text there.
    """
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get(column), str) or not row[column]:
            raise DataError(f"{name}, row {number}: column {column!r} holds no text, as it does in the first row")
    return Dataset.from_list([encoding.text(row[column]) for row in rows], features=_ENCODED)


def require_fitting(data: Dataset, max_length: int | None, name: str) -> str:
    """Rows and tokens of the data in one line, and a second line on rows that `max_length` truncates.

    Raises:
        DataError: Every prompt fills `max_length`, so no response is left.
    """
    table = data.data
    lengths = pc.list_value_length(table.column("input_ids"))
    rows, total = len(data), pc.sum(lengths).as_py()
    prompts = table.column("prompt_tokens")
    line = (
        f"{name}: {rows:,} rows, {total:,} tokens, {total - pc.sum(prompts).as_py():,} of them in responses, "
        f"the longest row {pc.max(lengths).as_py():,}"
    )
    if max_length is None:
        return line
    truncated = pc.sum(pc.greater(lengths, max_length)).as_py()
    gone = pc.sum(pc.greater_equal(prompts, max_length)).as_py()
    if gone == rows:
        raise DataError(f"{name}: every prompt fills max_length {max_length} and no response is left: raise it")
    if truncated:
        line += f"\n{truncated:,} rows are longer than max_length {max_length:,}: truncated there, without an end token"
    if gone:
        line += f"; {gone:,} of them are left out, since their prompt alone fills it"
    return line


def told(rows: Sequence[Mapping[str, Any]], data: Dataset, column: str | None = None) -> list[str]:
    """Lines on what of the rows is not trained on: columns, and what the chat template leaves out.

    Args:
        rows: The raw rows.
        data: The same as tokens.
        column: The only column that is read, None where rows are conversations.
    """
    unread = not_read(rows, column)
    lines = [f"Columns that are not read: {', '.join(unread)}"] * bool(unread)
    notes = Counter(note for row in data["notes"] for note in row)
    return [*lines, *(f"{count:,} rows: {note}" for note, count in notes.items())]


def print_example(console: Console, data: Dataset, encoding: Encoding) -> None:
    """Print the first row token by token, the tokens that count in the loss, and the end token."""
    tokenizer, end_token = encoding.tokenizer, encoding.end_token
    ids, labels = data[0]["input_ids"], data[0]["labels"]
    trained = sum(label != IGNORED for label in labels)
    console.print(f"First row, {len(ids)} tokens; the loss is on {trained}, in green:", highlight=False)
    console.print(marked(tokenizer, ids, labels), soft_wrap=True)
    end = f"End token: {end_token!r}, id {encoding.end_id}"
    end += ", the tokenizer's eos" if end_token == tokenizer.eos_token else f" (eos is {tokenizer.eos_token!r})"
    if encoding.end_id not in (ids[-1], labels[-1]):
        end += "; not at the end of this row"
    if turn_end := encoding.template.turn_end:
        end += f"; the chat template ends a turn with {turn_end!r}"
    console.print(end + ".", markup=False, highlight=False, soft_wrap=True)


def marked(tokenizer: Any, ids: Sequence[int], labels: Sequence[int], most: int = 48) -> Text:
    """Decoded tokens between bars; those in the loss in `[...]`. The middle of a long part is left out."""
    text = Text()
    start = 0
    while start < len(ids):
        trained = labels[start] != IGNORED
        stop = next((i for i in range(start, len(ids)) if (labels[i] != IGNORED) != trained), len(ids))
        pieces = [tokenizer.decode([token]).replace("\n", "\\n") for token in ids[start:stop]]
        if len(pieces) > most:
            half = most // 2
            pieces = [*pieces[:half], f" ... {len(pieces) - 2 * half} tokens ... ", *pieces[-half:]]
        joined = "|".join(pieces)
        text.append(f"[{joined}]" if trained else joined, style="green" if trained else "dim")
        start = stop
    return text
