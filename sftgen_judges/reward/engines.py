"""Runs a reward model in this process or asks vLLM for it. Both read the same tokens and return raw logits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sftgen_judges.asking.connection import client
from sftgen_judges.asking.retrying import CallError, call_openai
from sftgen_judges.asking.settings import without_key
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_judges.records.provenance import scrub
from sftgen_judges.reward.models import (
    Options,
    Pair,
    Reader,
    RewardModel,
    RewardModelError,
    check_config,
    check_labels,
    loading,
    unfit,
)

if TYPE_CHECKING:
    import openai


class LocalModel:
    """A reward model that transformers runs in this process."""

    def __init__(self, model: RewardModel, settings: JudgeSettings) -> None:
        """Load it.

        Raises:
            RewardModelError: It cannot be loaded, or is not a reward model.
        """
        import torch
        from transformers import AutoModelForSequenceClassification

        check_config(model)
        self.options = Options.of(settings)
        self.reader = Reader(model, self.options)
        with loading(model, "model"):
            device = torch.device(self.options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
            dtype = self.options.dtype or ("float32" if device.type == "cpu" else "bfloat16")
            self.model, loaded = AutoModelForSequenceClassification.from_pretrained(
                model.name, revision=model.revision, dtype=getattr(torch, dtype), output_loading_info=True
            )
            self.model.eval().to(device)
        check_labels(model, self.model.config.num_labels)
        if loaded["missing_keys"]:  # transformers initialises them at random
            raise unfit(model, f"its weights lack {', '.join(sorted(loaded['missing_keys'])[:3])}")

    def logits(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, float]]:
        """Yield position and logit of each pair, in batches of similar length, the longest pairs first."""
        for batch in batches([len(pair.tokens) for pair in pairs], self.options.batch_tokens):
            yield from zip(batch, self._forward([pairs[index].tokens for index in batch]), strict=True)

    def _forward(self, sequences: Sequence[list[int]]) -> list[float]:
        import torch

        longest = max(map(len, sequences))
        config = self.model.config.get_text_config()
        pad = self.reader.pad
        if pad is None:
            # Any token that ends no sequence can be the padding: transformers reads the logit at the last token
            # that is not padding, and what follows it changes nothing.
            ends = {tokens[-1] for tokens in sequences}
            pad = next(token for token in itertools.count() if token not in ends)
        config.pad_token_id = pad
        rows = [tokens + [pad] * (longest - len(tokens)) for tokens in sequences]
        mask = [[1] * len(tokens) + [0] * (longest - len(tokens)) for tokens in sequences]
        device = self.model.device
        with torch.inference_mode():
            logits = self.model(
                input_ids=torch.tensor(rows, device=device), attention_mask=torch.tensor(mask, device=device)
            ).logits
        return [float(value) for value in logits[:, 0].float().tolist()]


class ServedModel:
    """A reward model behind vLLM's `/classify`."""

    BATCH = 64

    def __init__(self, model: RewardModel, settings: JudgeSettings) -> None:
        """Ask the server which models it serves.

        Raises:
            RewardModelError: It does not answer, or serves other models only.
        """
        self.settings = settings
        self.where = f"reward model {model.name!r} at {scrub(settings.base_url)}"
        serving: list[str] = []
        for address in (settings.base_url or "").split(","):
            self.client = self._connect(address)
            answer = self._call(partial(self.client.get, "/v1/models", cast_to=object))
            cards = {str(card["id"]): card for card in answer["data"] if isinstance(card, Mapping) and card.get("id")}
            served = next((name for name, card in cards.items() if model.name in (name, card.get("root"))), None)
            if served:
                break
            serving += [name[:100] for name in list(cards)[:20]]
        else:
            raise RewardModelError(
                f"{self.where}: the server has {', '.join(serving) or 'no model'} instead. Set "
                "SFTGEN_JUDGE_REWARD_BASE_URL to its server, or SFTGEN_JUDGE_REWARD_BACKEND=transformers"
            )
        self.served = served
        longest = cards[served].get("max_model_len")
        self.reader = Reader(model, Options.of(settings), longest if isinstance(longest, int) and longest > 0 else None)

    def logits(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, float]]:
        """Yield position and logit of each pair, in order.

        Raises:
            RewardModelError: The server fails, or does not return one number for each pair.
        """
        for start in range(0, len(pairs), self.BATCH):
            batch = [pair.tokens for pair in pairs[start : start + self.BATCH]]
            # With the activation, which is the default, the server returns the sigmoid of the logit.
            body = {"model": self.served, "input": batch, "use_activation": False}
            answer = self._call(partial(self.client.post, "/classify", cast_to=object, body=body))
            given = _logits(answer["data"])
            if sorted(given) != list(range(len(batch))) or len(answer["data"]) != len(batch):
                raise RewardModelError(f"{self.where}: expected one number for each of {len(batch)} pairs")
            yield from ((start + index, given[index]) for index in range(len(batch)))

    def _connect(self, address: str) -> openai.OpenAI:
        # `/classify` is beside `/v1`, not below it.
        return client(self.settings, address.strip().rstrip("/").removesuffix("/v1"))

    def _call(self, send: Callable[[], Any]) -> Mapping[str, Any]:
        """The JSON object that the server replies.

        Raises:
            RewardModelError: The server cannot be reached, or refuses, after all attempts.
        """

        def read() -> Mapping[str, Any]:
            answer = send()
            if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list):
                raise CallError("unreadable reply: no JSON object with a list `data`")
            return answer

        try:
            return call_openai(read, self.settings)
        except CallError as error:
            hint = " (serve it with `vllm serve MODEL --runner pooling`)" if error.status == 404 else ""
            reason = without_key(f"{error}{hint}", self.settings)
            raise RewardModelError(f"{self.where}: {reason}") from error


def _logits(rows: Sequence[Any]) -> dict[int, float]:
    """The logit of each pair by its index; a row of another shape has none."""
    given = {}
    for row in rows:
        index, numbers = (row.get("index"), row.get("probs")) if isinstance(row, Mapping) else (None, None)
        one = numbers[0] if isinstance(numbers, list) and len(numbers) == 1 else None
        if isinstance(index, int) and isinstance(one, int | float) and not isinstance(one, bool):
            given[index] = float(one)
    return given


def batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Positions in batches of similar length, the longest first, each of at most `most` tokens when padded."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
