"""Scripts that are not part of what is installed."""
