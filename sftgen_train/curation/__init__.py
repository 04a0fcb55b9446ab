"""Training data that can be trusted: made, verified by the graders that score benchmarks, with its evidence."""
