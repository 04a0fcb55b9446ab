"""Many checkpoints, evaluated later: entries, workers and watchers."""
