"""Runs a reward model in this process or asks vLLM for it. Both read the same tokens and return raw logits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sftgen_judges.asking.retrying import CallError, call_openai
from sftgen_judges.asking.settings import without_key
from sftgen_judges.plugins.judge_settings import JudgeSettings
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
        self.where = f"reward model {model.name!r} at {settings.base_url}"
        serving: list[str] = []
        for address in (settings.base_url or "").split(","):
            self.client = self._connect(address)
            answer = self._call(partial(self.client.get, "/v1/models", cast_to=object))
            cards = {card["id"]: card for card in answer["data"]}
            served = next((name for name, card in cards.items() if model.name in (name, card.get("root"))), None)
            if served:
                break
            serving += cards
        else:
            raise RewardModelError(
                f"{self.where}: the server has {', '.join(serving) or 'no model'} instead. Set "
                "SFTGEN_JUDGE_REWARD_BASE_URL to its server, or SFTGEN_JUDGE_REWARD_BACKEND=transformers"
            )
        self.served = served
        self.reader = Reader(model, Options.of(settings), cards[served].get("max_model_len"))

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
            rows: list[Mapping[str, Any]] = sorted(answer["data"], key=lambda row: row["index"])
            if len(rows) != len(batch) or any(len(row["probs"]) != 1 for row in rows):
                raise RewardModelError(f"{self.where}: expected one number for each of {len(batch)} pairs")
            yield from ((start + index, float(row["probs"][0])) for index, row in enumerate(rows))

    def _connect(self, address: str) -> openai.OpenAI:
        import openai

        # `/classify` is beside `/v1`, not below it.
        return openai.OpenAI(
            api_key=self.settings.key or "none",
            base_url=address.strip().rstrip("/").removesuffix("/v1"),
            max_retries=0,
            timeout=self.settings.time_limit,
        )

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
