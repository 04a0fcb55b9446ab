"""Configuration files, YAML or JSON: read within bounds and checked, with every mistake told at once."""
