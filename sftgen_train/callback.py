"""The documented address of `HarnessCallback`, which lives in `sftgen_train.training`."""

from sftgen_train.training.callback import HarnessCallback
from sftgen_train.training.requirements import CallbackError

__all__ = ["CallbackError", "HarnessCallback"]
