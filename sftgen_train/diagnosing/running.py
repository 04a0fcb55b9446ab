"""Every diagnostic of a run: labels, probes and findings are made where they are missing, and written down.

A diagnostic that fails is named and left out; the others finish. What was made before stands, so that the same
command goes on after a kill.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sftgen_judges.diagnostics.labelling import Annotator, DiagnosticError, annotator_of, label_samples
from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.contracts import Diagnostic, Finding, History
from sftgen_judges.plugins.manager import BrokenTargetError, UnknownNameError, lookup, plugins
from sftgen_judges.progress import stage
from sftgen_judges.records.errors import WriteError
from sftgen_judges.records.manifest import now
from sftgen_judges.records.query import Records, open_records
from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import CheckpointError, verify_stable
from sftgen_train.diagnosing.answers import Documents, answers_of, documents_facts, tasks_of
from sftgen_train.diagnosing.course import findings_of
from sftgen_train.diagnosing.probing import Checkpoints, Loaded, Models, base_of, probe_checkpoint

logger = logging.getLogger(__name__)
_ORDER = ("sample", "checkpoint", "trajectory")
"""Those of a course read what the others keep."""


@dataclass
class Outcome:
    """What came of a run's diagnostics.

    Attributes:
        findings: By diagnostic.
        failed: Why a diagnostic was left out, or could not be finished.
        skipped: Why a diagnostic was not begun, though nothing failed: there is no judge, or no checkpoint.
    """

    findings: dict[str, list[Finding]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def chosen(names: Collection[str] = ()) -> tuple[list[Diagnostic], dict[str, str]]:
    """The diagnostics that were named, all by default; and why some cannot be loaded.

    Raises:
        UnknownNameError: Nobody registered a name.
    """
    registered = list(plugins().registered("register_diagnostics"))
    if unknown := [name for name in names if name not in registered]:
        near = did_you_mean(unknown[0], registered) or "."
        raise UnknownNameError(
            f"diagnostic {', '.join(map(repr, unknown))}: no plugin registered it{near} Known: {', '.join(registered)}"
        )
    found, broken = [], {}
    for name in names or registered:
        try:
            found.append(lookup("diagnostic", name))
        except BrokenTargetError as error:
            broken[name] = str(error)
    return sorted(found, key=lambda diagnostic: _ORDER.index(diagnostic.level)), broken


DEAR = {"judge": "asks a judge's model", "model": "loads the weights", "logprobs": "loads the weights"}
"""What makes a diagnostic dear: it is not run unless somebody asks for it."""


def diagnose_run(
    folder: Path,
    only: Collection[str] = (),
    *,
    asked: Collection[str] = tuple(DEAR),
    judge_options: Mapping[str, Any] | None = None,
    checkpoints: Path | None = None,
    model_args: Mapping[str, Any] | None = None,
) -> Outcome:
    """Run diagnostics over a run directory, and write what they find into it.

    Args:
        folder: The run directory.
        only: Names of diagnostics, all by default. A diagnostic that was named and cannot run has failed.
        asked: Which of the needs in `DEAR` may be met; a diagnostic that was named is always run.
        judge_options: Settings of judges, named `judge_<field>`.
        checkpoints: Folder with the checkpoints, for those that need the model; by default what the run still holds.
        model_args: Arguments of the model.

    Raises:
        RecordError: Not a run directory, or one that cannot be written.
        UnknownNameError: Nobody registered a name.
        SettingsError: A setting of a judge cannot be used.
    """
    run = RunFolder(folder)
    run.require_readable()
    found, broken = chosen(only)
    run.require_writable()
    outcome = Outcome(failed=broken)
    with open_records(folder) as records:
        held = _Held(run, records, documents_facts(run.manifest()), Checkpoints(folder, checkpoints, model_args))
        begun: list[tuple[Diagnostic, Annotator]] = []
        for diagnostic in found:
            try:
                annotator = annotator_of(diagnostic, judge_options)
                if diagnostic.level == "checkpoint":
                    held.checkpoints.require()
                if not only:
                    _require_asked(diagnostic, asked)
            except DiagnosticError as error:
                (outcome.failed if only else outcome.skipped)[diagnostic.name] = str(error)
            else:
                begun.append((diagnostic, annotator))
        # Those of a course read what the others keep; each checkpoint is loaded once for all that probe it.
        for level in _ORDER:
            of = [(diagnostic, annotator) for diagnostic, annotator in begun if diagnostic.level == level]
            probed = held.of_checkpoints(of, outcome) if level == "checkpoint" else {}
            for diagnostic, annotator in of:
                if diagnostic.name in outcome.failed:
                    continue
                with left_out_on_failure(diagnostic, outcome):
                    findings = held.findings(diagnostic, annotator, probed.get(diagnostic.name, []))
                    write_findings(run, diagnostic, findings, None)
                    outcome.findings[diagnostic.name] = findings
    return outcome


def _require_asked(diagnostic: Diagnostic, asked: Collection[str]) -> None:
    """Check that everything dear that a diagnostic needs was asked for.

    Raises:
        DiagnosticError: It was not.
    """
    dear = [why for need, why in DEAR.items() if need in diagnostic.needs and need not in asked]
    if dear:
        raise DiagnosticError(
            f"{' and '.join(dict.fromkeys(dear))}: it runs with --only {diagnostic.name}, or with --all"
        )


@contextmanager
def left_out_on_failure(diagnostic: Diagnostic, outcome: Outcome) -> Iterator[None]:
    """Go on without a diagnostic that fails, once it is named; a run that cannot be written ends it all.

    Raises:
        WriteError: The run cannot be written.
    """
    try:
        yield
    except WriteError:
        raise
    except SftgenError as error:
        outcome.failed[diagnostic.name] = str(error)
    except Exception as error:  # a plugin's; its message may quote a response
        outcome.failed[diagnostic.name] = f"raised {type(error).__name__}"
        logger.debug("diagnostic %s", diagnostic.name, exc_info=error)


@dataclass(frozen=True)
class _Held:
    """What the diagnostics of a run read.

    Attributes:
        run: The run.
        records: Its records.
        facts: What its manifest says of the documents of each task.
        checkpoints: The checkpoints that can still be loaded.
    """

    run: RunFolder
    records: Records
    facts: Mapping[str, Mapping[str, Any]]
    checkpoints: Checkpoints

    @cached_property
    def documents(self) -> Documents:
        """The documents of the tasks, loaded when they are needed."""
        return Documents(self.facts)

    def findings(self, diagnostic: Diagnostic, annotator: Annotator, probed: Sequence[Finding] = ()) -> list[Finding]:
        """The findings of a diagnostic.

        Args:
            diagnostic: The diagnostic.
            annotator: Its judge, if it needs one.
            probed: What it found at the checkpoints.
        """
        made = list(probed)
        if diagnostic.level == "sample":
            made = self._of_sample(diagnostic, annotator)
        elif diagnostic.level == "trajectory":
            made = self._of_trajectory(diagnostic, annotator)
        if diagnostic.summarise:
            self.records.refresh()
            history = History(self.records, diagnostic.name, annotator.ask, diagnostic.version, annotator.name)
            made += checked_findings(diagnostic, diagnostic.summarise(history), annotator)
        return made

    def of_checkpoints(
        self, diagnostics: Sequence[tuple[Diagnostic, Annotator]], outcome: Outcome
    ) -> dict[str, list[Finding]]:
        """What diagnostics find at each checkpoint, by diagnostic; one that fails is left out of the later ones."""
        made: dict[str, list[Finding]] = {diagnostic.name: [] for diagnostic, _ in diagnostics}
        found = self.checkpoints.found() if diagnostics else {}
        with stage("diagnosing checkpoints", len(found)) as more:
            for step, folder in found.items():
                going = [pair for pair in diagnostics if pair[0].name not in outcome.failed]
                try:
                    checkpoint = self.checkpoints.at(step, folder)
                except DiagnosticError as error:
                    outcome.failed |= {diagnostic.name: str(error) for diagnostic, _ in going}
                    break
                try:
                    for diagnostic, annotator in going:
                        with left_out_on_failure(diagnostic, outcome):
                            given = probe_checkpoint(
                                self.run, self.records, diagnostic, checkpoint, annotator=annotator
                            )
                            made[diagnostic.name] += checked_findings(diagnostic, given, annotator)
                finally:
                    checkpoint.free()
                more()
        self.checkpoints.free()
        return made

    def _of_sample(self, diagnostic: Diagnostic, annotator: Annotator) -> list[Finding]:
        tasks = tasks_of(self.records)
        [there] = self.records.sql("SELECT count(*) AS n FROM samples").rows()
        with stage(f"diagnosing {diagnostic.name}", there["n"]) as more:
            for task in tasks:
                seen = self.documents.seen_by(diagnostic, task)
                facts = self.facts.get(task) or {}
                samples = answers_of(self.records, task, facts, texts="text" in diagnostic.needs)
                for _ in label_samples(
                    self.run, diagnostic, task, samples, annotator=annotator, seen=seen, numbers=False
                ):
                    more()  # the numbers are read from what is kept
        self.records.refresh()
        return [finding for task in tasks for finding in findings_of(self.records, diagnostic, annotator, task)]

    def _of_trajectory(self, diagnostic: Diagnostic, annotator: Annotator) -> list[Finding]:
        history = History(self.records, diagnostic.name, annotator.ask, diagnostic.version, annotator.name)
        return checked_findings(diagnostic, diagnostic.diagnose(history), annotator)


def by_moment(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Diagnostics that measure a checkpoint while its weights are there, and those that read the run at its end.

    Raises:
        UnknownNameError: Nobody registered a name.
        DiagnosticError: One cannot be loaded.
    """
    found, broken = chosen(names) if names else ([], {})
    for why in broken.values():
        raise DiagnosticError(why)
    of_checkpoints = [diagnostic.name for diagnostic in found if diagnostic.level == "checkpoint"]
    return of_checkpoints, [diagnostic.name for diagnostic in found if diagnostic.name not in of_checkpoints]


def require_probes(names: Sequence[str]) -> list[Diagnostic]:
    """The diagnostics that measure each checkpoint.

    Raises:
        UnknownNameError: Nobody registered a name.
        DiagnosticError: One cannot be loaded, does not look at checkpoints, or lacks its judge.
    """
    if not names:
        return []
    found, broken = chosen(names)
    for why in broken.values():
        raise DiagnosticError(why)
    for diagnostic in found:
        if diagnostic.level != "checkpoint":
            raise DiagnosticError(
                f"diagnostic {diagnostic.name!r} is of level {diagnostic.level!r}: expected one of level 'checkpoint'; "
                "the others run at each evaluation, or with `sftgen diagnose RUN`"
            )
        annotator_of(diagnostic)
    return found


def probe_step(
    run: RunFolder, diagnostics: Sequence[Diagnostic], step: int, folder: Path, model_args: Mapping[str, Any]
) -> None:
    """Measure one checkpoint while its weights are there. A diagnostic that fails is named; the scores stand.

    Args:
        run: The run.
        diagnostics: What measures it.
        step: Its step.
        folder: Its folder.
        model_args: Arguments of the model; `device` and `dtype` are read.
    """
    if not diagnostics:
        return
    outcome, models = Outcome(), Models(model_args)
    try:
        checkpoint = Loaded(step, folder, base_of(run.path), verify_stable(folder), models)
    except CheckpointError as error:
        logger.warning("step %d is not probed: %s", step, error)
        return
    with open_records(run.path) as records:
        for diagnostic in diagnostics:
            with left_out_on_failure(diagnostic, outcome):
                annotator = annotator_of(diagnostic)
                given = probe_checkpoint(run, records, diagnostic, checkpoint, annotator=annotator)
                write_findings(run, diagnostic, checked_findings(diagnostic, given, annotator), [step])
    models.free()
    for name, why in outcome.failed.items():
        logger.warning("step %d: diagnostic %r is left out: %s", step, name, why)


def checked_findings(diagnostic: Diagnostic, given: Iterable[Any], annotator: Annotator) -> list[Finding]:
    """What a plugin gave, checked; findings without a validation get that of the diagnostic."""
    known = tuple(diagnostic.validated(annotator.name)) if diagnostic.validated else ()
    made = []
    for finding in given:
        if not isinstance(finding, Finding):
            raise DiagnosticError(f"gave {type(finding).__name__}, expected Finding")
        made.append(replace(finding, validation=finding.validation or known))
    return made


def write_findings(
    run: RunFolder, diagnostic: Diagnostic, findings: Sequence[Finding], steps: Collection[int] | None
) -> None:
    """Write the findings of a diagnostic in place of its earlier ones, of all steps or of some."""
    shared = {"run": run.run_id(), "diagnostic": diagnostic.name, "version": diagnostic.version, "at": now()}
    rows = [
        {
            **shared, "level": diagnostic.level, "task": finding.task, "step": finding.step, "title": finding.title,
            "sentence": finding.sentence, "certainty": finding.certainty, "measured_on": finding.measured_on,
            "found": finding.to_dict(),
        }
        for finding in findings
    ]  # fmt: skip
    run.replace_findings(diagnostic.name, steps, rows)
