"""Statistics of checkpoints on the same documents."""
