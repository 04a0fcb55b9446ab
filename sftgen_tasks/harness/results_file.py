"""lm_eval's results file with the run's manifest in it, and without secrets or home paths."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from sftgen_judges.records.current import Recording, current
from sftgen_judges.records.journal import clean
from sftgen_judges.records.manifest import now
from sftgen_judges.records.model_id import Identity
from sftgen_judges.records.provenance import hardware, scrub, tallied
from sftgen_tasks.harness.evaluation import TaskResult, results_of
from sftgen_tasks.harness.generation import counter_of
from sftgen_tasks.harness.model import Model
from sftgen_tasks.harness.patches import replaced
from sftgen_tasks.harness.registry import SEEDS, identity_of
from sftgen_tasks.harness.streaming import journal_generations

KEY = "sftgen"
Estimate = Callable[..., Any]
"""From the values of documents, and what aggregates them, to a dataclass of mean, low, high and n."""


@dataclass(frozen=True)
class NamedModel:
    """The model that lm_eval's arguments name.

    Attributes:
        identity: What it is.
        seed: Base seed of its samples; of a model that takes none a sample, lm_eval's.
        arguments: What it is loaded with.
    """

    identity: Identity
    seed: int | str
    arguments: dict[str, Any]

    @classmethod
    def of(cls, config: Any) -> NamedModel:
        """Read lm_eval's configuration as it is in force."""
        given, name = dict(config.model_args or {}), str(config.model)
        # Our own models take a seed a sample; the others draw from lm_eval's.
        own = name.startswith("sftgen-")
        seed = int(given.get("seed", SEEDS.get(name, 0))) if own else str(config.seed)
        return cls(identity_of(name, given), seed, given)

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"model": self.identity.name, "model_id": self.identity.id, "model_parts": self.identity.parts}


@dataclass
class Session:
    """What one process did for a run, as far as its model has got.

    Attributes:
        resume: Whether responses of earlier sessions are used.
        started: When.
        clock: The same as `time.perf_counter()` counts.
        before: What the process had made by then.
        requested: Responses asked for.
        seconds: Spent generating; loading the model and grading are not in it.
    """

    resume: bool
    started: str = field(default_factory=now)
    clock: float = field(default_factory=time.perf_counter)
    before: Counter[str] = field(default_factory=tallied)
    requested: int = 0
    seconds: float = 0.0

    def watch(self, lm: Model) -> None:
        """Measure a model's generating from now on."""
        generate = lm.generate_until

        def generate_until(requests: Any, *arguments: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return generate(requests, *arguments, **options)
            finally:
                self.seconds += time.perf_counter() - begun
                self.requested += len(requests)

        lm.generate_until = generate_until

    def facts(self) -> dict[str, Any]:
        """The session's line in the manifest. Tokens per second is of the responses it made itself."""
        made = tallied() - self.before
        rate = made["tokens"] / self.seconds if made["tokens"] and self.seconds and not made["uncounted"] else None
        return {
            "started": self.started,
            "seconds": round(time.perf_counter() - self.clock, 3),
            "generation_seconds": round(self.seconds, 3),
            "responses": made["responses"],
            "responses_resumed": self.requested - made["responses"] if self.resume else 0,
            "tokens": made["tokens"] if made["responses"] > made["uncounted"] else None,
            "tokens_per_second": round(rate, 2) if rate else None,
        }


@dataclass
class Account:
    """Keeps account of what lm_eval's command does: measures its model, and says in its results how they came about.

    Attributes:
        model: The model that its arguments name.
        estimate: Makes the intervals; without it no intervals are written.
        resume: Whether the run directory is the user's, so that what stands there is used again.
        run: Where samples are recorded.
        session: What this process does.
        earlier: What others did before.
        results: What was found of each of our tasks.
    """

    model: NamedModel
    estimate: Estimate | None
    resume: bool
    run: Recording = field(default_factory=current)
    session: Session = field(init=False)
    earlier: list[Any] = field(init=False)
    results: list[TaskResult] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.session = Session(self.resume)
        self.earlier = self.run.folder.manifest().get("sessions", [])
        if self.resume:  # a killed session has no more to tell than when it began
            sessions = [*self.earlier, {"started": self.session.started}]
            self.run.folder.update_manifest(**self.model.facts, sessions=sessions)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside, lm_eval evaluates and saves through this account.

        It has no place for a plugin to prepare a model or to add to its results, so two of its functions are wrapped.
        """
        from lm_eval import evaluator
        from lm_eval.api.model import CachingLM
        from lm_eval.loggers import EvaluationTracker

        evaluate, save = evaluator.evaluate, EvaluationTracker.save_results_aggregated

        def evaluated(lm: Any, task_dict: Any, **options: Any) -> Any:
            self._prepare(lm.lm if isinstance(lm, CachingLM) else lm)
            outcome = evaluate(lm=lm, task_dict=task_dict, **options)
            if outcome:
                self.results = results_of(outcome, task_dict["tasks"])
            return outcome

        def saved(tracker: Any, results: Mapping[str, Any], samples: Any = None) -> None:
            save(tracker, results=self._completed(tracker.general_config_tracker, results), samples=samples)

        with ExitStack() as stack:
            stack.enter_context(replaced(evaluator, "evaluate", evaluated))
            stack.enter_context(replaced(EvaluationTracker, "save_results_aggregated", saved))
            yield

    def _prepare(self, lm: Model) -> None:
        if self.resume:
            journal_generations(lm, self.run, counter_of(self.model.arguments), resume=True)
        self.session.watch(lm)

    def _completed(self, general: Any, results: Mapping[str, Any]) -> Any:
        """lm_eval's results with the manifest of the run under `sftgen`; its own keys stay as they are."""
        from lm_eval.utils import handle_non_serializable, sanitize_model_name

        config = results["config"]
        seeds = {name: config.get(f"{name}_seed") for name in ("random", "numpy", "torch", "fewshot")}
        own = self.model.seed if isinstance(self.model.seed, int) else None
        # The model's own processes exist by now, so that torch may be asked.
        self.run.folder.update_manifest(
            **self.model.facts,
            seeds={"sampling": own, **seeds},
            sessions=[*self.earlier, self.session.facts()],
            hardware=hardware(ask_gpus=True),
        )
        plain = clean(json.loads(json.dumps(dict(results), default=handle_non_serializable)))
        manifest = self.run.folder.manifest()
        # A folder may hold other tasks from another day.
        manifest["documents"] = {
            task: facts for task, facts in manifest.get("documents", {}).items() if task in plain["configs"]
        }
        plain[KEY] = {**manifest, "intervals": self._intervals()}
        general.model_name = scrub(general.model_name)
        general.system_instruction = scrub(general.system_instruction)
        general.model_name_sanitized = sanitize_model_name(general.model_name.removeprefix("~/"))
        return scrub(plain)

    def _intervals(self) -> dict[str, dict[str, Any]]:
        if not self.estimate:
            return {}
        return {
            result.task: {
                metric: _plain(
                    self.estimate(values, share=result.is_share(metric), aggregation=result.aggregations.get(metric))
                )
                for metric, values in result.values.items()
            }
            for result in self.results
        }


def _plain(estimated: Any) -> dict[str, Any]:
    """Without infinity, which JSON does not have."""
    values = asdict(estimated)
    return {name: value if isfinite(value) else None for name, value in values.items()}
