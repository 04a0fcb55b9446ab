"""Names of reward models, and the tokens that a reward model reads of an instruction and its answer.

The text and its tokens are made here, with the reward model's own tokenizer and chat template. So a model in this
process and a model behind a server read the same tokens and give the same logit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from sftgen_judges.errors import SftgenError, first_line
from sftgen_judges.plugins.judge_settings import JudgeSettings

PUBLISHED = {
    "rb2": "allenai/Llama-3.1-8B-Instruct-RM-RB2@7206709bea1a3499b3019c58a9786be689ae3b84",
    "sky": "Skywork/Skywork-Reward-V2-Llama-3.1-8B",
    "mis": "weqweasdas/RM-Mistral-7B",
}
"""Reward models of arXiv 2604.06628 under the names in its tables; `rb2` is the one of the main tables."""

UNLIMITED = 10**9
"""More tokens than any model accepts. A tokenizer without a limit names an even larger number."""


class RewardModelError(SftgenError, ValueError):
    """A reward model that cannot be used."""


@dataclass(frozen=True)
class RewardModel:
    """A reward model by name.

    Attributes:
        short: The short name; its metric is `reward_<short>`.
        name: Folder or hub id. Behind a server it is also the name that the model is served under, or its root there.
        revision: Commit on the hub.
    """

    short: str
    name: str
    revision: str | None = None


class Options(BaseModel):
    """How a reward model runs, from the settings' `extra_body`.

    Attributes:
        dtype: For a model in this process; by default bfloat16 on a GPU and float32 on a CPU.
        device: For a model in this process; by default the first GPU, if there is one.
        max_length: Most tokens of a pair, if that is less than the model accepts.
        batch_tokens: Most tokens of a batch, padding included; a longer pair is a batch of its own.
    """

    model_config = ConfigDict(frozen=True)  # other fields may be other judges'

    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    device: str | None = None
    max_length: PositiveInt | None = None
    batch_tokens: PositiveInt = 16_384

    @classmethod
    def of(cls, settings: JudgeSettings) -> Options:
        """The options among the settings.

        Raises:
            RewardModelError: An option cannot be used.
        """
        try:
            return cls.model_validate(settings.extra_body)
        except ValidationError as error:
            first = error.errors()[0]
            raise RewardModelError(
                f"SFTGEN_JUDGE_REWARD_EXTRA_BODY, {first['loc'][0]} {first['input']!r}: {first['msg']}"
            ) from None


@dataclass(frozen=True)
class Pair:
    """The tokens that the model reads of one pair, and whether the answer was truncated."""

    tokens: list[int]
    truncated: bool


def reward_models(names: str) -> tuple[RewardModel, ...]:
    """Read a list of reward models: `rb2`, or `NAME`, `NAME@REVISION`, `SHORT=NAME`, with commas between.

    Raises:
        RewardModelError: The list is empty, or two models have one short name.
    """
    models = []
    for entry in filter(None, (part.strip() for part in names.split(","))):
        short, equals, name = entry.rpartition("=")
        # In a folder `@` may be part of its name.
        name, at, revision = PUBLISHED.get(name, name).partition("@") if not Path(name).exists() else (name, "", "")
        short = short if equals else entry if entry in PUBLISHED else Path(name).name
        models.append(RewardModel(re.sub(r"[^\w.-]+", "_", short).lower(), name, revision if at else None))
    shorts = [model.short for model in models]
    if not models or len(set(shorts)) < len(shorts):
        raise RewardModelError(
            f"reward models {names!r}: expected names with commas between, each different; give those that "
            f"would have the same short name another as SHORT=NAME (known short names: {', '.join(PUBLISHED)})"
        )
    return tuple(models)


def check_config(model: RewardModel) -> None:
    """Check the `config.json` of a folder; a hub id is not checked.

    Raises:
        RewardModelError: The folder does not exist, or holds no reward model.
    """
    folder = Path(model.name)
    if not folder.exists() and not model.name.startswith((".", "/", "~")) and model.name.count("/") == 1:
        return
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise RewardModelError(f"reward model {model.name!r}: no folder with a readable config.json") from error
    kinds = config.get("architectures") or []
    if not any("SequenceClassification" in kind for kind in kinds):
        raise unfit(model, f"its architecture is {', '.join(kinds) or 'not named'}")
    check_labels(model, len(config["id2label"]) if config.get("id2label") else config.get("num_labels", 2))


def check_labels(model: RewardModel, labels: int) -> None:
    """Check that the model has one label.

    Raises:
        RewardModelError: It has another number of labels.
    """
    if labels != 1:
        raise unfit(model, f"it has {labels} labels")


def unfit(model: RewardModel, found: str) -> RewardModelError:
    """The error for a model that is not a reward model."""
    return RewardModelError(
        f"reward model {model.name!r}: {found}; expected a model for sequence classification with one label, "
        "whose logit is the reward"
    )


class Reader:
    """Turns an instruction and an answer into a model's tokens."""

    def __init__(self, model: RewardModel, options: Options, longest: int | None = None) -> None:
        """Load the tokenizer and look at the configuration.

        Args:
            model: The reward model.
            options: Their `max_length` may lower the limit.
            longest: Most tokens that the server accepts, if there is a server.

        Raises:
            RewardModelError: The tokenizer cannot be loaded, or has no chat template.
        """
        from transformers import AutoConfig, AutoTokenizer

        with loading(model, "tokenizer and configuration"):
            self.tokenizer: Any = AutoTokenizer.from_pretrained(model.name, revision=model.revision)
            config: Any = AutoConfig.from_pretrained(model.name, revision=model.revision).get_text_config()
        if not self.tokenizer.chat_template:
            raise RewardModelError(
                f"reward model {model.name!r}: its tokenizer has no chat template; expected one, to write a pair with"
            )
        self.pad: int | None = getattr(config, "pad_token_id", None)
        limits = (
            options.max_length, longest, getattr(config, "max_position_embeddings", None),
            self.tokenizer.model_max_length,
        )  # fmt: skip
        self.longest = min((limit for limit in limits if limit), default=UNLIMITED)

    def read(self, instruction: str, answer: str) -> Pair:
        """Put the pair into the model's chat template.

        An answer that is too long for the model is truncated at its end, and the turn is still closed after it,
        because a reward model reads its logit at the last token.

        Raises:
            RewardModelError: The instruction alone is too long.
        """
        tokens = self._tokens(instruction, answer)
        if len(tokens) <= self.longest:
            return Pair(tokens, truncated=False)
        kept, dropped = -1, len(answer)  # the longest beginning known to fit, the shortest known not to
        while dropped - kept > 1:
            middle = (kept + dropped) // 2
            tried = self._tokens(instruction, answer[:middle])
            if len(tried) <= self.longest:
                kept, tokens = middle, tried
            else:
                dropped = middle
        if kept < 0:
            raise RewardModelError(f"the instruction alone has more than the {self.longest} tokens the model takes")
        return Pair(tokens, truncated=True)

    def _tokens(self, instruction: str, answer: str) -> list[int]:
        turns = [{"role": "user", "content": instruction}, {"role": "assistant", "content": answer}]
        text: str = self.tokenizer.apply_chat_template(turns, tokenize=False)
        # Both the template and the tokenizer may add the first token; it must stand there once.
        bos = self.tokenizer.bos_token
        begun = bool(bos) and text.startswith(bos)
        tokens = list(self.tokenizer(text.removeprefix(bos) if begun else text)["input_ids"])
        if begun and tokens[:1] != [self.tokenizer.bos_token_id]:
            tokens.insert(0, self.tokenizer.bos_token_id)
        # Transformers reads the last token that is not padding, a server reads the last token.
        while len(tokens) > 1 and tokens[-1] == self.pad:
            tokens.pop()
        return tokens


@contextmanager
def loading(model: RewardModel, part: str) -> Iterator[None]:
    """Turn a failure to load into an error that names the model and the part.

    Raises:
        RewardModelError: In place of the original error.
    """
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        at = f" at revision {model.revision}" if model.revision else ""
        raise RewardModelError(
            f"reward model {model.name!r}{at}: its {part} cannot be loaded: {first_line(error, kind=True)}"
        ) from error
