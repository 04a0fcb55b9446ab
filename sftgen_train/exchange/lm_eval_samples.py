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
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from sftgen_judges.plugins.contracts import Imported, Importer, Log, Sample
from sftgen_judges.records.schema import GenerationRecord, content_hash, doc_hash, sampling_id, text_hash
from sftgen_judges.records.thinking import split_thinking
from sftgen_tasks.data.tables import DataError, stream_table
from sftgen_train.exchange.importing import LogError, chosen_metric, number_of, verdict_of

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
_PREFERRED = ("score", "acc", "exact_match", "acc_norm", "pass@1", "prompt_level_strict_acc", "em", "f1")
"""Metrics that become the score where none is named; the first that a task has."""


def find_logs(path: Path) -> list[Log]:
    """The logs under a folder, or the one file.

    Raises:
        LogError: There is none.
    """
    found = sorted(path.rglob("samples_*.jsonl")) if path.is_dir() else [path]
    named = ((_NAME.fullmatch(file.name), file) for file in found)
    logs = [Log(of["task"], file, of["time"]) for of, file in named if of and file.is_file()]
    if not logs:
        raise LogError(
            f"{path}: found no samples_TASK_TIME.jsonl; lm_eval writes them with --log_samples --output_path FOLDER"
        )
    return logs


def read_log(log: Log, step: int, metric: str | None = None) -> Imported:
    """What the log of a checkpoint holds.

    Args:
        log: One that `find_logs` found.
        step: The training step.
        metric: What becomes the score; by default what most would name first.

    Raises:
        LogError: The task has no such metric, or its values are no shares.
        DataError: The log cannot be read.
    """
    model = _model_of(log.path.parent)
    samples: list[Sample] = []
    records: list[GenerationRecord] = []
    prompts: list[str] = []
    chosen = ""
    for number, row in enumerate(stream_table(log.path), 1):
        where = f"{log.path}, row {number}"
        numbers = _numbers(row, where)
        chosen = chosen or chosen_metric(log.task, numbers, metric, _PREFERRED)
        prompt, settings = _arguments(row)
        record = GenerationRecord(
            task=log.task,
            step=step,
            model=model,
            doc_hash=doc_hash(row["doc"]),
            repeat=0,
            prompt_hash=text_hash(prompt),
            sampling=settings,
            text=_text(row.get("resps"), where),
            exact=False,
        )
        records.append(record)
        prompts.append(prompt)
        samples.append(_sample(row, record, numbers, chosen, where))
    return Imported(samples, records, prompts if any(prompts) else ())


def _numbers(row: Mapping[str, Any], where: str) -> dict[str, float]:
    """The metrics of a document that are numbers; lm_eval's `bypass` is none, it stands for no score."""
    named = row.get("metrics")
    if not isinstance(row.get("doc"), dict) or not isinstance(named, list):
        raise DataError(
            f"{where}: expected `doc` and `metrics`, as lm_eval 0.4 writes them; found {', '.join(row)[:200]}"
        )
    found = {name: number_of(row.get(name)) for name in named if isinstance(name, str) and name != "bypass"}
    return {name: number for name, number in found.items() if number is not None}


def _sample(
    row: Mapping[str, Any], record: GenerationRecord, numbers: Mapping[str, float], chosen: str, where: str
) -> Sample:
    filtered = row.get("filtered_resps")
    answer = filtered[0] if isinstance(filtered, list) and filtered else filtered
    why_none = "imported: lm_eval gives no number"
    doc_id = row.get("doc_id")
    return Sample(
        task=record.task,
        step=record.step,
        doc_hash=record.doc_hash,
        repeat=0,
        response=split_thinking(record.text),
        verdict=verdict_of(numbers, chosen, answer=answer, why_none=why_none, where=where),
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


@lru_cache(maxsize=16)
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


LM_EVAL = Importer("lm-eval", find_logs, read_log)
