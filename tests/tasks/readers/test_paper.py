"""How the paper's code strips thinking."""

from __future__ import annotations

import pytest

from sftgen_tasks.readers.paper import strip_thinking

CASES = {
    "none": ("  a\n", "a"),
    "closed": ("<think>a</think>b", "b"),
    "two pairs": ("<think>a</think>b<think>c</think>d", "bd"),
    "missing opener": ("a\n</think>\n\nb", "b"),
    "the last closer left": ("a</think>b</think>c", "c"),
    "never closed": ("<think>a", "<think>a"),
    "closed, then never": ("<think>a</think>b<think>c", "b<think>c"),
    "piped": ("a<|/think|>b", "b"),
    "its slip: a plain opener with a piped closer": ("x<think>a<|/think|>b", "xb"),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_stripping(text: str, expected: str) -> None:
    assert strip_thinking(text) == expected


def test_a_hundred_thousand_openers() -> None:
    assert strip_thinking("<think>" * 100_000) == "<think>" * 100_000
