"""Scoring in batch, with worker processes."""
