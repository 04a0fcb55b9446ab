"""Scores in wandb, TensorBoard, trackio and the trackers of plugins: each at its own training step, in any order.

A tracker gets the scores in `metrics.jsonl` that it does not have yet. So one worker logs the scores of all workers,
and `sftgen report --log-to` logs those of a finished run. A score that was graded again is logged again.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.contracts import Connection, Finding, Tracker
from sftgen_judges.plugins.contracts.findings import is_validated
from sftgen_judges.plugins.manager import lookup, plugins
from sftgen_judges.records.columns import NUMBER, TEXT, WHOLE, Table
from sftgen_judges.records.journal import append_rows, whole_rows, write_atomic
from sftgen_judges.records.store import RunFolder
from sftgen_train.results.diagnosed import unvalidated_at_evaluation

logger = logging.getLogger(__name__)
LOGGED = Table({"step": WHOLE, "name": TEXT, "value": NUMBER}, needed=("step", "name", "value"), then="is logged again")
"""What a tracker has been given."""

STEP = "sftgen/step"


class TrackerError(SftgenError, ValueError):
    """A tracker that is not known or not installed."""


def parse_trackers(text: str) -> list[str]:
    """`wandb,tensorboard,trackio`.

    Raises:
        TrackerError: An unknown name, or a package that is not installed.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = plugins().registered("register_trackers")
    for name in names:
        if name not in known:
            raise TrackerError(f"tracker {name!r}: expected one of {', '.join(known)}{did_you_mean(name, known)}")
        tracker: Tracker = lookup("tracker", name)
        if tracker.package and importlib.util.find_spec(tracker.package) is None:
            install = tracker.install or f"pip install {tracker.package}"
            raise TrackerError(f"tracker {name!r} is not installed: {install}")
    return names


class Trackers:
    """The trackers of a run; each is opened when it gets its first score."""

    def __init__(self, run: RunFolder, names: Sequence[str]) -> None:
        """Keep their names; nothing is opened yet."""
        self._run, self._names, self._open = run, names, dict[str, Connection]()

    def log_new(self) -> int:
        """Log to each tracker the scores that it does not have yet; one that fails is tried again at the next call.

        Returns:
            How many values were logged.
        """
        return sum(self._log_new(name) for name in self._names)

    def close(self) -> None:
        """End all connections."""
        for name, connection in self._open.items():
            try:
                connection.close()
            except Exception as error:  # the scores stand in the run directory
                logger.warning("tracker %s: %s: %s", name, type(error).__name__, error)
        self._open.clear()

    def _log_new(self, name: str) -> int:
        folder = self._run.path / "trackers"
        folder.mkdir(parents=True, exist_ok=True)
        journal = folder / f"{name}.jsonl"
        with FileLock(folder / f".{name}.lock"):  # another worker may log too
            logged = {(row["step"], row["name"]): row["value"] for row in whole_rows(journal, LOGGED)}
            fresh: dict[int, dict[str, float]] = defaultdict(dict)
            for step, called, value in (*_scores(self._run), *_found(self._run)):
                if logged.get((step, called)) != value:
                    fresh[step][called] = value
            for step, values in sorted(fresh.items()):
                try:
                    if name not in self._open:
                        self._open[name] = lookup("tracker", name).connect(self._run.path, _facts(self._run))
                    self._open[name].log(step, values)
                except Exception as error:  # an unreachable server must not stop an evaluation
                    logger.warning("tracker %s: step %d: %s: %s", name, step, type(error).__name__, error)
                    return 0
                append_rows(journal, [{"step": step, "name": called, "value": v} for called, v in values.items()])
        return sum(map(len, fresh.values()))


NOT_VALIDATED = "_not_validated"
"""Ends the name of a number that a rule or a judge estimates and nobody has measured against labels."""


def _scores(run: RunFolder) -> Iterator[tuple[int, str, float]]:
    estimated = unvalidated_at_evaluation()
    for row in run.metric_rows():
        value, step = row.get("mean"), row.get("step")
        if row.get("status") == "ok" and value is not None and step is not None:
            mark = NOT_VALIDATED if row["metric"] in estimated else ""
            yield step, f"sftgen/{row['task'].removeprefix('sftgen_')}/{row['metric']}{mark}", value


def _found(run: RunFolder) -> Iterator[tuple[int, str, float]]:
    """The numbers of findings that have a step."""
    for row in run.finding_rows():
        with suppress(ValueError):  # the report names one that is damaged
            finding = Finding.from_dict(row["found"])
            for metric in finding.metrics:
                mark = "" if is_validated(metric, finding.validation) else NOT_VALIDATED
                if metric.step is not None and metric.value is not None:
                    of = f"{metric.task.removeprefix('sftgen_')}/" if metric.task else ""
                    yield metric.step, f"sftgen/{of}{row['diagnostic']}/{metric.name}{mark}", metric.value


def _wandb(run: Path, facts: Mapping[str, Any]) -> Connection:
    import wandb

    opened = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "sftgen"),
        id=os.environ.get("WANDB_RUN_ID") or _kept_id(run),
        name=os.environ.get("WANDB_NAME", run.resolve().name),
        job_type="evaluation",
        resume="allow",
        dir=str(run),
        config=dict(facts),
        settings=wandb.Settings(console="off", x_disable_stats=True),
    )
    # Without it wandb draws against its own counter, which only goes forward.
    opened.define_metric(STEP, hidden=True)
    opened.define_metric("sftgen/*", step_metric=STEP)
    return Connection(lambda step, values: opened.log({**values, STEP: step}), opened.finish)


def _tensorboard(run: Path, facts: Mapping[str, Any]) -> Connection:
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(log_dir=str(run / "tensorboard"))

    def log(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, global_step=step)
        writer.flush()

    return Connection(log, writer.close)


def _trackio(run: Path, facts: Mapping[str, Any]) -> Connection:
    import trackio

    opened = trackio.init(
        project=os.environ.get("TRACKIO_PROJECT", "sftgen"),
        name=run.resolve().name,
        config=dict(facts),
        resume="allow",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    return Connection(lambda step, values: opened.log(dict(values), step=step), opened.finish)


def _tracker(name: str, connect: Callable[[Path, Mapping[str, Any]], Connection]) -> Tracker:
    return Tracker(name, connect, package=name, install=f"pip install {name}, or sftgen[trackers]")


WANDB = _tracker("wandb", _wandb)
TENSORBOARD = _tracker("tensorboard", _tensorboard)
TRACKIO = _tracker("trackio", _trackio)


def _facts(run: RunFolder) -> dict[str, Any]:
    manifest = run.read_manifest()
    return {name: manifest[name] for name in ("model", "tasks", "in_domain", "seeds") if name in manifest}


def _kept_id(run: Path) -> str:
    """The run's id in wandb; it is kept, so that a worker that is started again logs to the same run."""
    path = run / "trackers" / "wandb.id"
    if not path.is_file():
        write_atomic(path, uuid.uuid4().hex[:12])
    return path.read_text().strip()
