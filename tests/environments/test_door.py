"""Plain `lm_eval` sees sftgen's benchmarks and a plugin's, however both are installed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests import ROOT
from tests.environments.conftest import LM_EVAL, TEMPLATE, Environment, Workshop
from tests.train.report.made_runs import made_run

pytestmark = pytest.mark.environments

BOTH = ["gsm8k", "sftgen_math500", "template_letters"]
OWN = [
    "chain_of_thought", "gsm8k", "gsm8k_cot", "gsm8k_cot_llama", "gsm8k_cot_self_consistency", "gsm8k_cot_zeroshot",
    "math_word_problems", "self_consistency",
]  # fmt: skip
"""All tasks and tags of a small lm_eval."""
START_UP = ("_sftgen_autoload.py", "sftgen_autoload.pth", "sftgen_autoload.start")
LEFT = (
    "sftgen.",
    "sftgen-",
    "sftgen_judges",
    "sftgen_tasks",
    "sftgen_train",
    "sftgen_autoload",
    "_sftgen",
    "task_configs",
)
OURS_BUT_THE_PLUGIN = (*LEFT, "_editable_impl_sftgen.")


@pytest.mark.parametrize(
    ("sftgen", "lm_eval"), [("wheel", "whole"), ("editable", "wheel"), ("wheel", "editable"), ("editable", "editable")]
)
def test_lm_eval_finds_our_tasks_and_a_plugins(workshop: Workshop, sftgen: str, lm_eval: str) -> None:
    environment = workshop.environment(f"{sftgen}-{lm_eval}", sftgen=sftgen, lm_eval=lm_eval)
    seen = environment.scan()
    assert seen["matched"] == BOTH
    if lm_eval == "whole":
        assert len(seen["own"]) > 10_000
    else:
        assert seen["own"] == OWN
    assert seen["lm_eval"] == LM_EVAL
    home = workshop.lm_eval_source() if lm_eval == "editable" else environment.site_packages
    assert Path(seen["lm_eval_from"]).is_relative_to(home.resolve())
    assert Path(seen["sftgen_from"]).is_relative_to(
        (environment.site_packages if sftgen == "wheel" else ROOT).resolve()
    )
    # The door of a future lm_eval leads to the same files.
    assert seen["declared"] == {
        "sftgen": sorted(path.name for path in (ROOT / "task_configs").glob("*.yaml")),
        "sftgen_plugin_template": [path.name for path in (TEMPLATE / "sftgen_plugin_template/tasks").glob("*.yaml")],
    }
    for name in START_UP:
        assert (environment.site_packages / name).read_text() == (ROOT / name).read_text()
    # An editable install has no copy of the face, which would grow old.
    assert (environment.site_packages / "sftgen.py").exists() == (sftgen == "wheel")
    face = environment.run("python", "-c", "import sftgen; print(sftgen.load_run.__name__)")
    assert face.stdout == "open_records\n", face.stderr


def test_the_oldest_lm_eval_that_we_support(workshop: Workshop) -> None:
    """Through its own command, `lm_eval ls tasks`."""
    environment = workshop.environment("oldest", version="0.4.12")
    assert [path.name for path in environment.site_packages.glob("lm_eval-*.dist-info")] == ["lm_eval-0.4.12.dist-info"]
    done = environment.run("lm_eval", "ls", "tasks")
    assert done.returncode == 0, done.stderr
    listed = {word for line in done.stdout.splitlines() for word in line.replace("|", " ").split()}
    assert set(BOTH) <= listed
    assert "sftgen" not in done.stderr


def test_the_plugins_benchmark_runs_under_plain_lm_eval(workshop: Workshop, tiny_model: Path, tmp_path: Path) -> None:
    environment = workshop.environment("plain")
    check_run(environment, ["lm_eval"], "template_letters", tiny_model, tmp_path)


def test_a_section_of_the_installed_plugin_stands_in_the_report(workshop: Workshop, tmp_path: Path) -> None:
    environment = workshop.environment("plain")
    run = made_run(tmp_path / "run", {"sftgen_parity": (150, 60, 140)}, (0, 10, 20))
    done = environment.run("sftgen", "report", run.path, "--to", tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert "Length of right and wrong answers" in done.stdout
    assert '<section id="template_answer_lengths"' in (run.path / "report.html").read_text()
    assert (tmp_path / "to" / "template_answer_lengths.csv").is_file()


def test_our_benchmark_runs_under_python_m_lm_eval(workshop: Workshop, tiny_model: Path, tmp_path: Path) -> None:
    environment = workshop.environment("editable-wheel", sftgen="editable")
    check_run(environment, ["python", "-m", "lm_eval", "run"], "sftgen_addition", tiny_model, tmp_path)


def test_a_group_of_ours_runs_under_a_preview_of_lm_eval(workshop: Workshop, tiny_model: Path, tmp_path: Path) -> None:
    """It puts the group before the names of tasks; ours keep their own."""
    environment = workshop.environment("preview", version="0.5.0.dev1")
    check_run(environment, ["lm_eval"], "sftgen_procedural", tiny_model, tmp_path, member="sftgen_addition")


def check_run(
    environment: Environment, program: list[str], task: str, model: Path, out: Path, *, member: str = ""
) -> None:
    """Run two documents of a task with transformers, and look at what lm_eval wrote of it, or of a group's member."""
    done = environment.run(
        *program, "--model", "hf", "--model_args", f"pretrained={model}", "--device", "cpu", "--batch_size", "2",
        "--tasks", task, "--limit", "2", "--gen_kwargs", "max_gen_toks=8", "--apply_chat_template",
        "--output_path", out, "--log_samples",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [results] = out.rglob("results_*.json")
    metrics = json.loads(results.read_text(encoding="utf-8"))["results"][member or task]
    assert metrics["score,sftgen"] == 0
    assert metrics["coverage,sftgen"] == 1
    [samples] = out.rglob(f"samples_{member or task}_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2
    for row in rows:
        [[verdict]] = row["filtered_resps"]
        assert json.loads(verdict)["status"] in {"no_answer", "truncated"}


def test_the_switch_hides_our_tasks(workshop: Workshop) -> None:
    environment = workshop.environment("plain")
    assert environment.scan()["matched"] == BOTH
    seen = environment.scan(SFTGEN_NO_AUTOLOAD="1")
    assert seen["matched"] == ["gsm8k"]
    assert seen["sftgen"] == []


def test_we_stand_aside_when_lm_eval_reads_entry_points_itself(workshop: Workshop) -> None:
    environment = workshop.environment("native")
    manager = environment.site_packages / "lm_eval" / "tasks" / "manager.py"
    assert environment.scan()["matched"] == BOTH
    native = "\n\ndef discover_plugin_task_paths():\n    return []\n"
    manager.write_text(manager.read_text(encoding="utf-8") + native, encoding="utf-8")
    assert environment.scan()["matched"] == ["gsm8k"]


@pytest.mark.parametrize("sftgen", ["wheel", "editable"])
def test_nothing_is_left_after_uninstalling(workshop: Workshop, sftgen: str) -> None:
    """The plugin stays, and does no harm without us."""
    environment = workshop.environment(f"uninstalled-{sftgen}", sftgen=sftgen)
    assert environment.run("sftgen", "plugins").returncode == 0  # leaves compiled files behind
    assert {Path(path).name for path in environment.left_of(*OURS_BUT_THE_PLUGIN)} >= set(START_UP)
    environment.pip("uninstall", "--quiet", "--yes", "sftgen")
    assert environment.left_of(*OURS_BUT_THE_PLUGIN) == []
    assert not (environment.folder / "bin" / "sftgen").exists()
    check_unharmed(environment)


def test_half_an_uninstallation_is_silent(workshop: Workshop) -> None:
    """The packages are gone, the start-up files are left."""
    environment = workshop.environment("half")
    for path in environment.site_packages.glob("*"):
        if path.name.startswith(LEFT) and path.name not in START_UP:
            path.unlink() if path.is_file() else shutil.rmtree(path)
    assert {Path(path).name for path in environment.left_of(*LEFT) if path.endswith((".py", ".pth", ".start"))} == set(
        START_UP
    )
    check_unharmed(environment)


def check_unharmed(environment: Environment) -> None:
    """Python starts in silence and lm_eval has its own tasks."""
    started = environment.run("python", "-c", "print('started')")
    assert (started.stdout, started.stderr) == ("started\n", "")
    seen = environment.scan()
    assert seen["matched"] == ["gsm8k"]
    assert seen["sftgen_from"] is None
