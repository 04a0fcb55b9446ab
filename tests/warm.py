"""What the process that forks commands does once, beside its imports, for all commands that load a model."""

from transformers.conversion_mapping import get_checkpoint_conversion_mapping

get_checkpoint_conversion_mapping("qwen3")  # it compiles 800 patterns, and keeps them
