"""The plugins that sftgen_judges registers."""

from __future__ import annotations

from sftgen_judges.plugins.hookspecs import Register, hookimpl


@hookimpl
def register_judges(register: Register) -> None:
    register("refusal", "sftgen_judges.refusal:REFUSAL")
    register("reward", "sftgen_judges.reward.judge:REWARD")
    register("policy", "sftgen_judges.policy:POLICY")
    register("same-question", "sftgen_judges.same_question:SAME_QUESTION")
    for name in ("truth", "info", "truth-logprob", "info-logprob", "truth-chat", "info-chat"):
        register(name, f"sftgen_judges.truth:{name.upper().replace('-', '_')}")


@hookimpl
def register_judge_backends(register: Register) -> None:
    register("server", "sftgen_judges.asking.server:SERVER")
    register("batch", "sftgen_judges.asking.batch_api:BATCH")
    register("transformers", "sftgen_judges.asking.local_models:TRANSFORMERS")
    register("vllm", "sftgen_judges.asking.local_models:VLLM")


@hookimpl
def register_diagnostics(register: Register) -> None:
    register("anatomy", "sftgen_judges.diagnostics.anatomy:ANATOMY")
    for name in ("patterns", "self_jailbreak", "thinking_safety"):
        register(name, f"sftgen_judges.diagnostics.{name}:DIAGNOSTIC")
