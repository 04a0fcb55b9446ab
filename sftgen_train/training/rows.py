"""Rows of training data, in every usual form. A field is read, or the row is refused and the field named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import load_dataset

from sftgen_tasks.data.tables import SUFFIXES, DataError, read_table
from sftgen_train.training.data_facts import SET

REASONING = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts")
"""Names under which data holds an assistant's reasoning beside its answer."""
LABELS = ("id", "tool_call_id", "index")
"""Fields of a turn that are no text: they name a turn or a call."""
FORMS: tuple[tuple[str, ...], ...] = (("message", "response"), ("messages",), ("prompt", "completion"))
_OPTIONS = ("tools", "chat_template_kwargs")
_MEDIA = ("images", "image", "videos", "video", "audio", "audios")
CARRIERS = ("system", "system_prompt", "developer", *REASONING, "tool_calls", "functions", "function_call", "documents")
"""Columns that hold a part of a conversation. Their text must be in the prompt or in the response too."""
READ = (*(name for form in FORMS for name in form), *_OPTIONS)
_TEXT, _THOUGHT = {"text", "input_text", "output_text"}, {"thinking", "reasoning"}


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation.

    Attributes:
        role: Who speaks.
        content: What is said; None where only tools are called.
        reasoning: What an assistant thought before it.
        named: The name that the reasoning has in the data.
        others: All other fields that hold something, for example `tool_calls`.
    """

    role: str
    content: str | None
    reasoning: str = ""
    named: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether it is text alone."""
        return not self.reasoning and not set(self.others) - set(LABELS)


@dataclass(frozen=True)
class Row:
    """A row to train on.

    Attributes:
        prompt: Text, or turns.
        response: The assistant's turn that is trained on.
        tools: Schemas of the tools in the prompt.
        options: Further arguments of the chat template.
        carried: Columns beside these that hold parts of a conversation.
    """

    prompt: str | list[Turn]
    response: Turn
    tools: list[Any] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)
    carried: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt_text(self) -> str:
        """The prompt's text without roles, a line break between turns."""
        return self.prompt if isinstance(self.prompt, str) else "\n".join(turn.content or "" for turn in self.prompt)


def read_rows(name: str, split: str = "train", limit: int | None = None) -> list[dict[str, Any]]:
    """Read raw rows.

    Args:
        name: Local file, or a hub dataset id.
        split: Split of a hub dataset.
        limit: Only the first rows.

    Raises:
        DataError: Unreadable, or fewer rows than `limit`.
    """
    shards = _own_shards(Path(name))
    if shards or name.endswith(SUFFIXES):
        rows: list[dict[str, Any]] = [row for path in shards or [Path(name)] for row in read_table(path)]
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
    if not name.endswith(SUFFIXES) or name.endswith(".parquet"):
        rows = [{column: without_none(value) for column, value in row.items()} for row in rows[:limit]]
    return rows[:limit]


def _own_shards(folder: Path) -> list[Path]:
    """The files of a set of sftgen.

    `datasets` keeps a copy of a folder under the folder's last name, and takes it for another set of that name.
    """
    return sorted(folder.glob("train-*.parquet")) if (folder / SET).is_file() else []


def without_none(value: Any) -> Any:
    """A table gives every object the fields of all others, empty: in a tool's schema they would be new text."""
    if isinstance(value, Mapping):
        return {name: without_none(inner) for name, inner in value.items() if inner is not None}
    return [without_none(inner) for inner in value] if isinstance(value, list) else value


def read_prompt(row: Mapping[str, Any], where: str) -> Row:
    """Read a row of which the prompt alone counts: it needs no response.

    Args:
        row: As for `read_row`, or with a `prompt` only.
        where: File and number of the row, for messages.

    Raises:
        DataError: As `read_row`.
    """
    alone = "prompt" in row and not row.get("completion")
    return read_row({**row, "completion": "-"} if alone else row, where)


def read_row(row: Mapping[str, Any], where: str) -> Row:
    """Read a row of any usual form.

    Args:
        row: Columns of `message` and `response`, `messages`, or `prompt` and `completion`.
        where: File and number of the row, for messages.

    Raises:
        DataError: The columns have no known form, or a field holds what cannot be trained on. The message names it.
    """
    form = _form(row)
    if form == ("messages",):
        prompt, completion = row["messages"][:-1], row["messages"][-1:]
    else:
        prompt, completion = (row.get(name) for name in form)
    turns = _turns(prompt, where) if isinstance(prompt, list) else prompt
    held = turns if isinstance(turns, str | list) else ()
    response = _response(completion, where, len(held) + 1)
    if not isinstance(turns, str | list) or not turns or response is None:
        raise DataError(
            f"{where}: columns {', '.join(row)}; expected prompt and completion, message and response, "
            "or messages that end with one text of the assistant"
        )
    media = [name for name in _MEDIA if not _empty(row.get(name))]
    if media:
        raise DataError(f"{where}: column {media[0]!r}: only text is trained on; remove the column, or the row")
    options = _object(row, "chat_template_kwargs", dict, where)
    tools = _object(row, "tools", list, where)
    if isinstance(turns, str):
        fields = [*([response.named] if response.reasoning else []), *response.others, *({"tools": 1} if tools else {})]
        if fields:
            raise DataError(
                f"{where}: {fields[0]!r} beside a prompt that is text; a chat template writes it: give the prompt as "
                "turns, or write it into the text"
            )
    return Row(turns, response, tools or [], options or {}, {name: row[name] for name in CARRIERS if row.get(name)})


def _response(completion: Any, where: str, number: int) -> Turn | None:
    if isinstance(completion, str):
        return Turn("assistant", completion)
    if not isinstance(completion, list) or len(completion) != 1:
        return None
    [turn] = _turns(completion, where, number)
    said = turn.content is not None or turn.reasoning or "tool_calls" in turn.others
    return turn if turn.role == "assistant" and said else None


def _turns(given: Sequence[Any], where: str, first: int = 1) -> list[Turn]:
    return [read_turn(turn, f"{where}, turn {number}") for number, turn in enumerate(given, first)]


def read_turn(given: Any, where: str) -> Turn:
    """Read one turn of a conversation; fields that are empty are as if they were not there.

    Raises:
        DataError: It is not a turn, or its content is not text.
    """
    if not isinstance(given, Mapping) or not isinstance(given.get("role"), str):
        raise DataError(f"{where}: expected an object with role and content, found {str(given)[:80]!r}")
    others = {name: value for name, value in given.items() if name not in {"role", "content"} and not _empty(value)}
    thoughts = {name: _thought(others.pop(name), f"{where}, {name!r}") for name in REASONING if name in others}
    content = given.get("content")
    if isinstance(content, list):
        content, thought = _parts(content, where)
        thoughts |= {"content part 'thinking'": thought} if thought else {}
    elif content is not None and not isinstance(content, str):
        raise DataError(f"{where}: content is {type(content).__name__}; expected text, or a list of text parts")
    if len(set(thoughts.values())) > 1:
        raise DataError(f"{where}: {' and '.join(map(repr, thoughts))} hold different texts; keep one of them")
    named, reasoning = next(iter(thoughts.items()), ("", ""))
    return Turn(given["role"], content if content or "tool_calls" not in others else None, reasoning, named, others)


def _parts(parts: Sequence[Any], where: str) -> tuple[str, str]:
    """The text of content parts, and what they hold as thinking."""
    text, thought = "", ""
    for part in parts:
        held = {"text": part} if isinstance(part, str) else part
        if not isinstance(held, Mapping):
            raise DataError(f"{where}: content part {str(part)[:80]!r}: expected an object with type and text")
        held = {name: value for name, value in held.items() if not _empty(value) or name == "text"}
        kind = held.pop("type", "text")
        if kind in _THOUGHT and len(held) == 1:
            thought += _thought(next(iter(held.values())), where)
        elif kind in _TEXT and set(held) == {"text"} and isinstance(held["text"], str):
            text += held["text"]
        elif kind in _TEXT | _THOUGHT:
            raise DataError(f"{where}: content part with {', '.join(held)}: expected type and text alone")
        else:
            raise DataError(
                f"{where}: content part of type {kind!r}: only text is trained on; remove the part, or the row"
            )
    return text, thought


def _thought(value: Any, where: str) -> str:
    if isinstance(value, list):
        text, more = _parts(value, where)
        return text + more
    if not isinstance(value, str):
        raise DataError(f"{where}: {type(value).__name__}; expected text, or a list of text parts")
    return value


def _object(row: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """A column that holds an object, or JSON of one; None where it is empty."""
    value = row.get(name)
    if _empty(value):
        return None
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise DataError(f"{where}: column {name!r} is no JSON: {error}") from error
    if not isinstance(value, kind):
        expected = "a mapping" if kind is dict else "a list"
        raise DataError(f"{where}: column {name!r} is {type(value).__name__}; expected {expected}")
    return value


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def leaves(value: Any) -> Iterator[str]:
    """The texts and names in a value, as JSON or a chat template writes them."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def not_read(rows: Sequence[Mapping[str, Any]], column: str | None = None) -> list[str]:
    """Columns that hold something and are not read, by name.

    Args:
        rows: The rows.
        column: The only column that is read, None where rows are conversations.
    """
    unread = set()
    for row in rows:
        read = (column,) if column else (*_form(row), *_OPTIONS)
        unread |= {name for name, value in row.items() if name not in read and not _empty(value)}
    return sorted(unread)


def _form(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that make the conversation; the others are not read."""
    if row.get("message") and "response" in row:  # the paper's sets: one user turn, then text
        return FORMS[0]
    return FORMS[1] if isinstance(row.get("messages"), list) else FORMS[2]
