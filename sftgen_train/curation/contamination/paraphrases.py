"""Questions in other words: found by the likeness of embeddings, and decided by a judge.

An embedding is the mean of a model's last hidden states over a text's tokens, of length 1: how sentence-transformers'
models without a layer of their own behind it are used. Any encoder of `transformers` will do; the user names it. Texts
that are alike are only candidates: a question with other numbers is as near as a paraphrase. A judge, for example
`same-question`, decides each pair. A pair without a judgement is no match, and is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftgen_judges.errors import SftgenError, first_line
from sftgen_judges.plugins.contracts import Item, Judge
from sftgen_judges.records.schema import Response
from sftgen_judges.scoring.grading import grade_batch
from sftgen_train.curation.contamination.overlap import Hit
from sftgen_train.curation.contamination.words import Words

LIKENESS, MOST, LONGEST = 0.75, 3, 256
"""Cosine from which a pair is looked at; pairs of a prompt, the likeliest first; tokens of a text that are read."""
BATCH = 64
Embeddings = NDArray[np.float32]


class EmbeddingError(SftgenError):
    """A model that makes no embeddings."""


class Encoder:
    """Mean-pooled embeddings of a local model."""

    def __init__(self, model: str, *, longest: int = LONGEST) -> None:
        """Load it.

        Raises:
            EmbeddingError: There is no such encoder, or it cannot be read.
        """
        import torch
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
            loaded: Any = AutoModel.from_pretrained(model, dtype=torch.float32)
        except (OSError, ValueError, KeyError) as error:
            raise EmbeddingError(
                f"embedder {model!r}: expected the folder or name of an encoder: {first_line(error)}"
            ) from error
        self._model = loaded.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        places = int(getattr(self._model.config.get_text_config(), "max_position_embeddings", longest))
        self._longest = min(longest, places)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    def __call__(self, texts: Sequence[str]) -> Embeddings:
        """Embeddings of length 1, shape (texts, dimensions); equal texts are read once."""
        import torch

        different = sorted(set(texts), key=len)  # of like length together: little padding
        made: list[Embeddings] = []
        for start in range(0, len(different), BATCH):
            batch = different[start : start + BATCH]
            given = self._tokenizer(
                [text or " " for text in batch],
                padding=True,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            ).to(self._model.device)
            with torch.inference_mode():
                states = self._model(**given).last_hidden_state
            mask = given["attention_mask"].unsqueeze(-1)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            made.append(torch.nn.functional.normalize(mean, dim=-1).cpu().numpy())
        place = {text: number for number, text in enumerate(different)}
        return np.concatenate(made)[[place[text] for text in texts]] if made else np.zeros((0, 1), np.float32)


class Paraphrases:
    """Questions that prompts are like: a method of `search` beside those that compare words."""

    def __init__(
        self,
        questions: Sequence[str],
        encoder: Encoder,
        *,
        judge: Judge | None = None,
        likeness: float = LIKENESS,
        journal: Path | None = None,
    ) -> None:
        """Embed the questions.

        Args:
            questions: Their texts.
            encoder: Makes the embeddings.
            judge: Decides each pair; without one every pair from `likeness` on is told.
            likeness: The cosine from which a pair is looked at.
            journal: Keeps what the judge said, so that a stopped search asks nothing twice.
        """
        self._questions, self._encoder = questions, encoder
        self._judge, self._likeness, self._journal = judge, likeness, journal
        self._embedded = encoder(questions)
        self.asked = self.undecided = 0

    def find(self, words: Words, prompts: Sequence[str]) -> Iterable[Hit]:
        """The questions of a batch of prompts."""
        pairs = [
            Hit(text, item, likeness, int(words.starts[text]), int(words.starts[text]) + 1, verbatim=False)
            for text, item, likeness in self._near(prompts)
        ]
        return pairs if self._judge is None else self._decided(self._judge, pairs, prompts)

    def _near(self, prompts: Sequence[str]) -> Iterator[tuple[int, int, float]]:
        if not prompts or not self._questions:
            return
        likeness = self._encoder(prompts) @ self._embedded.T
        for text, item in np.argwhere(likeness >= self._likeness):
            if (likeness[text] > likeness[text, item]).sum() < MOST:
                yield int(text), int(item), float(likeness[text, item])

    def _decided(self, judge: Judge, pairs: Sequence[Hit], prompts: Sequence[str]) -> list[Hit]:
        items = [
            Item({"question": self._questions[pair.item]}, Response(prompts[pair.text], answer=prompts[pair.text]))
            for pair in pairs
        ]
        said = grade_batch(judge, items, journal=self._journal, label=judge.name) if items else []
        self.asked += len(said)
        self.undecided += sum(verdict.score is None for verdict in said)
        return [
            pair
            for pair, verdict in zip(pairs, said, strict=True)
            if verdict.score is not None and verdict.score >= judge.success
        ]
