"""Which warnings a user sees: our own, and the few of libraries that somebody can put right."""

from __future__ import annotations

import warnings

import pytest

from sftgen_judges.errors import SftgenError
from sftgen_train.cli import main

SITE = "/venv/lib/python3.12/site-packages"


class OursWarning(UserWarning):
    """A warning of sftgen's own."""


OursWarning.__module__ = "sftgen_tasks.harness"

SHOWN = {
    "driver": (
        f"{SITE}/torch/cuda/__init__.py", UserWarning, "CUDA initialization: The driver is too old.\n  Update it",
        "torch warning: CUDA initialization: The driver is too old. Update it",
    ),
    "other build": (
        f"{SITE}/bitsandbytes/cextension.py", UserWarning, "The installed version was compiled without GPU support.",
        "bitsandbytes warning: The installed version was compiled without GPU support.",
    ),
    "server": (
        f"{SITE}/urllib3/connectionpool.py", UserWarning, "Unverified HTTPS request is being made to host 'judge'.",
        "urllib3 warning: Unverified HTTPS request is being made to host 'judge'.",
    ),
    "one file": (f"{SITE}/mine.py", UserWarning, "NVML is gone \x1b[31m", "mine warning: NVML is gone "),
    "ours": (f"{SITE}/sftgen_tasks/x.py", OursWarning, "look at this", "sftgen warning: look at this"),
    "a plugin's": ("/home/me/plugin.py", UserWarning, "look at that", "sftgen warning: look at that"),
}  # fmt: skip
HIDDEN = {
    "for authors": (f"{SITE}/trl/trainer.py", DeprecationWarning, "`x` is deprecated"),
    "of Python": ("/usr/lib/python3.12/multiprocessing/popen_fork.py", DeprecationWarning, "use of fork()"),
    "of no file": ("<frozen importlib._bootstrap>", ImportWarning, "builtin type has no __module__"),
}


def test_a_warning_that_helps_is_one_line_and_others_are_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(**_: str) -> None:
        warnings.simplefilter("always")
        for file, category, message, *_ in (*SHOWN.values(), *HIDDEN.values()):
            warnings.warn_explicit(message, category, file, 1)
        raise SftgenError("the end")

    monkeypatch.setattr(main, "_command", lambda words: warn)
    monkeypatch.setattr(main, "quiet_libraries", lambda: None)  # of this process
    with warnings.catch_warnings(), pytest.raises(SystemExit):
        main.main()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(SHOWN) + 1
    assert all(line.startswith(said) for line, (*_, said) in zip(lines, SHOWN.values(), strict=False)), lines
    assert "\x1b" not in "".join(lines)
