"""Training with TRL, and the callback that evaluates meanwhile."""
