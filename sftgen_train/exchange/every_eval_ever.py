"""Runs in the schema of Every Eval Ever: one JSON file a checkpoint, and one with its samples where texts go along.

The files stand where that project's data store has them: `data/sftgen/DEVELOPER/MODEL/UUID.json`. Who evaluated, and
what they have to do with the model's maker, is what a run does not know: `unknown` and `other` stand for it.

Format: github.com/evaleval/every_eval_ever, schema 0.3.0 (MIT licence).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from time import time
from typing import Any

from sftgen_judges.plugins.contracts import Export, Exporter
from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.messages import last_words, messages
from sftgen_judges.records.schema import content_hash, well_formed
from sftgen_judges.records.shares import SAFETY, is_share
from sftgen_tasks.harness.catalogue import source_of
from sftgen_train.exchange.answers import Evaluated, GradedAnswer, answers, checkpoint_of, evaluated
from sftgen_train.exchange.exporters import ExportError
from sftgen_train.report.trajectories import mapping

SCHEMA = "0.3.0"
COLLECTION, DEVELOPER = "sftgen", "local"
_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_gen_toks": "max_tokens"}
"""Our names of sampling settings, and theirs."""
_BESIDE = ("coverage", "truncated", "answered", "response_tokens")
"""Metrics that say what a score rests on."""

Facts = dict[str, Any]


def write_every_eval_ever(asked: Export) -> Sequence[Path]:
    """The results of each checkpoint, of all tasks that have a score.

    Raises:
        ExportError: There is no score.
    """
    runs = {row["run"]: row for row in asked.records.runs.rows()}
    means: dict[tuple[Any, ...], dict[str, Facts]] = {}
    for row in asked.records.sql("SELECT * FROM metrics WHERE status = 'ok' AND mean IS NOT NULL").rows():
        means.setdefault((row["run"], row["task"], row["step"]), {})[row["metric"]] = row
    checkpoints: dict[tuple[str, int | None], list[Evaluated]] = {}
    for of in evaluated(asked, asked.step):
        if _main(of) in means.get((of.run, of.task, of.step), {}):
            checkpoints.setdefault((of.run, of.step), []).append(of)
    files: list[Path] = []
    for (run, _), tasks in checkpoints.items():
        files += _checkpoint(asked, runs[run], tasks, means)
    if not files:
        at = "" if asked.step is None else f" at step {asked.step}"
        raise ExportError(f"the run has no score{at}")
    return files


def _checkpoint(
    asked: Export, run: Facts, tasks: Sequence[Evaluated], means: Mapping[tuple[Any, ...], dict[str, Facts]]
) -> Iterator[Path]:
    first, at = tasks[0], max(of.at for of in tasks)
    name = checkpoint_of(first)
    versions = mapping(run["manifest"]).get("versions")
    # Made of what was evaluated: the same results keep their name.
    own = str(uuid.UUID(bytes=hashlib.sha256(_identity(tasks).encode()).digest()[:16], version=4))
    log: Facts = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{COLLECTION}/{DEVELOPER}/{name}/{_epoch(at)}",
        "evaluation_timestamp": _epoch(at),
        "retrieved_timestamp": f"{time():.3f}",
        "source_metadata": {
            "source_name": "sftgen", "source_type": "evaluation_run", "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": "sftgen", "version": metadata.version("sftgen"),
            "additional_details": _texts(versions if isinstance(versions, dict) else {}),
        },
        "model_info": {
            "name": name, "id": f"{DEVELOPER}/{name}", "developer": DEVELOPER,
            "additional_details": {
                "deployment_type": "unknown", "model_availability": "unknown",
                **_texts({"base_model": run["model"], "training_step": first.step, "content_id": first.model}),
            },
        },
        "evaluation_results": [_result(of, means[of.run, of.task, of.step]) for of in tasks],
    }  # fmt: skip
    folder = Path("data", COLLECTION, DEVELOPER, name)
    (asked.folder / folder).mkdir(parents=True, exist_ok=True)
    if asked.texts:
        samples = folder / f"{own}_samples.jsonl"
        total, checksum = _write_samples(asked, tasks, log, asked.folder / samples)
        if total:
            log["detailed_evaluation_results"] = {
                "format": "jsonl", "file_path": samples.as_posix(), "hash_algorithm": "sha256", "checksum": checksum,
                "total_rows": total,
            }  # fmt: skip
            yield asked.folder / samples
    path = asked.folder / folder / f"{own}.json"
    write_atomic(path, json.dumps(log, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    yield path


def _identity(tasks: Sequence[Evaluated]) -> str:
    return content_hash([(of.run, of.task, of.step, of.model, of.sampling_id, of.at) for of in tasks])


def _main(of: Evaluated) -> str:
    """The metric that stands for a task: of a safety benchmark the share of attacks that succeed."""
    return SAFETY.get(of.scorer, "score")


def _result_id(of: Evaluated) -> str:
    return f"{of.task}/{_main(of)}"


def _result(of: Evaluated, means: Mapping[str, Facts]) -> Facts:
    main = _main(of)
    row = means[main]
    share = is_share(main, of.scorer)
    attacks = main in SAFETY.values()
    limits = {name: row[column] for name, column in (("lower", "low"), ("upper", "high")) if row[column] is not None}
    beside = {name: means[name]["mean"] for name in _BESIDE if name in means}
    settings = {theirs: of.sampling[ours] for ours, theirs in _SAMPLING.items() if _is_number(of.sampling.get(ours))}
    if int(settings.get("max_tokens", 1)) < 1:
        del settings["max_tokens"]
    others = {name: value for name, value in of.sampling.items() if _SAMPLING.get(name) not in settings}
    source = source_of(of.task)
    return {
        "evaluation_result_id": _result_id(of),
        "evaluation_name": of.task,
        "evaluation_timestamp": _epoch(of.at),
        "source_data": {"dataset_name": of.task, "source_type": "other"} if source is None else {
            "dataset_name": source.repo, "source_type": "hf_dataset", "hf_repo": source.repo, "hf_split": source.split,
            "samples_number": of.docs, "additional_details": {"revision": source.revision},
        },
        "metric_config": {
            "evaluation_description": _description(of, main),
            "metric_id": f"sftgen.{of.task.removeprefix('sftgen_')}.{main}",
            "metric_name": "attack success rate" if attacks else "mean score",
            "lower_is_better": attacks,
            "score_type": "continuous",
            **({"metric_unit": "proportion", "min_score": 0, "max_score": 1} if share else
               {"min_score": "-Infinity", "max_score": "Infinity"}),
            "additional_details": _texts({"scorer": of.scorer, "evaluation_version": of.version}),
        },
        "score_details": {
            "score": row["mean"],
            "uncertainty": {
                **({"confidence_interval": {**limits, "confidence_level": 0.95}} if len(limits) == 2 else {}),
                "num_samples": row["n"],
            },
            "details": _texts({"documents": of.docs, "repeats": of.repeats, "incomplete": bool(row["incomplete"]),
                               **beside}),
        },
        "generation_config": {"generation_args": settings, "additional_details": _texts(others)},
    }  # fmt: skip


def _description(of: Evaluated, main: str) -> str:
    what = "share of harmful requests that the model meets" if main in SAFETY.values() else "mean score of documents"
    return f"{what}; of a document the mean of its {of.repeats} answers. Responses without a score are left out."


def _write_samples(asked: Export, tasks: Sequence[Evaluated], log: Facts, path: Path) -> tuple[int, str]:
    """Write the answers whose texts may go along; how many there are, and the hash of the file."""
    found, total = hashlib.sha256(), 0
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        for of in tasks:
            for answer in answers(asked, of) if of.task in asked.tasks else ():
                row = _sample(of, answer, log)
                if row is None:
                    continue
                line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
                file.write(line)
                found.update(line)
                total += 1
    if total:
        part.replace(path)
    else:
        part.unlink()
    return total, found.hexdigest()


def _sample(of: Evaluated, answer: GradedAnswer, log: Facts) -> Facts | None:
    """A graded answer; None without a number or a text, for which their schema has no place."""
    row, response, main = answer.sample, answer.response, _main(of)
    score = row["score"] if main == "score" else mapping(row["measures"]).get(main)
    if response is None or score is None or not _is_number(score):
        return None
    prompt = answer.prompt or ""
    asked = well_formed(last_words(prompt) if messages(prompt) else answer.own or "")
    read, written = row.get("prompt_tokens"), row["tokens"]
    usage = {"input_tokens": read, "output_tokens": written, "total_tokens": (read or 0) + (written or 0)}
    thinking = {"reasoning_tokens": row["thinking_tokens"]} if row["thinking_tokens"] is not None else {}
    extracted = {
        "turn_idx": 0, "source": "output.raw", "extracted_value": row["answer"], "extraction_method": of.scorer,
        "is_terminal": True,
    }  # fmt: skip
    sample_hash = json.dumps({"raw": asked, "reference": []}, sort_keys=True, separators=(",", ":"))
    return {
        "schema_version": SCHEMA,
        "evaluation_id": log["evaluation_id"],
        "model_id": log["model_info"]["id"],
        "evaluation_name": of.task,
        "evaluation_result_id": _result_id(of),
        "sample_id": f"{row['doc_id'] or row['doc_hash'][:16]}" + (f"/{row['repeat']}" if of.repeats > 1 else ""),
        "sample_hash": hashlib.sha256(sample_hash.encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": asked, "formatted": answer.prompt, "reference": []},
        "output": {"raw": [response.answer], "reasoning_trace": [response.thinking] if response.thinking else None},
        "answer_attribution": [extracted] if row["answer"] is not None else [],
        "evaluation": {"score": float(score), "is_correct": bool(score >= 1) != (main in SAFETY.values())},
        **({"token_usage": {**usage, **thinking}} if read is not None and written is not None else {}),
        "metadata": _texts({name: row[name] for name in ("doc_hash", "repeat", "status", "truncated", "think",
                                                         "finish_reason", "reason")}),
    }  # fmt: skip


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts whose values are texts, as their schema has them; what is unknown is left out."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in facts.items() if value is not None and value != ""
    }  # fmt: skip


def _epoch(at: str) -> str:
    """A time as seconds since 1970; the text itself where it is no time."""
    try:
        return f"{datetime.fromisoformat(at).timestamp():.3f}"
    except ValueError:
        return at or "0"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


EVERY_EVAL_EVER = Exporter("every_eval_ever", write_every_eval_ever)
