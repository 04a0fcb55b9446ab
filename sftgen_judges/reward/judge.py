"""The `reward` judge: how much a reward model likes an answer, as the raw logit.

`SFTGEN_JUDGE_REWARD_MODEL` lists reward models (`reward_models`), by default that of the paper's main tables.
They run in this process with `SFTGEN_JUDGE_REWARD_BACKEND=transformers`, or behind vLLM
(`vllm serve MODEL --runner pooling`) at `SFTGEN_JUDGE_REWARD_BASE_URL`, one address a model with commas
between. With neither setting, nothing is graded.

* The first model's logit is the `score`, each model's is `reward_<short name>`. It is a logit: it has no
  natural zero, and those of two models do not compare.
* The answer is the text outside the thinking. A response without an answer, or with thinking that never closed, is
  scored as the empty answer, because that is what a reader would get. To leave it out would reward a model for failing
  where its answers are worst, and the scale has no other number for it. It keeps its status, so `answered` and
  `truncated` count it, and `reward_answered` is the mean without it.
* `paper`: the first model's logit of the text after the last `</think>`, or of the whole text without one.
* `reward_truncated`: the answer was truncated at its end, because the pair is longer than a model accepts.
* `unclosed`: the thinking never closed. `paper` scores such a response as if it were an answer.
"""

from __future__ import annotations

import gc
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sftgen_judges.asking.paper import after_thinking
from sftgen_judges.plugins.contracts import Item, Judge
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_judges.records.schema import Response, Status, Verdict, content_hash
from sftgen_judges.reward.engines import LocalModel, ServedModel
from sftgen_judges.reward.models import Options, Pair, RewardModel, RewardModelError, check_config, reward_models

Texts = tuple[str, str]
"""An instruction and an answer."""


@dataclass(frozen=True)
class Reward:
    """The logit that one model gave to one pair, or why it gave none."""

    pair: Pair | None
    logit: float = math.nan
    failure: str = ""


def missing_settings(settings: JudgeSettings) -> str:
    """What has to be set before the judge can work; empty when nothing is missing.

    Raises:
        RewardModelError: A name or an option cannot be used, or a folder holds no reward model.
    """
    Options.of(settings)
    models = reward_models(settings.model or "")
    if settings.backend == "transformers":
        for model in models:
            check_config(model)
    elif settings.backend != "server" or not settings.base_url:
        return (
            "set SFTGEN_JUDGE_REWARD_BASE_URL to a server of the reward model, "
            "or SFTGEN_JUDGE_REWARD_BACKEND=transformers to run it in this process"
        )
    return ""


def score_batch(items: Sequence[Item], settings: JudgeSettings) -> Iterator[tuple[int, Verdict]]:
    """Score every item with every reward model; each verdict comes as soon as the last model has given its logit."""
    try:
        models, missing = reward_models(settings.model or ""), missing_settings(settings)
    except RewardModelError as error:
        models, missing = (), str(error)
    if missing:
        yield from _not_graded(items, missing)
        return
    strict = [_texts(item, item.response.answer, settings) for item in items]
    paper = [_texts(item, after_thinking(item.response.text), settings) for item in items]
    known: list[dict[Texts, Reward]] = [{} for _ in models]
    for number, model in enumerate(models):
        # The first model alone scores what the rule of the paper scores.
        left = [{one, other} if number == 0 else {one} for one, other in zip(strict, paper, strict=True)]
        waiting: dict[Texts, list[int]] = defaultdict(list)
        for position, wanted in enumerate(left):
            for texts in wanted:
                waiting[texts].append(position)
        try:
            for texts, reward in _score(model, settings, list(waiting)):
                known[number][texts] = reward
                if number < len(models) - 1:
                    continue
                for position in waiting[texts]:
                    left[position].remove(texts)
                    if not left[position]:
                        given = [of_model[strict[position]] for of_model in known]
                        yield position, _verdict(items[position].response, models, given, known[0][paper[position]])
        except _NothingAskedError as error:
            yield from _not_graded(items, str(error))
            return


class _NothingAskedError(Exception):
    """No pair was scored: a reward model could not be loaded or reached."""


def _score(model: RewardModel, settings: JudgeSettings, asked: Sequence[Texts]) -> Iterator[tuple[Texts, Reward]]:
    try:
        engine: Any = (LocalModel if settings.backend == "transformers" else ServedModel)(model, settings)
    except RewardModelError as error:
        raise _NothingAskedError(str(error)) from error
    try:
        read: list[tuple[Texts, Pair]] = []
        for texts in asked:
            try:
                read.append((texts, engine.reader.read(*texts)))
            except Exception as error:  # a template may refuse a text in any way
                yield texts, Reward(None, failure=f"{model.short}: {type(error).__name__}: {error}")
        for index, logit in engine.logits([pair for _, pair in read]):
            texts, pair = read[index]
            failure = "" if math.isfinite(logit) else f"{model.short}: its logit is {logit}"
            yield texts, Reward(pair, logit, failure)
    finally:
        del engine
        _free_memory()


def _verdict(response: Response, models: Sequence[RewardModel], given: Sequence[Reward], paper: Reward) -> Verdict:
    evidence = {
        model.short: {
            "model": model.name, "revision": model.revision, "prompt_hash": content_hash(reward.pair.tokens),
            "prompt_tokens": len(reward.pair.tokens),
        }
        for model, reward in zip(models, given, strict=True) if reward.pair
    }  # fmt: skip
    failure = next((reward.failure for reward in (*given, paper) if reward.failure), "")
    if failure:
        return Verdict("judge_error", reason=failure[:200], evidence=evidence)
    status: Status = "ok" if response.answer else "truncated" if response.truncated else "no_answer"
    measures = {f"reward_{model.short}": reward.logit for model, reward in zip(models, given, strict=True)}
    measures["reward_truncated"] = float(any(reward.pair and reward.pair.truncated for reward in given))
    measures["unclosed"] = float(response.think == "unclosed")
    if status == "ok":
        measures["reward_answered"] = given[0].logit
    reason = "" if status == "ok" else "scored as the empty answer"
    return Verdict(status, given[0].logit, paper.logit, None, reason, measures, evidence)


def _texts(item: Item, answer: str, settings: JudgeSettings) -> Texts:
    return str(item.doc["question"]), answer[: settings.max_response_chars]


def _not_graded(items: Sequence[Item], reason: str) -> Iterator[tuple[int, Verdict]]:
    return ((position, Verdict("not_graded", reason=reason[:300])) for position in range(len(items)))


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


REWARD = Judge(
    "reward",
    version=2,
    scale=(-math.inf, math.inf),
    success=0.0,
    score_batch=score_batch,
    needs=("local model",),
    model="rb2",
    check=missing_settings,
)
