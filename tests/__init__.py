"""The tests, room by room as the packages are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""

PATIENCE = 1200
"""Seconds after which a process is taken for one that hangs; no test ends in time or not by it."""
