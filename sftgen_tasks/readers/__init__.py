"""Readers of answers that several benchmarks share."""

from sftgen_tasks.readers.boxed import boxed, last_boxed
from sftgen_tasks.readers.looks import plain_latex, plain_text

__all__ = ["boxed", "last_boxed", "plain_latex", "plain_text"]
