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

from sftgen_judges.records.manifest import now
from sftgen_judges.records.provenance import hardware, scrub, tallied
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.evaluation import aggregations, metric_values

KEY = "sftgen"
Estimate = Callable[..., Any]
"""From the values of documents, and what aggregates them, to a dataclass of mean, low, high and n."""


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

    def watch(self, lm: Any) -> Any:
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
        return lm

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


@contextmanager
def manifest_in_results(
    run: RunFolder, closing: Callable[[Mapping[str, Any]], Mapping[str, Any]], estimate: Estimate | None
) -> Iterator[None]:
    """Inside, what lm_eval saves has the manifest of a run under `sftgen`; its own keys stay as they are.

    lm_eval has no place for a plugin to add to its results, so two of its functions are wrapped.

    Args:
        run: The run directory.
        closing: From lm_eval's seeds to what else the manifest is to say when everything is scored.
        estimate: Makes intervals; without it there are none.
    """
    from lm_eval import evaluator
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.utils import handle_non_serializable, sanitize_model_name

    evaluate, save = evaluator.evaluate, EvaluationTracker.save_results_aggregated
    intervals: dict[str, Any] = {}

    def evaluated(lm: Any, task_dict: Any, **options: Any) -> Any:
        outcome = evaluate(lm=lm, task_dict=task_dict, **options)
        if outcome and estimate:
            for task, rows in outcome.get("samples", {}).items():
                own = aggregations(task_dict["tasks"][task])
                intervals[task] = {
                    metric: _plain(estimate(values, aggregation=own.get(metric)))
                    for metric, values in metric_values(rows).items()
                }
        return outcome

    def saved(tracker: Any, results: Mapping[str, Any], samples: Any = None) -> None:
        config, general = results["config"], tracker.general_config_tracker
        seeds = {name: config.get(f"{name}_seed") for name in ("random", "numpy", "torch", "fewshot")}
        # The model's own processes exist by now, so that torch may be asked.
        run.update_manifest(**closing(seeds), hardware=hardware(ask_gpus=True))
        plain = json.loads(json.dumps(dict(results), default=handle_non_serializable))
        manifest = run.manifest()
        # A folder may hold other tasks from another day.
        manifest["documents"] = {
            task: facts for task, facts in manifest.get("documents", {}).items() if task in plain["configs"]
        }
        plain[KEY] = {**manifest, "intervals": intervals}
        general.model_name = scrub(general.model_name)
        general.system_instruction = scrub(general.system_instruction)
        general.model_name_sanitized = sanitize_model_name(general.model_name.removeprefix("~/"))
        save(tracker, results=scrub(plain), samples=samples)

    with ExitStack() as undo:
        undo.callback(setattr, evaluator, "evaluate", evaluate)
        undo.callback(setattr, EvaluationTracker, "save_results_aggregated", save)
        evaluator.evaluate, EvaluationTracker.save_results_aggregated = evaluated, saved
        yield


def _plain(estimated: Any) -> dict[str, Any]:
    """Without infinity, which JSON does not have."""
    values = asdict(estimated)
    return {name: value if isfinite(value) else None for name, value in values.items()}
