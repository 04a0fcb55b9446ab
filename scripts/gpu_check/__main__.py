"""What only a GPU can show.

    python -m scripts.gpu_check [--tiny] [--device cpu] [NAME ...]

Every check runs in a process of its own with a time limit, on a Qwen3 of 0.6 billion random parameters, and prints one
JSON object: its name, `ok` (null if it was skipped, with the reason), what it measured, seconds. The exit code is 1 if
one failed. Without a GPU, `--tiny --device cpu` runs the same code on a model of a few thousand parameters.
"""

from __future__ import annotations

import argparse
import logging
import sys

from scripts.gpu_check.bench import Bench
from scripts.gpu_check.running import CHECKS, run_apart, run_one


def main() -> None:
    """Run the checks that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", choices=[[], "machine", *CHECKS], help="checks; all by default")
    parser.add_argument("--tiny", action="store_true", help="a model of a few thousand parameters, short texts")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--here", action="store_true", help="in this process, without a time limit")
    asked = parser.parse_args()
    names = asked.names or ["machine", *CHECKS]
    if asked.here:
        logging.disable(logging.INFO)
        for name in names:
            run_one(name, Bench(asked.device, asked.tiny))
        return
    given = [*(["--tiny"] if asked.tiny else []), "--device", asked.device]
    patience = 1 if asked.device == "cuda" else 5
    limits = {name: limit * patience for name, (_, limit) in CHECKS.items()}
    good = [run_apart(name, limits.get(name, 100), given) for name in names]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
