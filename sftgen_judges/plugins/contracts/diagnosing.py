"""What summarises graded responses: `Diagnostic`, and the `Sample` it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sftgen_judges.records.schema import Response, Verdict


@dataclass(frozen=True)
class Sample:
    """One graded response of a run, as diagnostics see it.

    Attributes:
        task: The task.
        step: Training step, None outside training.
        doc_hash: SHA-256 of the document.
        repeat: Which sample of the document, from 0.
        response: The response.
        verdict: What the grader or judge said of it.
        model: Content id of the model.
        sampling_id: Short hash of the generation settings.
        prompt_hash: SHA-256 of the prompt.
        doc_id: The benchmark's own name of the document, or the beginning of its hash.
        thinking_tokens: Length of the thinking in tokens, markers included; None where nobody could count.
        answer_tokens: Length of the answer in tokens; None where nobody could count.
        scorer: Name of the grader or judge.
        evaluation_version: Its version.
        cluster: What the document shares with others, that makes their answers depend on each other: a hash. None
            where it stands alone.
    """

    task: str
    step: int | None
    doc_hash: str
    repeat: int
    response: Response
    verdict: Verdict
    model: str | None = None
    sampling_id: str | None = None
    doc_id: str | None = None
    thinking_tokens: int | None = None
    answer_tokens: int | None = None
    scorer: str | None = None
    evaluation_version: int | None = None
    prompt_hash: str | None = None
    cluster: str | None = None


Level = Literal["sample", "checkpoint", "trajectory"]


@dataclass(frozen=True)
class Diagnostic:
    """Summarises the samples of one task at one step.

    Attributes:
        name: The name it is registered under; prefixes its metrics (`name/metric`).
        version: Raised when the summary changes.
        diagnose: Metric name to value; leave a metric out where it cannot be computed.
        level: What it looks at. `sample`: the graded samples of a task at a step, which is what `diagnose` is given.
            `checkpoint` (the model too) and `trajectory` (several steps and runs) come with a later version of
            sftgen; until then they are refused.
        texts: Whether `diagnose` reads the texts of responses. When a run is scored again they are read from disk
            once more for it, one after the other as it iterates.
    """

    name: str
    version: int
    diagnose: Callable[[Sequence[Sample]], Mapping[str, float]]
    level: Level = "sample"
    texts: bool = True

    def __post_init__(self) -> None:
        if self.level != "sample":
            raise ValueError(
                f"diagnostic {self.name!r}: level {self.level!r} is not called by this version; expected 'sample'"
            )
