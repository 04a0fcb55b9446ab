"""What only a GPU can show: callback in mixed precision, transformers backend, token shift, hashing, vLLM."""
