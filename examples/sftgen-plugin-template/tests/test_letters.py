"""The benchmark: its documents, what is read of an answer, and when it is right."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from sftgen_plugin_template import letters, plugin
from sftgen_plugin_template.letters import GRADER, extract, make_docs

from sftgen_judges import split_thinking

TASKS = Path(plugin.__file__).parent / "tasks"

# What a model may write, what is read of it, and whether it is right where the count is 3.
ANSWERS = [
    ("So \\boxed{3}", "3", True),
    ("$\\boxed{\\text{ 3 }}$", "3", True),
    ("\\boxed{2}, no: \\boxed{3}.", "3", True),
    ("\\boxed{4}", "4", False),
    ("\\boxed{three}", "three", False),
    ("\\boxed{}", None, False),
    ("It is 3.", None, False),
    ("<think>\\boxed{4}</think>\\boxed{3}", "3", True),
    ("<think>\\boxed{3}</think>It is 3.", None, False),
]


@pytest.mark.parametrize(("text", "read", "right"), ANSWERS)
def test_what_is_read_of_an_answer(text: str, read: str | None, right: bool) -> None:
    response = split_thinking(text)
    assert extract(response.answer) == read
    assert GRADER.grade({"count": 3}, response).score == right


def test_an_answer_inside_unclosed_thinking_does_not_count() -> None:
    verdict = GRADER.grade({"count": 3}, split_thinking("<think>\\boxed{3}"))
    assert (verdict.status, verdict.score) == ("truncated", 0)


def test_documents_come_from_the_seed_and_state_the_right_count() -> None:
    docs = make_docs(seed=3, size=50)
    assert docs == make_docs(seed=3, size=50)
    assert docs != make_docs(seed=4, size=50)
    assert len({doc["question"] for doc in docs}) == 50
    for doc in docs:
        _, letter, _, text, _ = doc["question"].split('"')
        assert 0 < sum(found == letter for found in text) == doc["count"]


def test_the_task_file_names_what_is_there() -> None:
    class Loader(yaml.SafeLoader):
        """Reads `!function` as the name it gives."""

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    config = yaml.load((TASKS / "letters.yaml").read_text(encoding="utf-8"), Loader)
    registered: dict[str, str] = {}
    plugin.register_graders(registered.__setitem__)
    assert registered[config["grader"]] == f"{letters.__name__}:GRADER"
    assert config["custom_dataset"] == f"{letters.__name__}.documents"
    assert config["task"] == GRADER.name
