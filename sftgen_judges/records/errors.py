"""The error of the records room."""

from __future__ import annotations

from sftgen_judges.errors import SftgenError


class RecordError(SftgenError):
    """A run directory or records in it that cannot be used."""
