"""The installed `sftgen` command: what it prints, and one clear message for every mistake."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

from sftgen_judges.errors import SftgenError
from sftgen_train.cli.console import named_tasks
from sftgen_train.cli.quiet import PlainFormatter
from sftgen_train.training.running import train
from tests import ROOT
from tests.commands import few_tasks, find_in
from tests.conftest import Command
from tests.train.viewer.made import make_run


@pytest.fixture
def training(tiny_model: Path, tmp_path: Path) -> dict[str, object]:
    """A configuration that trains two steps and evaluates."""
    rows = [{"message": [{"role": "user", "content": f"{n}?"}], "response": f"\\boxed{{{n}}}"} for n in range(16)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "model_name_or_path": str(tiny_model),
        "train_data": str(tmp_path / "rows.jsonl"),
        "output_dir": str(tmp_path / "run"),
        "harness_tasks": ["sftgen_parity", "sftgen_countdown"],
        "harness_in_domain": ["sftgen_countdown"],
        "harness_at_steps": [0, 1],
        "harness_limit": 4,
        "harness_metadata": {"sftgen_countdown": {"counts": [3], "operators": "+-"}},
        "harness_gen_kwargs": {"max_gen_toks": 8},
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
    }


def write(config: dict[str, object], folder: Path) -> Path:
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def mistake(result: object) -> str:
    """The message of a command that failed because of its user."""
    assert result.returncode == 2, result.stderr  # type: ignore[attr-defined]
    assert "Traceback" not in result.stderr  # type: ignore[attr-defined]
    lines = [line for line in result.stderr.splitlines() if line.startswith("sftgen: ")]  # type: ignore[attr-defined]
    assert len(lines) == 1, result.stderr  # type: ignore[attr-defined]
    return lines[0]


def test_training_prints_a_table_and_writes_a_report(
    installed: Command, training: dict[str, object], tmp_path: Path
) -> None:
    result = installed(
        "sftgen",
        "train",
        "--config",
        write(training, tmp_path),
        "--harness_limit",
        "3",
        "--harness_delta",
        "0.03,countdown=0.1",
    )
    assert result.returncode == 0, result.stderr
    delta = json.loads((tmp_path / "run" / "manifest.json").read_text())["delta"]
    assert delta == {"default": 0.03, "countdown": 0.1}
    assert "countdown*" in result.stdout
    assert "parity" in result.stdout
    assert "What became of the scores" in result.stdout
    run = tmp_path / "run"
    assert {path.name for path in run.iterdir()} >= {
        "manifest.json", "metrics.jsonl", "samples.parquet", "report.html", "model.safetensors", "generations",
        "verdicts",
    }  # fmt: skip
    scores = [
        row for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if row["metric"] == "score"
    ]
    assert {(row["step"], row["task"], row["n"]) for row in scores} == {
        (step, task, 3) for step in (0, 1, 2) for task in ("sftgen_parity", "sftgen_countdown")
    }
    again = installed("sftgen", "report", run, "--out", tmp_path / "other.html")
    assert again.returncode == 0
    assert (tmp_path / "other.html").read_text() == (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"harness_tasks": ["sftgen_nothing"]}, "unknown task 'sftgen_nothing'"),
        ({"harness_at_steps": [3, -4]}, "-4 is not a step"),
        ({"harness_at_steps": "soon"}, "at_steps"),
        ({"harness_every": 0, "harness_at_steps": None}, "every=0"),
        ({"harness_metadata": "{broken"}, "not JSON"),
        ({"harness_metadata": {"sftgen_countdown": {"colour": "red"}}}, "sftgen_countdown: cannot make documents"),
        ({"model_name_or_path": "/nowhere/model"}, "no such folder"),
        ({"model_name_or_path": None}, "model_name_or_path is missing"),
        ({"train_data": "absent.jsonl"}, "absent.jsonl: cannot be read"),
        ({"output_dir": "/proc/sftgen"}, "cannot be written"),
        ({"learning_rat": 1}, "learning_rat"),
    ],
)
def test_a_wrong_configuration_is_one_message_and_nothing_is_written(
    training: dict[str, object], tmp_path: Path, change: dict[str, object], says: str
) -> None:
    with pytest.raises(SftgenError) as caught:
        train(["--config", str(write({**training, **change}, tmp_path))])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_flag_that_does_not_exist(command: Command, training: dict[str, object], tmp_path: Path) -> None:
    result = command("sftgen", "train", "--config", write(training, tmp_path), "--learning_rat", "1")
    assert result.returncode == 2
    assert "--learning_rat is unknown; did you mean 'learning_rate'?" in result.stderr


def test_malformed_training_data_names_file_and_row(
    command: Command, training: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "no such columns"}\n')
    assert "rows.jsonl, row 1: columns question; expected prompt and completion" in mistake(
        command("sftgen", "train", "--config", write(training, tmp_path))
    )


def test_a_model_folder_without_tokenizer_or_template(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_model / name, bare)
    arguments = ("eval", "--tasks", "sftgen_parity", "--model", "hf", "--limit", "1")
    result = command("sftgen", *arguments, "--model_args", f"pretrained={bare}", cwd=tmp_path)
    assert "has no tokenizer" in mistake(result)

    mute = tmp_path / "mute"
    shutil.copytree(tiny_model, mute)
    (mute / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((mute / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (mute / "tokenizer_config.json").write_text(json.dumps(settings))
    result = command("sftgen", *arguments, "--model_args", f"pretrained={mute}", cwd=tmp_path)
    assert "has no chat template" in mistake(result)
    assert not (tmp_path / "results").exists()


def test_a_misspelt_task_is_told_before_lm_eval_is_imported() -> None:
    code = (
        "import sys\nfrom sftgen_train.cli.main import main\nsys.argv = ['sftgen', 'eval', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print(ended.code)\n"
        "print({'torch', 'transformers', 'lm_eval'} & set(sys.modules))\n"
    )
    line = [sys.executable, "-c", code, "--model", "sftgen-hf", "--tasks=sftgen_parity,sftgen_countdwn"]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split("\n")[:2] == ["2", "set()"]
    assert done.stderr.startswith("sftgen: unknown task 'sftgen_countdwn'; did you mean 'sftgen_countdown'?")
    assert named_tasks(["--tasks", "sftgen_mine", "--include_path", "."]) == []


def test_eval_with_safer_defaults(installed: Command, tiny_model: Path, tmp_path: Path) -> None:
    result = installed(
        "sftgen", "eval", "--tasks", "sftgen_parity,sftgen_countdown", "--model", "hf", "--model_args",
        f"pretrained={tiny_model}", "--limit", "3", "--gen_kwargs", "max_gen_toks=9", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "|sftgen_parity" in result.stdout
    [samples] = tmp_path.glob("results/*/samples_sftgen_parity_*.jsonl")
    first = json.loads(samples.read_text().splitlines()[0])
    assert first["arguments"]["gen_args_0"]["arg_0"].startswith("<|im_start|>user\n")  # chat template on
    verdict = json.loads(first["filtered_resps"][0][0])
    assert verdict["truncated"] is True  # nine tokens were generated and nine are the limit
    assert verdict["tokens"] >= 8
    [results] = tmp_path.glob("results/*/results_*.json")
    assert json.loads(results.read_text())["config"]["batch_size"] == "16"  # on a CPU, `auto` takes hours


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--tasks", "sftgen_nothing"), "sftgen_nothing"),
        (("--tasks", "sftgen_parity", "--output_path", "/proc/none"), "--output_path"),
        (("--tasks", "sftgen_parity", "--max_gen_toks", "sftgen_parity=none"), "expected a whole number of tokens"),
        (("--tasks", "sftgen_parity", "--max_gen_toks", "sftgen_addition=5"), "sftgen_addition"),
    ],
)
def test_eval_mistakes(
    command: Command, tiny_model: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    model = ("--model", "hf", "--model_args", f"pretrained={tiny_model}", "--limit", "1")
    assert says in mistake(command("sftgen", "eval", *arguments, *model, cwd=tmp_path, before=few_tasks))


def test_malformed_benchmark_data_names_file_row_and_column(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    good = {"problem": "1+1?", "solution": "\\boxed{2}", "answer": "2", "unique_id": "a"}
    rows = [good, {**good, "answer": 2}]
    (tmp_path / "data" / "math500.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("--tasks", "sftgen_math500", "--model", "hf", "--model_args", f"pretrained={tiny_model}")
    result = command("sftgen", "eval", *arguments, "--metadata", f"data_dir={tmp_path / 'data'}", cwd=tmp_path)
    assert "math500.jsonl, row 2, column 'answer': expected str, found int" in mistake(result)


def test_doctor_names_every_problem_with_its_next_step(
    command: Command, installed: Command, tiny_model: Path, tmp_path: Path
) -> None:
    result = command("sftgen", "doctor", "--tasks", "sftgen_parity", "--model", tiny_model)
    assert result.returncode == 0, result.stdout
    assert "lm_eval finds" not in result.stdout
    assert "0 errors" in result.stdout
    assert "checks are ok (--all shows them)" in result.stdout
    result = command("sftgen", "doctor", "--tasks", "sftgen_parity", "--model", tiny_model, "--all")
    assert "lm_eval finds" in result.stdout

    wide = {"env": {**_environment(), "COLUMNS": "300"}}
    empty = tmp_path / "empty"
    empty.mkdir()
    settings = {"env": {**wide["env"], "SFTGEN_DATA_DIR": str(empty), "SFTGEN_NO_AUTOLOAD": "1"}}
    result = installed("sftgen", "doctor", "--tasks", "sftgen_math500,sftgen_parity", **settings)
    assert result.returncode == 1
    assert "no file for HuggingFaceH4/MATH-500 under" in result.stdout
    assert "unset SFTGEN_NO_AUTOLOAD" in result.stdout
    assert "1 errors, 1 warnings" in result.stdout
    weakest = {"env": {**wide["env"], "SFTGEN_SANDBOX": "limits"}}
    assert (
        "allow it with --allow-unsandboxed-code"
        in command("sftgen", "doctor", "--tasks", "sftgen_parity", **weakest).stdout
    )

    assert "unknown task 'sftgen_x'" in mistake(command("sftgen", "doctor", "--tasks", "sftgen_x"))

    small = tmp_path / "small"
    shutil.copytree(tiny_model, small)
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 16}))
    result = command("sftgen", "doctor", "--tasks", "sftgen_parity", "--model", small, **wide)
    assert result.returncode == 1
    assert "the model takes 16 with the response" in result.stdout
    (small / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    result = command("sftgen", "doctor", "--tasks", "sftgen_parity", "--model", small, "--all", **wide)
    assert result.returncode == 0
    assert "of the task's 4096 tokens: the model takes 4096" in result.stdout


def test_doctor_says_one_problem_of_many_tasks_once(command: Command, tmp_path: Path) -> None:
    settings = {"env": {**_environment(), "COLUMNS": "300", "SFTGEN_DATA_DIR": str(tmp_path)}}
    for tasks in ("sftgen_mmlu_pro_[a-e]*", "sftgen_mmlu_pro"):
        result = command("sftgen", "doctor", "--tasks", tasks, **settings)
        assert result.returncode == 1
        assert result.stdout.count("no file for TIGER-Lab/MMLU-Pro under") == 1
        assert "1 errors" in result.stdout
    result = command("sftgen", "doctor", "--tasks", "sftgen_hex_phi,sftgen_mmlu_pro,sftgen_halueval", **settings)
    assert "3 errors" in result.stdout


def test_doctor_reads_plugin_files_that_lm_eval_skips(command: Command, tmp_path: Path) -> None:
    package = tmp_path / "broken_tasks"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from pathlib import Path\nfrom sftgen_judges import hookimpl\n\n"
        "@hookimpl\ndef register_tasks(register):\n    register(Path(__file__).parent)\n"
    )
    (package / "a.yaml").write_text("task: broken_a\ndoc_to_text: [unclosed\n")
    (package / "b.yaml").write_text("task: broken_b\nclass: !function no_such_module.Thing\n")
    (package / "c.yaml").write_text("task: sftgen_parity\n")
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sftgen]\nbroken = broken_tasks\n")
    settings = {"env": {**_environment(), "COLUMNS": "300"}, "before": partial(find_in, tmp_path)}
    result = command("sftgen", "doctor", "--tasks", "sftgen_addition", **settings)
    assert result.returncode == 1
    for expected in ("a.yaml", "b.yaml: ImportError", "'sftgen_parity' is in", "no entry point lm_eval.tasks"):
        assert expected in result.stdout


def test_report_of_something_else(command: Command, tmp_path: Path) -> None:
    assert "is not a run directory" in mistake(command("sftgen", "report", tmp_path))


def test_tasks_dir_is_where_the_files_are(installed: Command) -> None:
    folder = Path(installed("sftgen", "tasks-dir").stdout.strip())
    assert (folder / "math500.yaml").is_file()


def _environment() -> dict[str, str]:
    return dict(os.environ)


def interrupt() -> None:
    """Ctrl-C while the command works."""
    from sftgen_tasks.data import task_files

    def task_configs() -> Path:
        raise KeyboardInterrupt

    task_files.task_configs = task_configs


def test_an_interruption_is_said(command: Command) -> None:
    done = command("sftgen", "tasks-dir", before=interrupt)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "sftgen: interrupted\n")


def test_a_message_with_control_codes_is_text() -> None:
    name = "a\x1b]2;title\x07\nb"
    record = logging.LogRecord("sftgen_train", logging.WARNING, "", 0, "weights stay in %s", (name,), None)
    shown = PlainFormatter("%(message)s").format(record)
    assert shown == "weights stay in a\N{REPLACEMENT CHARACTER}]2;title\N{REPLACEMENT CHARACTER}\nb"


def test_a_task_that_was_not_evaluated_is_told_the_nearest(command: Command, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=(0, 10), safety=False).path
    other = make_run(tmp_path / "other", steps=(0, 10), safety=False).path
    for name, arguments in {
        "trajectory": [run],
        "compare": [run, f"{other}@10"],
        "parts": [run],
        "lengths": [run],
    }.items():
        assert mistake(command("sftgen", name, *arguments, "--tasks", "sftgen_party")) == (
            "sftgen: --tasks sftgen_party: it was not evaluated; did you mean 'sftgen_parity'?"
        )
    shown = command(
        "sftgen", "train", "--preset", "qwen3-4b/math-cot-20k", "--show", "--set", "harness_tasks=[sftgen_od]"
    )
    assert "no task or group 'sftgen_od'; did you mean 'sftgen_ood'?" in mistake(shown)
