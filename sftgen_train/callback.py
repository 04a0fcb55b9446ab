"""The documented address of `HarnessCallback`, which lives in `sftgen_train.training`."""

from sftgen_train.training.callback import CallbackError, HarnessCallback

__all__ = ["CallbackError", "HarnessCallback"]
