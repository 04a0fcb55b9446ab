"""What a study file holds.

name: my-study
base: Qwen/Qwen3-4B-Base
arms:
  traces: {data: traces.jsonl, seeds: [0, 1, 2]}
  answers: {data: answers.jsonl, seeds: [0, 1, 2]}
train: {max_steps: 640, learning_rate: 5.0e-5}
benchmarks: {in-domain: [sftgen_math500], out-of-domain: [sftgen_gpqa_diamond]}
evaluation: {steps: [10, 20, 40, 80, 160, 320, 640]}
comparisons: [{arm: traces, against: answers}]
claims: [{arm: traces, score: out-of-domain, expect: recovered}]
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sftgen_train.checkpoints.retention import Word as Kept

Word = Literal[
    "dips", "no dip", "recovered", "above base", "held", "not recovered", "below base", "higher", "lower", "not worse"
]
"""What a claim expects. `higher`, `lower` and `not worse` are of a comparison, the others of an arm."""
OF_COMPARISONS: tuple[Word, ...] = ("higher", "lower", "not worse")
OF_ARMS: tuple[Word, ...] = tuple(word for word in get_args(Word) if word not in OF_COMPARISONS)
GROUPS = ("in-domain", "out-of-domain", "general", "safety")
Group = Literal["in-domain", "out-of-domain", "general", "safety"]
Whole = Annotated[int, Field(strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _named(given: Any) -> Any:
    """A text is short for `{from: TEXT}`."""
    return {"from": given} if isinstance(given, str) else given


class _Source(_Part):
    """Where something comes from: it is given, or made.

    Attributes:
        given: A file, a folder or a hub id.
        made: Name of a builder.
        options: Options of the builder.
    """

    given: str | None = Field(default=None, alias="from", min_length=1)
    made: str | None = None
    options: dict[str, Any] = Field(default_factory=dict, alias="with")

    def ways(self) -> dict[str, Any]:
        """The ways that a source can be named; one of them is."""
        return {"from": self.given, "made": self.made}

    @model_validator(mode="after")
    def _one_way(self) -> _Source:
        named = [name for name, value in self.ways().items() if value is not None]
        if len(named) != 1:
            raise ValueError(f"expected one of {', '.join(self.ways())}, found {' and '.join(named) or 'none of them'}")
        if self.options and self.made is None:
            raise ValueError("`with` holds options of a builder: expected `made` beside it")
        return self


class ModelSource(_Source):
    """A model: a folder or a hub id, or one that a builder makes.

    Attributes:
        parameters: How many parameters it has, for `study plan`, where its name does not tell.
    """

    parameters: float | None = Field(default=None, gt=0)


class DataSource(_Source):
    """A data set: a file or a hub id, one that a builder makes, or a curation recipe.

    Attributes:
        recipe: File of `sftgen curate`.
        set_name: `set`, the one of its sets, where there are several.
        split: Split of a hub data set.
        rows: Only the first rows.
    """

    recipe: str | None = None
    set_name: str | None = Field(default=None, alias="set")
    split: str = "train"
    rows: Whole | None = Field(default=None, ge=1)

    def ways(self) -> dict[str, Any]:
        """The ways that a data set can be named."""
        return {**super().ways(), "recipe": self.recipe}


class TeacherSource(ModelSource):
    """A teacher: a model, or what another arm of the study ends with.

    Attributes:
        arm: That arm; of its runs the one of the same seed, or its first.
    """

    arm: str | None = None

    def ways(self) -> dict[str, Any]:
        """The ways that a teacher can be named."""
        return {**super().ways(), "arm": self.arm}


Data = Annotated[DataSource, BeforeValidator(_named)]
Model = Annotated[ModelSource, BeforeValidator(_named)]
Teacher = Annotated[TeacherSource, BeforeValidator(_named)]
Method = Literal["sft", "distillation", "grpo"]
NEEDS: dict[Method, str] = {"distillation": "teacher", "grpo": "reward"}
"""What an arm of a method names beside its data."""


class Arm(_Part):
    """One arm: what is trained on, from which model, by which schedule, with which seeds.

    Attributes:
        data: The data set.
        model: Another model than the study's base.
        preset: A published run, MODEL/DATA or MODEL/DATA/SCHEDULE: its fields stand below those of `train`.
        schedule: Name of a published schedule, see `sftgen train --preset`.
        method: `sft`: on the rows' responses. `distillation` and `grpo`: on the model's own responses to their prompts.
        teacher: Of `distillation`: whose next tokens are learnt.
        reward: Of `grpo`: the grader whose score is the reward.
        seeds: Other seeds than the study's.
        train: Training fields of this arm, over the study's.
    """

    data: Data | None = None
    model: Model | None = None
    preset: str | None = None
    schedule: str | None = None
    method: Method = "sft"
    teacher: Teacher | None = None
    reward: str | None = None
    seeds: list[Whole] | None = Field(default=None, min_length=1)
    train: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_data(self) -> Arm:
        if self.data is None and self.preset is None:
            raise ValueError("expected `data`, or a `preset` that names its own")
        return self

    @model_validator(mode="after")
    def _fits_its_method(self) -> Arm:
        for method, part in NEEDS.items():
            given = getattr(self, part)
            if given is None and self.method == method:
                raise ValueError(f"`method: {method}` expects `{part}` beside it")
            if given is not None and self.method != method:
                raise ValueError(f"`{part}` is of `method: {method}`; the method is {self.method!r}")
        if self.preset is not None and self.method != "sft":
            raise ValueError(f"`preset` is a published SFT; the method is {self.method!r}: name `data` and `train`")
        return self


class Bounds(_Part):
    """What the base must score before anything is trained.

    Attributes:
        at_least: The lowest mean score.
        at_most: The highest; above it there is nothing to learn.
        answered: The lowest share of responses with an answer.
    """

    at_least: float = Field(default=0.0, ge=0, le=1)
    at_most: float = Field(default=1.0, ge=0, le=1)
    answered: float = Field(default=0.0, ge=0, le=1)


class Evaluation(_Part):
    """When and how checkpoints are evaluated.

    Attributes:
        steps: Steps beside the base and the last one; or `adaptive`, see docs/training.md.
        limit: Documents a task.
        batch_size: Prompts generated together.
        gen_kwargs: Settings over the tasks' own.
        max_gen_toks: Token limits of single tasks or groups: TASK=N,...
        metadata: Options of the tasks.
        form: `queue`: evaluated when the training has ended; or `in_process`: while it waits.
        model: The lm_eval model that evaluates the queue.
        model_args: Further arguments of it.
        keep: Weights that stay once they are evaluated: all, log2, verdict, or a list of steps.
    """

    steps: list[Annotated[int, Field(ge=0, strict=True)]] | Literal["adaptive"] | None = None
    limit: Whole | None = Field(default=None, ge=1)
    batch_size: Whole = Field(default=16, ge=1)
    gen_kwargs: dict[str, Any] = Field(default_factory=dict)
    max_gen_toks: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    form: Literal["queue", "in_process"] = "queue"
    model: str = "sftgen-hf"
    model_args: dict[str, Any] = Field(default_factory=dict)
    keep: Kept | list[Annotated[int, Field(ge=0, strict=True)]] | None = None

    @model_validator(mode="after")
    def _kept_where_they_wait(self) -> Evaluation:
        if self.keep is not None and self.form != "queue":
            raise ValueError(f"`keep` is about weights that wait in the queue; the form is {self.form!r}")
        return self

    def measured(self) -> dict[str, Any]:
        """What decides the numbers: all but what stays afterwards."""
        return self.model_dump(exclude={"keep"})


class Judges(_Part):
    """The model that judges ask; a key comes from the environment only.

    Attributes:
        model: Its name, as SFTGEN_JUDGE_MODEL.
        base_url: Its server, as SFTGEN_JUDGE_BASE_URL.
    """

    model: str | None = None
    base_url: str | None = None


class Comparison(_Part):
    """An arm beside another.

    Attributes:
        arm: The arm.
        against: The other.
        at: `shared`: at the last step that both have. `end`: each where it ends, for arms of different length.
    """

    arm: str
    against: str
    at: Literal["shared", "end"] = "shared"


class Claim(_Part):
    """What is expected, written down before the study runs.

    Attributes:
        arm: The arm.
        against: Another arm, of a claim about a comparison.
        score: A task, or a group of `benchmarks`.
        expect: The word.
    """

    arm: str
    against: str | None = None
    score: str
    expect: Word

    @model_validator(mode="after")
    def _word_fits(self) -> Claim:
        known = OF_ARMS if self.against is None else OF_COMPARISONS
        if self.expect not in known:
            kind = "an arm" if self.against is None else "an arm against another"
            raise ValueError(f"`expect` of {kind} is {self.expect!r}: expected one of {', '.join(known)}")
        return self


class Study(_Part):
    """A whole study.

    Attributes:
        name: Its name; results go to `studies/NAME` unless told otherwise.
        about: What it is about, printed first.
        shows: A sentence that the report ends with.
        base: The model that arms begin from.
        sanity: What the base must score before anything is trained, by task.
        arms: What is trained, by name.
        seeds: Seeds of the trainings of each arm.
        train: Training fields of all arms, see docs/training.md.
        launch: A ready configuration of accelerate, if a training takes several devices.
        benchmarks: Tasks and groups of tasks, by what they are to the training.
        evaluation: When and how checkpoints are evaluated.
        judges: The model that judges ask.
        diagnostics: Diagnostics of each run, by name.
        comparisons: Arms that are compared.
        delta: The loss that does not matter.
        claims: What is expected.
    """

    name: Name
    about: str = ""
    shows: str = ""
    base: Model
    sanity: dict[str, Bounds] = Field(default_factory=dict)
    arms: dict[Name, Arm] = Field(min_length=1)
    seeds: list[Whole] = Field(default=[0], min_length=1)
    train: dict[str, Any] = Field(default_factory=dict)
    launch: str | None = None
    benchmarks: dict[Group, list[str]] = Field(min_length=1)
    evaluation: Evaluation = Evaluation()
    judges: Judges = Judges()
    diagnostics: list[str] = Field(default_factory=list)
    comparisons: list[Comparison] = Field(default_factory=list)
    delta: float = Field(default=0.02, ge=0, le=1)
    claims: list[Claim] = Field(default_factory=list)

    def seeds_of(self, arm: str) -> list[int]:
        """The seeds of an arm."""
        return self.arms[arm].seeds or self.seeds

    def model_of(self, arm: str) -> ModelSource:
        """The model that an arm begins from."""
        return self.arms[arm].model or self.base
