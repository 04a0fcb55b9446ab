"""Folders of weights: recognised, whole, merged, and kept until they have been evaluated."""
