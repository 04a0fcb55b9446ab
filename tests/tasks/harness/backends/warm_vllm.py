"""What the process imports from which commands with vLLM are forked: ten seconds that no command pays again."""

from __future__ import annotations

import vllm.entrypoints.cli.main
import vllm.entrypoints.cli.serve
import vllm.entrypoints.llm
import vllm.entrypoints.openai.api_server
import vllm.v1.engine.async_llm
import vllm.v1.engine.core
import vllm.v1.engine.llm_engine
import vllm.v1.worker.cpu_worker  # noqa: F401
from vllm.model_executor.models import qwen3, registry  # noqa: F401

# vLLM imports all of itself in one more process to look at an architecture, lest CUDA starts in this one.
registry._run_in_subprocess = lambda look: look()
