"""Planted questions among rows that hold none: copies, other numbers, paraphrases, pieces, and look-alikes."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from sftgen_judges.plugins.contracts import Judge
from sftgen_judges.records.schema import Verdict
from sftgen_train.curation.contamination.benchmarks import Item, item_of
from sftgen_train.curation.contamination.overlap import Index
from sftgen_train.curation.contamination.paraphrases import EmbeddingError, Encoder, Paraphrases
from sftgen_train.curation.contamination.search import METHODS, ContaminationError, search
from sftgen_train.curation.contamination.words import words_of
from sftgen_train.training.rows import Row, read_row
from tests.conftest import Command

# Different questions: a person, a thing and a sum of their own, so that no two share more than a few words in a row.
PEOPLE = ["Ada", "Bruno", "Chidi", "Dara", "Emeka", "Freya", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena"]
STORIES = [
    "{a} plants {x} rows of tulips with {y} bulbs in each row, and {b} digs up {z} of them before spring comes. "
    "How many tulips can flower in the garden of the old mill?",
    "A ferry leaves the northern harbour with {x} cars, takes on {y} at the island of {b}, and loses {z} at the pier "
    "where {a} waits. With how many cars does it reach the mainland?",
    "In the library of {a} every shelf bears {x} novels and {y} atlases; {b} borrows {z} volumes from each of two "
    "shelves. How many books are left on both of those shelves together?",
    "{a} cycles {x} kilometres against the wind for {y} days, and {b} drives the same way back in {z} hours. "
    "What was the mean speed of the car, if both began at the lighthouse?",
    "The choir of {b} sells {x} tickets at {y} crowns, then {z} more at half the price because {a} is ill. "
    "How much money is in the till when the last guest has left the hall?",
]
PARAPHRASES = [
    "There are several tulip rows, every one with the same count of bulbs. Some get removed early. What number blooms?",
    "Vehicles board a boat at two stops and some get off at a third one. State the number aboard at the end.",
]


def question(number: int, shift: int = 0) -> str:
    rng = random.Random(number)
    a, b = rng.sample(PEOPLE, 2)
    x, y, z = (rng.randint(11, 99) + shift for _ in range(3))
    place = "".join("bcdfghklmn"[int(digit)] + vowel for digit, vowel in zip(f"{number:02}", "ao", strict=True))
    return STORIES[number % len(STORIES)].format(a=f"{a} of {place}", b=f"{b} from upper {place}", x=x, y=y, z=z)


ITEMS = [
    Item("sftgen_math500", "sftgen_math500", f"hash{number}", question(number), answer=str(number))
    for number in range(60)
]


def row(prompt: str, response: str = "Let us think. The result follows.") -> tuple[str, Row]:
    return "", read_row({"prompt": [{"role": "user", "content": prompt}], "completion": response}, "row")


def clean(number: int) -> tuple[str, Row]:
    """A row about the same world with other words in a row."""
    rng = random.Random(f"clean {number}")
    words = " ".join(STORIES).split()
    return row(" ".join(rng.choices(words, k=60)), " ".join(rng.choices(words, k=200)))


def found(rows: Sequence[tuple[str, Row]], *methods: str, items: Sequence[Item] = ITEMS) -> set[tuple[int, str]]:
    return {(match.row, match.doc_hash) for match in search(rows, items, methods).matches}


@pytest.fixture(scope="module")
def planted() -> list[tuple[str, Row]]:
    """400 clean rows, then 20 copies, 20 with other numbers, and the paraphrases."""
    copies = [row(f"Solve this. {question(number)}\nPut it in a box.") for number in range(20)]
    changed = [row(f"{question(number, shift=100)} Think step by step.") for number in range(20, 40)]
    return [*map(clean, range(400)), *copies, *changed, *map(row, PARAPHRASES)]


@pytest.mark.parametrize(("method", "changed"), [("overlap", 0), ("numbers", 20)])
def test_an_overlap_finds_the_planted_questions_and_no_others(
    planted: list[tuple[str, Row]], method: str, changed: int
) -> None:
    hits = found(planted, method)
    assert hits <= {(400 + number, f"hash{number}") for number in range(40)}
    assert len({hit for hit in hits if hit[0] < 420}) == 20
    assert len({hit for hit in hits if hit[0] >= 420}) == changed


@pytest.mark.parametrize("method", ["13-gram", "minhash"])
def test_other_methods_find_every_copy_and_no_clean_row(planted: list[tuple[str, Row]], method: str) -> None:
    hits = found(planted, method)
    assert {(400 + number, f"hash{number}") for number in range(20)} <= hits
    # Questions of one story share 13 words in a row: which of them it is, this rule cannot tell.
    assert {number for number, _ in hits} <= set(range(400, 440))


def test_a_copy_is_found_in_looks_of_another_kind_and_said_to_be_verbatim() -> None:
    text = question(7)
    disguised = text.upper().replace(" ", "  \n").replace(",", " \u2014 ")
    (match,) = search(
        [row("Read.", f"Somebody asked: {disguised} The answer is \\boxed{{7}}.")], ITEMS, ["overlap"]
    ).matches
    assert (match.doc_hash, match.overlap, match.verbatim, match.in_prompt, match.answer_near) == (
        "hash7",
        1.0,
        True,
        False,
        True,
    )


def test_a_question_with_a_few_other_words_is_found_but_not_verbatim() -> None:
    text = f"{question(3)} {question(4)}"
    items = [*ITEMS, Item("t", "t", "long", text)]
    words = text.split()
    words[-2] = "yellow"
    (match,) = (match for match in search([row(" ".join(words))], items, ["overlap"]).matches if match.task == "t")
    assert 0.8 <= match.overlap < 1
    assert not match.verbatim
    assert match.in_prompt


def test_pieces_far_apart_do_not_add_up() -> None:
    words = question(4).split()
    half = len(words) // 2
    filler = " ".join(f"filler{number}" for number in range(40))
    assert not found([row(" ".join(words[:half]) + f" {filler} " + " ".join(words[half:]))], "overlap")


def test_short_questions_are_found_only_as_a_whole() -> None:
    items = [
        Item("t", "t", "short", "Who wrote Emma?"),
        Item("t", "t", "medium", "Who was it that wrote the novel Emma in 1815?"),
    ]
    assert found([row("Answer.\nwho wrote EMMA")], "overlap", items=items) == {(0, "short")}
    assert not found([row("I asked who wrote Emma and Persuasion.")], "overlap", items=items)
    assert found([row("Please: who was it that wrote the novel Emma in 1815?")], "overlap", items=items) == {
        (0, "medium")
    }
    assert not found([row("Who was it that wrote the novel Persuasion in 1815?")], "overlap", items=items)


def test_a_passage_alone_is_no_contamination() -> None:
    passage = " ".join(question(number) for number in (50, 51))
    items = [
        Item(
            "sftgen_halueval_qa",
            "sftgen_halueval",
            "q",
            "Which ferry did the keeper of the light house take home that night?",
            passage,
        )
    ]
    rows = [row(f"Summarise. {passage}"), row(f"{passage}\n{items[0].question}")]
    result = search(rows, items)
    assert {(match.row, match.passage) for match in result.matches} == {(1, True)}
    assert result.passages == {"sftgen_halueval": 1}


def test_hashes_are_those_of_words_wherever_they_stand() -> None:
    words = words_of(["The cat sat.", "", "a cat!", "\u00c9COLE \u00e9cole 12 4x"])
    assert np.diff(words.starts).tolist() == [3, 0, 2, 5]
    assert words.hashes[1] == words.hashes[4]
    assert words.hashes[5] == words.hashes[6]
    assert words.numbers.tolist() == [False] * 7 + [True, True, False]
    assert len(set(words.hashes.tolist())) == 8
    # An n-gram never reaches into the next text.
    assert words_of(["a b c", "d e f"]).ngrams(5)[0].size == 0


def test_overlap_is_that_of_a_plain_computation() -> None:
    """The same rule with sets of words, for random texts out of few words."""
    rng = random.Random(2)
    texts = [" ".join(rng.choices("abcdefg", k=rng.randint(6, 80))) for _ in range(40)]
    rows = [" ".join(rng.choices("abcdefg", k=30)) + " " + rng.choice(texts)[: rng.randint(20, 160)] for _ in range(60)]
    held = [set(_grams(text)) for text in texts]
    frequency = {gram: sum(gram in each for each in held) for each in held for gram in each}
    weight = {gram: max(float(np.log(len(texts) / count)), 1e-3) for gram, count in frequency.items()}
    expected = {
        (place, item): overlap
        for place, text in enumerate(rows)
        for item, grams in enumerate(held)
        if (overlap := _plain_overlap(len(texts[item].split()), grams, text, weight)) is not None
    }
    got = {(hit.text, hit.item): hit.overlap for hit in Index(texts).find(words_of(rows))}
    assert got.keys() == expected.keys()
    assert len(got) > 20
    assert all(abs(got[pair] - expected[pair]) < 1e-9 for pair in got)


def _grams(text: str) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[place : place + 5]) for place in range(len(words) - 4)]


def _plain_overlap(
    words: int, own: set[tuple[str, ...]], text: str, weight: dict[tuple[str, ...], float]
) -> float | None:
    stretches: list[set[tuple[str, ...]]] = [set()]
    last = None
    for place, gram in enumerate(_grams(text)):
        if gram in own:
            if last is not None and place - last > 12:
                stretches.append(set())
            stretches[-1].add(gram)
            last = place
    total = sum(weight[gram] for gram in own)
    best = max(sum(weight[gram] for gram in stretch) for stretch in stretches) / total
    return best if best >= 1 - 0.2 * min(max((words - 20) / 30, 0), 1) - 1e-9 else None


def test_an_item_is_read_from_the_columns_of_every_benchmark() -> None:
    assert item_of("t", {"problem": "P", "answer": "4", "solution": "S"}).question == "P"  # type: ignore[union-attr]
    assert item_of("t", {"Question": "Q", "Correct Answer": "C"}).answer == "C"  # type: ignore[union-attr]
    assert item_of("t", {"knowledge": "K", "question": "Q"}).passage == "K"  # type: ignore[union-attr]
    assert item_of("t", {"category": "law"}) is None


def test_an_unknown_method_is_refused_by_name() -> None:
    with pytest.raises(ContaminationError, match="method embeddings: expected some of overlap, numbers"):
        search([], ITEMS, ["embeddings"])
    assert set(METHODS) == {"overlap", "numbers", "13-gram", "minhash"}


def test_the_command_counts_writes_ids_and_drops(command: Command, tmp_path: Path) -> None:
    docs = [
        {"problem": question(number), "solution": "It is 4.", "answer": "4", "unique_id": f"u{number}"}
        for number in range(6)
    ]
    _write(tmp_path / "data" / "HuggingFaceH4" / "MATH-500" / "test.jsonl", docs)
    rows = [
        {"id": f"row{number}", "prompt": f"Count the {number} sheep.", "completion": "Done.", "source": "farm"}
        for number in range(8)
    ]
    rows[5]["prompt"] = f"Hint wanted. {question(2)}"
    _write(tmp_path / "train.jsonl", rows)
    asked = ["sftgen", "data", "contamination", tmp_path / "train.jsonl", "--tasks", "sftgen_math500,sftgen_aime24"]
    environment = {**os.environ, "SFTGEN_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "100"}
    ended = command(*asked, "--out", tmp_path / "found.json", "--drop", tmp_path / "kept", env=environment)
    assert ended.returncode == 0, ended.stderr
    assert "1 of 8 rows hold a question" in ended.stdout
    assert "not looked for: sftgen_aime24: no file" in ended.stdout
    assert "tulips" not in ended.stdout + ended.stderr
    matches = json.loads((tmp_path / "found.json").read_text())["matches"]
    assert {(match["row"], match["row_id"]) for match in matches} == {(5, "row5")}
    kept = load_dataset(str(tmp_path / "kept"), split="train", cache_dir=str(tmp_path / "cache"))
    assert kept["id"] == [f"row{number}" for number in range(8) if number != 5]
    assert set(kept["source"]) == {"farm"}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Letters:
    """An encoder that needs no model: how often each letter stands in a text."""

    def __call__(self, texts: Sequence[str]) -> Any:
        counts = np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
        return (counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1)).astype(np.float32)


def test_likely_paraphrases_are_those_that_the_judge_decides() -> None:
    def decide(asked: Sequence[Any]) -> Any:
        for item in asked:
            same = "tulip" in item.doc["question"] and "tulip" in item.response.answer
            yield Verdict("judge_error") if "ferry" in item.response.answer else Verdict.of(item.response, None, same)

    encoder: Any = Letters()
    judge = Judge("same", 1, scale=(0, 1), success=1, judge=decide)
    rows = [row(PARAPHRASES[0]), row("A ferry loses some of its cars at a pier."), row("zzz")]
    texts = [STORIES[0], STORIES[1]]
    items = [Item("t", "t", f"hash{number}", text) for number, text in enumerate(texts)]
    near = search(rows, items, [], {"embedding": Paraphrases(texts, encoder, likeness=0.6)})
    assert {(match.row, match.method) for match in near.matches} == {(0, "embedding"), (1, "embedding")}
    method = Paraphrases(texts, encoder, judge=judge, likeness=0.6)
    told = search(rows, items, [], {"paraphrase": method})
    assert {(match.row, match.doc_hash) for match in told.matches} <= {(0, "hash0")}
    assert (method.asked, method.undecided) == (len(near.matches), sum(match.row == 1 for match in near.matches))


def test_embeddings_are_means_over_tokens_without_padding(tiny_model: Path) -> None:
    encoder = Encoder(str(tiny_model))
    texts = ["One plus two.", "A much longer text about the number seven and its neighbours.", "One plus two."]
    together, alone = encoder(texts), np.concatenate([encoder([text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    with pytest.raises(EmbeddingError, match="expected the folder or name of an encoder"):
        Encoder(str(tiny_model / "nothing here"))


def test_a_judge_without_an_encoder_is_refused(command: Command, tmp_path: Path) -> None:
    ended = command("sftgen", "data", "contamination", tmp_path / "train.jsonl", "--judge", "same-question")
    assert ended.returncode == 2
    assert "--embedder" in ended.stderr
