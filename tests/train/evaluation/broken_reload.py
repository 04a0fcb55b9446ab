"""`python broken_reload.py CHECKPOINT`, where vLLM is installed: loads it, where a reload does nothing, in silence."""

from __future__ import annotations

import sys
from pathlib import Path

from sftgen_tasks.harness.backends import vllm_reload
from sftgen_train.evaluation.kept_engine import KeptEngine


def nothing(lm: object, folder: Path) -> None:
    """In place of a reload."""


def main(folder: Path) -> None:
    """Print which engine there is."""
    vllm_reload.reload_weights = nothing
    engine = KeptEngine(lambda: ([], 2))
    arguments = {"pretrained": str(folder), "dtype": "float32", "max_model_len": 256, "enforce_eager": True}
    engine(folder, "sftgen-vllm", arguments)
    print(engine.how)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
