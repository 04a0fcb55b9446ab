"""Policy-label divergence: how unlikely a response is to the model that will be trained on it.

The number is the mean negative log-likelihood of the response's tokens in nats under the base model, given the prompt
in its chat template. A text that the base would write itself teaches little; one that it finds very unlikely pulls it
far away. The band between is a choice: by bounds in nats, or by shares of the whole set.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from sftgen_judges.diagnostics.token_shift.forcing import logprobs
from sftgen_judges.plugins.contracts import Candidate, Made, Selector
from sftgen_train.curation.selecting.selectors import Keep, Options
from sftgen_train.diagnosing.shift_texts import Text, encoded, templates

if TYPE_CHECKING:
    import pyarrow as pa

NLL = "nll"
"""Mean negative log-likelihood of a token, in nats."""


class Base(Options):
    """The model that will be trained.

    Attributes:
        base: Its folder or name.
        max_length: A longer text is measured up to so many tokens.
    """

    base: str = Field(min_length=1)
    max_length: int = Field(default=32_768, ge=2)


class Band(Base, Keep):
    """Bounds in nats a token; of each prompt the candidates in the middle of the band are kept first."""

    least: float = Field(default=0.0, ge=0)
    most: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Band:
        if self.least >= self.most:
            raise ValueError(f"least {self.least}, most {self.most}: expected least below most")
        return self


class Quantiles(Base):
    """Shares of the whole set: 0.1 to 0.9 leaves out the tenth that the base finds likeliest, and the last tenth."""

    least: float = Field(default=0.0, ge=0, lt=1)
    most: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Quantiles:
        if self.least >= self.most:
            raise ValueError(f"least {self.least}, most {self.most}: expected least below most")
        return self


@lru_cache(maxsize=1)
def _loaded(name: str) -> tuple[Any, Any]:
    """Tokenizer and model, kept: a pool is measured block by block."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(name)
    model: Any = AutoModelForCausalLM.from_pretrained(name, dtype="auto")
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _measured(candidates: Sequence[Candidate], options: Base) -> Iterator[tuple[int, Mapping[str, float]]]:
    """A text without a token to score, and one whose logits are no numbers, is left out."""
    tokenizer, model = _loaded(options.base)
    context = int(getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 30))
    for place, each in enumerate(candidates):
        asked = str(each.doc.get("question", ""))
        made = next(templates(tokenizer, [{"role": "user", "content": asked}]), None)
        ended = each.response.finish_reason != "length"
        text = Text("pool", "", asked if made is None else made, each.response.text, ended, made is not None)
        tokens = encoded(text, tokenizer, min(context, options.max_length))
        if len(tokens.ids) > tokens.start:
            nll = -float(logprobs(model, tokens.ids, start=tokens.start)[0].mean())
            if isfinite(nll):
                yield place, {NLL: nll}


def _in_band(candidates: Sequence[Candidate], options: Band, rng: random.Random) -> Sequence[Candidate]:
    middle = (options.least + options.most) / 2
    inside = [each for each in candidates if options.least <= each.measures[NLL] <= options.most]
    return sorted(inside, key=lambda each: (abs(each.measures[NLL] - middle), each.repeat))[: options.keep]


def _between(table: pa.Table, options: Quantiles, rng: random.Random, made: Mapping[str, Made]) -> pa.Table:
    import numpy as np

    order = np.argsort(table[NLL].to_numpy(), kind="stable")
    first, last = round(options.least * len(order)), round(options.most * len(order))
    return table.take(np.sort(order[first:last]))


DIVERGENCE = Selector("divergence", 1, _in_band, options=Band, measure=_measured)
DIVERGENCE_SHARE = Selector("divergence-share", 1, choose=_between, options=Quantiles, measure=_measured)
