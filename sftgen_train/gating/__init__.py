"""May a model be released? A policy of allowed drops, decided on a run's shared documents."""
