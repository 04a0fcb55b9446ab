"""The models behind `--model sftgen-hf`, `sftgen-vllm`, `sftgen-chat` and `sftgen-replay`."""
