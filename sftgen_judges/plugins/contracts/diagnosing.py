"""What looks for reasons: `Diagnostic`, and what it is given at each of its three levels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sftgen_judges.plugins.contracts.asking import Failure
from sftgen_judges.plugins.contracts.findings import Finding, Validation
from sftgen_judges.plugins.contracts.judging import Reply, Request
from sftgen_judges.plugins.contracts.labelled import LabelledSet
from sftgen_judges.records.schema import Response, Verdict

if TYPE_CHECKING:
    from sftgen_judges.records.query import Records
    from sftgen_judges.records.query import Table as Rows


@dataclass(frozen=True)
class Sample:
    """One graded response of a run.

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
Needed = Literal["text", "verdict", "question", "prompt", "judge", "logprobs", "model"]
"""`text`: the response; without it only its lengths and how it ended are there. `verdict`: what the grader or judge
said of it. `question`: the document. `prompt`: what the model was asked, before its chat template. `judge`: a judge's
model. `logprobs`: log-probabilities of given texts. `model`: the weights.
"""
_ALLOWED: Mapping[str, frozenset[str]] = {
    "sample": frozenset({"text", "verdict", "question", "prompt", "judge"}),
    "checkpoint": frozenset(get_args(Needed)),
    "trajectory": frozenset({"text", "verdict", "judge"}),
}
Ask = Callable[[Sequence[Request]], Iterator[tuple[int, Reply | Failure]]]
"""Asks the judge's model: gives the place of each request with its reply or failure, in any order."""

_NOT_GIVEN: Any = None


@dataclass(frozen=True)
class Answer:
    """One response as a diagnostic of level `sample` reads it: this and nothing else decides its labels.

    Attributes:
        task: The task.
        response: The response; its texts are empty unless `text` is needed.
        thinking_tokens: Length of the thinking in tokens, markers included; None where nobody could count.
        answer_tokens: Length of the answer in tokens; None where nobody could count.
        verdict: Status, answer, score and measures, if `verdict` is needed.
        doc: The document, if `question` is needed.
        prompt: What the model was asked, before its chat template, if `prompt` is needed.
    """

    task: str
    response: Response
    thinking_tokens: int | None = None
    answer_tokens: int | None = None
    verdict: Verdict | None = None
    doc: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""


Part = Literal["text", "thinking", "answer"]


@dataclass(frozen=True)
class Span:
    """A stretch of a response with its label.

    Attributes:
        label: What it is, for example `backtracking`.
        start: First character.
        end: Character after the last.
        part: Of which text of the response the characters are counted.
        note: One short line for a person.
    """

    label: str
    start: int
    end: int
    part: Part = "text"
    note: str = ""


@dataclass(frozen=True)
class Labels:
    """What a diagnostic says of one response.

    Attributes:
        values: Numbers by the names of `Diagnostic.measures`. One that cannot be told is left out: it is missing,
            never 0.
        spans: Where in the response.
        failed: Why there are no labels, for example that the judge's reply could not be read; the response is then
            missing, and labelled again the next time.
        evidence: What the labels rest on, for the records only: a judge's model, its reply.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    failed: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Batch:
    """Some responses to label: as many as fit into memory.

    Attributes:
        answers: The responses.
        ask: Asks the judge's model, if `judge` is needed.
    """

    answers: Sequence[Answer]
    ask: Ask | None = None

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)


@dataclass(frozen=True)
class Measure:
    """A number that a diagnostic of level `sample` gives of responses, and how it is averaged.

    Attributes:
        name: Its name among the values of `Labels`.
        says: What it is, in a few words.
        unit: Unit, such as `tokens`; empty for shares and plain numbers.
        share: Whether it lies between 0 and 1.
        exact: Whether it is counted: it needs no validation. False where a rule or a judge estimates it.
        per: Another value; the metric is then the sum of this one over the sum of that one, times `scale`, instead of
            the mean over documents. That value need not be a measure itself.
        scale: See `per`: 1000 for patterns in 1,000 tokens.
        label: The label of a labelled set that tells how good it is; by default that of its name.
    """

    name: str
    says: str
    unit: str = ""
    share: bool = False
    exact: bool = False
    per: str | None = None
    scale: float = 1.0
    label: str = ""


@dataclass(frozen=True)
class Probe:
    """A checkpoint as a diagnostic of level `checkpoint` measures it, while its weights are there.

    Attributes:
        run: The run directory.
        step: The training step.
        checkpoint: The folder of its weights; it may hold an adapter.
        base: The folder of the base model, or its name on the hub; None where nobody knows.
        model_args: Arguments of the model that the command was given, for example `device` and `dtype`.
        records: The run's records, read lazily; ask for texts in batches.
        load: The model and its tokenizer, as transformers loads them, once for all diagnostics of a checkpoint;
            `load(base)` another, which is kept for the next checkpoints.
        once: `once(key, measure)` gives what was kept under a key, else measures it and keeps it: a probe that is
            killed goes on where it was. The key names what was measured: texts by their hashes. Values are plain data.
        ask: Asks the judge's model, if `judge` is needed.
        tokenizer: The tokenizer alone, without weights; `tokenizer(base)` another's.
    """

    run: Path
    step: int
    checkpoint: Path
    base: str | None
    model_args: Mapping[str, Any]
    records: Records
    load: Callable[..., tuple[Any, Any]]
    once: Callable[[Sequence[Any], Callable[[], Mapping[str, Any]]], Mapping[str, Any]]
    ask: Ask | None = None
    tokenizer: Callable[..., Any] = _NOT_GIVEN


@dataclass(frozen=True)
class History:
    """A run with all its steps as a diagnostic of level `trajectory` reads it.

    Attributes:
        records: The records, read lazily: `samples`, `texts`, `metrics`, and `labels` and `probes` of diagnostics.
        diagnostic: The name of the diagnostic that asks.
        ask: Asks the judge's model, if `judge` is needed.
        version: The version of the diagnostic that asks.
        annotator: What labels for it now: `rule`, or the judge's model.
    """

    records: Records
    diagnostic: str
    ask: Ask | None = None
    version: int | None = None
    annotator: str = ""

    def labels(self, diagnostic: str = "") -> Rows:
        """The view `labels` of one diagnostic, by default of the one that asks.

        Of its own, those of its version and of what labels now: others may be left of answers that are not chosen now.
        """
        if diagnostic or self.version is None:
            return self.records.sql("SELECT * FROM labels WHERE diagnostic = ?", (diagnostic or self.diagnostic,))
        return self.records.sql(
            "SELECT * FROM labels WHERE diagnostic = ? AND version = ? AND annotator = ?",
            (self.diagnostic, self.version, self.annotator),
        )

    def probes(self, diagnostic: str = "") -> Rows:
        """The view `probes` of one diagnostic, by default of the one that asks."""
        return self.records.sql("SELECT * FROM probes WHERE diagnostic = ?", (diagnostic or self.diagnostic,))


@dataclass(frozen=True)
class Diagnostic:
    """Says something of a run: of its responses, its checkpoints or its course.

    | level | `diagnose` is given | and gives |
    | --- | --- | --- |
    | `sample` | a `Batch` of responses | `Labels` for each, in order or as pairs (place, labels) |
    | `checkpoint` | a `Probe` of one checkpoint | `Finding`s about it |
    | `trajectory` | a `History` of all steps | `Finding`s |

    Labels are cached by content, probes by what they keep. Of labels the metrics with intervals and a finding a task
    are made by themselves. Diagnostics of level `sample` that need at most `text` and `verdict` run at each
    evaluation; all others with `sftgen diagnose`, and those of level `checkpoint` also in a worker that is told to.

    Attributes:
        name: The name it is registered under; prefixes its metrics (`name/metric`).
        version: Raised when its rule, prompt or parser changes: what was kept under an older one is made again.
        level: What it looks at.
        needs: What it reads.
        diagnose: See above.
        measures: The numbers that its labels hold, the most telling first; for level `sample`.
        of: Which responses are labelled, for level `sample`; all by default. It may only look at what is needed.
        most: Most responses of a task at a step that are labelled, for a judge that costs money: the same at each
            step, chosen by the hashes of their documents. All by default.
        summarise: Further findings from what was kept of all steps, for level `sample` and `checkpoint`.
        validated: How good it is known to be, by annotator: `rule`, or the judge's model.
        labelled: The labelled set that it is measured on, by `sftgen diagnose --validate`; for level `sample`.
        judge_model: The judge's model it was made for; goes before SFTGEN_JUDGE_MODEL.
    """

    name: str
    version: int
    level: Level = _NOT_GIVEN
    needs: tuple[Needed, ...] = ()
    diagnose: Callable[[Any], Iterable[Any]] = _NOT_GIVEN
    measures: tuple[Measure, ...] = ()
    of: Callable[[Answer], bool] | None = None
    most: int | None = None
    summarise: Callable[[History], Iterable[Finding]] | None = None
    validated: Callable[[str], Sequence[Validation]] | None = None
    judge_model: str | None = None
    labelled: Callable[[], LabelledSet] | None = None

    def __post_init__(self) -> None:
        if _NOT_GIVEN in (self.level, self.diagnose):
            raise TypeError(
                f"diagnostic {self.name!r}: expected level, needs and a `diagnose` of that level. The former kind, "
                "a function of samples, is now one of level 'sample': it yields `Labels` for the answers of a `Batch` "
                "and names its `measures`; docs/diagnostics.md shows one"
            )
        if self.level not in _ALLOWED:
            raise ValueError(f"diagnostic {self.name!r}: level {self.level!r}: expected one of {', '.join(_ALLOWED)}")
        if unknown := [need for need in self.needs if need not in _ALLOWED[self.level]]:
            raise ValueError(
                f"diagnostic {self.name!r}: needs {', '.join(map(repr, unknown))}: a diagnostic of level "
                f"{self.level!r} may need {', '.join(sorted(_ALLOWED[self.level]))}"
            )
        if (self.level == "sample") != bool(self.measures):
            raise ValueError(
                f"diagnostic {self.name!r} of level {self.level!r} with {len(self.measures)} measures: a diagnostic of "
                "level 'sample' names its numbers as `measures`, and only such a one"
            )
        names = [measure.name for measure in self.measures]
        if len({*names}) < len(names):
            raise ValueError(f"diagnostic {self.name!r}: a measure is named twice: {', '.join(names)}")

    @property
    def at_evaluation(self) -> bool:
        """Whether it runs at each evaluation: it needs neither a model nor the documents."""
        return self.level == "sample" and {*self.needs} <= {"text", "verdict"}
