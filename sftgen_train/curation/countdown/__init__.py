"""Countdown by the million: puzzles, how difficult they are, and written searches for their solution."""
