"""lm_eval's sample logs of several checkpoints, as one run.

`lm_eval --log_samples` writes `samples_TASK_TIME.jsonl`, a line a document, beside `results_TIME.json`. What those say
of a checkpoint becomes an evaluation of a run: scores by document, texts, prompts. So trajectories, verdicts, the
report and the viewer work on results that exist. Nothing is generated, and nothing is graded again.

A log holds no token counts. It does not say which responses were cut at their limit: here only those count as
truncated whose thinking never ends. lm_eval writes one value a metric and document, also where it drew several
samples: then a document has one row, with the first sample's text.

Format: lm_eval 0.4 (`lm_eval.loggers.evaluation_tracker`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Sample
from sftgen_judges.records.schema import GenerationRecord, Verdict, content_hash, doc_hash, sampling_id, text_hash
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.thinking import split_thinking
from sftgen_tasks import TaskResult
from sftgen_tasks.data.tables import DataError, stream_table
from sftgen_train.results.run import Row, add_results

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
_PREFERRED = ("score", "acc", "exact_match", "acc_norm", "pass@1", "prompt_level_strict_acc", "em", "f1")
"""Metrics that become the score where none is named; the first that a task has."""
_LONGEST_ANSWER = 500


class LogError(SftgenError):
    """Logs that cannot be imported."""


@dataclass(frozen=True)
class Log:
    """The sample log of one task.

    Attributes:
        task: The task.
        time: When it was written, as its name says.
        path: The file.
    """

    task: str
    time: str
    path: Path


def find_logs(path: Path) -> list[Log]:
    """The newest log of each task under a folder, or the one file.

    Raises:
        LogError: There is none.
    """
    found = sorted(path.rglob("samples_*.jsonl")) if path.is_dir() else [path]
    logs: dict[str, Log] = {}
    for file in found:
        named = _NAME.fullmatch(file.name)
        if named and file.is_file() and (named["task"] not in logs or named["time"] > logs[named["task"]].time):
            logs[named["task"]] = Log(named["task"], named["time"], file)
    if not logs:
        raise LogError(
            f"{path}: found no samples_TASK_TIME.jsonl; lm_eval writes them with --log_samples --output_path FOLDER"
        )
    return [logs[task] for task in sorted(logs)]


def import_step(run: RunFolder, step: int, logs: Sequence[Log], metric: str | None = None) -> list[Row]:
    """Add the logs of one checkpoint to a run, as the evaluation of a step.

    Args:
        run: The run directory; it may be new.
        step: The training step.
        logs: What `find_logs` found.
        metric: What becomes the score; by default what most would name first.

    Returns:
        The metric rows.

    Raises:
        LogError: A task has no such metric, or its values are no shares.
        DataError: A log cannot be read.
    """
    models = {folder: _model_of(folder) for folder in {log.path.parent for log in logs}}
    results = [_result(run, step, log, models[log.path.parent], metric) for log in logs]
    return add_results(run, step, results, 0.0)


def _result(run: RunFolder, step: int, log: Log, model: str, metric: str | None) -> TaskResult:
    samples: list[Sample] = []
    values: dict[str, list[float]] = {}
    records: list[GenerationRecord] = []
    chosen = ""
    for number, row in enumerate(stream_table(log.path), 1):
        where = f"{log.path}, row {number}"
        numbers = _numbers(row, where)
        chosen = chosen or _chosen(numbers, metric, log)
        record = _record(row, log.task, step, model, where)
        score = numbers.get(chosen)
        if score is not None and not 0 <= score <= 1:
            raise LogError(
                f"{where}: {chosen} is {score:g}; a score is a share between 0 and 1: name such a metric with "
                f"--metric, of {', '.join(numbers)}"
            )
        records.append(record)
        samples.append(_sample(row, record, score))
        # A metric of theirs that is named `score` gives way to the chosen one.
        others = {name: value for name, value in numbers.items() if name != "score"}
        for name, value in {**({} if score is None else {"score": score}), **others}.items():
            values.setdefault(name, []).append(value)
    if not samples:
        raise LogError(f"{log.path}: holds no row")
    run.add_generations(records)
    return TaskResult(log.task, values, len(samples), samples)  # type: ignore[arg-type]


def _numbers(row: Mapping[str, Any], where: str) -> dict[str, float]:
    """The metrics of a document that are numbers; lm_eval's `bypass` is none, it stands for no score."""
    named = row.get("metrics")
    if not isinstance(row.get("doc"), dict) or not isinstance(named, list):
        raise DataError(
            f"{where}: expected `doc` and `metrics`, as lm_eval 0.4 writes them; found {', '.join(row)[:200]}"
        )
    found = {name: row.get(name) for name in named if isinstance(name, str)}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, bool | int | float) and isfinite(value) and name != "bypass"
    }


def _chosen(numbers: Mapping[str, float], metric: str | None, log: Log) -> str:
    if metric is not None and metric not in numbers:
        raise LogError(f"{log.task}: has no metric {metric!r}; its metrics: {', '.join(numbers) or '(none)'}")
    if metric is not None:
        return metric
    return next((name for name in (*_PREFERRED, *numbers) if name in numbers), "")


def _record(row: Mapping[str, Any], task: str, step: int, model: str, where: str) -> GenerationRecord:
    prompt, settings = _arguments(row)
    return GenerationRecord(
        task=task,
        step=step,
        model=model,
        doc_hash=doc_hash(row["doc"]),
        repeat=0,
        prompt_hash=text_hash(prompt),
        sampling=settings,
        text=_text(row.get("resps"), where),
        exact=False,
    )


def _sample(row: Mapping[str, Any], record: GenerationRecord, score: float | None) -> Sample:
    read = split_thinking(record.text)
    filtered = row.get("filtered_resps")
    answer = filtered[0] if isinstance(filtered, list) and filtered else filtered
    verdict = Verdict(
        "not_graded" if score is None else "ok",
        score,
        answer=answer[:_LONGEST_ANSWER] if isinstance(answer, str) else None,
        reason="imported: lm_eval gives no number" if score is None else "",
    )
    doc_id = row.get("doc_id")
    return Sample(
        task=record.task,
        step=record.step,
        doc_hash=record.doc_hash,
        repeat=0,
        response=read,
        verdict=verdict,
        model=record.model,
        sampling_id=sampling_id(record.sampling),
        doc_id=record.doc_hash[:16] if doc_id is None else str(doc_id),
        scorer="lm_eval",
        evaluation_version=1,
        prompt_hash=record.prompt_hash,
    )


def _arguments(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The prompt and the generation settings of a document's first request, in either of lm_eval's forms."""
    given = row.get("arguments")
    first: Any = next(iter(given.values()), None) if isinstance(given, dict) else (given or [None])[0]
    parts = list(first.values()) if isinstance(first, dict) else first if isinstance(first, list) else []
    prompt = parts[0] if parts and isinstance(parts[0], str) else ""
    settings = parts[1] if len(parts) > 1 and isinstance(parts[1], dict) else {}
    return prompt, dict(settings)


def _text(resps: Any, where: str) -> str:
    """The first response's text; empty for a task that compares likelihoods."""
    while isinstance(resps, Sequence) and not isinstance(resps, str):
        if not resps:
            return ""
        resps = resps[0]
    if resps is not None and not isinstance(resps, str | int | float | bool):
        raise DataError(f"{where}: `resps` holds {type(resps).__name__}; expected texts or numbers")
    return resps if isinstance(resps, str) else ""


def _model_of(folder: Path) -> str:
    """An id of the model by what the results beside the logs say of it; of the folder where they say nothing."""
    told: list[Any] = []
    for path in sorted(folder.glob("results_*.json")):
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and isinstance(found.get("config"), dict):
            told = [found["config"].get("model"), found["config"].get("model_args"), found.get("model_name")]
    return f"lm_eval:{content_hash(told or str(folder.resolve()))[:32]}"


def parse_steps(given: Sequence[str]) -> Iterator[tuple[int, Path]]:
    """`STEP=PATH` by step.

    Raises:
        LogError: Not of this form, or a step twice.
    """
    seen: set[int] = set()
    for each in given:
        step, equals, path = each.partition("=")
        if not equals or not step.isdecimal() or not path:
            raise LogError(f"{each!r}: expected STEP=PATH, for example 100=results/checkpoint-100")
        if int(step) in seen:
            raise LogError(f"step {step} is given twice; expected each once")
        seen.add(int(step))
        yield int(step), Path(path)
