"""The pool: prompts, the teacher that answers them, and the candidates that stand in its records."""
