"""Runs the benchmarks one after the other: `python scripts/bench.py [NAME ...]`, from the root of the repository.

Each is a process with a time limit (`--limit`), quick ones first. What its last line says goes, with machine and
versions, into `build/bench.json` and a page, `build/bench.md`; `--publish` writes that page to `docs/benchmarks.md`.
What stands in `build/bench.json` is kept: the same command goes on with the others, and with those that failed.
`--again` measures anew. One that lacks the real data is listed with the reason; one that fails, too, and then the exit
code is 1. Peers are installed into folders of their own. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
PAGE = ROOT / "docs" / "benchmarks.md"
LIMIT = 1_800
FIGURES = ("name", "ratio", "ours", "peer", "unit")
"""What the last line of a benchmark says at least; a peer may be a limit."""
OF_THE_DAY = ("date",)
BUSY = 10
"""Per cent of the processors from which on the machine was not quiet."""
VERSIONS = ("sftgen", "lm-eval", "torch", "transformers", "trl", "duckdb", "pyarrow", "math-verify")


@dataclass(frozen=True)
class Script:
    """How a benchmark is started.

    Attributes:
        arguments: What follows its name; `{data}` and `{peers}` are folders.
        data: Whether it needs the real benchmark files of `SFTGEN_DATA_DIR`.
        peers: Packages that are installed, without what they require, for it alone.
        imported: Whether these are on its path from the start.
        python: The interpreter, where it is not this one.
        minutes: About how long it takes, for the order alone.
    """

    arguments: tuple[str, ...] = ()
    data: bool = False
    peers: tuple[str, ...] = ()
    imported: bool = False
    python: Path = Path(sys.executable)
    minutes: float = 1.0


SPECIAL = {
    "adaptive_steps": Script(minutes=3),
    "code_grading": Script(("{peers}", "--submissions"), data=True, peers=("lighteval",), minutes=10),
    "contamination": Script(data=True, minutes=3),
    "curation": Script(("{data}/math",), data=True, minutes=5),
    "diagnosing": Script(minutes=4),
    "engine": Script(python=ROOT / ".venv-vllm" / "bin" / "python", minutes=8),
    "in_training": Script(minutes=8),
    "long_responses": Script(minutes=3),
    "math_grading": Script(data=True, minutes=3),
    "math_parts": Script(("20",), data=True, minutes=6),
    "memory": Script(minutes=5),
    "planning": Script(minutes=5),
    "ray_cluster": Script(("--curate",), peers=("ray>=2.60", "msgpack>=1"), imported=True, minutes=4),
    "sweep": Script(minutes=10),
    "viewer": Script(minutes=4),
}
"""Benchmarks that need more than their name, or more than a minute."""


@dataclass(frozen=True)
class Result:
    """What became of a benchmark.

    Attributes:
        name: Its name.
        question: What it asks.
        figures: What its last line says.
        missing: Why there are none.
        failed: Whether it is at fault.
        seconds: How long it took.
        others: Per cent of the processors that other programs took in the second before it.
    """

    name: str
    question: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""
    failed: bool = False
    seconds: float = 0.0
    others: float = 0.0


def names() -> list[str]:
    """All benchmarks, by the names of their files, quick ones first; what they share is no benchmark."""
    found = (ROOT / "benchmarks").glob("[a-z]*.py")
    known = (path.stem for path in found if "__main__" in path.read_text(encoding="utf-8"))
    return sorted(known, key=lambda name: (SPECIAL.get(name, Script()).minutes, name))


def _question(name: str) -> str:
    text = (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
    return text.split('"""', 2)[1].strip().splitlines()[0]


def run(name: str, limit: float) -> Result:
    """Run one benchmark to its end, or to the limit of seconds."""
    others, begun = psutil.cpu_percent(1.0), time.monotonic()
    return replace(_run(name, limit), seconds=round(time.monotonic() - begun, 1), others=others)


def _run(name: str, limit: float) -> Result:
    script = SPECIAL.get(name, Script())
    path = ROOT / "benchmarks" / f"{name}.py"
    question = _question(name)
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
    found = [str(peers)] * script.imported + [os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found))}
    # Its own session, so that at the limit all of its processes end with it.
    with subprocess.Popen(
        [script.python, path, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            said, complaints = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Result(name, question, missing=f"not done after {limit:g} s", failed=True)
    lines = said.strip().splitlines()
    if process.returncode or not lines:
        last = (complaints.strip().splitlines() or ["it said nothing"])[-1]
        return Result(name, question, missing=f"exit code {process.returncode}: {last}", failed=True)
    try:
        figures = dict(json.loads(lines[-1]))
    except (ValueError, TypeError):
        return Result(name, question, missing="its last line is no JSON object", failed=True)
    absent = [key for key in FIGURES if key not in figures]
    return Result(name, question, figures, f"its last line lacks {', '.join(absent)}" if absent else "", bool(absent))


def page(results: Iterable[Result], machine: Mapping[str, str]) -> str:
    """The results as a page in Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Each asks one question of this package and of a peer, or of a limit, in the same run. Made by `make bench`. "
        + "; ".join(f"{key} {of}" for key, of in machine.items())
        + ". The docstring of `benchmarks/NAME.py` says what the peer is and what the ratio means. "
        "Where `others` is told, other programs took that share of the processors when the benchmark began: its "
        "seconds by the clock are not to be trusted.",
        "",
    ]
    found = list(results)
    lines += ["| benchmark | ratio | ours | peer | unit | more |", "| --- | --- | --- | --- | --- | --- |"]
    for result in (one for one in found if not one.missing):
        known = dict(result.figures)
        known.pop("name", None)
        cells = [_shown(known.pop(key, "")) for key in ("ratio", "ours", "peer", "unit")]
        busy = {"others": f"{result.others:.0f} %"} if result.others > BUSY else {}
        told = {key: value for key, value in {**known, **busy}.items() if not isinstance(value, Mapping)}
        more = ", ".join(f"{key} {_shown(value)}" for key, value in told.items())
        lines.append(f"| [{result.name}](#{result.name}) | {' | '.join(cells)} | {more} |")
    lines += ["", "## What each asks", ""]
    for result in found:
        missing = f" **Not measured**: {result.missing}." if result.missing else ""
        lines.append(f'* <a id="{result.name}"></a>`{result.name}`: {result.question}{missing}')
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
    return {**facts, "date": f"{datetime.now(UTC):%Y-%m-%d}"}


def kept(facts: Mapping[str, str]) -> list[Result]:
    """What an earlier start measured on this machine with these versions, without what failed or was missing."""
    path = BUILD / "bench.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"machine": {}, "results": []}
    if any(known["machine"].get(key) != of for key, of in facts.items() if key not in OF_THE_DAY):
        return []
    rows = known["results"]
    return [result for row in rows if not (result := Result(**row)).missing and result.name in names()]


def main(arguments: Sequence[str]) -> int:
    """Run the chosen ones, all by default; 1 if one failed, 2 if one is unknown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="the same as a name alone")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of each")
    parser.add_argument("--again", action="store_true", help="measure anew what stands in build/bench.json")
    parser.add_argument("--publish", action="store_true", help="write the page of the documentation")
    given = parser.parse_args(arguments)
    chosen = [*given.names, *given.only]
    if unknown := sorted(set(chosen) - set(names())):
        print(f"unknown: {', '.join(unknown)}; expected some of {', '.join(sorted(names()))}", file=sys.stderr)
        return 2
    wanted = [name for name in names() if not chosen or name in chosen]
    facts = machine()
    results = {result.name: result for result in kept(facts)}
    BUILD.mkdir(exist_ok=True)
    for name in wanted:
        if name in results and not given.again:
            print(f"{name}: stands", flush=True)
            continue
        results[name] = result = run(name, given.limit)
        print(f"{name}: {result.missing or json.dumps(dict(result.figures))} ({result.seconds:.0f} s)", flush=True)
        _write(facts, results)  # after each, so that a stop loses nothing
    _write(facts, results)
    if given.publish:
        PAGE.write_text((BUILD / "bench.md").read_text(encoding="utf-8"), encoding="utf-8")
    print(f"written: {PAGE if given.publish else BUILD / 'bench.md'}, {BUILD / 'bench.json'}")
    return int(any(results[name].failed for name in wanted))


def _write(facts: Mapping[str, str], found: Mapping[str, Result]) -> None:
    known = {"machine": facts, "results": [asdict(found[name]) for name in sorted(found)]}
    (BUILD / "bench.json").write_text(json.dumps(known, indent=1), encoding="utf-8")
    results = (found.get(name) or Result(name, _question(name), missing="not run") for name in sorted(names()))
    (BUILD / "bench.md").write_text(page(results, facts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
