"""The file of `sftgen sweep`, or what its command line says in place of one.

checkpoints:
  traces: runs/traces
  published: {hub: lab/run, revision: main}
base: Qwen/Qwen3-4B-Base
tasks: [sftgen_ood]
model: sftgen-vllm
keep: log2
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.manager import plugins
from sftgen_judges.records.schema import printable
from sftgen_tasks.harness.catalogue import installed
from sftgen_tasks.harness.limits import OPTION, LimitError, parse_limits
from sftgen_train.checkpoints.retention import Rule, Word
from sftgen_train.configuring.checking import Mistake, check, read_config
from sftgen_train.evaluation.schedule import Suite, Tier

Whole = Annotated[int, Field(strict=True)]
Step = Annotated[int, Field(strict=True, ge=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")]
Text = Annotated[str, Field(min_length=1)]


class SweepError(SftgenError, ValueError):
    """A sweep that cannot be made, with every mistake in it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _as_mapping(given: Any) -> Any:
    """A text is short for `{folder: TEXT}`, a list for `{folders: LIST}`."""
    return {"folder": given} if isinstance(given, str) else {"folders": given} if isinstance(given, list) else given


class Origin(_Part):
    """Where the checkpoints of one training come from.

    Attributes:
        folder: Folder of checkpoints, or the run directory of a training.
        folders: Or single checkpoints.
        hub: Or a hub repository, with one sub-folder or one revision a step.
        revision: Of the repository; its commit is written down with the first start.
        revisions: Revisions, one a step: `all` whose names tell a step, some of these, or steps with their revisions.
        base: Another base than the sweep's.
        keep: Another rule than the sweep's.
    """

    folder: Text | None = None
    folders: Annotated[list[Text], Field(min_length=1)] | None = None
    hub: Repository | None = None
    revision: Text | None = None
    revisions: Literal["all"] | list[Text] | dict[Step, Text] | None = None
    base: str | None = None
    keep: Word | list[Step] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Origin:
        ways = {"folder": self.folder, "folders": self.folders, "hub": self.hub}
        named = [name for name, value in ways.items() if value is not None]
        if len(named) != 1:
            raise ValueError(f"expected one of {', '.join(ways)}, found {' and '.join(named) or 'none of them'}")
        if self.hub is None and (self.revision or self.revisions):
            raise ValueError("`revision` and `revisions` are of a hub repository: expected `hub` beside them")
        if self.revision and self.revisions:
            raise ValueError("expected one of revision, revisions")
        return self


class Judge(_Part):
    """A model that judges ask; a key comes from the environment only.

    Attributes:
        model: Its name, as SFTGEN_JUDGE_MODEL.
        base_url: Its server, as SFTGEN_JUDGE_BASE_URL.
    """

    model: Text
    base_url: str | None = None

    def options(self) -> dict[str, str]:
        """As options of the tasks."""
        return {"judge_model": self.model, **({"judge_base_url": self.base_url} if self.base_url else {})}


class Sweep(_Part):
    """A whole sweep.

    Attributes:
        checkpoints: A name for each training, with where its checkpoints come from.
        tasks: Tasks and groups.
        out: Where results go; `sweeps/NAME` by default, by the file's name.
        base: The model that training began with: step 0 of each training, and files that checkpoints lack.
        steps: Only these steps.
        schedule: Or only those of a schedule, for example `log-spaced`.
        limit: Documents a task.
        metadata: Options of the tasks.
        gen_kwargs: Settings over the tasks' own.
        max_gen_toks: Token limits of single tasks or groups: TASK=N,...
        chat_template: Whether prompts go through the tokenizer's chat template.
        batch_size: Prompts generated together.
        seed: Seed of sampled responses.
        model: The lm_eval model that generates.
        model_args: Further arguments of it.
        fresh_engines: Whether vLLM starts a fresh engine for each checkpoint, also where its weights could be replaced.
        judges: Models that judges ask. The first judges while the next task generates; for each further one the
            answers are judged again at the end, into a run of its own.
        probes: Diagnostics that measure each checkpoint once it is evaluated.
        in_domain: Those of the tasks that training is about; only the report uses this.
        keep: Which checkpoints stay: `all`, `log2`, `verdict`, or a list of steps. Others are deleted.
        attempts: Tries before a checkpoint counts as failed.
    """

    checkpoints: Annotated[dict[Name, Annotated[Origin, BeforeValidator(_as_mapping)]], Field(min_length=1)]
    tasks: Annotated[list[Text], Field(min_length=1)]
    out: Text | None = None
    base: str = ""
    steps: list[Step] | None = None
    schedule: Text | None = None
    limit: Whole | None = Field(default=None, ge=1)
    metadata: dict[str, Any] = Field(default_factory=dict)
    gen_kwargs: dict[str, Any] = Field(default_factory=dict)
    max_gen_toks: str | None = None
    chat_template: bool = True
    batch_size: Whole = Field(default=16, ge=1)
    seed: Whole = 0
    model: Text = "sftgen-hf"
    model_args: dict[str, Any] = Field(default_factory=dict)
    fresh_engines: bool = False
    judges: dict[Name, Judge] = Field(default_factory=dict)
    probes: list[Text] = Field(default_factory=list)
    in_domain: list[Text] = Field(default_factory=list)
    keep: Word | list[Step] = "all"
    attempts: Whole = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _steps_one_way(self) -> Sweep:
        if self.steps is not None and self.schedule is not None:
            raise ValueError("steps and schedule: expected one of them")
        return self

    def suite(self) -> Suite:
        """What every checkpoint is evaluated on.

        Raises:
            ScheduleError: A schedule that nobody has.
        """
        first = next(iter(self.judges.values()), None)
        metadata = {**self.metadata, **(first.options() if first else {})}
        if self.max_gen_toks:
            metadata[OPTION] = parse_limits(self.max_gen_toks)
        every = None if self.schedule else 1
        tier = Tier(list(self.tasks), every=every, limit=self.limit, schedule=self.schedule)
        return Suite([tier], metadata, dict(self.gen_kwargs), self.chat_template, self.batch_size, self.seed)

    def rule(self, origin: Origin) -> Rule:
        """Which checkpoints of a training stay."""
        return Rule.of(self.keep if origin.keep is None else origin.keep)

    def base_of(self, origin: Origin) -> str:
        """The model that a training began with; empty where none is named."""
        return self.base if origin.base is None else origin.base


def read_sweep(path: Path) -> Sweep:
    """Read a sweep's file.

    Raises:
        SweepError: It has mistakes: all of them, each with file, line, value and what was expected.
    """
    return read_config(path, Sweep, kind="sweep", error=SweepError, also=_mistakes)


def sweep_of(values: Mapping[str, Any]) -> Sweep:
    """A sweep of what a command line says.

    Raises:
        SweepError: It has mistakes: all of them.
    """
    found, mistakes = check(values, Sweep)
    mistakes += _mistakes(values)
    if found is None or mistakes:
        raise SweepError("; ".join(printable(mistake.text) for mistake in mistakes))
    return found


def _mistakes(values: Mapping[Any, Any]) -> Iterator[Mistake]:
    """Names that nothing has, in values of any type: what has another type is told by the model."""
    tasks, groups = installed()
    known = {*tasks, *groups}
    for key in ("tasks", "in_domain"):
        for place, name in enumerate(_list(values.get(key))):
            if isinstance(name, str) and name not in known:
                yield _unknown((key, place), name, known, "task")
    diagnostics = list(plugins().registered("register_diagnostics"))
    for place, name in enumerate(_list(values.get("probes"))):
        if isinstance(name, str) and name not in diagnostics:
            yield _unknown(("probes", place), name, diagnostics, "diagnostic")
    if isinstance(limits := values.get("max_gen_toks"), str):
        try:
            parse_limits(limits)
        except LimitError as error:
            yield Mistake(("max_gen_toks",), str(error))
    origins = values.get("checkpoints")
    for name, origin in origins.items() if isinstance(origins, Mapping) else ():
        found = _as_mapping(origin)
        found = found if isinstance(found, Mapping) else {}
        for folder in (found.get("folder"), *_list(found.get("folders"))):
            if isinstance(folder, str) and folder and not Path(folder).is_dir():
                yield Mistake(("checkpoints", name), f"checkpoints.{name}: {folder!r}: no such folder")


def _unknown(place: tuple[Any, ...], name: str, known: Collection[str], kind: str) -> Mistake:
    return Mistake(place, f"{place[0]}.{place[1]}: {name!r}: no {kind} has this name{did_you_mean(name, known)}")


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []
