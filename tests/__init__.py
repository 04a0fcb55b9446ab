"""The tests, room by room as the packages are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""
