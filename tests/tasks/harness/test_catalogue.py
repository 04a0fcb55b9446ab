"""docs/tasks.md says of the tasks what their files and modules say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sftgen_tasks.data.task_files import task_configs
from sftgen_tasks.harness.catalogue import BEGIN, END, CatalogueError, benchmarks, read_configs, rewrite, tables
from tests import ROOT, commands

PAGE = ROOT / "docs" / "tasks.md"


def test_the_page_is_what_the_task_files_give() -> None:
    made = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    assert made == tables(), "run: python -m sftgen_tasks.harness.catalogue docs/tasks.md"


def test_every_task_and_group_is_in_the_tables() -> None:
    text = tables()
    tasks, groups = read_configs(task_configs())
    for name in groups:
        assert f"| `{name}` | " in text
    for name in tasks:
        of = [group for group, config in groups.items() if name in config["task"]]
        assert any(f"| `{shown}`" in text for shown in (name, *of))


def test_a_line_holds_what_the_files_say() -> None:
    [line] = [line for line in tables().splitlines() if line.startswith("| `sftgen_gpqa_diamond`")]
    for part in (
        "Idavidrein/gpqa (gated)",
        "3 at temperature 0.6, top_p 0.95",
        "grader `gpqa_diamond`",
        "that stands alone. |",
    ):
        assert part in line
    assert "| `sftgen_mmlu_pro` (14 tasks) | MMLU-Pro: questions of 14 subjects" in tables()
    assert "| TIGER-Lab/MMLU-Pro | 1 at temperature 0.6 |" in tables()
    assert "| `sftgen_mmlu_pro` | `sftgen_mmlu_pro_*` | 14 | score," in tables()


def test_a_new_task_gets_a_line(tmp_path: Path) -> None:
    (tmp_path / "_shared").write_text("grader: exact\ngeneration_kwargs: {do_sample: false, temperature: 0.0}\n")
    (tmp_path / "mine.yaml").write_text(
        "task: sftgen_mine\ninclude: _shared\ncustom_dataset: !function sftgen_tasks.math500.documents\n"
    )
    (tmp_path / "all.yaml").write_text("group: all\ntask: [sftgen_mine]\n")
    text = tables(tmp_path)
    assert ", avg@3. | HuggingFaceH4/MATH-500 | greedy | grader `exact` | the last " in text
    assert "| `all` | `sftgen_mine` | 1 | none |" in text


def test_the_command_writes_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    done = commands.run(sys.executable, "-m", "sftgen_tasks.harness.catalogue", page)
    assert done.returncode == 0, done.stderr
    assert page.read_text() == f"before\n{BEGIN}\n{tables()}\n{END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(CatalogueError, match="made by"):
        rewrite(page)


def test_the_parts_of_a_benchmark_are_known_by_their_names() -> None:
    groups = {
        "a_b": ["a_b_c", "a_b_d"], "a": ["a_b"], "x": ["x_y", {"task": "x_z"}], "mixed": ["mixed_r", "s"], "empty": [],
    }  # fmt: skip
    assert benchmarks(groups) == {"a_b_c": "a_b", "a_b_d": "a_b"}
