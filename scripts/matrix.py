"""Which versions go together: `python scripts/matrix.py [NAME ...] [--run]`, from the root of the repository.

Without `--run` each set is only resolved, as `uv pip compile` does it: seconds, and nothing is installed. With it each
set without vllm is installed into a folder of its own. There sftgen checks itself, plain lm_eval runs one of its
tasks on a tiny model, and that model is fine-tuned for two steps with an evaluation at each. It needs the interpreters,
uv and a package index. One JSON object a set is printed; the exit code is 1 if one failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
PLATFORM = "x86_64-manylinux_2_28"
LIMIT = 1_200


@dataclass(frozen=True)
class Case:
    """A set of versions.

    Attributes:
        python: The interpreter's version.
        constraints: The file of constraints.
        over: Requirements that replace those of all packages.
        vllm: The engine, where it is part of the set.
        lowest: Whether each package that sftgen names is the oldest that it asks for; then constraints are left out.
    """

    python: str
    constraints: str = "constraints.txt"
    over: tuple[str, ...] = ()
    vllm: str = ""
    lowest: bool = False

    @property
    def name(self) -> str:
        """For example `python-3.12-vllm-0.32.0`."""
        of = [f"vllm-{self.vllm}"] if self.vllm else ["lowest"] if self.lowest else []
        return "-".join([f"python-{self.python}", *of, *(word.replace("==", "-") for word in self.over)])


ENGINES = (("constraints.txt", "0.32.0"), ("constraints-vllm-0.33.txt", "0.33.0"))
CASES = (
    *(Case(python) for python in ("3.11", "3.12", "3.13")),
    *(Case("3.11", over=(of,)) for of in ("lm-eval==0.4.12", "lm-eval==0.5.0.dev1")),
    Case("3.11", lowest=True),
    *(Case(python, file, vllm=engine) for file, engine in ENGINES for python in ("3.11", "3.12", "3.13")),
)
"""The oldest and the newest trl are one: the trainer's hooks are checked against 1.16, and no later one is out."""


def resolve(case: Case) -> dict[str, str]:
    """The versions that would be installed, of the packages that others depend on.

    Raises:
        subprocess.CalledProcessError: There is no such set.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *([f"vllm=={case.vllm}"] if case.vllm else [])]
    with tempfile.TemporaryDirectory() as folder:
        pins = _pins(case, Path(folder))
        (Path(folder) / "requirements.in").write_text("\n".join(wanted), encoding="utf-8")
        line = [UV, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", case.python]
        line += ["--python-platform", PLATFORM, "--prerelease", "if-necessary", *pins]
        done = subprocess.run(
            [*line, "requirements.in"], cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=True
        )
    versions = dict(line.split("==") for line in done.stdout.splitlines() if "==" in line)
    return {name: versions[name] for name in ("torch", "transformers", "trl", "lm-eval", "vllm") if name in versions}


def _pins(case: Case, folder: Path) -> list[str | Path]:
    """Options of uv for the case: the file of constraints without what is replaced, and what replaces it."""
    if case.lowest:
        return ["--resolution", "lowest-direct"]
    replaced = {of.split("==")[0] for of in case.over}
    lines = (ROOT / case.constraints).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.split("==")[0] not in replaced]
    (folder / "constraints.txt").write_text("\n".join(kept), encoding="utf-8")
    (folder / "override.txt").write_text("\n".join(case.over), encoding="utf-8")
    return ["-c", folder / "constraints.txt", "--override", folder / "override.txt"]


def try_out(case: Case, folder: Path) -> None:
    """Install the set and use it.

    Raises:
        subprocess.CalledProcessError: Something failed; its output was printed.
    """
    environment, here = folder / "environment", folder / "here"
    here.mkdir(parents=True, exist_ok=True)
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", case.python, environment], check=True)
    install = [UV, "pip", "install", "--quiet", "--index-strategy", "unsafe-best-match", "--python", environment]
    extra = os.environ.get("TORCH_PIP_ARGS", "").split()
    subprocess.run([*install, *extra, *_pins(case, folder), ROOT], check=True)
    bin_ = environment / "bin"
    make = "from sftgen_train.demo.tiny import *; tokenizer = build_tokenizer([]);" \
        "build_model(tokenizer, Size(hidden=32, inner=64, layers=2, heads=2, head=16)).save_pretrained('tiny');" \
        "tokenizer.save_pretrained('tiny')"  # fmt: skip
    (here / "rows.jsonl").write_text(json.dumps({"prompt": "1+1?", "completion": "2"}) + "\n", encoding="utf-8")
    train = {
        "model_name_or_path": "tiny", "train_data": "rows.jsonl", "output_dir": "out", "max_steps": 2,
        "harness_tasks": ["sftgen_parity"], "harness_limit": 2, "harness_at_steps": [1, 2],
        "harness_form": "in_process", "harness_gen_kwargs": {"max_gen_toks": 4}, "report_to": "none",
    }  # fmt: skip
    (here / "train.yaml").write_text(json.dumps(train), encoding="utf-8")
    settings = ["--limit", "2", "--gen_kwargs", "max_gen_toks=4"]
    for line in (
        [bin_ / "python", "-c", make],
        [bin_ / "sftgen", "doctor", "--tasks", "sftgen_parity", "--model", "tiny"],
        [bin_ / "lm_eval", "--tasks", "sftgen_parity", "--model", "hf", "--model_args", "pretrained=tiny", *settings],
        [bin_ / "sftgen", "train", "--config", "train.yaml"],
    ):
        subprocess.run(line, cwd=here, check=True, timeout=LIMIT, stdout=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """Resolve or try the chosen sets, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="sets, all by default")
    parser.add_argument("--run", action="store_true", help="install each set without vllm, and use it")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.names) - {case.name for case in CASES}):
        parser.error(f"unknown: {', '.join(unknown)}; expected some of {', '.join(case.name for case in CASES)}")
    failed = False
    for case in CASES:
        if given.names and case.name not in given.names:
            continue
        said: dict[str, object] = {"name": case.name}
        try:
            said["versions"] = resolve(case)
            if given.run and not case.vllm:
                try_out(case, ROOT / "build" / "matrix" / case.name)
                said["ran"] = True
        except (subprocess.SubprocessError, OSError) as error:
            failed = True
            said["failed"] = (getattr(error, "stderr", "") or str(error)).strip()[-500:]
        print(json.dumps(said), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
