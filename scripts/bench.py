"""Runs the benchmarks one after the other: `python scripts/bench.py [NAME ...]`, from the root of the repository.

Each is a process with a time limit. What its last line says goes, with machine and versions, into `build/bench.json`
and a page, `build/bench.md`. One that lacks a package or the real data is listed with the reason; one that fails, too,
and then the exit code is 1. Peers are installed into folders of their own. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
LIMIT = 1_800
VERSIONS = ("sftgen", "lm-eval", "torch", "transformers", "trl", "duckdb", "pyarrow", "math-verify")


@dataclass(frozen=True)
class Script:
    """How a benchmark is started.

    Attributes:
        arguments: What follows its name; `{data}` and `{peers}` are folders.
        data: Whether it needs the real benchmark files of `SFTGEN_DATA_DIR`.
        peers: Packages that are installed, without what they require, for it alone.
        python: The interpreter, where it is not this one.
    """

    arguments: tuple[str, ...] = ()
    data: bool = False
    peers: tuple[str, ...] = ()
    python: Path = Path(sys.executable)


SPECIAL = {
    "code_grading": Script(("{peers}", "--submissions"), data=True, peers=("lighteval",)),
    "contamination": Script(data=True),
    "curation": Script(("{data}/math",), data=True),
    "engine": Script(python=ROOT / ".venv-vllm" / "bin" / "python"),
    "math_grading": Script(data=True),
    "math_parts": Script(("20",), data=True),
}
"""Benchmarks that need more than their name."""


@dataclass(frozen=True)
class Result:
    """What became of a benchmark: its figures, or why there are none."""

    name: str
    question: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""
    failed: bool = False


def names() -> list[str]:
    """All benchmarks, by the names of their files; what they share is no benchmark."""
    found = (ROOT / "benchmarks").glob("[a-z]*.py")
    return sorted(path.stem for path in found if "__main__" in path.read_text(encoding="utf-8"))


def run(name: str) -> Result:
    """Run one benchmark to its end."""
    script = SPECIAL.get(name, Script())
    path = ROOT / "benchmarks" / f"{name}.py"
    question = path.read_text(encoding="utf-8").split('"""', 2)[1].strip().splitlines()[0]
    data = os.environ.get("SFTGEN_DATA_DIR", "")
    if script.data and not data:
        return Result(name, question, missing="set SFTGEN_DATA_DIR to a folder with the benchmarks' files")
    if not script.python.exists():
        return Result(name, question, missing=f"{script.python} is not there: make test installs it")
    peers = BUILD / "peers" / name
    if script.peers and not peers.exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--target", peers, *script.peers], check=True)
    words = [word.format(data=data, peers=peers) for word in script.arguments]
    try:
        done = subprocess.run(
            [script.python, path, *words], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return Result(name, question, missing=f"not done after {LIMIT} s", failed=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Result(name, question, missing=f"exit code {done.returncode}: {last}", failed=True)
    try:
        return Result(name, question, dict(json.loads(lines[-1])))
    except (ValueError, TypeError):
        return Result(name, question, missing="its last line is no JSON object", failed=True)


def page(results: Iterable[Result], machine: Mapping[str, str]) -> str:
    """The results as a page in Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`. " + "; ".join(f"{key} {of}" for key, of in machine.items()) + ".",
        "",
    ]
    lines += [
        "| benchmark | question | ratio | ours | peer | unit | more |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        if result.missing:
            lines.append(f"| `{result.name}` | {result.question} | not measured: {_shown(result.missing)} | | | | |")
            continue
        known = dict(result.figures)
        known.pop("name", None)
        cells = [_shown(known.pop(key, "")) for key in ("ratio", "ours", "peer", "unit")]
        more = ", ".join(f"{key} {_shown(value)}" for key, value in known.items())
        lines.append(f"| `{result.name}` | {result.question} | {' | '.join(cells)} | {more} |")
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def machine() -> dict[str, str]:
    """What the figures were measured on and with."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    facts = {
        "processor": models[0] if models else platform.processor(),
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
    }
    facts |= {name: metadata.version(name) for name in VERSIONS}
    return {**facts, "load before": f"{os.getloadavg()[0]:.1f}", "date": f"{datetime.now(UTC):%Y-%m-%d}"}


def main(chosen: list[str]) -> int:
    """Run the chosen ones, all by default; 1 if one failed, 2 if one is unknown."""
    if unknown := sorted(set(chosen) - set(names())):
        print(f"unknown: {', '.join(unknown)}; expected some of {', '.join(names())}", file=sys.stderr)
        return 2
    facts, results = machine(), []
    BUILD.mkdir(exist_ok=True)
    for name in chosen or names():
        result = run(name)
        results.append(result)
        print(f"{name}: {result.missing or json.dumps(dict(result.figures))}", flush=True)
        # After each, so that a stop loses nothing.
        (BUILD / "bench.json").write_text(
            json.dumps({"machine": facts, "results": [asdict(made) for made in results]}, indent=1), encoding="utf-8"
        )
        (BUILD / "bench.md").write_text(page(results, facts), encoding="utf-8")
    print(f"written: {BUILD / 'bench.json'}, {BUILD / 'bench.md'}")
    return int(any(result.failed for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
