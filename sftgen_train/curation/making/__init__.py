"""A pool's responses through the steps of a recipe to the rows of a set."""
