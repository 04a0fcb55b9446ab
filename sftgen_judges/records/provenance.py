"""Where results come from: command, code, machine and effort, without secrets and home paths."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sftgen_judges.records.schema import GenerationRecord

HIDDEN = "***"
LIBRARIES = ("sftgen", "lm_eval", "torch", "transformers", "trl", "datasets", "math-verify", "vllm")

# TOKENIZERS_PARALLELISM holds no secret.
_SECRET_VARIABLE = re.compile(r"KEY|TOKEN(?!IZ)|SECRET|PASSW", re.IGNORECASE)
# Shorter values are words and numbers (`EMPTY`, `false`, a limit) that stand in other text by chance.
_SHORTEST_SECRET = 8
# Not `think_end_token` or `response_tokens`.
_NAME = (
    r"(?:\w*[_-])?(?:api|access|secret|private|auth)[_-]?key|(?:(?:api|access|auth|bearer|hf|hub)[_-])?token"
    r"|\w*secret|\w*passw(?:or)?d|authorization"
)
_SECRET_NAME = re.compile(rf"(?:--)?(?:use_)?(?:{_NAME})", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    # A name with its value, in model arguments, JSON or the query of an address; then what is known by its look.
    rf"(?P<name>(?<![\w-])(?:{_NAME}|(?<=[?&])key)(?:[\"']?=|[\"']\s*:\s*)[\"']?)(?:Bearer\s+|Basic\s+)?[^\s,;&\"'{{}}]+"
    r"|(?P<scheme>\bBearer\s+)(?=[\w.~+/=-]*\d)[\w.~+/=-]{8,}"
    r"|(?P<address>\b\w+://)[^\s/@\"']+(?=@)"
    r"|\bhf_[A-Za-z0-9]{16,}|\bsk-(?=[\w-]*\d)[\w-]{8,}",
    re.IGNORECASE,
)

_made: Counter[str] = Counter()


def scrub(value: Any) -> Any:
    """Plain data without secrets, and with `~` for the home directory.

    Secrets are what environment variables named after keys, tokens, secrets or passwords hold, what
    stands under such a name, and what looks like a bearer token or a key of a known kind.
    """
    return _scrubbed(value, _text_scrubber())


def _scrubbed(value: Any, text: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {text(str(name)): _named(str(name), held, text) for name, held in value.items()}
    if isinstance(value, (list, tuple)):
        flags = [held if isinstance(held, str) and held.startswith("--") else "" for held in value]
        return [_named(flag, held, text) for flag, held in zip(["", *flags], value, strict=False)]
    return value


def _named(name: str, value: Any, text: Callable[[str], str]) -> Any:
    if isinstance(value, str) and value and _SECRET_NAME.fullmatch(name):
        return HIDDEN
    return _scrubbed(value, text)


def _text_scrubber() -> Callable[[str], str]:
    held = {value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)}
    # A variable may also name the file that holds a key. Path's own functions raise on long names or without a home.
    secrets = [value for value in held if len(value) >= _SHORTEST_SECRET and not os.path.exists(value)]  # noqa: PTH110
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    homes = {str(place) for place in (home, home.resolve()) if home.is_absolute() and place != Path(place.anchor)}

    def text(given: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            given = given.replace(secret, HIDDEN)
        given = _SECRET_TEXT.sub(lambda found: "".join(part or "" for part in found.groups()) + HIDDEN, given)
        for place in homes:
            # Not within another path, but after a line break that is written out.
            given = re.sub(rf"(?:(?<![\w.-])|(?<=\\[nrt])){re.escape(place)}(?![\w-])", "~", given)
        return given

    return text


def provenance() -> dict[str, Any]:
    """What runs now: the command, Python and libraries, git revisions, hardware."""
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "versions": {name: version for name in LIBRARIES if (version := _version(name))},
        "git": revisions(),
        "hardware": hardware(),
    }


@cache
def revisions() -> dict[str, dict[str, Any] | None]:
    """Git revisions of sftgen and of the working directory, None where a folder is not in a repository.

    sftgen has one if it is an editable checkout or was installed from a repository; a released wheel
    has its version only. `dirty` tells of changed tracked files.
    """
    return {"sftgen": _installed_revision(), "working_directory": _revision(Path.cwd())}


def hardware(*, ask_gpus: bool = False) -> dict[str, Any]:
    """CPU model, usable CPUs and memory, and the GPUs that torch uses here.

    Args:
        ask_gpus: List GPUs even if other processes use them; not before those are forked.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    facts: dict[str, Any] = {"cpu": _cpu_model(), "cpus": usable, "memory_gib": round(pages / 2**30, 1)}
    torch = sys.modules.get("torch")  # to describe a machine is no reason to load it
    if torch is not None and (torch.cuda.is_initialized() or (ask_gpus and torch.cuda.is_available())):
        found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        facts["gpus"] = [{"name": gpu.name, "memory_gib": round(gpu.total_memory / 2**30, 1)} for gpu in found]
    return facts


def tally(records: Iterable[GenerationRecord]) -> None:
    """Count generations that this process made."""
    for record in records:
        _made.update(responses=1, tokens=record.tokens or 0, uncounted=record.tokens is None)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Count the milliseconds that something takes, for example `loading` or `generating`."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        _made[what] += round(1000 * (time.perf_counter() - begun))


def tallied() -> Counter[str]:
    """What this process made: `responses` with so many `tokens`, and of how many the length is unknown.

    Beside them the milliseconds of `loading` models and of `generating`, grading that ran beside it among them.
    """
    return _made.copy()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _installed_revision() -> dict[str, Any] | None:
    try:
        origin = json.loads(metadata.distribution("sftgen").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return None
    if origin.get("dir_info", {}).get("editable"):
        return _revision(Path(unquote(urlsplit(origin["url"]).path)))
    commit = origin.get("vcs_info", {}).get("commit_id")
    return {"revision": commit, "dirty": False} if commit else None


def _revision(folder: Path) -> dict[str, Any] | None:
    line = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        # Without the lock git changes nothing in a repository that another process works in.
        done = subprocess.run(
            line, capture_output=True, text=True, check=True, timeout=10, env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        )
    except (OSError, subprocess.SubprocessError):  # no git, no repository, no commit
        return None
    revision, _, dirty = done.stdout.strip().partition("-")
    return {"revision": revision, "dirty": bool(dirty)}


def _cpu_model() -> str:
    try:
        described = Path("/proc/cpuinfo").read_text()
    except OSError:
        described = ""
    named = re.search(r"^model name\s*:\s*(.+)$", described, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()
