"""What a training set holds: lengths, how thinking ends, what is there twice, what is cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sftgen_judges.records.schema import content_hash
from sftgen_judges.records.thinking import split_thinking
from sftgen_tasks.readers.boxed import last_boxed
from sftgen_train.curation.reading import id_of
from sftgen_train.training.rows import READ, Row

PARTS = ("prompt", "thinking", "answer")
_MOST_VALUES, _LONGEST_LABEL = 20, 40


@dataclass(frozen=True)
class Spread:
    """Lengths of one part of the rows that have it.

    Attributes:
        total: Sum.
        median: Median.
        p95: 95th percentile.
        longest: Maximum.
    """

    total: int
    median: float
    p95: float
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Spread:
        """Summarise lengths; all zero where there are none."""
        values = np.array(lengths or [0])
        return cls(int(values.sum()), float(np.median(values)), float(np.percentile(values, 95)), int(values.max()))


@dataclass(frozen=True)
class Audit:
    """What a set holds.

    Attributes:
        rows: How many rows.
        unit: `tokens` where a tokenizer counted, else `characters`.
        lengths: Of each of `PARTS`.
        thinking: How many rows think: `closed`, `unclosed` or `none`.
        boxed: Rows whose answer part has a boxed answer.
        empty: Rows without an answer part.
        same_prompt: Rows whose prompt an earlier row has.
        same_row: Rows whose prompt and response an earlier row has.
        same_id: Rows whose id an earlier row has.
        cut: Rows longer than the limit; None where none was named.
        columns: Rows by the values of columns with few of them.
    """

    rows: int
    unit: str
    lengths: Mapping[str, Spread]
    thinking: Mapping[str, int]
    boxed: int
    empty: int
    same_prompt: int
    same_row: int
    same_id: int
    cut: int | None
    columns: Mapping[str, Mapping[str, int]]


class Auditor:
    """Looks at rows as they come; memory grows by two hashes and three numbers a row."""

    def __init__(self, tokenizer: Any = None, max_length: int | None = None) -> None:
        """Begin with no rows.

        Args:
            tokenizer: Counts lengths in tokens.
            max_length: Rows of more tokens in all are counted as cut; wants a tokenizer.
        """
        self._tokenizer, self._max_length = tokenizer, max_length
        self._lengths: dict[str, list[int]] = {part: [] for part in PARTS}
        self._thinking: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._seen: dict[str, set[str]] = {"same_prompt": set(), "same_row": set(), "same_id": set()}
        self._columns: dict[str, Counter[str]] = {}

    def add(self, stored: Mapping[str, Any], row: Row) -> None:
        """Look at a row as it is stored, and at its conversation."""
        content = row.response.content or ""
        read = split_thinking(content)
        parts = (row.prompt_text, row.response.reasoning or read.thinking, read.answer)
        sizes = [self._length(part) for part in parts]
        for part, size in zip(PARTS, sizes, strict=True):
            self._lengths[part].append(size)
        self._thinking["closed" if row.response.reasoning else read.think] += 1
        self._counts["rows"] += 1
        self._counts["boxed"] += last_boxed(read.answer) is not None
        self._counts["empty"] += not read.answer.strip()
        self._counts["cut"] += bool(self._max_length and sum(sizes) > self._max_length)
        self._look("same_prompt", content_hash(row.prompt_text))
        self._look("same_row", content_hash(row.prompt_text, row.response.reasoning, content))
        if named := id_of(stored):
            self._look("same_id", content_hash(named))
        _count_columns(self._columns, stored)

    def _length(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"]) if self._tokenizer else len(text)

    def _look(self, what: str, hashed: str) -> None:
        self._counts[what] += hashed in self._seen[what]
        self._seen[what].add(hashed)

    def result(self) -> Audit:
        """What the rows so far hold."""
        counts = self._counts
        return Audit(
            rows=counts["rows"],
            unit="tokens" if self._tokenizer else "characters",
            lengths={part: Spread.of(sizes) for part, sizes in self._lengths.items()},
            thinking=dict(self._thinking),
            boxed=counts["boxed"],
            empty=counts["empty"],
            same_prompt=counts["same_prompt"],
            same_row=counts["same_row"],
            same_id=counts["same_id"],
            cut=counts["cut"] if self._max_length else None,
            columns={name: dict(values) for name, values in self._columns.items() if 1 < len(values) <= _MOST_VALUES},
        )


def _count_columns(columns: dict[str, Counter[str]], row: Mapping[str, Any]) -> None:
    """Count values of labels. A column with a long text, or with many values, is none: it is counted no further."""
    for name, value in row.items():
        if name in READ or value is None:
            continue
        values = columns.setdefault(name, Counter())
        if len(values) <= _MOST_VALUES:
            label = isinstance(value, str | int | bool) and len(str(value)) <= _LONGEST_LABEL
            values.update([str(value)] if label else map(str, range(_MOST_VALUES + 1)))


@dataclass(frozen=True)
class Difference:
    """How two sets differ, by prompt.

    Attributes:
        same: Prompts with the same responses in both.
        changed: Prompts with other responses.
        only_first: Prompts of the first alone.
        only_second: Prompts of the second alone.
    """

    same: int
    changed: int
    only_first: int
    only_second: int


def difference(first: Iterable[Row], second: Iterable[Row]) -> Difference:
    """Compare two sets; the order of rows does not matter."""
    a, b = _responses(first), _responses(second)
    both = a.keys() & b.keys()
    same = sum(a[prompt] == b[prompt] for prompt in both)
    return Difference(same, len(both) - same, len(a.keys() - both), len(b.keys() - both))


def _responses(rows: Iterable[Row]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for row in rows:
        prompt = row.prompt if isinstance(row.prompt, str) else [(turn.role, turn.content) for turn in row.prompt]
        response = content_hash(row.response.reasoning, row.response.content)
        found.setdefault(content_hash(prompt), Counter())[response] += 1
    return found
