"""Readers of answers that several benchmarks share."""
