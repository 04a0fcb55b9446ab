"""What a task file says that its benchmark is about."""

from __future__ import annotations

from typing import Any

import pytest

from sftgen_tasks.harness.catalogue import leaves, less_is_better, shipped
from sftgen_tasks.harness.categories import CATEGORIES, category_of, declared, tasks_of
from sftgen_tasks.harness.task import Task, TaskError


def test_every_task_says_what_it_is_about_and_the_groups_agree() -> None:
    tasks, groups = shipped()
    assert [name for name in tasks if category_of(name) not in CATEGORIES] == []
    for category in CATEGORIES:
        assert leaves(f"sftgen_{category}", tasks, groups) <= tasks_of(category)
    assert {"sftgen_hex_phi", "sftgen_refusal"} <= tasks_of("safety")


@pytest.mark.parametrize("facts", [None, [], {}, {"category": "in-domain"}, {"category": ["safety"]}, {"category": 5}])
def test_a_category_that_nobody_knows_is_none(facts: Any) -> None:
    assert declared(facts) == ""


def test_a_misspelt_category_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(TaskError) as refused:
        Task({"task": "mine", "metadata": {"version": 1, "category": "safty"}})
    assert str(refused.value) == (
        "mine: metadata category 'safty': expected one of reasoning, general, safety, or none; did you mean 'safety'?"
    )


def test_the_direction_of_a_metric_is_the_task_files() -> None:
    assert {"asr", "harmfulness", "truncated"} <= less_is_better("sftgen_hex_phi")
    assert not {"score", "answered", "coverage"} & less_is_better("sftgen_hex_phi")
    assert "asr" not in less_is_better("sftgen_math500")
