"""What a plugin adds: graders, judges, diagnostics, checkpoint sources, sandboxes, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sftgen_judges.records.schema import Response, Verdict

if TYPE_CHECKING:
    from sftgen_judges.asking.settings import JudgeSettings


@dataclass(frozen=True)
class Item:
    """One response with the document it answers: what a grader or judge is given.

    Attributes:
        doc: The document. Judges that ask a model read the columns `question` and, some, `reference`.
        response: The response.
        verdicts: What the parts of a judge that has parts said of it, in their order.
    """

    doc: Mapping[str, Any]
    response: Response
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True)
class Grader:
    """Scores one response by a rule.

    Attributes:
        name: The name it is registered under.
        version: Raised when the rule changes; older verdicts are then not reused.
        grade: Pure function of document and response.
        time_limit: Seconds for one response. With a limit, `grade` runs in a worker process that is
            stopped when it takes longer, so it must be a module-level function. Without, it runs here.
        chunk: Responses that a worker takes at once, for a rule that takes less time than handing a
            response over. One that fails takes none of the others with it.
        grade_all: The same rule for many responses at once, for a grader that spreads them over the cores
            itself; `grade` and its limit are then not used in a batch. Yields as `Judge.judge` does.
    """

    name: str
    version: int
    grade: Callable[[Mapping[str, Any], Response], Verdict]
    time_limit: float | None = None
    chunk: int = 1
    grade_all: Callable[[Sequence[Item]], Iterable[Verdict | tuple[int, Verdict]]] | None = None


@dataclass(frozen=True)
class Request:
    """What a judge asks its model about one item.

    Attributes:
        prompt: One text to complete, or chat messages (`{"role": ..., "content": ...}`).
        max_tokens: Most tokens of the reply.
        schema: JSON schema of the reply, for servers that can hold a model to it.
        logprobs: How many of the likeliest first tokens to tell with their log-probabilities, 0 for none.
        stop: Texts that end the reply.
    """

    prompt: str | tuple[Mapping[str, str], ...]
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    logprobs: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """What the model replied: what a judge's parser is given.

    Attributes:
        text: The text, as it came.
        model: The model, as the server names it.
        finish_reason: `stop`, `length`, `content_filter`, or None where nobody tells.
        refusal: The server's own note that the model declined.
        logprobs: Log-probabilities of the likeliest first tokens, where they were asked for.
        prompt_tokens: Length of the prompt in tokens, None where nobody counted.
        tokens: Length of the reply in tokens.
        seconds: How long the call took, its retries left out.
        attempts: How many calls it took.
        dropped: Parameters of the request that the server would not take.
    """

    text: str
    model: str = ""
    finish_reason: str | None = None
    refusal: str | None = None
    logprobs: Mapping[str, float] = field(default_factory=dict)
    prompt_tokens: int | None = None
    tokens: int | None = None
    seconds: float = 0.0
    attempts: int = 1
    dropped: tuple[str, ...] = ()


Need = Literal["chat", "completions", "logprobs", "local model"]


@dataclass(frozen=True)
class Judge:
    """Scores responses by an opinion: a model's, a list of patterns, or that of several judges.

    A judge owns both its prompt and the reading of the reply; benchmarks only see verdicts. It works
    in exactly one of three ways: `judge`, `prompt` with `read`, or `score_batch`. What asks a model is
    told which one by `settings.settings_for` and is called by `asking`, never by a benchmark.

    Attributes:
        name: The name it is registered under.
        version: Raised when prompt, parser or patterns change.
        scale: Lowest and highest score.
        success: A score at or above this counts as the thing the judge looks for.
        judge: Looks at nothing but the items (and their `verdicts`, with `parts`): yields a verdict an
            item in order, or pairs (position, verdict) in any order. A failure is a verdict `judge_error`.
        prompt: What to ask a model about one item; with
        read: the verdict in its reply. Raises `replies.UnreadableReply` where there is none.
        score_batch: As `judge`, for a judge with a model of its own that no chat or completion reaches.
        needs: What its model has to offer; nothing for a judge that asks none.
        model: The model it was made for; goes before `SFTGEN_JUDGE_MODEL`, after `SFTGEN_JUDGE_<NAME>_MODEL`.
        settings: Settings that go before the environment's, by field of `settings.JudgeSettings`.
        parts: Judges to ask first. Their verdicts are kept one by one and handed to `judge`.
        check: Looks at the settings before anything is generated: says what is still to be set, empty when
            nothing is, and raises a `SftgenError` for what can never work.
    """

    name: str
    version: int
    scale: tuple[float, float]
    success: float
    judge: Callable[[Sequence[Item]], Iterable[Verdict | tuple[int, Verdict]]] | None = None
    prompt: Callable[[Item, JudgeSettings], Request] | None = None
    read: Callable[[Reply], Verdict] | None = None
    score_batch: Callable[[Sequence[Item], JudgeSettings], Iterable[Verdict | tuple[int, Verdict]]] | None = None
    needs: tuple[Need, ...] = ()
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Judge, ...] = ()
    check: Callable[[JudgeSettings], str] | None = None

    def __post_init__(self) -> None:
        ways = [self.judge, self.prompt and self.read, self.score_batch]
        if sum(way is not None for way in ways) != 1 or (self.prompt is None) != (self.read is None):
            raise ValueError(f"judge {self.name!r}: expected one of judge, prompt with read, or score_batch")
        if self.parts and self.judge is None:
            raise ValueError(f"judge {self.name!r}: parts need `judge`, which is given their verdicts")
        if bool(self.needs) == (self.judge is not None):
            raise ValueError(f"judge {self.name!r}: `needs` goes with prompt and read or score_batch, and only there")


@dataclass(frozen=True)
class Sample:
    """One graded response of a run, as diagnostics see it."""

    task: str
    step: int | None
    doc_hash: str
    repeat: int
    response: Response
    verdict: Verdict


@dataclass(frozen=True)
class Diagnostic:
    """Summarises the samples of one task at one step.

    Attributes:
        name: The name it is registered under; prefixes its metrics (`name/metric`).
        version: Raised when the summary changes.
        diagnose: Metric name to value; leave a metric out where it cannot be computed.
    """

    name: str
    version: int
    diagnose: Callable[[Sequence[Sample]], Mapping[str, float]]


@dataclass(frozen=True)
class Checkpoint:
    """A folder of weights and the training step it was saved at."""

    step: int
    path: Path


@dataclass(frozen=True)
class CheckpointSource:
    """Recognises one layout of checkpoints in a folder.

    Attributes:
        name: The name it is registered under.
        list: The checkpoints in a folder by step, empty where the layout is another. One that is visibly not
            written to its end is left out.
        materialise: Writes a checkpoint in Hugging Face format into a folder, in which configuration and
            tokenizer of the base model may lie already. None where checkpoints are in that format anyway.
    """

    name: str
    list: Callable[[Path], Sequence[Checkpoint]]
    materialise: Callable[[Checkpoint, Path], None] | None = None


@dataclass(frozen=True)
class Program:
    """Python source that nobody has read.

    Attributes:
        source: The program.
        function: None for a program that reads standard input and runs as `__main__`. Else the name of
            the function, or of the method of `class Solution`, that is called.
    """

    source: str
    function: str | None = None


@dataclass(frozen=True)
class Limits:
    """What one sample may use.

    Attributes:
        test_seconds: For one test: CPU time, plus time in which the program sleeps. Waiting for a busy
            machine does not count. A program is ended at 1.15 times as much (`docs/sandbox.md` says
            why), or after ten times as much wall time.
        total_seconds: The same for all tests of a sample together.
        memory_bytes: Address space.
    """

    test_seconds: float = 6.0
    total_seconds: float = 30.0
    memory_bytes: int = 4 << 30


@dataclass(frozen=True)
class Execution:
    """What one test of a program came to.

    Attributes:
        output: Standard output, or the return value as JSON text.
        reason: Empty where the program ended by itself; else one of `Outcome.reason`'s words.
        detail: For a person, short.
        spent: Seconds of the limits used so far.
        fresh: Whether this was the first test in its process, or had nothing of an earlier one around.
        seen: The output that a checker would have seen that runs a program inside its own process, as
            LiveCodeBench's does; None where that is all of it. It gives and takes only what goes through `sys.stdin`
            and `sys.stdout`, and looks when the main thread is at its end.
    """

    output: str = ""
    reason: str = ""
    detail: str = ""
    spent: float = 0.0
    fresh: bool = True
    seen: str | None = None


@dataclass(frozen=True)
class Sandbox:
    """A place to run programs that nobody has read.

    Expected outputs are never given to it.

    Attributes:
        name: The name it is registered under.
        describe: One line on what it keeps a program from; raises `SftgenError` where it cannot run.
        execute: Runs a program on each input (standard input, or arguments as JSON, one a line) and
            yields one `Execution` an input, in order, up to the first with a reason. Closed early, it
            stops the program. Anything it raises is the sandbox's failure, not the program's.
    """

    name: str
    describe: Callable[[], str]
    execute: Callable[[Program, Sequence[str], Limits], Iterator[Execution]]
