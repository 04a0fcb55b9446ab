"""What the process imports and sets up from which commands with vLLM are forked: seconds that no command pays again."""

from __future__ import annotations

import lm_eval.models.vllm_causallms  # noqa: F401
import vllm.entrypoints.cli.main
import vllm.entrypoints.cli.serve
import vllm.entrypoints.llm
import vllm.entrypoints.openai.api_server
import vllm.v1.engine.async_llm
import vllm.v1.engine.core
import vllm.v1.engine.llm_engine
import vllm.v1.worker.cpu_worker  # noqa: F401
from vllm import envs
from vllm.config.logging import LoggingConfig
from vllm.logger import configure_logging
from vllm.model_executor.models import qwen3, registry  # noqa: F401
from vllm.platforms import cpu

# vLLM imports all of itself in one more process to look at an architecture, lest CUDA starts in this one.
registry._run_in_subprocess = lambda look: look()
# The engine of a server is one more process, which would import all of it too: on a CPU it is spawned, whatever is set.
envs.environment_variables["VLLM_WORKER_MULTIPROC_METHOD"] = lambda: "fork"
# An engine does these once in its process. They look at every logger, and at all that is in every module.
configure_logging(LoggingConfig())
cpu.CpuPlatform.register_triton_kernel_overrides()
cpu.CpuPlatform.register_triton_kernel_overrides = staticmethod(lambda: None)
# The least that VLLM_CPU_KVCACHE_SPACE can ask for is one of these, all of which is filled with zeros.
cpu.GiB_bytes = 2**28
