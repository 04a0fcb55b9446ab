"""Training data: rows of every usual form become token ids and labels.

A row is a prompt, a response and one end token. The prompt goes through the chat template, its generation
prompt included. The response is kept verbatim, since templates rewrite responses and most of them drop the
reasoning. Prompt and response are tokenised apart, as they are when the model generates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from datasets import Dataset, Features, Value, load_dataset
from datasets import List as ListOf
from rich.console import Console
from rich.text import Text

from sftgen_tasks.data.tables import SUFFIXES, DataError, read_table
from sftgen_train.training.config import TrainingConfigError

IGNORED = -100
_ENCODED = Features(
    {"input_ids": ListOf(Value("int32")), "labels": ListOf(Value("int32")), "prompt_tokens": Value("int32")}
)


def read_rows(name: str, split: str = "train", limit: int | None = None) -> list[dict[str, Any]]:
    """Read raw rows.

    Args:
        name: Local file, or a hub dataset id.
        split: Split of a hub dataset.
        limit: Only the first rows.

    Raises:
        DataError: Unreadable, or fewer rows than `limit`.
    """
    if name.endswith(SUFFIXES):
        rows: list[dict[str, Any]] = read_table(Path(name))
    else:
        try:
            rows = list(load_dataset(name, split=split))
        except Exception as error:
            raise DataError(
                f"train_data {name!r}: neither a local file ({', '.join(SUFFIXES)}) nor a hub dataset that can be "
                f"loaded here ({type(error).__name__})"
            ) from error
    if not rows:
        raise DataError(f"{name}: no rows to train on")
    if limit and len(rows) < limit:
        raise DataError(f"{name}: {len(rows)} rows; train_rows asks for {limit}")
    return rows[:limit]


def prompt_and_response(row: Mapping[str, Any], where: str) -> tuple[str | list[dict[str, Any]], str]:
    """A row's prompt, as text or as chat turns, and its response.

    Raises:
        DataError: The columns have no known form. The message names the row.
    """
    prompt, completion = row.get("prompt"), row.get("completion")
    if row.get("message") and "response" in row:  # the paper's sets: one user turn, then text
        prompt, completion = row["message"], row["response"]
    elif isinstance(row.get("messages"), list):
        prompt, completion = row["messages"][:-1], row["messages"][-1:]
    if isinstance(completion, list) and len(completion) == 1 and completion[0].get("role") == "assistant":
        completion = completion[0].get("content")
    if isinstance(prompt, str | list) and prompt and isinstance(completion, str):
        return prompt, completion
    raise DataError(
        f"{where}: columns {', '.join(row)}; expected prompt and completion, message and response, "
        "or messages that end with one text of the assistant"
    )


def chats(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Rows as whole conversations.

    Raises:
        DataError: A row is not a conversation. The message names it.
    """
    found = []
    for number, row in enumerate(rows, 1):
        prompt, response = prompt_and_response(row, f"{name}, row {number}")
        if isinstance(prompt, str):
            raise DataError(f"{name}, row {number}: a text; assistant_only_loss needs chat turns")
        found.append({"messages": [*prompt, {"role": "assistant", "content": response}]})
    return found


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

    def __call__(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Token ids of a row, its labels, and how many tokens its prompt has.

        Raises:
            DataError: The columns have no known form, or the chat template refuses the prompt.
        """
        prompt, response = prompt_and_response(row, where)
        if isinstance(prompt, str):
            prompt_ids = self.tokenizer(prompt)["input_ids"]
        else:
            # The template has already written the special tokens.
            prompt_ids = self.tokenizer(self._templated(prompt, row, where), add_special_tokens=False)["input_ids"]
        response_ids = self.tokenizer(response, add_special_tokens=False)["input_ids"]
        if response_ids[-1:] != [self.end_id]:
            response_ids = [*response_ids, self.end_id]
        labels = [*(prompt_ids if self.whole else [IGNORED] * len(prompt_ids)), *response_ids]
        return {"input_ids": [*prompt_ids, *response_ids], "labels": labels, "prompt_tokens": len(prompt_ids)}

    def _templated(self, prompt: Sequence[Mapping[str, Any]], row: Mapping[str, Any], where: str) -> str:
        options = {"tools": row.get("tools"), **(row.get("chat_template_kwargs") or {})}
        try:
            return str(
                self.tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True, **options)
            )
        except Exception as error:  # a template may raise anything
            raise DataError(f"{where}: the chat template refuses the prompt: {error}") from error

    def turn_end(self) -> str:
        """The text that the chat template puts after an assistant's turn, empty when it cannot be found."""
        answer = "an answer"
        turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": answer}]
        try:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False)).rpartition(answer)[2]
        except Exception:
            return ""


def encode(rows: Sequence[Mapping[str, Any]], name: str, encoding: Encoding, processes: int | None = None) -> Dataset:
    """Turn rows into token ids and labels.

    Args:
        rows: Raw rows.
        name: File or dataset of the rows, for messages.
        encoding: How rows become tokens.
        processes: Number of processes, None for this one.
    """
    columns = ("prompt", "completion", "message", "response", "messages", "tools", "chat_template_kwargs")
    # Checked here in order, so that the first wrong row is named; a pool would name any.
    for number, row in enumerate(rows, 1):
        prompt_and_response(row, f"{name}, row {number}")
    raw = Dataset.from_list([{key: row[key] for key in columns if key in row} for row in rows])
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
    return encoding(row, f"{name}, row {index + 1}")


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
    if turn_end := encoding.turn_end():
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
