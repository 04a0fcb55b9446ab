"""inspect's eval logs of several checkpoints, as one run; inspect itself need not be installed.

A log (`.eval`, a zip archive of JSON files, or `.json`) holds the samples of one task. Its messages become prompt and
response, reasoning included, its tokens are counted as the log counts them, its epochs are repeats. Nothing is
generated, and nothing is graded again. A sample that failed, and one that its scorer gave no number, has no score; one
that the log lacks is missing, and the evaluation is then called incomplete.

Of a dialogue with several answers the last one is the response, with the tokens of its own call.

Format: inspect-ai 0.3, version 2 of its logs (`inspect_ai.log.EvalLog`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Imported, Importer, Log, Sample
from sftgen_judges.records.schema import GenerationRecord, Verdict, content_hash, doc_hash, sampling_id, text_hash
from sftgen_judges.records.thinking import read_record
from sftgen_train.exchange.importing import LogError, chosen_metric, number_of, verdict_of
from sftgen_train.exchange.inspect_files import (
    LoggedSample,
    Message,
    ScoreGiven,
    Spec,
    Usage,
    looks_like_a_log,
    read_header,
    read_samples,
)

MOST_TEXT = 2 << 30
"""Characters of all responses and prompts of a log."""
_ATTACHED = "attachment://"
_STEP_NAMES = ("step", "global_step", "checkpoint_step", "checkpoint")
_STEP = re.compile(r"(?<![a-z])(?:checkpoint|ckpt|global[-_]?step|step)s?[-_=]{0,2}(\d{1,9})(?!\d)", re.IGNORECASE)
_ENDS = {"max_tokens": "length", "model_length": "length", "unknown": None}
"""Of their stop reasons those that have another name in our records."""
_LIMITS = frozenset({"token", "context"})
_WORDS = {"c": 1.0, "p": 0.5, "i": 0.0, "n": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""Values that stand for numbers: correct, partly, incorrect, no answer."""
_NO_ANSWER = "N"
_SETTINGS = frozenset({
    "temperature", "top_p", "top_k", "max_tokens", "stop_seqs", "seed", "frequency_penalty", "presence_penalty",
    "num_choices", "reasoning_effort", "reasoning_tokens",
})  # fmt: skip
"""Settings of a generation that decide what is generated."""
_LONGEST_REASON = 200


def find_logs(path: Path) -> list[Log]:
    """The logs under a folder, or the one file, each with the step that it names.

    Raises:
        LogError: There is none, or one cannot be read.
    """
    files = sorted({*path.rglob("*.eval"), *path.rglob("*.json")}) if path.is_dir() else [path]
    logs = []
    for file in files:
        if not file.is_file() or (path.is_dir() and file.suffix == ".json" and not looks_like_a_log(file)):
            continue
        header = read_header(file)
        logs.append(Log(_task_name(header.eval.task), file, header.eval.created, _step_of(file, header.eval)))
    if not logs:
        raise LogError(f"{path}: found no .eval or .json log of inspect; it writes them into its log folder, `logs`")
    return logs


def read_log(log: Log, step: int, metric: str | None = None) -> Imported:
    """What a log holds.

    Args:
        log: One that `find_logs` found.
        step: The training step.
        metric: What becomes the score: the name of a scorer, or of one of its values where it gives several; by
            default the first that inspect reports.

    Raises:
        LogError: The log cannot be read, or has no such metric.
    """
    header = read_header(log.path)
    model = f"inspect:{content_hash(header.eval.model, header.eval.model_args)[:32]}"
    settings = {**header.plan.config, **header.eval.model_generate_config}
    sampling = {name: value for name, value in sorted(settings.items()) if name in _SETTINGS and value is not None}
    preferred = [score.name for score in header.results.scores] if header.results else []
    found: dict[tuple[str, int], tuple[Sample, GenerationRecord, str]] = {}
    chosen, characters = "", 0
    for where, sample in read_samples(log.path):
        numbers, scores = _numbers(sample)
        if numbers and not chosen:
            chosen = chosen_metric(log.task, numbers, metric, preferred)
        record, prompt, thinking_tokens = _record(sample, log.task, step, model, sampling)
        characters += len(record.text) + len(record.reasoning or "") + len(prompt)
        if characters > MOST_TEXT:
            raise LogError(f"{log.path}: its texts have more than {MOST_TEXT:,} characters; import its parts")
        key = str(sample.id), sample.epoch
        if key in found:
            raise LogError(f"{where}: sample {sample.id!r} has epoch {sample.epoch} twice")
        graded = Sample(
            log.task, step, record.doc_hash, record.repeat, read_record(record),
            _verdict(record, sample, numbers, (chosen, scores.get(chosen)), where),
            model=model, sampling_id=sampling_id(sampling), doc_id=str(sample.id)[:200],
            thinking_tokens=thinking_tokens, scorer="inspect", evaluation_version=1, prompt_hash=record.prompt_hash,
        )  # fmt: skip
        found[key] = graded, record, prompt
    if metric is not None and found and not chosen:
        raise LogError(f"{log.task}: has no metric {metric!r}; its metrics: (none)")
    samples, records, prompts = zip(*found.values(), strict=True) if found else ((), (), ())
    asked = len(header.eval.dataset.sample_ids or ()) * (header.eval.config.epochs or 1)
    expected = (header.results and header.results.total_samples) or asked
    failed = any(sample.verdict.score is None for sample in samples)
    incomplete = header.status != "success" or failed or len(samples) < expected
    return Imported(samples, records, prompts, incomplete=incomplete)


def _task_name(task: str) -> str:
    """The task without its package, as the name of files."""
    name = re.sub(r"[^\w.-]", "_", task.rpartition("/")[2]).lstrip(".")[:100]
    if not name:
        raise LogError(f"task {task[:100]!r}: expected a name with letters")
    return name


def _step_of(path: Path, spec: Spec) -> int | None:
    """The training step that a log names: in its metadata, else in the name of its model, else in that of its file."""
    for facts in (spec.metadata or {}, spec.task_args, spec.model_args):
        for name in _STEP_NAMES:
            if type(facts.get(name)) is int and 0 <= facts[name] < 10**12:
                return int(facts[name])
    for text in (*(value for value in spec.model_args.values() if isinstance(value, str)), spec.model, path.name):
        # Of a path with several the last one is the checkpoint's own.
        if steps := _STEP.findall(text[:4_096]):
            return int(steps[-1])
    return None


def _numbers(sample: LoggedSample) -> tuple[dict[str, float], dict[str, ScoreGiven]]:
    """The numbers of a sample by name, and the score that each is of; inspect's words for numbers count too."""
    numbers: dict[str, float] = {}
    scores: dict[str, ScoreGiven] = {}
    for scorer, score in (sample.scores or {}).items():
        several = score.value if isinstance(score.value, dict) else {scorer: score.value}
        for name, value in several.items():
            number = _WORDS.get(value.lower()) if isinstance(value, str) else number_of(value)
            if number is None and isinstance(value, str) and re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", value):
                number = float(value)
            if number is not None:
                full = name if name not in numbers else f"{scorer}.{name}"
                numbers[full], scores[full] = number, score
    return numbers, scores


def _record(
    sample: LoggedSample, task: str, step: int, model: str, sampling: Mapping[str, Any]
) -> tuple[GenerationRecord, str, int | None]:
    """The response as a record, its prompt, and the tokens of its thinking."""
    attached = sample.attachments
    asked = sample.input if isinstance(sample.input, str) else _plain(sample.input, attached)
    doc = {"id": sample.id, "input": asked, "target": sample.target, "choices": sample.choices}
    choice = sample.output.choices[0] if sample.output.choices else None
    text, reasoning = _texts(choice.message, attached) if choice else ("", None)
    usage = sample.output.usage or Usage()
    tokens = usage.output_tokens or None
    end = _ENDS.get(choice.stop_reason, choice.stop_reason) if choice else None
    if end is None and sample.limit is not None and sample.limit.type in _LIMITS:
        end = "length"
    prompt = _prompt(sample)
    read = usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
    limit = sampling.get("max_tokens")
    record = GenerationRecord(
        task, step, model, doc_hash(doc), sample.epoch - 1, text_hash(prompt), sampling, text, end, tokens,
        read or None, limit if type(limit) is int and limit > 0 else None, exact=tokens is not None,
        reasoning=reasoning,
    )  # fmt: skip
    return record, prompt, usage.reasoning_tokens if tokens else None


def _prompt(sample: LoggedSample) -> str:
    """What the model got, as messages: all before its last answer."""
    if sample.messages:
        ends = [place for place, message in enumerate(sample.messages) if message.role == "assistant"]
        return json.dumps(_plain(sample.messages[: ends[-1]] if ends else sample.messages, sample.attachments))
    if isinstance(sample.input, str):
        return json.dumps([{"role": "user", "content": _resolved(sample.input, sample.attachments)}])
    return json.dumps(_plain(sample.input, sample.attachments))


def _plain(messages: list[Message], attached: Mapping[str, str]) -> list[dict[str, str]]:
    """Messages without their ids, which differ from run to run."""
    return [{"role": message.role, "content": _texts(message, attached)[0]} for message in messages]


def _texts(message: Message, attached: Mapping[str, str]) -> tuple[str, str | None]:
    """What a message says, and its reasoning; None without any."""
    if isinstance(message.content, str):
        return _resolved(message.content, attached), None
    said = [_resolved(part.text, attached) for part in message.content if part.type == "text" and part.text]
    thought = [
        _resolved((part.summary if part.redacted else part.reasoning) or "", attached)
        for part in message.content if part.type == "reasoning"
    ]  # fmt: skip
    return "\n".join(said), "\n".join(thought) if any(thought) else None


def _resolved(text: str, attached: Mapping[str, str]) -> str:
    return attached.get(text.removeprefix(_ATTACHED), text) if text.startswith(_ATTACHED) else text


def _verdict(
    record: GenerationRecord,
    sample: LoggedSample,
    numbers: Mapping[str, float],
    score: tuple[str, ScoreGiven | None],
    where: str,
) -> Verdict:
    if sample.error is not None:
        failed = " ".join(sample.error.message.split())[:_LONGEST_REASON]
        return Verdict("not_graded", reason=f"imported: the sample failed: {failed}")
    name, given = score
    if given and given.value == _NO_ANSWER:
        return Verdict("no_answer", 0.0, reason="imported: inspect read no answer")
    # A scorer often explains a score with the response itself, which is no reason.
    told = given.explanation if given and isinstance(given.explanation, str) else ""
    short = 0 < len(told) <= _LONGEST_REASON and "\n" not in told and told not in record.text
    why_none = "imported: inspect gives no number"
    answer = given.answer if given else None
    return verdict_of(numbers, name, answer=answer, why_none=why_none, where=where, reason=told if short else "")


INSPECT = Importer("inspect", find_logs, read_log)
