"""Where a study has a recipe curated."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from sftgen_judges.errors import SftgenError


class CurationMissingError(SftgenError):
    """This version of sftgen curates no recipes."""


def curate(recipe: Path, folder: Path) -> Path:
    """Curate a data set by a recipe, as `sftgen curate` does.

    Args:
        recipe: The recipe's file.
        folder: Where the data set goes.

    Returns:
        The folder.

    Raises:
        CurationMissingError: This version curates no recipes.
    """
    if importlib.util.find_spec("sftgen_train.curation.pipeline") is None:
        raise CurationMissingError(
            f"recipe {str(recipe)!r}: this version of sftgen has no `sftgen curate`. Make the data set with another "
            "tool, and name its file: `data: FILE` in place of `data: {recipe: ...}`"
        )
    raise CurationMissingError(f"recipe {str(recipe)!r}: `sftgen curate` is not connected to studies yet")
