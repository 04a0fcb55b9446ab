"""Diagnostics of a run: labels of its responses, probes of its checkpoints, findings about its course."""
