"""The same answers before a further judge: a run of its own, beside that of the first judge."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

from sftgen_judges.records.journal import write_atomic
from sftgen_judges.records.manifest import MANIFEST, read_manifest
from sftgen_judges.records.schema import content_hash
from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.sizes import read_facts
from sftgen_train.results.rescoring import rescore
from sftgen_train.sweeps.planning import Planned, Training

logger = logging.getLogger(__name__)

FOLDER = "judges"
"""In a training's run: one run a further judge."""
_JUDGED = "judged.json"
_NOT_COPIED = shutil.ignore_patterns("queue", "leases", FOLDER, ".*", "*.html")


def judge_again(planned: Planned, training: Training) -> list[Path]:
    """Have a training's answers judged by every judge of the sweep but the first, which has judged them already.

    What stands from an earlier start is left, unless there are other answers now.

    Returns:
        The run of each judge.

    Raises:
        SftgenError: The answers cannot be judged.
    """
    run = RunFolder(training.run)
    steps = sorted(run.evaluated_steps())
    runs = []
    for name, judge in list(planned.sweep.judges.items())[1:] if steps else ():
        folder = training.run / FOLDER / name
        state = {"state": content_hash({"steps": steps, "judge": judge.options(), "run": run.run_id()})}
        if read_facts(folder / _JUDGED) != state:
            logger.info("%s: the same answers before judge %s", training.name, name)
            _copy(training.run, folder)
            rescore(folder, judge_options=judge.options())
            RunFolder(folder).update_manifest(judge=judge.options())
            write_atomic(folder / _JUDGED, json.dumps(state) + "\n")
        runs.append(folder)
    return runs


def _copy(run: Path, folder: Path) -> None:
    """A run's records under another run's name, so that both can be read together."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run, folder, symlinks=True, ignore=_NOT_COPIED)
    manifest = {name: value for name, value in read_manifest(folder).items() if name != "run"}
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
