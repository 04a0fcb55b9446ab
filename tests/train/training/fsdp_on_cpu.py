"""`sftgen` with accelerate's FSDP on CPU processes, which accelerate itself starts on accelerators only."""

from __future__ import annotations

import os
from typing import Any

from accelerate.state import AcceleratorState, DistributedType
from accelerate.utils import FullyShardedDataParallelPlugin

from sftgen_train.cli.main import main

_make = AcceleratorState.__init__


def _make_sharded(self: AcceleratorState, *arguments: Any, **options: Any) -> None:
    _make(self, *arguments, **options)
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        self.distributed_type = DistributedType.FSDP
        if not hasattr(self, "fsdp_plugin"):
            self.fsdp_plugin = FullyShardedDataParallelPlugin()


if __name__ == "__main__":
    AcceleratorState.__init__ = _make_sharded  # type: ignore[method-assign]
    main()
