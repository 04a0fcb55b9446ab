"""The splitter between thinking and answer: what each kind of raw text is read as."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from sftgen_judges.records.markers import prompt_markers
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.thinking import THINK_MARKERS, read_record, split_thinking, think_markers

# Raw text -> (status, thinking, answer), with the default markers.
PLAIN = {
    "closed": ("<think>2+2</think>4", ("closed", "2+2", "4")),
    "closed, on lines of its own": ("<think>\n2+2\n</think>\n\n4\n", ("closed", "2+2", "4")),
    "closed, after blank lines": ("\n  <think>2+2</think>4", ("closed", "2+2", "4")),
    "closed, after an introduction": ("Let me see.\n<think>2+2</think>4", ("closed", "2+2", "Let me see.\n4")),
    "closed, opener at the end of a line": ("Sure: <think>\n2+2\n</think>4", ("closed", "2+2", "Sure: 4")),
    "closed, nothing thought": ("<think>\n\n</think>\n\n4", ("closed", "", "4")),
    "closed, nothing answered": ("<think>2+2</think>", ("closed", "2+2", "")),
    "several pairs": ("<think>a</think>\nx\n<think>b</think>\ny", ("closed", "ab", "x\n\ny")),
    "several pairs without a break": ("<think>a</think><think>b</think>y", ("closed", "ab", "y")),
    "missing opener": ("2+2</think>4", ("missing_opener", "2+2", "4")),
    "missing opener, then a whole pair": ("a</think>x\n<think>b</think>y", ("missing_opener", "ab", "x\ny")),
    "several closers: the last one counts": ("a</think>b</think>4", ("missing_opener", "ab", "4")),
    "unclosed": ("<think>2+2 is", ("unclosed", "2+2 is", "")),
    "unclosed, with what looks like an answer": (r"<think>so \boxed{4}", ("unclosed", r"so \boxed{4}", "")),
    "re-opened and never closed": ("<think>a</think>x\n<think>b", ("unclosed", "ab", "")),
    "re-opened at once and never closed": ("<think>a</think><think>b", ("unclosed", "ab", "")),
    "opener only": ("<think>", ("unclosed", "", "")),
    "closer only": ("</think>", ("missing_opener", "", "")),
    "none": (r"The answer is \boxed{4}.", ("none", "", r"The answer is \boxed{4}.")),
    "none, empty": ("", ("none", "", "")),
    "none, blank": (" \n ", ("none", "", "")),
    "other letter case is no marker": ("<THINK>a</THINK>b", ("none", "", "<THINK>a</THINK>b")),
}

# The tag as a subject of the text.
MENTIONED = {
    "in the answer, in backticks": (
        "Use `<think>` and `</think>`.",
        ("none", "", "Use `<think>` and `</think>`."),
    ),
    "in the answer, in quotes": ("The tags are '<think>' and \"</think>\".", ("none", "", None)),
    "in the answer, an opener mid-sentence": ("The <think> tag opens it.", ("none", "", "The <think> tag opens it.")),
    "after thinking, an opener mid-sentence": ("<think>a</think>The <think> tag", ("closed", "a", "The <think> tag")),
    "in thinking, in backticks": (
        "<think>what does `</think>` do?</think>4",
        ("closed", "what does `</think>` do?", "4"),
    ),
    "in thinking, an opener mid-sentence": ("<think>a <think> tag</think>4", ("closed", "a <think> tag", "4")),
    "in thinking, an opener on its own line": ("<think>a\n<think>\nb</think>4", ("closed", "a\n<think>\nb", "4")),
    "nested pairs: the outer closer ends it": (
        "<think>a\n<think>b</think>c</think>4",
        ("missing_opener", "a\n<think>bc", "4"),
    ),
}

# The same texts when the chat template has written `<think>` already.
PREFILLED = {
    "closed": ("2+2</think>4", ("missing_opener", "2+2", "4")),
    "closed, opener written once more": ("<think>\n2+2</think>4", ("closed", "2+2", "4")),
    "closed, opener once more after a blank": ("\n\n<think>2+2</think>4", ("closed", "2+2", "4")),
    "never closed": (r"2+2, so \boxed{4}", ("unclosed", r"2+2, so \boxed{4}", "")),
    "never closed, opener written once more": ("<think>2+2", ("unclosed", "2+2", "")),
    "nothing at all": ("", ("unclosed", "", "")),
    "closed, re-opened and never closed": ("a</think>x\n<think>b", ("unclosed", "ab", "")),
    "mentioned closer does not close": ("the tag `</think>` is", ("unclosed", "the tag `</think>` is", "")),
}

HARMONY = "<|channel|>analysis<|message|>2+2<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>"

# Markers by name or as OPENER,CLOSER.
OTHER_MARKERS = {
    "piped": ("piped-think", "<|think|>2+2<|/think|>4", ("closed", "2+2", "4")),
    "piped, missing opener": ("piped-think", "2+2<|/think|>4", ("missing_opener", "2+2", "4")),
    "piped, unclosed": ("piped-think", "<|think|>2+2", ("unclosed", "2+2", "")),
    "piped, plain tags are text": ("piped-think", "<think>2</think>4", ("none", "", "<think>2</think>4")),
    "brackets": ("bracket-think", "[THINK]2+2[/THINK]4", ("closed", "2+2", "4")),
    "brackets, unclosed": ("bracket-think", "[THINK]2+2", ("unclosed", "2+2", "")),
    "gpt-oss, special tokens kept": ("gpt-oss", HARMONY, ("closed", "2+2", "4")),
    "gpt-oss, with the role in front": ("gpt-oss", f"<|start|>assistant{HARMONY}", ("closed", "2+2", "4")),
    "gpt-oss, special tokens dropped": ("gpt-oss", "analysisWe add.assistantfinal4", ("closed", "We add.", "4")),
    "gpt-oss, kept, unclosed": ("gpt-oss", "<|channel|>analysis<|message|>2+2", ("unclosed", "2+2", "")),
    "gpt-oss, dropped, unclosed": ("gpt-oss", "analysisWe add", ("unclosed", "We add", "")),
    "gpt-oss, final channel only": ("gpt-oss", "<|channel|>final<|message|>4", ("missing_opener", "", "4")),
    "gpt-oss, no channels": ("gpt-oss", "The analysis is final.", ("none", "", "The analysis is final.")),
    "two literals": ("<reason>,</reason>", "<reason>2+2</reason>4", ("closed", "2+2", "4")),
    "two literals with special characters": ("(*,*)", "(*2+2*)4", ("closed", "2+2", "4")),
}

TRAILING = {
    "4<|im_end|>": "4",
    "4</s>": "4",
    "4\n<|im_end|>\n<|endoftext|>\n": "4",
    "4<|eot_id|>": "4",
    "4<end_of_turn>\n": "4",
    "4<|im_end|>4": "4<|im_end|>4",
    "<|im_end|>": "",
}


def check(response: object, expected: tuple[str, str, str | None]) -> None:
    status, thinking, answer = expected
    assert (response.think, response.thinking) == (status, thinking)  # type: ignore[attr-defined]
    # None: the whole text is the answer.
    assert response.answer == (response.text if answer is None else answer)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("text", "expected"), PLAIN.values(), ids=PLAIN)
def test_text_without_a_prefilled_opener(text: str, expected: tuple[str, str, str]) -> None:
    check(split_thinking(text), expected)


@pytest.mark.parametrize(("text", "expected"), MENTIONED.values(), ids=MENTIONED)
def test_a_mentioned_tag_is_text(text: str, expected: tuple[str, str, str | None]) -> None:
    check(split_thinking(text), expected)


@pytest.mark.parametrize(("text", "expected"), PREFILLED.values(), ids=PREFILLED)
def test_text_after_a_prefilled_opener(text: str, expected: tuple[str, str, str]) -> None:
    check(split_thinking(text, prefilled=True), expected)


@pytest.mark.parametrize(("setting", "text", "expected"), OTHER_MARKERS.values(), ids=OTHER_MARKERS)
def test_other_markers_are_a_setting(setting: str, text: str, expected: tuple[str, str, str]) -> None:
    check(split_thinking(text, markers=think_markers(setting)), expected)


@pytest.mark.parametrize(("answer", "expected"), TRAILING.items())
@pytest.mark.parametrize("thinking", ["", "<think>2+2</think>"])
def test_end_of_turn_tokens_are_not_part_of_the_answer(thinking: str, answer: str, expected: str) -> None:
    assert split_thinking(thinking + answer).answer == expected


def test_no_setting_means_think_tags() -> None:
    assert think_markers(None) == THINK_MARKERS["think"]


@pytest.mark.parametrize("setting", ["thinking", "<a>", "<a>,", ",</a>", ",", ""])
def test_unknown_markers_name_what_is_known(setting: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(setting))) as caught:
        think_markers(setting)
    assert "bracket-think" in str(caught.value)
    assert "OPENER,CLOSER" in str(caught.value)


def test_raw_text_and_what_is_known_of_it_pass_through() -> None:
    text = "  <think>2+2</think> 4 <|im_end|>"
    response = split_thinking(text, tokens=9, finish_reason="length")
    assert (response.text, response.tokens, response.finish_reason) == (text, 9, "length")
    assert response.truncated


@pytest.mark.parametrize(
    ("text", "finish_reason", "truncated"),
    [
        ("<think>a", None, True),
        ("<think>a", "stop", True),
        ("<think>a</think>b", None, False),
        ("<think>a</think>b", "stop", False),
        ("<think>a</think>b", "length", True),
        ("b", "length", True),
    ],
)
def test_truncated_means_unclosed_or_stopped_by_the_limit(
    text: str, finish_reason: str | None, truncated: bool
) -> None:
    assert split_thinking(text, finish_reason=finish_reason).truncated is truncated


# What a server says of the end, tokens, budget; whether the response was cut.
ENDS = {
    "stopped": ("stop", 9, 10, False),
    "stopped at the last token": ("stop", 10, 10, False),
    "the limit": ("length", 10, 10, True),
    "the limit in Anthropic's word": ("max_tokens", 10, 10, True),
    "the limit in Gemini's word": ("MAX_TOKENS", 10, 10, True),
    "the context of the model": ("model_length", 4, 10, True),
    "no word, all tokens": (None, 10, 10, True),
    "no word, fewer tokens": (None, 9, 10, False),
    "no word, nobody counted": (None, None, 10, False),
    "a filter": ("content_filter", 4, 10, False),
}


@pytest.mark.parametrize(("said", "tokens", "budget", "cut"), ENDS.values(), ids=ENDS)
def test_a_record_is_cut_whatever_the_server_calls_it(
    said: str | None, tokens: int | None, budget: int, cut: bool
) -> None:
    record = GenerationRecord("task", None, "m", "d", 0, "p", {}, "B", said, tokens, budget=budget)
    assert read_record(record).truncated is cut
    unseen = read_record(replace(record, text="", reasoning="on and on"))
    assert (unseen.think == "unclosed") is cut


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>", True),
        ("assistant\n<|think|>\n", True),
        ("[INST]What?[/INST][THINK]", True),
        ("<|im_start|>assistant\n", False),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("What does <think> mean?<|im_end|>\n<|im_start|>assistant\n", False),
        ("", False),
    ],
)
def test_a_prompt_that_ends_with_an_opener_is_recognised(prompt: str, opened: bool) -> None:
    assert (prompt_markers(prompt) is not None) is opened


# A model that has lost its way writes such things up to its token limit.
DEGENERATE = {
    "openers": "<think>",
    "openers in a line": "x<think>",
    "openers on lines": "<think>\n",
    "closers": "</think>",
    "pairs": "<think>a</think>",
    "pairs on lines": "<think>a</think>\n",
    "mentions": "`</think>` ",
    "line breaks": "\n",
    "spaces": " ",
    "end tokens": "</s>",
    "half a tag": "<thin",
    "channels": "<|channel|>analysis",
    "roles": "assistant",
}


@pytest.mark.parametrize("markers", ["think", "gpt-oss"])
@pytest.mark.parametrize("unit", DEGENERATE.values(), ids=DEGENERATE)
def test_three_hundred_thousand_degenerate_characters_are_split(unit: str, markers: str) -> None:
    # In quadratic time these would take from seconds to hours.
    text = unit * (300_000 // len(unit))
    for prefilled in (False, True):
        response = split_thinking(text + "x", markers=THINK_MARKERS[markers], prefilled=prefilled)
        assert response.text == text + "x"
        assert (response.answer == "") is (response.think == "unclosed") or "x" in response.answer


RANDOM = {
    "think": ["<think>", "</think>"],
    "piped-think": ["<|think|>", "<|/think|>"],
    "bracket-think": ["[THINK]", "[/THINK]"],
    "gpt-oss": ["<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"],
    "gemma-4": ["<|channel>thought", "<channel|>"],
    "seed": ["<seed:think>", "</seed:think>"],
    "thinking-tag": ["<thinking>", "</thinking>"],
}


@pytest.mark.parametrize("prefilled", [False, True])
@pytest.mark.parametrize("name", RANDOM)
def test_nothing_of_a_random_text_is_lost_or_doubled(name: str, prefilled: bool) -> None:
    markers = RANDOM[name]
    rng = random.Random(f"{name}-{prefilled}")
    for _ in range(2000):
        pieces = [*(f"w{number}" for number in range(rng.randint(0, 8))), *rng.choices(markers, k=rng.randint(0, 5))]
        pieces += rng.choices([" ", "\n", "\n\n", "`", "'"], k=rng.randint(0, 8))
        rng.shuffle(pieces)
        text = "".join(pieces)
        response = split_thinking(text, markers=THINK_MARKERS[name], prefilled=prefilled)
        thinking, answer = bare(response.thinking, markers), bare(response.answer, markers)
        if response.think == "unclosed":
            # Outside an unclosed thinking is no answer, but nothing is made up either.
            assert not response.answer
            assert Counter(thinking) <= Counter(bare(text, markers)), text
        elif response.think == "none":
            assert (response.thinking, response.answer) == ("", text.strip())
        else:
            assert sorted(thinking + answer) == sorted(bare(text, markers)), text


def bare(text: str, markers: list[str]) -> str:
    """The text without markers and blanks."""
    for marker in markers:
        text = text.replace(marker, "")
    return "".join(text.split())
