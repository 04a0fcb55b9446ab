"""Folders of weights: finding, checking and merging them, and keeping them until they are evaluated."""
