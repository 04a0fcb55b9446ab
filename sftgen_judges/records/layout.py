"""The files of a run directory.

* `manifest.json`: what was run, with versions, seeds, documents and their hashes;
* `generations/TASK.jsonl`: every response, as it came; `generations/TASK.parquet`: the same, compacted;
* `prompts/TASK.jsonl`: every prompt as the model got it, once;
* `verdicts/TASK.jsonl`: every verdict, as it came;
* `samples.jsonl`: one line a graded response; `samples.parquet`: the same, compacted;
* `metrics.jsonl`: one line a metric, with interval, or the reason why an evaluation failed;
* `evaluations.jsonl`: one line an evaluation;
* `labels/DIAGNOSTIC/TASK.jsonl`: what a diagnostic says of each response, as it came; a long one becomes a
  `.parquet` of the same name;
* `probes/DIAGNOSTIC.jsonl`: what a diagnostic measured of checkpoints, as it came;
* `findings.jsonl`: one line a finding of a diagnostic;
* `training_tokens.jsonl`: one line a window of training steps: how well their tokens were predicted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sftgen_judges.records.errors import RecordError


@dataclass(frozen=True)
class RunFiles:
    """Where the files of a run directory are. It holds no path but its own, so the folder can be moved.

    Attributes:
        path: The folder. It need not exist yet.
    """

    path: Path

    @property
    def metrics(self) -> Path:
        """One line a step x task x metric."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """One line a graded response, since the last compaction."""
        return self.path / "samples.jsonl"

    @property
    def sample_index(self) -> Path:
        """Graded responses up to the last compaction."""
        return self.path / "samples.parquet"

    @property
    def evaluations(self) -> Path:
        """One line an evaluation."""
        return self.path / "evaluations.jsonl"

    def generations(self, task: str) -> Path:
        """The JSONL file of responses of a task."""
        return self.path / "generations" / f"{_file_name(task)}.jsonl"

    def prompts(self, task: str) -> Path:
        """The JSONL file of prompts of a task."""
        return self.path / "prompts" / f"{_file_name(task)}.jsonl"

    def verdicts(self, task: str) -> Path:
        """The JSONL file of verdicts of a task."""
        return self.path / "verdicts" / f"{_file_name(task)}.jsonl"

    @property
    def findings(self) -> Path:
        """One line a finding."""
        return self.path / "findings.jsonl"

    @property
    def training_tokens(self) -> Path:
        """One line a window of training steps and kind of token."""
        return self.path / "training_tokens.jsonl"

    def labels(self, diagnostic: str, task: str) -> Path:
        """The JSONL file of what a diagnostic says of the responses of a task."""
        return self.path / "labels" / _file_name(diagnostic) / f"{_file_name(task)}.jsonl"

    def probes(self, diagnostic: str) -> Path:
        """The JSONL file of what a diagnostic measured of checkpoints."""
        return self.path / "probes" / f"{_file_name(diagnostic)}.jsonl"

    def require_inside(self, folder: Path) -> None:
        """Check that a folder is no link to outside of the run directory.

        Raises:
            RecordError: It is one.
        """
        real = Path(os.path.realpath(folder))
        if folder.is_symlink() and not (real.is_relative_to(os.path.realpath(self.path)) and real.exists()):
            raise RecordError(
                f"{folder} is a link to {real}, outside of the run directory or to nothing, and nothing is written "
                "through it. Put a folder in its place, or move the whole run directory there"
            )


def _file_name(task: str) -> str:
    """The name of a task or a diagnostic as the name of a file; a manifest of a stranger may hold anything.

    Raises:
        RecordError: It would lead out of the run directory.
    """
    if "/" in task or "\\" in task or "\0" in task or task.startswith(".") or not task:
        raise RecordError(f"name {task!r}: expected a name without slashes that does not begin with a dot")
    return task
