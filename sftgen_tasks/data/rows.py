"""Rows of documents: their hash, a check of their columns, and the subset that a manifest names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sftgen_judges.records.schema import content_hash, doc_hash
from sftgen_tasks.data.tables import DataError

Rows = list[dict[str, Any]]


def digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash of a set of documents, whatever their order."""
    return content_hash(sorted(doc_hash(row) for row in rows))


def check_columns(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, type], origin: str) -> None:
    """Check that every row has these columns with values of these types.

    Args:
        rows: The rows.
        columns: Column name to type. A `str` must not be empty; `object` allows any value.
        origin: Where the rows come from, for the error.

    Raises:
        DataError: A row differs; the error names the first such row and column.
    """
    for number, row in enumerate(rows, 1):
        for column, kind in columns.items():
            if column not in row:
                raise DataError(
                    f"{origin}, row {number}: column {column!r} is missing; found {', '.join(map(str, row))}"
                )
            value = row[column]
            if not isinstance(value, kind) or (kind is str and not str(value).strip()):
                shown = "empty text" if isinstance(value, str) else type(value).__name__
                raise DataError(f"{origin}, row {number}, column {column!r}: expected {kind.__name__}, found {shown}")


def apply_manifest(rows: Rows, manifest: Mapping[str, Any], where: str) -> Rows:
    """The documents that a manifest names, in its order.

    Raises:
        DataError: A document is absent, or its content has changed.
    """
    by_hash = {doc_hash(row): row for row in rows}
    wanted = manifest.get("docs")
    if not isinstance(wanted, list) or not all(isinstance(doc, dict) and "sha256" in doc for doc in wanted):
        raise DataError(f"{where}: not a subset manifest, expected a list `docs` of {{id, sha256}}")
    absent = [doc.get("id") for doc in wanted if doc["sha256"] not in by_hash]
    if absent:
        raise DataError(
            f"{where}: {len(absent)} of {len(wanted)} documents are absent or have other content, "
            f"first id {absent[0]!r}. Was the manifest made from the same data?"
        )
    return [by_hash[doc["sha256"]] for doc in wanted]
