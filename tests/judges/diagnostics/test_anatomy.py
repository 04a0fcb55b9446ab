"""How responses are built: raw text to what is expected, measure by measure."""

from __future__ import annotations

import random

import pytest

from sftgen_judges import Answer, Batch, Labels, Verdict, split_thinking
from sftgen_judges.diagnostics.anatomy import ANATOMY
from sftgen_judges.diagnostics.repetition import compression_of, repetition_of
from sftgen_judges.diagnostics.scripts import scripts_of


def labels(text: str, *, finish: str | None = "stop", answer: str | None = None, **facts: int) -> Labels:
    response = split_thinking(text, tokens=facts.pop("tokens", None), finish_reason=finish)
    verdict = Verdict("ok", 1.0, answer=answer) if answer else Verdict("no_answer", 0.0)
    [found] = ANATOMY.diagnose(Batch([Answer("t", response, verdict=verdict, **facts)]))
    assert isinstance(found, Labels)
    assert found.values.keys() <= {measure.name for measure in ANATOMY.measures}
    return found


# ------------------------------------------------------------------------------ lengths and endings


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("<think>a</think>b", "stop", {"thinks": 1, "unclosed": 0, "truncated": 0, "terminated": 1}),
        ("<think>a", "stop", {"thinks": 1, "unclosed": 1, "truncated": 1, "terminated": 1}),
        ("<think>a", "length", {"thinks": 1, "unclosed": 1, "truncated": 1, "terminated": 0}),
        ("a</think>b", "stop", {"thinks": 1, "missing_opener": 1, "unclosed": 0, "truncated": 0}),
        ("b", "length", {"thinks": 0, "unclosed": 0, "truncated": 1, "terminated": 0}),
        ("b", "content_filter", {"truncated": 0, "terminated": 0}),
        ("", "stop", {"thinks": 0, "truncated": 0, "terminated": 1, "looped": 0, "longest_repeat": 0}),
    ],
)
def test_how_a_response_ends(text: str, finish: str, expected: dict[str, float]) -> None:
    found = labels(text, finish=finish).values
    assert {name: found[name] for name in expected} == expected


def test_what_nobody_counted_is_missing_and_not_0() -> None:
    found = labels("short", finish=None).values
    missing = {"tokens", "thinking_tokens", "answer_tokens", "terminated", "answered_before_cut", "answer_first_at"}
    assert not (missing | {"repeated_4grams", "compression"}) & found.keys()
    found = labels("short", tokens=9, thinking_tokens=4, answer_tokens=5).values
    assert (found["tokens"], found["thinking_tokens"], found["answer_tokens"]) == (9, 4, 5)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("<think>so \\boxed{7}, but wait", 1),
        ("<think>The answer is 7. Let me check", 1),
        ("<think>Final answer: **B** and", 1),
        ("<think>the answer is ...", 0),
        ("<think>\\boxed{ }", 0),
        ("<think>we need the answer", 0),
    ],
)
def test_answers_before_the_cut(text: str, stated: float) -> None:
    assert labels(text, finish="length").values["answered_before_cut"] == stated
    assert "answered_before_cut" not in labels(f"{text}</think>7").values


@pytest.mark.parametrize(
    ("text", "answer", "place"),
    [
        ("42 it is", "42", 0.0),
        ("abcde 42", "42", 6 / 8),
        ("142 420 42", "42", 8 / 10),  # inside other numbers it does not count
        ("x7 7", "7", 3 / 4),
        ("a b c", "B", None),  # a single letter stands anywhere
        ("nothing", "42", None),
        ("word " * 20, "word " * 20, None),  # no answer, but the response itself
    ],
)
def test_where_the_answer_first_stands(text: str, answer: str, place: float | None) -> None:
    found = labels(text, answer=answer).values.get("answer_first_at")
    assert found == (place if place is None else pytest.approx(place))


# ------------------------------------------------------------------------------ repetition


@pytest.mark.parametrize(
    ("text", "ngrams", "looped", "longest"),
    [
        ("", None, 0, 0),
        ("one two three", None, 0, 0),
        ("no no no", None, 0, 2),
        ("one two three four five", 0, 0, 0),
        ("one two one four two", 0, 0, 1),
        ("the cat sat on the mat and the cat sat on the hat", 2 / 10, 0, 5),
        ("wait no " * 6, 7 / 9, 1, 10),  # 12 words
        ("wait no " * 5, 5 / 7, 0, 8),  # fewer words are no loop
        ("a b c d e f g h " * 2, 5 / 13, 0, 8),  # two copies are none
        ("start " + "I see x. I see y and so on. " * 4 + "end", None, 44 / 46, 33),
        ("我们需要找到答案。" * 3, None, 1, 18),
    ],
)
def test_repetition(text: str, ngrams: float | None, looped: float, longest: int) -> None:
    found = repetition_of(text)
    if ngrams is not None or not text:
        assert found.ngrams == ngrams
    assert (found.looped, found.longest) == (pytest.approx(looped), longest)


def test_loops_are_shown_where_they_stand() -> None:
    text = "First we think. " + "Let me check that again, slowly. " * 5 + "Then it ends."
    found = labels(text)
    [span] = found.spans
    assert found.values["loops"] == 1
    looped = text[span.start : span.end]
    # With the full stop before: a period later stands another one.
    assert looped == "." + " Let me check that again, slowly." * 5
    assert labels("no loop here at all, as one can see").spans == ()


def naive_longest(words: list[str]) -> int:
    """By comparing every two places."""
    best, row = 0, [0] * (len(words) + 1)
    for i in range(1, len(words) + 1):
        for j in range(i - 1, 0, -1):
            row[j] = row[j - 1] + 1 if words[i - 1] == words[j - 1] else 0
            best = max(best, row[j])
    return best


def test_the_longest_repeat_is_that_of_comparing_every_two_places() -> None:
    rng = random.Random(0)
    for size, kinds in [(30, 2), (60, 3), (200, 5), (300, 12)] * 5:
        words = rng.choices("abcdefghijkl"[:kinds], k=size)
        copied = rng.randrange(size)
        words += words[copied : copied + rng.randrange(40)]
        found = repetition_of(" ".join(words))
        assert found.longest == naive_longest(words)
        ngrams = [tuple(words[place : place + 4]) for place in range(len(words) - 3)]
        assert found.ngrams == pytest.approx(1 - len(set(ngrams)) / len(ngrams))


def test_a_long_text_is_read_with_memory_of_a_few_times_its_size() -> None:
    import tracemalloc

    text = "Let me reconsider the problem from the start, step by step. " * 4000
    tracemalloc.start()
    found = labels(text).values
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found["looped"] > 0.99
    assert most < 150 * len(text)


def test_compression() -> None:
    assert compression_of("short") is None
    assert (compression_of("again and again " * 100) or 1) < 0.05
    rng = random.Random(0)
    assert (compression_of("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=5000))) or 0) > 0.55
    assert compression_of("\ud800" * 600) is not None  # half of a surrogate pair


# ------------------------------------------------------------------------------ scripts


@pytest.mark.parametrize(
    ("text", "main", "switches", "other"),
    [
        ("plain English, x = 3", "Latin", 0, 0),
        ("123 + 4", "", 0, 0),
        ("", "", 0, 0),
        ("naïve café", "Latin", 0, 0),
        ("let \u03b1 be ∠ABC = π/2", "Latin", 0, 0),  # mathematics
        ("so Let us 我们 go", "Latin", 2, 2 / 11),
        ("答案是 seven", "Latin", 1, 3 / 8),
        ("привет", "Cyrillic", 0, 0),
        ("ответ is это", "Cyrillic", 2, 2 / 10),
        ("a единица", "Cyrillic", 0, 1 / 8),  # one letter is a symbol
        ("答えは三です", "Han and Kana", 0, 0),  # Japanese mixes them
        ("สวัสดี hello", "Latin", 1, None),
        ("한국어 and more", "Latin", 1, 3 / 10),
    ],
)
def test_scripts(text: str, main: str, switches: int, other: float | None) -> None:
    found = scripts_of(text)
    assert (found.switches, found.main if main != "Latin" or other is not None else main) == (switches, main)
    if other is not None:
        assert found.other == pytest.approx(other)
