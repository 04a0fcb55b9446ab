"""Where documents come from, and how data files are read."""
