"""What it costs to have every response on disk when it comes, beside what lm_eval itself costs.

    python benchmarks/recording.py [SAMPLES] [CHARACTERS]

The same evaluation through lm_eval's own `evaluate`, its sample log included: a task without a grader
of ours, a model that answers at once with a text of 60,000 characters. The peer is that as it is. Ours
is what the journal of `sftgen eval --run` adds, with counts, seed and hashes of every response: the time
its `generate_until` takes over the model's. The difference of the whole evaluations is printed too; it
should be the same, and is as noisy as the machine. Rounds take turns, medians count.

The last line is one JSON object: milliseconds a sample that we add, lm_eval's own, and how many times
more that is.
"""

from __future__ import annotations

import json
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.loggers import EvaluationTracker

from sftgen_judges.records.current import Recording
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.generation import GeneratedText
from sftgen_tasks.harness.patches import quiet
from sftgen_tasks.harness.streaming import journal_generations

ROUNDS = 9
WORDS = ("Let", "x", "be", "the", "sum", "$\\frac{1}{2}$", "so", "that", "wait,", "é", "3.14", "\n")


class Fixed(LM):  # type: ignore[misc]
    """Answers every request with a text made beforehand."""

    batch_size = 32

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self.texts = {str(number): text for number, text in enumerate(texts)}

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Look the text up by the prompt."""
        return [
            GeneratedText(self.texts[request.args[0]], tokens=15000, prompt_tokens=90, finish_reason="stop", seed=7)
            for request in requests
        ]

    def loglikelihood(self, requests: Any) -> Any:
        """Not asked for."""
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def task(samples: int) -> dict[str, ConfigurableTask]:
    """A task whose scoring costs nothing."""
    docs = [{"question": str(number)} for number in range(samples)]
    made = ConfigurableTask(
        config={
            "task": "fixed",
            "custom_dataset": lambda **_: {"test": Dataset.from_list(docs)},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "doc_to_target": "x",
            "process_results": lambda doc, results: {"long": float(len(results[0]) > 9)},
            "metric_list": [{"metric": "long", "aggregation": "mean", "higher_is_better": True}],
            "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": 32768},
        }
    )
    made.set_fewshot_seed(1)
    return {"fixed": made}


def timed(texts: Sequence[str], folder: Path, *, recorded: bool) -> tuple[float, float]:
    """Milliseconds a sample: of one evaluation, until lm_eval's own files are written, and of its generating."""
    lm, tasks = Fixed(texts), {"tasks": task(len(texts)), "groups": {}, "group_map": {}}
    if recorded:
        journal_generations(lm, Recording(RunFolder(folder / "run"), model="fixed"), None, resume=True)
    generate, spent = lm.generate_until, [0.0]

    def generate_until(requests: Sequence[Any]) -> list[str]:
        start = time.perf_counter()
        texts = generate(requests)
        spent[0] = time.perf_counter() - start
        return texts

    lm.generate_until = generate_until
    tracker = EvaluationTracker(output_path=str(folder / "results"))
    start = time.perf_counter()
    with quiet():
        results = evaluate(lm, tasks, log_samples=True, bootstrap_iters=0)
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        tracker.save_results_samples(task_name="fixed", samples=samples["fixed"])
    seconds = time.perf_counter() - start
    if recorded and len(RunFolder(folder / "run").read_generations("fixed")) != len(texts):
        sys.exit("not every response was recorded")
    return seconds * 1000 / len(texts), spent[0] * 1000 / len(texts)


def main() -> None:
    """Take turns and print."""
    given = [int(number) for number in sys.argv[1:]]
    count, length = (given + [400, 60_000][len(given) :])[:2]
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    rng = random.Random(0)
    texts = ["".join(f"{word} " for word in rng.choices(WORDS, k=length // 4))[:length] for _ in range(count)]
    if min(map(len, texts)) < length:
        sys.exit("texts came out too short")
    plain: list[tuple[float, float]] = []
    recorded: list[tuple[float, float]] = []
    print("ms a sample    lm_eval  recorded  of that added while generating")
    for number in range(ROUNDS):
        for found, ours in ((plain, False), (recorded, True)):
            with tempfile.TemporaryDirectory() as folder:
                found.append(timed(texts, Path(folder), recorded=ours))
        added = recorded[-1][1] - plain[-1][1]
        print(f"round {number + 1:<7} {plain[-1][0]:8.2f} {recorded[-1][0]:9.2f} {added:8.3f}")
    peer = statistics.median(whole for whole, _ in plain)
    print(f"whole evaluations differ by {statistics.median(whole for whole, _ in recorded) - peer:.2f}")
    added = statistics.median(two[1] - one[1] for one, two in zip(plain, recorded, strict=True))
    ratio = {"ratio": round(peer / added, 2), "ours": round(added, 3), "peer": round(peer, 3)}
    print(json.dumps({"name": "recording", **ratio, "unit": "ms/sample"}))


if __name__ == "__main__":
    main()
