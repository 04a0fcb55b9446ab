"""Studies: one file names base, arms, benchmarks and claims; one command runs it and says which claims held."""
