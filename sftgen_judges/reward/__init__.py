"""The judge that scores with a reward model."""
