"""From graded samples to metrics, and metrics to trackers."""
