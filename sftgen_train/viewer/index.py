"""The numbers of every item at every step, as arrays, so that no list of items waits for the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sftgen_judges.records.query import Records
from sftgen_train.trajectory.loading import OUTSIDE
from sftgen_train.viewer.address import STATUSES
from sftgen_train.viewer.questions import TASK, Asked, Outline, Row

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Truth = NDArray[np.bool_]

_SAME = 1e-9
"""A mean of repeats that differs by less has not changed."""
_OTHER = "other"


@dataclass(frozen=True)
class Cells:
    """What a step of a run says of its items; each field has one value an item, in the order of `items`.

    Attributes:
        items: Numbers of the items, ascending.
        score: Means over repeats; NaN without a score.
        cut: Shares of truncated repeats; NaN where nobody knows.
        tokens: Mean lengths; NaN where nobody counted.
        n: How many repeats.
        statuses: Which statuses the repeats have, a bit for each of `STATUSES`.
    """

    items: Whole
    score: Numbers
    cut: Numbers
    tokens: Numbers
    n: Whole
    statuses: Whole


class ItemIndex:
    """Items, numbered in the order of task and hash of their document, and what each step of each run says of them."""

    def __init__(self, records: Records, outline: Outline) -> None:
        """Read the samples once."""
        bits = " ".join(f"WHEN '{name}' THEN {1 << place}" for place, name in enumerate(STATUSES))
        found = records.sql(
            f"""SELECT run, coalesce(step, {OUTSIDE}) AS at_step, {TASK} AS task, doc_hash, min(doc_id) AS doc_id,
                avg(score) AS score, avg(truncated::INT) AS cut, avg(tokens) AS tokens, count(*) AS n,
                bit_or(CASE status {bits} ELSE {1 << len(STATUSES)} END)::BIGINT AS statuses
            FROM samples GROUP BY ALL"""
        ).to_arrow()
        self._outline = outline
        task, doc_hash = found["task"].combine_chunks(), found["doc_hash"].combine_chunks()
        documents = _codes(doc_hash)
        of = _codes(task) * (1 + int(documents.max(initial=0))) + documents
        _, starts, number = np.unique(of, return_index=True, return_inverse=True)
        self._task, self._doc_hash = task.take(starts), doc_hash.take(starts)
        self._doc_id = found["doc_id"].combine_chunks().take(starts)
        self._codes = _codes(self._task)
        # By name: of equal tasks in the order of the benchmark's own names.
        order = np.lexsort((_codes(self._doc_id), self._codes))
        self._by_name = np.empty(len(order), np.int64)
        self._by_name[order] = np.arange(len(order))
        run, step = _codes(found["run"].combine_chunks()), found["at_step"].to_numpy()
        columns = {name: _column(found[name]) for name in ("score", "cut", "tokens")}
        whole = {name: found[name].to_numpy() for name in ("n", "statuses")}
        self._cells: dict[tuple[str, int], Cells] = {}
        names = found["run"]
        places = np.lexsort((number, step, run))
        of_steps = np.flatnonzero(np.diff(run[places]) | np.diff(step[places])) + 1
        for part in np.split(places, of_steps) if len(places) else []:
            key = names[int(part[0])].as_py(), int(step[part[0]])
            self._cells[key] = Cells(
                number[part], columns["score"][part], columns["cut"][part], columns["tokens"][part],
                whole["n"][part], whole["statuses"][part],
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self._codes)

    def items(self, asked: Asked, *, limit: int, offset: int = 0, found: Truth | None = None) -> tuple[list[Row], int]:
        """A part of the items that are asked for, and how many there are in all.

        An item is a document of a task. Of its repeats the means are given: `score`, `before`, `change`, `cut` (share
        that was truncated), `tokens`; `n` is 0 where the step lacks the item.

        Args:
            asked: Which; its text is looked for by `found`.
            limit: How many at most.
            offset: How many of them are passed over.
            found: Whether the text that is looked for was found, of every item; None if none is.
        """
        listed = _Listed(self, asked)
        chosen = np.flatnonzero(listed.chosen if found is None else listed.chosen & found)
        if not len(chosen):
            return [], 0
        ordered = chosen[np.lexsort([key[chosen] for key in listed.order()])]
        return [listed.row(item) for item in ordered[offset : offset + limit]], len(chosen)

    def chosen(self, asked: Asked) -> Truth:
        """Whether an item fits, whatever text is looked for; of every item."""
        found: Truth = _Listed(self, asked).chosen
        return found

    def strips(self, rows: Sequence[Row], runs: Sequence[str]) -> dict[tuple[str, str], list[Row]]:
        """The mean score of items at every step, by task and document, in the order run, step."""
        found: dict[tuple[str, str], list[Row]] = {(row["task"], row["doc_hash"]): [] for row in rows}
        asked = np.array([row["item"] for row in rows], np.int64)
        for (run, step), cells in sorted(self._cells.items()):
            if run not in runs or not len(asked):
                continue
            places = np.minimum(np.searchsorted(cells.items, asked), len(cells.items) - 1)
            for row, place, there in zip(rows, places, cells.items[places] == asked, strict=True):
                if there:
                    of = {"score": _number(cells.score[place]), "cut": _number(cells.cut[place])}
                    found[row["task"], row["doc_hash"]].append({"run": run, "at_step": step, **of})
        return found

    def numbers_of(self, task: pa.Array, doc_hash: pa.Array) -> Truth:
        """Whether an item is among those that are named; of every item."""
        import pyarrow as pa

        own = pa.table({"task": self._task, "doc_hash": self._doc_hash, "item": pa.array(np.arange(len(self)))})
        named = pa.table({"task": task, "doc_hash": doc_hash}).cast(own.drop_columns("item").schema)
        there = np.zeros(len(self), bool)
        there[own.join(named, ["task", "doc_hash"], join_type="left semi")["item"].to_numpy()] = True
        return there

    def named(self, text: str) -> Truth:
        """Whether the benchmark's own name of an item holds a text, letters of either case alike."""
        import pyarrow.compute as pc

        found = pc.match_substring(self._doc_id, text, ignore_case=True)
        return np.asarray(pc.fill_null(found, fill_value=False).to_numpy(zero_copy_only=False), bool)

    def documents(self, chosen: Truth) -> list[str]:
        """The hashes of documents."""
        hashes: list[str] = self._doc_hash.take(np.flatnonzero(chosen)).to_pylist()
        return hashes


class _Listed:
    """The items of a step, with what they are compared with, as arrays over all items."""

    def __init__(self, index: ItemIndex, asked: Asked) -> None:
        self.index, self.asked = index, asked
        shown, earlier = index._cells.get((asked.run, asked.step)), index._cells.get((asked.before_run, asked.before))
        same = asked.run == asked.before_run and asked.step == asked.before
        self.n, self.statuses = (_spread(len(index), shown, name, 0) for name in ("n", "statuses"))
        self.score, self.cut, self.tokens = (_spread(len(index), shown, name, np.nan) for name in _MEANS)
        self.before = _spread(len(index), None if same else earlier, "score", np.nan)
        self.change = self.score - self.before
        there = self.n > 0
        if earlier is not None and not same:
            there[earlier.items] = True
        self.chosen = there & self._fits()

    def _fits(self) -> Truth:
        asked, fits = self.asked, np.ones(len(self.index), bool)
        if asked.task:
            place = self.index._task.index(asked.task).as_py()
            fits &= self.index._codes == (self.index._codes[place] if place >= 0 else -1)
        if asked.status:
            fits &= self.statuses & (1 << STATUSES.index(asked.status)) > 0
        if asked.cut:
            fits &= self.cut > 0 if asked.cut == "yes" else self.cut == 0
        with np.errstate(invalid="ignore"):
            if asked.score:
                score = self.score
                fits &= {
                    "0": score == 0, "between": (score > 0) & (score < 1), "1": score >= 1,
                    "none": np.isnan(score) & (self.n > 0),
                }[asked.score]  # fmt: skip
            if asked.change:
                kept = np.abs(self.change) <= _SAME
                fits &= {
                    "lost": self.change < -_SAME, "won": self.change > _SAME, "kept": kept & (self.score > 0),
                    "missed": kept & (self.score == 0),
                }[asked.change]  # fmt: skip
        return fits

    def order(self) -> list[Numbers | Whole]:
        """What the list is sorted by, the weightiest last; NaN comes last in each."""
        change, tokens = self.change, self.tokens
        own: Whole = np.arange(len(self.index))
        return [
            own,
            *{
                "change": [-tokens, change], "gain": [tokens, -change], "tokens": [-tokens], "score": [self.score],
                "item": [self.index._by_name],
            }[self.asked.sort],
        ]  # fmt: skip

    def row(self, item: int) -> Row:
        index, asked = self.index, self.asked
        bits = int(self.statuses[item])
        return {
            "item": int(item), "run": asked.run, "folder": index._outline.runs[asked.run].folder,
            "task": index._task[item].as_py(), "doc_hash": index._doc_hash[item].as_py(),
            "doc_id": index._doc_id[item].as_py(), "n": int(self.n[item]),
            "statuses": [name for place, name in enumerate((*STATUSES, _OTHER)) if bits >> place & 1],
            **{name: _number(getattr(self, name)[item]) for name in (*_MEANS, "before", "change")},
        }  # fmt: skip


_MEANS = ("score", "cut", "tokens")


def _spread(size: int, cells: Cells | None, name: str, missing: float) -> Any:
    spread = np.full(size, missing)
    spread = spread.astype(np.int64) if missing == 0 else spread
    if cells is not None:
        spread[cells.items] = getattr(cells, name)
    return spread


def _codes(names: pa.Array) -> Whole:
    """A number for each value, in the order of values; a missing one comes last."""
    coded = names.dictionary_encode()
    values = coded.dictionary.to_pylist()
    ranks = np.empty(len(values) + 1, np.int64)
    ranks[sorted(range(len(values)), key=values.__getitem__)] = np.arange(len(values))
    ranks[-1] = len(values)
    codes: Whole = ranks[coded.indices.fill_null(len(values)).to_numpy()]
    return codes


def _column(column: pa.ChunkedArray) -> Numbers:
    numbers: Numbers = column.combine_chunks().to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
