"""Looking for the questions of benchmarks in a training set, by several methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, Protocol

import numpy as np

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_train.curation.contamination.benchmarks import Item
from sftgen_train.curation.contamination.overlap import NEAR, Hit, Index, N, line_hashes
from sftgen_train.curation.contamination.words import Words, words_of
from sftgen_train.training.rows import Row

BATCH_CHARACTERS = 1 << 20
"""Texts of about so many characters are read together."""
PERMUTATIONS, LIKENESS = 128, 0.6
MARGIN = 0.2
"""How far an estimate of 128 permutations may be above the likeness: more than four standard errors."""


class ContaminationError(SftgenError):
    """No such method."""


@dataclass(frozen=True)
class Match:
    """A training row that holds a question of a benchmark.

    Attributes:
        row: Number of the row, from 0.
        row_id: Its `id`, or nothing.
        benchmark: The benchmark.
        task: Its task.
        doc_hash: The question.
        method: What found it.
        overlap: How much of the question: a weighted share of its n-grams, or the likeness of MinHash.
        verbatim: Whether all its words follow each other in the row.
        in_prompt: Whether it begins in the row's prompt.
        answer_near: Whether the right answer stands within 50 words after it; None where there is none to compare.
        passage: Whether the row holds the text that the question is about.
    """

    row: int
    row_id: str
    benchmark: str
    task: str
    doc_hash: str
    method: str
    overlap: float
    verbatim: bool
    in_prompt: bool
    answer_near: bool | None
    passage: bool


@dataclass(frozen=True)
class Contamination:
    """What was found.

    Attributes:
        rows: How many rows were looked at.
        questions: How many questions each benchmark has.
        matches: One for each row, question and method.
        passages: Of each benchmark, rows that hold a passage but no question of it. They are not contaminated.
    """

    rows: int
    questions: Mapping[str, int]
    matches: tuple[Match, ...]
    passages: Mapping[str, int] = field(default_factory=dict)

    @property
    def hit_rows(self) -> frozenset[int]:
        """The rows that any method found."""
        return frozenset(match.row for match in self.matches)


class Method(Protocol):
    """Looks for questions in texts."""

    def find(self, words: Words, prompts: Sequence[str]) -> Iterable[Hit]:
        """The questions that a batch of texts holds."""


class _Overlap:
    """Weighted 5-grams; questions of fewer words are compared with whole prompts and their lines."""

    def __init__(self, questions: Sequence[str], *, masked: bool = False, n: int = N, threshold: float = 0.8) -> None:
        self._index = Index(questions, masked=masked, n=n, threshold=threshold)
        hashes = line_hashes(questions)
        self._short = {int(value): item for item, value in enumerate(hashes) if value} if not masked else {}

    def find(self, words: Words, prompts: Sequence[str]) -> Iterable[Hit]:
        yield from self._index.find(words)
        if self._short:
            lines = [(text, line) for text, prompt in enumerate(prompts) for line in {prompt, *prompt.splitlines()}]
            for (text, _), value in zip(lines, line_hashes([line for _, line in lines]), strict=True):
                if value and int(value) in self._short:
                    first = int(words.starts[text])
                    yield Hit(text, self._short[int(value)], 1.0, first, first + N, verbatim=True)


class _Grams13:
    """Any 13 words in a row in common: the rule of GPT-3."""

    def __init__(self, questions: Sequence[str]) -> None:
        words = words_of(questions)
        hashes, begins = words.ngrams(13)
        items = np.searchsorted(words.starts, begins, side="right") - 1
        self._grams, first = np.unique(hashes, return_index=True)
        self._items = items[first]

    def find(self, words: Words, prompts: Sequence[str]) -> Iterable[Hit]:
        hashes, begins = words.ngrams(13)
        places = np.minimum(np.searchsorted(self._grams, hashes), max(len(self._grams) - 1, 0))
        known = np.flatnonzero(self._grams[places] == hashes) if len(self._grams) else np.zeros(0, np.int64)
        texts = np.searchsorted(words.starts, begins[known], side="right") - 1
        seen: set[tuple[int, int]] = set()
        for text, gram, begin in zip(texts, places[known], begins[known], strict=True):
            pair = int(text), int(self._items[gram])
            if pair not in seen:
                seen.add(pair)
                yield Hit(*pair, 1.0, int(begin), int(begin) + 13, verbatim=False)


class _MinHash:
    """Prompts whose sets of 3-grams are like a question's: estimated Jaccard likeness from 0.6 on."""

    def __init__(self, questions: Sequence[str]) -> None:
        from datasketch import MinHashLSH

        self._lsh = MinHashLSH(threshold=LIKENESS, num_perm=PERMUTATIONS)
        shingles = _shingles(questions)
        self._grams = np.unique(np.concatenate(shingles)) if shingles else np.zeros(0, np.uint64)
        self._hashes = [_minhash(grams) for grams in shingles]
        for item, made in enumerate(self._hashes):
            if made is not None:
                self._lsh.insert(item, made)

    def find(self, words: Words, prompts: Sequence[str]) -> Iterable[Hit]:
        for text, grams in enumerate(_shingles(prompts)):
            # A likeness of 0.6 needs this share at least. Most prompts have far less, and get no hashes.
            if not len(grams) or self._share(grams) < LIKENESS - MARGIN:
                continue
            made = _minhash(grams)
            for item in self._lsh.query(made) if made is not None else ():
                likeness = float(made.jaccard(self._hashes[item]))
                if likeness >= LIKENESS:
                    first = int(words.starts[text])
                    yield Hit(text, item, likeness, first, first + len(grams) + 2, verbatim=False)

    def _share(self, grams: Any) -> float:
        """Share of a text's different 3-grams that some question has."""
        grams = np.unique(grams)
        places = np.minimum(np.searchsorted(self._grams, grams), max(len(self._grams) - 1, 0))
        return float((self._grams[places] == grams).mean()) if len(self._grams) else 0.0


METHODS: dict[str, Callable[[Sequence[str]], Method]] = {
    "overlap": _Overlap,
    "numbers": lambda questions: _Overlap(questions, masked=True),
    "13-gram": _Grams13,
    "minhash": _MinHash,
}
"""How questions are looked for. `numbers` is `overlap` with all numbers alike."""
DEFAULT = ("overlap", "numbers")


def search(
    rows: Iterable[tuple[str, Row]],
    items: Sequence[Item],
    methods: Sequence[str] = DEFAULT,
    further: Mapping[str, Method] | None = None,
) -> Contamination:
    """Look for questions in rows.

    Args:
        rows: Each with its `id`, or nothing.
        items: The questions.
        methods: Names among `METHODS`.
        further: Methods that were made for these very items, for example `paraphrases.Paraphrases`, by name.

    Raises:
        ContaminationError: There is no such method.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown or not (methods or further):
        near = "".join(did_you_mean(name, METHODS) for name in unknown[:1])
        raise ContaminationError(
            f"method {', '.join(unknown) or '(none)'}: expected some of {', '.join(METHODS)}{near}"
        )
    made: dict[str, Method] = {name: METHODS[name]([item.question for item in items]) for name in methods}
    made |= further or {}
    of_passage = [place for place, item in enumerate(items) if item.passage]
    passages = _Overlap([items[place].passage for place in of_passage]) if of_passage else None
    matches: list[Match] = []
    only_passage: Counter[str] = Counter()
    count = 0
    for batch in _batches(rows):
        # Prompts and responses are read in one pass; a row's text is both.
        read = words_of([part for _, *parts in batch for part in parts])
        words = Words(read.hashes, read.numbers, read.starts[::2])
        ends = read.starts[1::2] - words.starts[:-1]
        prompts = [prompt for _, prompt, _ in batch]
        held = {(hit.text, of_passage[hit.item]) for hit in passages.find(words, ())} if passages else set()
        found: set[tuple[int, str]] = set()
        for name, method in made.items():
            for hit in method.find(words, prompts):
                item = items[hit.item]
                found.add((hit.text, item.benchmark))
                matches.append(
                    Match(
                        row=count + hit.text,
                        row_id=batch[hit.text][0],
                        benchmark=item.benchmark,
                        task=item.task,
                        doc_hash=item.doc_hash,
                        method=name,
                        overlap=round(hit.overlap, 4),
                        verbatim=hit.verbatim,
                        in_prompt=bool(hit.first - words.starts[hit.text] < ends[hit.text]),
                        answer_near=_near(item.answer, words, hit),
                        passage=(hit.text, hit.item) in held,
                    )
                )
        only_passage.update(name for _, name in {(text, items[item].benchmark) for text, item in held} - found)
        count += len(batch)
    return Contamination(count, dict(Counter(item.benchmark for item in items)), tuple(matches), dict(only_passage))


def _batches(rows: Iterable[tuple[str, Row]]) -> Iterator[list[tuple[str, str, str]]]:
    read = ((row_id, *_texts(row)) for row_id, row in rows)
    while batch := list(islice(read, 1)):
        size = len(batch[0][1]) + len(batch[0][2])
        for row in read:
            batch.append(row)
            size += len(row[1]) + len(row[2])
            if size > BATCH_CHARACTERS:
                break
        yield batch


def _texts(row: Row) -> tuple[str, str]:
    """The prompt's text, and the response's with its reasoning."""
    return row.prompt_text, f"{row.response.reasoning}\n{row.response.content or ''}"


def _near(answer: str, words: Words, hit: Hit) -> bool | None:
    """Whether the answer's words follow each other within 50 words after a question."""
    wanted = words_of([answer]).hashes
    if not len(wanted):
        return None
    end = int(words.starts[hit.text + 1])
    near = words.hashes[hit.last : min(hit.last + NEAR + len(wanted), end)]
    if len(near) < len(wanted):
        return False
    return bool((np.lib.stride_tricks.sliding_window_view(near, len(wanted)) == wanted).all(axis=1).any())


def _shingles(texts: Sequence[str]) -> list[Any]:
    words = words_of(texts)
    hashes, begins = words.ngrams(3)
    return np.split(hashes, np.searchsorted(begins, words.starts[1:-1]))


def _minhash(grams: Any) -> Any:
    from datasketch import MinHash

    if not len(grams):
        return None
    # One set of permutations for all: to draw them takes longer than to use them.
    like = _permutations()
    made = MinHash(num_perm=PERMUTATIONS, hashfunc=_low, permutations=like.permutations, scheme=like.scheme)
    made.update_batch(np.unique(grams).tolist())
    return made


@cache
def _permutations() -> Any:
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS)


def _low(value: int) -> int:
    return value & 0xFFFFFFFF
