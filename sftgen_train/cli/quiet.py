"""What a log of a command holds: our lines as text, above the bar; nothing that libraries print on their own."""

from __future__ import annotations

import logging
import os
import re
import sys

SETTINGS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # transformers' bars too
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",  # bars of others, which say nothing of it themselves; ours do
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",  # it warns of its own choices, process by process
    # Several threads on a busy machine slow everything.
    "TOKENIZERS_PARALLELISM": "false",
}
"""Environment variables that libraries read when they are imported. One that the user has set stays."""
LOUD = ("datasets", "filelock", "fsspec", "httpx", "huggingface_hub", "torch", "transformers", "urllib3")
"""Their loggers say what they do, or will do in later versions; what goes wrong they raise."""


def quiet_libraries() -> None:
    """Keep libraries quiet, those that are imported later and those that are there; SFTGEN_DEBUG=1 lets them speak."""
    if os.environ.get("SFTGEN_DEBUG"):
        return
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    _switch_off("datasets", "disable_progress_bars")
    _switch_off("huggingface_hub.utils", "disable_progress_bars")
    _switch_off("transformers.utils.logging", "disable_progress_bar")


USEFUL = re.compile(
    r"CUDA initialization|CUDA capability|NVML|compiled without GPU support|current PyTorch installation"
    r"|NumPy version|Unverified HTTPS request|not enough free disk space",
    re.IGNORECASE,
)
"""What libraries warn of and a user can put right: the driver, a build for another device, a server nobody checked."""
_INSTALLED = ("site-packages", "dist-packages")


def said_of(message: str, category: type[Warning], filename: str) -> str:
    """Who gives a warning that is for the user; empty for one that is not.

    Args:
        message: What it says.
        category: Its class.
        filename: The file of the code that gives it.
    """
    if category.__module__.startswith("sftgen"):
        return "sftgen"
    installed = next((part for part in _INSTALLED if part in filename), None)
    if installed:
        library = filename.partition(installed)[2].strip(os.sep).partition(os.sep)[0].removesuffix(".py")
        return library if USEFUL.search(message) else ""
    return "" if "<" in filename or f"{os.sep}lib{os.sep}python3" in filename else "sftgen"


def _switch_off(module: str, switch: str) -> None:
    """Call the switch of a library that was imported before it could read its environment variable."""
    loaded = sys.modules.get(module)
    if loaded is not None and hasattr(loaded, switch):
        getattr(loaded, switch)()


class AboveTheBar(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes messages above the bar of a stage, where one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """The message, as a line of its own."""
        if "tqdm" not in sys.modules:
            super().emit(record)
            return
        from tqdm import tqdm

        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


class PlainFormatter(logging.Formatter):
    """Shows a message as text: names in a stranger's run or queue may hold control codes."""

    def format(self, record: logging.LogRecord) -> str:
        """The message without control codes."""
        from sftgen_judges.records.schema import printable

        return printable(super().format(record))
