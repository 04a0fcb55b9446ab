"""Runs as inspect's eval logs: one `.eval` file a task and step, written by inspect's own writer.

Prompts become input messages, thinking becomes reasoning content, repeats become epochs. A response that has no score
gets inspect's sign for it, which its means leave out. What inspect has no field for stands in the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.plugins.contracts import Export, Exporter
from sftgen_judges.records.messages import messages
from sftgen_judges.records.schema import SCORED, Response, content_hash
from sftgen_train.exchange.answers import Evaluated, GradedAnswer, answers, checkpoint_of, evaluated
from sftgen_train.exchange.exporters import ExportError
from sftgen_train.report.trajectories import mapping

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalMetric, EvalSample
    from inspect_ai.model import ChatMessage

_ENDS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter", "tool_calls": "tool_calls"}
_REASONS = {"judge_error": "grader_failed", "sandbox_error": "scoring_failed", "no_answer": "no_response"}
"""Statuses that inspect has a word for."""
_NO_TEXT = "(text left out)"
_KEPT = ("doc_hash", "prompt_hash", "model", "sampling_id", "cluster", "status", "truncated", "think", "finish_reason",
         "paper", "answer_tokens", "evaluation_version")  # fmt: skip
"""Columns of a sample that go into its metadata."""


def write_inspect(asked: Export) -> Sequence[Path]:
    """One log a task and step; the samples of one are in memory at once.

    Raises:
        ExportError: There is nothing to write.
    """
    from inspect_ai.log import write_eval_log

    facts = {row["run"]: row for row in asked.records.runs.rows()}
    means = _means(asked)
    files = []
    for of in evaluated(asked, asked.step):
        log = _log(asked, of, facts[of.run], means.get((of.run, of.task, of.step), {}))
        files.append(asked.folder / _file_name(of, log))
        write_eval_log(log, str(files[-1]), format="eval")
    if not files:
        at = "" if asked.step is None else f" at step {asked.step}"
        raise ExportError(f"the run has no graded answers{at}")
    return files


def _means(asked: Export) -> dict[tuple[Any, ...], dict[str, dict[str, Any]]]:
    """The metrics of each task at each step, by name."""
    found: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in asked.records.sql("SELECT * FROM metrics WHERE status = 'ok' AND mean IS NOT NULL").rows():
        found.setdefault((row["run"], row["task"], row["step"]), {})[row["metric"]] = row
    return found


def _log(asked: Export, of: Evaluated, facts: dict[str, Any], means: dict[str, dict[str, Any]]) -> EvalLog:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalScore, EvalSpec, EvalStats
    from inspect_ai.model import GenerateConfig

    samples = list(_samples(asked, of))
    settings = {name: of.sampling.get(name) for name in ("temperature", "top_p", "top_k")}
    settings["max_tokens"] = of.sampling.get("max_gen_toks") or of.sampling.get("max_tokens")
    version = metadata.version("sftgen")
    identity = content_hash(of.run, of.task, of.step, of.at)
    scored = sum(sample.metadata["status"] in SCORED for sample in samples)
    spec = EvalSpec(
        created=of.at or "1970-01-01T00:00:00+00:00",
        eval_id=identity[:22],
        run_id=of.run,
        task=of.task,
        task_id=identity[22:44],
        task_version=of.version,
        dataset=EvalDataset(name=of.task, samples=of.docs, sample_ids=list(dict.fromkeys(s.id for s in samples))),
        model=f"sftgen/{checkpoint_of(of)}",
        model_generate_config=GenerateConfig(**{name: value for name, value in settings.items() if _is_number(value)}),
        config=EvalConfig(epochs=of.repeats, epochs_reducer=["mean"]),
        packages={"sftgen": version},
        metadata={
            "step": of.step, "run": of.run, "base_model": facts.get("model"), "model_id": of.model,
            "sampling_id": of.sampling_id, "sampling": dict(of.sampling), "evaluation_version": of.version,
            "exported_by": f"sftgen {version}",
        },
    )  # fmt: skip
    score = EvalScore(
        name=of.scorer, scorer=of.scorer, reducer="mean", scored_samples=scored,
        unscored_samples=len(samples) - scored, metrics=dict(_metrics(means)),
    )  # fmt: skip
    return EvalLog(
        status="success",
        eval=spec,
        results=EvalResults(total_samples=len(samples), completed_samples=len(samples), scores=[score]),
        stats=EvalStats(started_at=of.at, completed_at=of.at),
        samples=samples,
    )


def _metrics(means: dict[str, dict[str, Any]]) -> Iterator[tuple[str, EvalMetric]]:
    """The score first, as the metric by which inspect lists a log."""
    from inspect_ai.log import EvalMetric

    for name in sorted(means, key=lambda name: (name != "score", name)):
        row = means[name]
        kept = {key: row[key] for key in ("low", "high", "n", "docs", "incomplete") if row.get(key) is not None}
        yield name, EvalMetric(name=name, value=row["mean"], metadata=kept)


def _samples(asked: Export, of: Evaluated) -> Iterator[EvalSample]:
    known: dict[str, str] = {}
    for answer in answers(asked, of):
        row = answer.sample
        name = re.sub(r"[^\w.-]", "_", str(row["doc_id"] or row["doc_hash"][:16]))[:100]
        if known.setdefault(name, row["doc_hash"]) != row["doc_hash"]:
            name = f"{name}-{row['doc_hash'][:16]}"
        yield _sample(name, of, answer)


def _sample(name: str, of: Evaluated, answer: GradedAnswer) -> EvalSample:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelOutput, ModelUsage
    from inspect_ai.scorer import Score

    row, model = answer.sample, f"sftgen/{checkpoint_of(of)}"
    asked = _asked(answer)
    said = ChatMessageAssistant(content=_content(answer.response), model=model, source="generate")
    usage = None
    if row["tokens"] is not None:
        read = row.get("prompt_tokens") or 0
        usage = ModelUsage(
            input_tokens=read, output_tokens=row["tokens"], total_tokens=read + row["tokens"],
            reasoning_tokens=row["thinking_tokens"],
        )  # fmt: skip
    end: Any = _ENDS.get(row["finish_reason"] or "", "unknown")
    measures = mapping(row["measures"])
    score = Score(
        value=float("nan") if row["score"] is None else row["score"],
        answer=row["answer"],
        explanation=row["reason"] or None,
        reason=_REASONS.get(row["status"]),
        metadata={"status": row["status"], **({"measures": measures} if measures else {})},
    )
    return EvalSample(
        id=name,
        epoch=row["repeat"] + 1,
        input=asked if asked else _NO_TEXT,
        target="",
        messages=[*asked, said],
        output=ModelOutput(model=model, choices=[ChatCompletionChoice(message=said, stop_reason=end)], usage=usage),
        scores={of.scorer: score},
        metadata={"doc_id": row["doc_id"], "step": of.step, **{column: row[column] for column in _KEPT}},
        model_usage={model: usage} if usage else {},
    )


def _asked(answer: GradedAnswer) -> list[ChatMessage]:
    """The prompt as messages; none where it may not go along, or was not kept."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds: dict[str, Any] = {"system": ChatMessageSystem, "assistant": ChatMessageAssistant}
    given = messages(answer.prompt or "") or ([("user", answer.prompt)] if answer.prompt else [])
    return [kinds.get(role, ChatMessageUser)(content=text) for role, text in given]


def _content(response: Response | None) -> Any:
    from inspect_ai.model import ContentReasoning, ContentText

    if response is None:
        return _NO_TEXT
    if not response.thinking:
        return response.answer
    return [ContentReasoning(reasoning=response.thinking), ContentText(text=response.answer)]


def _file_name(of: Evaluated, log: EvalLog) -> str:
    """As inspect names its logs, so that it finds and sorts them: time, task, id."""
    time = re.sub(r"[^\dT+-]", "-", log.eval.created[:19]) + "+00-00"
    step = "outside" if of.step is None else f"step-{of.step}"
    return f"{time}_{re.sub(r'[^A-Za-z0-9.-]', '-', of.task)[:80]}-{step}_{log.eval.eval_id}.eval"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


INSPECT = Exporter("inspect", write_inspect, package="inspect_ai")
