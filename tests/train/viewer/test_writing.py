"""A model's text as HTML, and what differs between two of them."""

from __future__ import annotations

import random
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftgen_judges import Response
from sftgen_judges.records.messages import last_words
from sftgen_train.viewer.address import Choice
from sftgen_train.viewer.differences import difference
from sftgen_train.viewer.errors import AddressError
from sftgen_train.viewer.formulas import mathml
from sftgen_train.viewer.labels import READ, Span, labelled
from sftgen_train.viewer.writing import tokens, visible, written

ALLOWED = {
    "ins",
    "del",
    "mark",
    "pre",
    "span",
    "math",
    "mrow",
    "mi",
    "mn",
    "mo",
    "msup",
    "msub",
    "mfrac",
    "menclose",
    "mstyle",
    "mtext",
}


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}


PIECES = st.sampled_from(
    ["<script>", "</pre>", "$x$", "$", "\\(a\\)", "\\[", "\\]", "```python\n", "```", "\n", " ", "&amp;", '"', "\x00",
     "\u202e", "\\boxed{1}", "{", "}", "~~~", "word", "\\text{<b>}", "\\href{javascript:1}{x}", "<img onerror=1>"]
)  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_tokens_are_the_text_and_no_element_of_it_lives(text: str) -> None:
    found = tokens(text)
    assert "".join(token.text for token in found) == text
    assert all(text.startswith(token.text, token.start) for token in found)
    compared = difference(tokens("word <b>"), found)
    html = Elements()
    html.feed(written(compared.tokens, compared.marks, [Span(0, 5, "<i>")]))
    assert html.found <= ALLOWED
    assert not {name for name in html.attributes if name.startswith("on") or name in {"href", "src", "style"}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("costs $5 and $6", "costs $5 and $6"),
        ("a\r\nb\rc", "a\nb\N{SYMBOL FOR CARRIAGE RETURN}c"),
        ("\x1b[0m\x7f\t", "\N{SYMBOL FOR ESCAPE}[0m\N{SYMBOL FOR DELETE}\t"),
        (
            "a\u200bb",
            "a\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}U+200B\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}b",
        ),
    ],
)
def test_what_does_not_show_is_made_visible_and_money_is_no_formula(text: str, shown: str) -> None:
    assert written(tokens(text)) == shown
    assert visible(text) == shown


@pytest.mark.parametrize("formula", ["\\frac{1}{2}", "x^2", "\\boxed{\\frac{1}{2}}", "a_1 + b_2", "\\sqrt{2}"])
def test_a_formula_is_set(formula: str) -> None:
    assert (mathml(formula) or "").startswith("<math")
    assert "<math" in written(tokens(f"so ${formula}$."))


@pytest.mark.parametrize(
    "formula",
    ["x" * 1001, "{" * 41 + "}" * 41, "\\text{<script>alert(1)</script>}", "\\left(" * 50, "\\frac", "^" * 900, "\x00"],
)
def test_a_formula_that_cannot_be_set_stays_text(formula: str) -> None:
    shown = mathml(formula)
    assert shown is None or "<script" not in shown
    assert "script" not in (shown or "")


def test_code_is_coloured_and_a_changed_line_is_marked() -> None:
    before, after = ("Here:\n```python\nx = 1\nreturn x\n```\nDone", "Here:\n```python\nx = 2\nreturn x\n```\nDone")
    assert '<span class="k">return</span>' in written(tokens(before))
    compared = difference(tokens(before), tokens(after))
    html = written(compared.tokens, compared.marks)
    assert html.count("<del>") == html.count("<ins>") == html.count("<pre") == 1


def test_differences_are_those_of_words() -> None:
    found = difference(tokens("the sum is 4, so even"), tokens("the sum is 5, so odd"))
    assert written(found.tokens, found.marks) == (
        "the sum is <del>4, </del><ins>5, </ins>so <del>even</del><ins>odd</ins>"
    )


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("a b " * 4000, "b a c " * 3000, "repeat themselves"),
        ("one two three", "four five six", "rewritten"),
        ("", "four", "rewritten"),
    ],
)
def test_texts_that_cannot_be_compared_say_why(before: str, after: str, why: str) -> None:
    found = difference(tokens(before), tokens(after))
    assert why in found.why
    assert written(found.tokens, found.marks) == after


def test_a_comparison_takes_away_and_adds_nothing() -> None:
    rng = random.Random(0)
    for _ in range(200):
        old, new = ([str(rng.randrange(8)) + " " for _ in range(rng.randrange(30))] for _ in range(2))
        found = difference(tokens("".join(old)), tokens("".join(new)))
        if not found.why:
            pairs = list(zip(found.tokens, found.marks, strict=True))
            assert [token.text for token, mark in pairs if mark != "del"] == new
            assert [token.text for token, mark in pairs if mark != "ins"] == old


def test_the_answer_that_was_graded_is_labelled_where_it_stands_last() -> None:
    response = Response("", answer="7 or 8? So 7.")
    assert labelled({"answer": "7"}, response, "answer") == [Span(11, 12, READ)]
    assert labelled({"answer": "9"}, response, "answer") == []
    assert labelled(None, response, "answer") == []
    assert labelled({"answer": "7"}, response, "thinking") == []


def test_a_choice_is_its_address() -> None:
    chosen = Choice(task="a&b=<", step="10", change="won", q="x y+%", page=3)
    assert Choice().query() == ""
    assert "page" not in chosen.query(page=1)
    from urllib.parse import parse_qsl

    assert Choice.of(dict(parse_qsl(chosen.query()))) == chosen
    with pytest.raises(AddressError, match="expected one of"):
        Choice.of({"sort": "; DROP"})


def test_the_question_in_messages_is_the_last_one() -> None:
    assert (
        last_words('[{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"text": "1+1?"}]}]')
        == "1+1?"
    )
    for text in ("plain", "[{not json", '[{"role": 1}', "[1]"):
        assert last_words(text) == text
