"""The plugin that users copy: its benchmark, judge and diagnostics, and that sftgen finds them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from sftgen_judges import Answer, Batch, Item, split_thinking
from sftgen_judges.scoring.grading import grade_batch
from tests import ROOT
from tests.judges.plugins.conftest import Door

FOLDER = ROOT / "examples" / "sftgen-plugin-template"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def installed(door: Door) -> Door:
    """The template beside its metadata, as an installer would write it."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (door.folder / "sftgen_plugin_template").symlink_to(FOLDER / "sftgen_plugin_template")
    door.declare(project["name"], project["entry-points"])
    return door


def test_sftgen_shows_what_it_adds_and_loads_it(installed: Door) -> None:
    shown, warned = installed.listing(SFTGEN_LOAD_PLUGINS="sftgen-plugin-template")
    assert warned == []
    adds = shown["sftgen_plugin_template", "sftgen-plugin-template"]["adds"]
    assert [Path(folder).name for folder in adds.pop("register_tasks")] == ["tasks"]
    assert adds == {
        "register_diagnostics": ["template_repetition", "template_surprise", "template_cut_answers"],
        "register_exporters": ["template_means"],
        "register_graders": ["template_letters"],
        "register_judges": ["template_conciseness"],
        "register_recipes": ["template_terse"],
        "register_selectors": ["template_unrepeated"],
        "register_report_sections": ["template_answer_lengths"],
    }
    done = installed.python(
        """
        from sftgen_judges.plugins.manager import lookup
        print(lookup("grader", "template_letters").name)
        print(lookup("judge", "template_conciseness").name)
        print(lookup("diagnostic", "template_repetition").name)
        print(lookup("exporter", "template_means").name)
        from sftgen_train.curation.selecting.recipes import Plan
        plan = Plan.of("mine", "template_terse")
        print(*(step.selector.name for step in plan.steps), plan.steps[2].options.most)
        """
    )
    assert done.stdout.split() == [
        "template_letters", "template_conciseness", "template_repetition", "template_means",
        "finished", "right", "template_unrepeated", "shortest", "0.1",
    ], done.stderr  # fmt: skip


def test_sftgen_finds_its_benchmark(installed: Door) -> None:
    done = installed.forked("documents", "template_letters", "--limit", "3")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert manifest["task"] == "template_letters"
    assert len(manifest["docs"]) == 3


def test_a_future_lm_eval_is_told_the_package_with_the_yaml_file() -> None:
    from importlib import import_module

    project = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [package] = project["entry-points"]["lm_eval.tasks"].values()
    folder = Path(str(import_module(package).__file__)).parent
    assert [path.name for path in folder.glob("*.yaml")] == ["letters.yaml"]


def test_the_judge_prefers_short_answers_and_reads_the_answer_part_only() -> None:
    from sftgen_plugin_template.conciseness import CONCISENESS, ENOUGH

    texts = ["word " * ENOUGH, "word " * ENOUGH * 2, "<think>" + "hm " * 500 + "</think>yes", "", "<think>hm"]
    verdicts = grade_batch(CONCISENESS, [Item({}, split_thinking(text)) for text in texts])
    assert [(verdict.status, verdict.score) for verdict in verdicts] == [
        ("ok", 1), ("ok", 0.5), ("ok", 1), ("no_answer", 0), ("truncated", 0),
    ]  # fmt: skip


def test_the_diagnostic_of_responses_counts_repeated_4grams() -> None:
    from sftgen_plugin_template.repetition import REPETITION

    texts = ["a b c d e f g", "a " * 8, "too short"]
    labels = REPETITION.diagnose(Batch([Answer("t", split_thinking(text)) for text in texts]))
    # a a a a: five 4-grams of eight words, one of them new.
    assert [found.values for found in labels] == [
        {"repeated_4grams": 0}, {"repeated_4grams": pytest.approx(0.8)}, {},
    ]  # fmt: skip


def test_the_selector_drops_responses_that_go_round_in_circles() -> None:
    import random

    from sftgen_plugin_template.terse import UNREPEATED, Options

    from sftgen_judges import Candidate, Verdict

    texts = ["a b c d e f g", "a " * 8, "short"]
    verdict = Verdict("ok", 1.0)
    candidates = [Candidate(0, number, {"id": "x"}, split_thinking(text), verdict) for number, text in enumerate(texts)]
    assert UNREPEATED.select
    kept = UNREPEATED.select(candidates, Options(), random.Random(0))
    assert [one.repeat for one in kept] == [0, 2]
