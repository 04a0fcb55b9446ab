"""Readers of answers that several benchmarks share."""

from sftgen_tasks.readers.boxed import last_boxed

__all__ = ["last_boxed"]
