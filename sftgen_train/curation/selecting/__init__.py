"""From a pool to training sets: selectors, recipes, and the rows that are written."""
