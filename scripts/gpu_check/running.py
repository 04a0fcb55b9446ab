"""Which checks there are, and how one is run: here, or in a process of its own with a time limit."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.gpu_check.backend import backend
from scripts.gpu_check.bench import Bench
from scripts.gpu_check.engine import vllm
from scripts.gpu_check.hashing import hashing
from scripts.gpu_check.kept_engine import kept_engine
from scripts.gpu_check.token_shift import token_shift
from scripts.gpu_check.training import callback

ROOT = Path(__file__).resolve().parents[2]

CHECKS: dict[str, tuple[Callable[[Bench, Path, dict[str, Any]], None], int]] = {
    "hashing": (hashing, 60),
    "token_shift": (token_shift, 180),
    "backend": (backend, 150),
    "callback": (callback, 150),
    "vllm": (vllm, 240),
    "kept_engine": (kept_engine, 240),
}
"""Each check with the seconds after which it is stopped."""
WITH_VLLM = ("vllm", "kept_engine")


def machine(bench: Bench) -> dict[str, Any]:
    """What it runs on."""
    import accelerate
    import torch
    import transformers

    name = torch.cuda.get_device_name() if bench.cuda else "cpu"
    versions = {module.__name__: module.__version__ for module in (torch, transformers, accelerate)}
    return {"device": name, "python": sys.version.split()[0], **versions}


def run_one(name: str, bench: Bench) -> None:
    """Run a check in this process and print what it found."""
    started = time.perf_counter()
    if name in WITH_VLLM and importlib.util.find_spec("vllm") is None:
        told: dict[str, Any] = {"ok": None, "skipped": "vllm is not installed"}
    elif name == "machine":
        told = {"ok": True, "found": machine(bench)}
    else:
        found: dict[str, Any] = {}
        told = {"ok": True, "found": found}
        with tempfile.TemporaryDirectory() as folder:
            try:
                CHECKS[name][0](bench, Path(folder), found)
            except Exception as error:
                traceback.print_exc()
                told = {"ok": False, "error": f"{type(error).__name__}: {error}", "found": found}
    print(json.dumps({"check": name, **told, "seconds": round(time.perf_counter() - started, 1)}), flush=True)


def run_apart(name: str, limit: int, given: Sequence[str]) -> bool:
    """Run a check in another process and print its line; whether it did not fail."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "scripts.gpu_check", "--here", *given, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit, cwd=ROOT)
        lines, error, code = done.stdout.splitlines(), done.stderr, done.returncode
    except subprocess.TimeoutExpired as stopped:
        lines, code = [], "stopped"
        error = stopped.stderr.decode(errors="replace") if isinstance(stopped.stderr, bytes) else ""
    if lines and lines[-1].startswith("{") and code == 0:
        print(lines[-1], flush=True)
        return bool(json.loads(lines[-1])["ok"] is not False)
    why = f"stopped after {limit} s" if code == "stopped" else f"exit code {code}"
    told = {"check": name, "ok": False, "error": why, "last_lines": error.splitlines()[-12:]}
    print(json.dumps({**told, "seconds": round(time.perf_counter() - started, 1)}), flush=True)
    return False
