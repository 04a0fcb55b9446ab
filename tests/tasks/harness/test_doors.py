"""Every door goes by one identity of what generates, and lets nothing of lm_eval's through that forgets it."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lm_eval.evaluator import simple_evaluate
from safetensors.torch import load_file, save_file

from sftgen_judges.errors import SftgenError
from sftgen_judges.records import current as current_module
from sftgen_judges.records.current import Recording
from sftgen_judges.records.model_id import identity
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import evaluate, load_tasks
from sftgen_tasks.harness.backends.hf import RecordingHFLM
from sftgen_tasks.harness.command_line import run_command_line
from sftgen_tasks.harness.guards import check_documents, guarded
from sftgen_tasks.harness.loading import OwnTaskManager
from sftgen_tasks.harness.registry import make_model, register_models
from sftgen_tasks.harness.task import Task
from sftgen_train.evaluation.evaluator import evaluate_checkpoint
from sftgen_train.evaluation.schedule import Suite, Tier
from sftgen_train.queue.entries import Queue
from sftgen_train.queue.policy import Policy
from sftgen_train.queue.worker import work
from sftgen_train.training.callback import HarnessCallback
from tests.commands import few_tasks
from tests.conftest import Command

TASK = "sftgen_parity"


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    torch.set_num_threads(1)
    register_models()  # the start-up file does it for plain lm_eval


@pytest.fixture(scope="module")
def other_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with one row of its embedding changed, outside the samples that ids rested on before."""
    folder = Path(shutil.copytree(tiny_model, tmp_path_factory.mktemp("other") / "model"))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"][70] += 1.0
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters of the tiny model."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(tiny_model)
        model = get_peft_model(base, LoraConfig(target_modules=["q_proj"], init_lora_weights=False, r=4))
        folders.append(tmp_path_factory.mktemp("adapter"))
        model.save_pretrained(folders[-1])
    return folders


def line(model: Path, *more: str, name: str = "sftgen-hf", arguments: str = "") -> list[str]:
    return [
        "--tasks", TASK, "--model", name, "--model_args", f"pretrained={model}{arguments}", "--device", "cpu",
        "--limit", "2", "--batch_size", "2", "--gen_kwargs", "max_gen_toks=4", *more,
    ]  # fmt: skip


def models(run: Path, task: str = TASK) -> set[str]:
    return {record.model for record in RunFolder(run).read_generations(task)}


# ------------------------------------------------------------------------------ another model, one run


@pytest.fixture(scope="module")
def begun(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with generations of the tiny model."""
    run = tmp_path_factory.mktemp("begun") / "run"
    run_command_line(line(tiny_model, "--metadata", '{"docs_seed": 1}'), run)
    return run


@pytest.fixture
def run(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "run"))


@pytest.mark.parametrize(
    ("second", "differs"),
    [
        (",dtype=bfloat16", "dtype"),
        (",peft={0}", "peft"),
        (",attn_implementation=eager", "attn_implementation"),
        (",load_in_4bit=True", "load_in_4bit"),
        (",add_bos_token=True", "add_bos_token"),
        (",tokenizer={other}", "tokenizer"),
    ],
)
def test_another_argument_is_another_model(
    tiny_model: Path, adapters: list[Path], run: Path, *, second: str, differs: str
) -> None:
    tokenizer = Path(shutil.copytree(tiny_model, run.parent / "tokenizer"))
    (tokenizer / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    second = second.format(*adapters, other=tokenizer)
    with pytest.raises(SftgenError, match=rf"holds generations of another model.*\(other: {differs}\)"):
        run_command_line(line(tiny_model, arguments=second), run)


def test_another_adapter_is_another_model(tiny_model: Path, adapters: list[Path], tmp_path: Path) -> None:
    run_command_line(line(tiny_model, arguments=f",peft={adapters[0]}"), tmp_path / "run")
    with pytest.raises(SftgenError, match=r"\(other: peft\)"):
        run_command_line(line(tiny_model, arguments=f",peft={adapters[1]}"), tmp_path / "run")


def test_other_weights_or_another_backend_are_another_model(tiny_model: Path, other_model: Path, run: Path) -> None:
    assert models(run) == {identity(str(tiny_model), backend="sftgen-hf").id}
    with pytest.raises(SftgenError, match=r"\(other: weights\)"):
        run_command_line(line(other_model), run)
    with pytest.raises(SftgenError, match=r"\(other: --model\)"):
        run_command_line(line(tiny_model, name="hf"), run)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").unlink()
    with pytest.raises(SftgenError, match="its manifest does not name the one it was begun with"):
        run_command_line(line(other_model), run)
    del manifest["model_parts"]
    (run / "manifest.json").write_text(json.dumps({**manifest, "model_id": "folder:" + "a" * 64}))
    with pytest.raises(SftgenError, match=r"an older sftgen wrote it.*`sftgen rescore` and `sftgen report` still read"):
        run_command_line(line(tiny_model), run)


def test_a_file_of_arguments_is_read_as_lm_eval_will_read_it(
    tiny_model: Path, other_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for name, model in (("one", tiny_model), ("two", other_model)):
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(
            yaml.safe_dump({
                "model": "sftgen-hf", "model_args": {"pretrained": str(model)}, "tasks": [TASK], "limit": 2,
                "device": "cpu", "batch_size": 1, "gen_kwargs": {"max_gen_toks": 4, "temperature": 0},
                "apply_chat_template": False,
            })
        )  # fmt: skip
    run = tmp_path / "run"
    [result] = run_command_line(["--config", str(files[0])], run)
    assert result.documents == 2
    manifest = RunFolder(run).manifest()
    assert manifest["model"].endswith(tiny_model.name)
    assert manifest["model_id"] == identity(str(tiny_model), backend="sftgen-hf").id
    records = RunFolder(run).read_generations(TASK)
    assert {record.model for record in records} == {manifest["model_id"]}
    assert {record.template_hash for record in records} == {None}  # the file turned the chat template off
    assert capsys.readouterr().out.count("EvaluatorConfig(") == 1
    with pytest.raises(SftgenError, match=r"\(other: weights\)"):
        run_command_line(["--config", str(files[1])], run)
    # A flag wins over the file, for us too.
    run_command_line(["--config", str(files[1]), "--model_args", f"pretrained={tiny_model}"], run)
    assert models(run) == {manifest["model_id"]}
    for text, told in (("a: [", "Invalid YAML"), ("nonsense: 1", "nonsense"), ("cache_requests: true", "use the flag")):
        files[0].write_text(text)
        with pytest.raises(SftgenError, match=f"(?s).*{told}"):
            run_command_line(["--config", str(files[0]), "--tasks", TASK], run)
    with pytest.raises(SftgenError, match=r"no\.yaml"):
        run_command_line(["--config", "no.yaml"], run)


def test_a_checkpoint_goes_by_the_model_and_the_arguments_it_is_evaluated_with(
    tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    suite = Suite([Tier([TASK], every=1, limit=2)], gen_kwargs={"max_gen_toks": 4})
    for name, arguments in (("sftgen-hf", {}), ("sftgen-hf", {"dtype": "bfloat16"}), ("hf", {"dtype": "bfloat16"})):
        evaluate_checkpoint(tiny_model, run_dir=run, step=4, suite=suite, model=name, model_args=arguments)
    assert len(models(run)) == 3


def test_what_lm_eval_is_handed_is_told_apart_too(tiny_model: Path, other_model: Path, tmp_path: Path) -> None:
    tasks = load_tasks([TASK], {"docs_size": 4}, {"max_gen_toks": 4})
    for model in (tiny_model, other_model):
        lm = make_model("hf", pretrained=str(model), device="cpu", batch_size=2)
        evaluate(lm, tasks, Recording(RunFolder(tmp_path / "run")), limit=2, resume=True)
    assert len(models(tmp_path / "run")) == 2


@pytest.mark.parametrize("name", ["hf", "sftgen-hf"])
def test_lm_eval_without_our_command_records_the_same_identity(
    tiny_model: Path, adapters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SFTGEN_RUN_DIR", str(tmp_path / "run"))
    current_module._default.cache_clear()
    arguments = {"pretrained": str(tiny_model), "peft": str(adapters[0])}
    try:
        simple_evaluate(
            name, arguments, [TASK], limit=1, device="cpu", batch_size=2, gen_kwargs={"max_gen_toks": 4},
            apply_chat_template=True, task_manager=OwnTaskManager({**arguments, "docs_size": 9}),
        )  # fmt: skip
    finally:
        current_module._default.cache_clear()
    assert models(tmp_path / "run") == {identity(str(tiny_model), arguments, backend=name).id}


# ------------------------------------------------------------------------------ lm_eval's caches


CACHES = [
    (["--use_cache", "cache"], "--use_cache: its key is the prompt alone"),
    (["--cache_requests", "true"], "--cache_requests: its key leaves out --gen_kwargs"),
]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        *CACHES,
        (["-c", "x"], "--use_cache"),
        (["--cache_requests"], "--cache"),
        (["--cache_requests", "refresh"], "--c"),
    ],
)
def test_caches_are_refused_before_a_model_is_loaded(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], told: str
) -> None:
    monkeypatch.setattr("sftgen_tasks.harness.command_line.register_models", pytest.fail)
    with pytest.raises(SftgenError, match=told):
        run_command_line([*line(tiny_model), *flags], None)


def test_caches_are_refused_by_plain_lm_eval_too(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    [(flags, told), _] = CACHES
    plain = command("lm_eval", *line(tiny_model, *flags), cwd=tmp_path, before=few_tasks)
    assert plain.returncode != 0
    assert told in plain.stderr
    assert "Leave it out" in plain.stderr


@pytest.mark.parametrize("option", [{"use_cache": "cache"}, {"cache_requests": True}])
def test_caches_are_refused_in_python_too(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments: dict[str, Any] = {"pretrained": str(tiny_model)}
    manager = OwnTaskManager(arguments)
    with pytest.raises(SftgenError, match=f"--{next(iter(option))}"):
        simple_evaluate("sftgen-hf", arguments, [TASK], limit=1, device="cpu", task_manager=manager, **option)


# ------------------------------------------------------------------------------ other documents, one run


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ('{"docs_seed": 2}', "docs_seed was 1, is now 2"),
        ("{}", "docs_seed was 1, is now None"),
        ('{"docs_seed": 1, "sftgen_parity": {"seed": 5}}', "sftgen_parity was None"),
    ],
)
def test_other_documents_are_refused_before_anything_is_generated(
    tiny_model: Path, run: Path, after: str, told: str
) -> None:
    before = RunFolder(run).manifest()
    with pytest.raises(SftgenError, match=f"holds responses to other documents of {TASK}: .*{told}"):
        run_command_line(line(tiny_model, "--metadata", after), run)
    assert RunFolder(run).manifest()["documents"] == before["documents"]
    assert len(RunFolder(run).read_generations(TASK)) == 2
    (run / "manifest.json").unlink()  # as if it had been killed before it was told of the documents
    with pytest.raises(SftgenError, match="2 of 2 are not among"):
        check_documents(Recording(RunFolder(run)), TASK, [{"question": "another one"}])


def test_more_documents_of_the_same_are_no_other_ones(tiny_model: Path, run: Path) -> None:
    for limit, made in (("5", 5), ("3", 5)):
        run_command_line([*line(tiny_model, "--metadata", '{"docs_seed": 1}'), "--limit", limit], run)
        assert len(RunFolder(run).read_generations(TASK)) == made


# ------------------------------------------------------------------------------ settings at the doors


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--gen_kwargs", "top_n_sigma=1.0"], "top_n_sigma=1.0: sftgen-hf does not apply it"),
        (["--gen_kwargs", "max_new_tokens=4"], "Use max_gen_toks"),
        (["--gen_kwargs", "temperature=-1"], "temperature=-1.0: expected a number from 0"),
    ],
)
def test_a_setting_that_is_not_applied_is_refused_before_a_model_is_loaded(
    tmp_path: Path, tiny_model: Path, flags: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sftgen_tasks.harness.command_line.register_models", pytest.fail)
    with pytest.raises(SftgenError, match=told):
        run_command_line([*line(tiny_model), *flags], tmp_path / "run")


def test_a_suite_is_checked_before_a_training_and_before_a_checkpoint_is_loaded(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sftgen_train.evaluation.evaluator.make_model", pytest.fail)
    suite = Suite([Tier([TASK], every=1, limit=2)], gen_kwargs={"top_n_sigma": 1})
    with pytest.raises(SftgenError, match="top_n_sigma=1: sftgen-hf does not apply it"):
        evaluate_checkpoint(tiny_model, run_dir=tmp_path, suite=suite)
    (tmp_path / "queue").mkdir()
    suite.write(Queue(tmp_path).suite)
    with pytest.raises(SftgenError, match="top_n_sigma=1: sftgen-hf does not apply it"):
        work(tmp_path, policy=Policy(wait=False))
    with pytest.raises(SftgenError, match="top_n_sigma=1: sftgen-hf does not apply it"):
        HarnessCallback(tasks=[TASK], every=1, form="in_process", gen_kwargs={"top_n_sigma": 1})


@pytest.mark.parametrize("setting", [{"temperature": 0}, {"do_sample": False, "temperature": 0.7}])
def test_greedy_is_recorded_as_greedy_however_it_is_written(
    tiny_model: Path, tmp_path: Path, setting: dict[str, Any]
) -> None:
    lm = RecordingHFLM(str(tiny_model), device="cpu", batch_size="auto")
    tasks = load_tasks([TASK], gen_kwargs={"max_gen_toks": 4, "do_sample": True, **setting})
    evaluate(lm, tasks, Recording(RunFolder(tmp_path), seed=0), limit=2)
    records = RunFolder(tmp_path).read_generations(TASK)
    assert [(record.sampling["do_sample"], record.sampling["temperature"]) for record in records] == [(False, 0.0)] * 2
    assert {record.seed for record in records} == {None}


def test_the_size_of_a_batch_may_be_auto(tiny_model: Path, run: Path) -> None:
    """Nothing is made again: the same keys."""
    more = [*line(tiny_model, "--metadata", '{"docs_seed": 1}'), "--batch_size", "auto", "--cache_requests", "delete"]
    [result] = run_command_line(more, run)
    assert (result.documents, len(RunFolder(run).read_generations(TASK))) == (2, 2)


# ------------------------------------------------------------------------------ thinking


@pytest.fixture
def thinking(monkeypatch: pytest.MonkeyPatch) -> str:
    """A stock model whose every response is this text, taken apart as lm_eval does it."""
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.utils import postprocess_generated_text

    text = "<think> hmm, 3? no.</think>\n\nThe answer is 7."

    def generate_until(self: Any, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        return [postprocess_generated_text(text, None, self.think_end_token) for _ in requests]

    monkeypatch.setattr(HFLM, "generate_until", generate_until)
    return text


def test_a_stock_model_leaves_the_thinking_to_us(
    tiny_model: Path, tmp_path: Path, thinking: str, caplog: pytest.LogCaptureFixture
) -> None:
    lm = make_model("hf", pretrained=str(tiny_model), device="cpu", think_end_token="</think>", enable_thinking=True)
    with caplog.at_level(logging.WARNING):
        evaluate(lm, load_tasks([TASK]), Recording(RunFolder(tmp_path)), limit=2)
    assert lm.think_end_token == "</think>"  # as it was, for other tasks
    assert {record.text for record in RunFolder(tmp_path).read_generations(TASK)} == {thinking}
    assert "think_end_token='</think>' is not applied" in caplog.text


def test_beside_stock_tasks_the_thinking_may_not_be_taken_off(tiny_model: Path) -> None:
    class Other:
        think_end_token = "</think>"

    tasks = {**load_tasks([TASK]).tasks, "stock": object()}
    with pytest.raises(SftgenError, match="stock may need it"):
        guarded(pytest.fail, Task)(Other(), {"tasks": tasks})


# ------------------------------------------------------------------------------ lengths


def test_a_check_that_cannot_be_made_is_said(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from sftgen_tasks.harness import budgets, generation

    generation.token_counter.cache_clear()
    budgets._say_once.cache_clear()
    bare = Path(shutil.copytree(tiny_model, tmp_path / "bare", ignore=shutil.ignore_patterns("tokenizer*")))
    [built] = load_tasks([TASK], {"pretrained": str(bare), "docs_size": 4}).tasks.values()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            built.build_all_requests(limit=2)
    assert caplog.text.count("is not checked, since its tokenizer cannot be loaded") == 1
