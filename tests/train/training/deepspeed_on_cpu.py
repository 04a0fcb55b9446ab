"""`sftgen` with DeepSpeed on CPU processes, which accelerate itself starts on accelerators only."""

from __future__ import annotations

from typing import Any

import deepspeed
from accelerate.state import DistributedType, PartialState

from sftgen_train.cli.main import main
from tests.train.training.launching import start_workers_as_forks


def _gloo(*_: Any) -> tuple[str, DistributedType]:
    return "gloo", DistributedType.MULTI_CPU


if __name__ == "__main__":
    PartialState._prepare_backend = _gloo
    # It would be compiled here; plain gloo does.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    start_workers_as_forks()
    main()
