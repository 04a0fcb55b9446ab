"""How `token_shift` reads a text under the base and a checkpoint: transformers, vLLM, or in two vocabularies."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sftgen_judges.diagnostics.labelling import DiagnosticError
from sftgen_judges.diagnostics.token_shift.alignment import stretches, summed
from sftgen_judges.diagnostics.token_shift.engine import engine_of, prompt_logprobs, room_of
from sftgen_judges.diagnostics.token_shift.forcing import force, logprobs
from sftgen_judges.diagnostics.token_shift.summary import Shift
from sftgen_judges.diagnostics.token_shift.words import classes_of
from sftgen_judges.plugins.contracts import Probe
from sftgen_train.checkpoints.leases import ADAPTER
from sftgen_train.diagnosing.probing import weights_of
from sftgen_train.diagnosing.shift_texts import Encoded, Text, encoded

ENGINE, ALIGN = "SFTGEN_TOKEN_SHIFT_ENGINE", "SFTGEN_TOKEN_SHIFT_ALIGN"
"""Settings: `vllm` reads with a vLLM engine; `text` compares two vocabularies by the text of their tokens."""
WAYS = ("", "vllm", "text")
"""How a text was read; empty for a forward pass of both models."""


class Reading(ABC):
    """Reads texts under two models.

    Attributes:
        way: One of `WAYS`.
    """

    way = ""

    def __init__(self, probe: Probe, base: str) -> None:
        """Nothing is loaded before a text is read.

        Args:
            probe: The checkpoint.
            base: The base model.
        """
        self.probe, self.base = probe, base

    @cached_property
    def context(self) -> int:
        """The most tokens that both models read."""
        return min(context_of(self.base), context_of(str(self.probe.checkpoint)))

    @abstractmethod
    def read(self, text: Text) -> tuple[Shift | None, Encoded]:
        """What the models say of the tokens of a text, and the checkpoint's tokens of it; None if there is none."""


class ForwardPass(Reading):
    """By transformers: every quantity, over one vocabulary."""

    def read(self, text: Text) -> tuple[Shift | None, Encoded]:
        """One forward pass of each model."""
        (base, _), (checkpoint, tokenizer) = self.probe.load(self.base), self.probe.load()
        tokens = encoded(text, tokenizer, self.context)
        if len(tokens.ids) <= tokens.start:
            return None, tokens
        found = force(base, checkpoint, tokens.ids, start=tokens.start)
        return Shift.of(found.quantities, tokens.kinds, tokens.ends), tokens


class ByText(Reading):
    """By transformers, over two vocabularies: log-probabilities of the stretches of text that both cut out."""

    way = "text"

    def read(self, text: Text) -> tuple[Shift | None, Encoded]:
        """One forward pass of each model, over its own tokens."""
        sides = []
        for model, tokenizer in (self.probe.load(self.base), self.probe.load()):
            tokens = encoded(text, tokenizer, self.context)
            if len(tokens.ids) <= tokens.start:
                return None, tokens
            sides.append((tokens, logprobs(model, tokens.ids, start=tokens.start)[0]))
        (ours, _), (theirs, _) = sides
        of = stretches(ours.ends, theirs.ends, (ours.begin, theirs.begin))
        if not of:
            return None, theirs
        base, own = (summed(values, tokens.ends, of) for tokens, values in sides)
        inside = [(start, min(end, len(text.text))) for start, end in of]
        shift = Shift.of({"base_logprob": base, "logprob": own}, classes_of(text.text, inside), [end for _, end in of])
        pieces = [text.text[start:end] or "\N{WHITE SQUARE}" for start, end in inside]
        return shift, Encoded(text, theirs.ids, theirs.start, inside, pieces, of[0][0], cut=ours.cut or theirs.cut)


class ByEngine(Reading):
    """By vLLM, one engine after the other: log-probabilities and ranks, no distributions."""

    way = "vllm"

    def __init__(self, probe: Probe, base: str, texts: Sequence[Text]) -> None:
        """All texts are read at once, when the first of them is asked for.

        Args:
            probe: The checkpoint.
            base: The base model.
            texts: The texts.

        Raises:
            DiagnosticError: The checkpoint is an adapter.
        """
        super().__init__(probe, base)
        self._texts = texts
        if (probe.checkpoint / ADAPTER).is_file():
            raise DiagnosticError(
                f"{ENGINE}=vllm reads whole models, and {probe.checkpoint} is an adapter: merge it, or unset {ENGINE}"
            )

    def read(self, text: Text) -> tuple[Shift | None, Encoded]:
        """What the engines said."""
        return self._found[text.key]

    @cached_property
    def _found(self) -> dict[tuple[str, ...], tuple[Shift | None, Encoded]]:
        # `device` is for transformers; vLLM finds its own.
        options = {name: value for name, value in self.probe.model_args.items() if name != "device"}
        tokenizer = self.probe.tokenizer()
        context = min(self.context, int(options.get("max_model_len", self.context)))
        of = [encoded(text, tokenizer, context - 1) for text in self._texts]
        read = [tokens for tokens in of if len(tokens.ids) > tokens.start]
        sides = []
        for model in (self.base, str(self.probe.checkpoint)) if read else ():
            with engine_of(model, options) as engine:
                if room_of(engine) < context - 1:
                    raise DiagnosticError(f"vLLM reads {room_of(engine)} tokens; give --model-args max_model_len=N")
                sides.append(prompt_logprobs(engine, [tokens.ids for tokens in read], [t.start for t in read]))
        found: dict[tuple[str, ...], tuple[Shift | None, Encoded]] = {t.text.key: (None, t) for t in of}
        for tokens, base, own in zip(read, *sides, strict=True) if read else ():
            quantities = {"base_logprob": base[0], "logprob": own[0], "rank": base[1], "own_rank": own[1]}
            found[tokens.text.key] = Shift.of(quantities, tokens.kinds, tokens.ends), tokens
        return found


def reading_of(probe: Probe, base: str, texts: Sequence[Text]) -> Reading:
    """How a checkpoint is read, by its vocabulary and the settings.

    Raises:
        DiagnosticError: A setting is wrong, or the vocabulary is another one and nobody asked to align it.
    """
    by_engine, by_text = _setting(ENGINE, "vllm"), _setting(ALIGN, "text")
    differs = differences(probe, base)
    if differs and not by_text:
        raise DiagnosticError(
            f"the checkpoint's vocabulary is not the base's: {'; '.join(differs)}. Distributions over different tokens "
            "cannot be compared: give the base the same tokenizer and resize its embeddings, or compare "
            f"log-probabilities by text, without KL and ranks: {ALIGN}=text"
        )
    if differs and by_engine:
        raise DiagnosticError(f"{ENGINE}=vllm reads one vocabulary only: unset it to align the two by text")
    if differs:
        return ByText(probe, base)
    return ByEngine(probe, base, texts) if by_engine else ForwardPass(probe, base)


def _setting(name: str, only: str) -> bool:
    given = os.environ.get(name, "")
    if given not in ("", only):
        raise DiagnosticError(f"{name}={given!r}: expected {only!r}, or nothing")
    return bool(given)


def differences(probe: Probe, base: str) -> list[str]:
    """What differs between the vocabularies of the base and a checkpoint, for a person; no weights are loaded."""
    ours, theirs = probe.tokenizer(base).get_vocab(), probe.tokenizer().get_vocab()
    differs = []
    if ours != theirs:
        others = sorted(token for token in {*ours, *theirs} if ours.get(token) != theirs.get(token))
        named = ", ".join(map(repr, others[:3])) + (" and others" if len(others) > 3 else "")
        differs.append(f"{len(others)} tokens are others or have other numbers ({named})")
    widths = [int(_config(path).vocab_size) for path in (base, str(probe.checkpoint))]
    if widths[0] != widths[1]:
        differs.append(f"the base has logits for {widths[0]} tokens, the checkpoint for {widths[1]}")
    return differs


def context_of(path: str) -> int:
    """The most tokens that a model reads."""
    return int(getattr(_config(path), "max_position_embeddings", 1 << 30))


def _config(path: str) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(weights_of(path)).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        raise DiagnosticError(f"the configuration of {path!r} cannot be read: {error}") from error
