"""The errors of the records room."""

from __future__ import annotations

from pathlib import Path

from sftgen_judges.errors import SftgenError


class RecordError(SftgenError):
    """A run directory or records in it that cannot be used."""


class WriteError(RecordError, OSError):
    """A file that cannot be written, for example since the disk is full: it names the file and the next step."""

    def __init__(self, path: Path, error: OSError) -> None:
        """Say which file.

        Args:
            path: The file.
            error: Why it cannot be written.
        """
        reason = error.strerror or str(error)
        super().__init__(
            f"{path} cannot be written: {reason}. What was written before is kept; "
            "put that right and start the same command again"
        )
        self.errno, self.strerror, self.filename = error.errno, reason, str(path)

    def __str__(self) -> str:
        return str(self.args[0])


def unreadable(path: Path, error: OSError) -> RecordError:
    """A file of a run that this user may not read or add to."""
    return RecordError(
        f"{error.filename or path} cannot be read or added to: {error.strerror or error}. It was left as it is; "
        "give this user the right to read and write it, or use another run directory"
    )
