"""Documents that are made from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.rows import Rows
from sftgen_tasks.data.tables import DataError

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Generated:
    """Documents made from a seed.

    Attributes:
        task: The sftgen task they are for.
        make: Makes the rows. lm_eval's metadata can set its parameters: `{"sftgen_countdown": {"counts": [3]}}` for
            one task, `{"docs_seed": 1}` for all generated tasks.
    """

    task: str
    make: Callable[..., Rows]

    def documents(self, **metadata: Any) -> dict[str, Dataset]:
        """Make the documents as lm_eval's `custom_dataset` wants them.

        Raises:
            DataError: The task has no such option, or cannot make documents with its value.
        """
        options = self._options(metadata)
        rows = self._made(options)
        return finish(self.task, rows, f"generated {options or 'by default'}", metadata, None)

    def check(self, **metadata: Any) -> None:
        """Check the options: make a single document with them, if `make` has a parameter `size`.

        Raises:
            DataError: The task has no such option, or cannot make a document with its value.
        """
        if "size" in signature(self.make).parameters:
            self._made({**self._options(metadata), "size": 1})

    def _options(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        own = metadata.get(self.task) or {}
        if not isinstance(own, Mapping):
            raise DataError(f"{self.task}: expected its options by name in the metadata, found {own!r}")
        # Not `seed`: the metadata also hold the model's arguments, and a model's seed must not change the questions.
        shared = {name: metadata[f"docs_{name}"] for name in ("seed", "size") if f"docs_{name}" in metadata}
        given = {**shared, **own}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}

    def _made(self, options: Mapping[str, Any]) -> Rows:
        try:
            return self.make(**options)
        except (TypeError, ValueError, IndexError) as error:
            raise DataError(f"{self.task}: cannot make documents with {dict(options)}: {error}") from error


def distinct(draw: Callable[[], dict[str, Any]], size: int) -> Rows:
    """Draw documents until there are `size` with different questions.

    Raises:
        ValueError: 100,000 draws in a row gave no new question.
    """
    docs: dict[str, dict[str, Any]] = {}
    in_vain = 0
    while len(docs) < size:
        doc = draw()
        in_vain = in_vain + 1 if doc["question"] in docs else 0
        if in_vain == 100_000:
            raise ValueError(f"found {len(docs)} different questions, not {size}")
        docs.setdefault(doc["question"], doc)
    return list(docs.values())
