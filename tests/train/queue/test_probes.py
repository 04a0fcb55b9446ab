"""A worker that probes each checkpoint while its weights are there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Diagnostic, Finding, Metric, Probe
from sftgen_judges.plugins.manager import Registered, UnknownNameError, plugins
from sftgen_judges.records.store import RunFolder
from sftgen_train.diagnosing.running import require_probes
from sftgen_train.queue.liveness import JUST_NOW
from tests.conftest import Command


def size(probe: Probe) -> Any:
    """Counts parameters; dies once, at step 2, and cannot measure step 3."""
    flag = probe.run / "killed"
    if probe.step == 2 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if probe.step == 3:
        raise RuntimeError("no room")
    model, _ = probe.load()
    found = probe.once(["size"], lambda: {"size": model.num_parameters()})["size"]
    metric = Metric("size", found, n=1, step=probe.step, exact=True)
    yield Finding("size", f"{found} parameters", "cannot tell", "the weights", (metric,), step=probe.step)


def with_size() -> None:
    """Register it, in the process of a command."""
    plugins().registered("register_diagnostics")
    diagnostic = Diagnostic("size", 1, "checkpoint", ("model",), size)
    plugins()._registered["register_diagnostics"] = {"size": Registered("size", "me", diagnostic)}


def test_a_worker_probes_what_it_evaluates_and_goes_on_after_a_kill(command: Command, queued: Path) -> None:
    line = ("sftgen", "worker", str(queued), "--no-wait", "--quiet", "--probe", "size")
    assert command(*line, before=with_size).returncode == -signal.SIGKILL
    time.sleep(JUST_NOW + 0.2)  # before that, somebody may be about to write into the entry
    done = command(*line, before=with_size)
    assert done.returncode == 0, done.stderr
    # The evaluation of step 2 was there already; what fails at step 3 costs its scores nothing.
    assert "step 3: diagnostic 'size' is left out: raised RuntimeError" in done.stderr
    run = RunFolder(queued)
    found = [row["step"] for row in run.finding_rows() if row["diagnostic"] == "size"]
    assert sorted(found) == [0, 1, 2, 4, 5]
    evaluated = [
        row["step"] for row in run.metric_rows() if row["metric"] == "score" and row["task"] == "sftgen_parity"
    ]
    assert sorted(evaluated) == [0, 1, 2, 3, 4, 5]
    assert not list((queued / "leases").glob("step-*"))


def test_a_diagnostic_that_no_worker_can_run_is_refused_at_the_start() -> None:
    with pytest.raises(UnknownNameError, match="diagnostic 'nobody': no plugin registered it"):
        require_probes(["nobody"])
    with pytest.raises(Exception, match="'anatomy' is of level 'sample': expected one of level 'checkpoint'"):
        require_probes(["anatomy"])
