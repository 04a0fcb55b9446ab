"""What a viewer tells a person instead of a traceback."""

from __future__ import annotations

from sftgen_judges.errors import SftgenError


class ViewError(SftgenError, ValueError):
    """A viewer that cannot be started, or a folder that no bundle can be written to."""


class AddressError(SftgenError, ValueError):
    """An address with a value that no page understands."""


class MissingError(SftgenError, LookupError):
    """An address of something that the runs do not hold."""
