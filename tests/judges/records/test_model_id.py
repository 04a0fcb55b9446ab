"""The identity of what generates: everything that can change text changes it, and nothing else does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records import hash_cache, weights
from sftgen_judges.records.former_id import former_folder_id
from sftgen_judges.records.model_id import folder_id, identity, identity_in_memory, is_former, model_id

Change = Callable[[Path], Any]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def flip(name: str, place: float) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        data = bytearray(path.read_bytes())
        data[int(len(data) * place) - (place == 1.0)] ^= 1
        path.write_bytes(data)

    return change


def setting(name: str, key: str, value: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        settings = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**settings, key: value}))

    return change


def write(name: str, text: str = "text") -> Change:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(
            pytest.param(flip("model.safetensors", place), id=f"weights {place}")
            for place in (0.3, 0.5, 0.77, 0.9, 1.0)
        ),
        pytest.param(setting("config.json", "rope_theta", 5), id="config"),
        pytest.param(setting("config.json", "dtype", "bfloat16"), id="dtype of the config"),
        pytest.param(setting("generation_config.json", "eos_token_id", 7), id="end token"),
        pytest.param(setting("tokenizer_config.json", "eos_token", "a"), id="end token of the tokenizer"),
        pytest.param(setting("tokenizer_config.json", "add_bos_token", True), id="begin token"),
        pytest.param(setting("special_tokens_map.json", "eos_token", "a"), id="special tokens"),
        pytest.param(setting("added_tokens.json", "<x>", 9), id="added tokens"),
        pytest.param(setting("tokenizer.json", "normalizer", {"type": "Lowercase"}), id="tokenizer"),
        pytest.param(write("tokenizer.model"), id="sentencepiece"),
        pytest.param(write("merges.txt"), id="merges"),
        pytest.param(write("chat_template.jinja", "{{ 1 }}"), id="chat template"),
        pytest.param(write("pytorch_model.bin"), id="pickled weights"),
        pytest.param(write("model-q4.gguf"), id="gguf"),
        pytest.param(write("quantize_config.json", "{}"), id="quantisation"),
        pytest.param(write("extra.safetensors", "not even safetensors"), id="another file of weights"),
        pytest.param(write("model.safetensors.index.json", '{"weight_map": {}}'), id="index that leaves weights out"),
        pytest.param(lambda folder: (folder / "generation_config.json").unlink(), id="file gone"),
    ],
)
def test_whatever_changes_text_changes_the_id(folder: Path, change: Change) -> None:
    before, kept = model_id(str(folder)), folder_id(folder)
    change(folder)
    assert model_id(str(folder)) != before
    assert folder_id(folder) != kept


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(write("README.md"), id="readme"),
        pytest.param(write("STABLE.json", "{}"), id="our own mark"),
        pytest.param(write("trainer_state.json", "{}"), id="trainer's state"),
        pytest.param(write("training_args.bin"), id="training arguments"),
        pytest.param(write("optimizer.pt"), id="optimizer"),
        pytest.param(write("rng_state_0.pth"), id="random state"),
        pytest.param(write("checkpoint-4/model.safetensors"), id="another checkpoint inside"),
        pytest.param(setting("config.json", "transformers_version", "9"), id="who wrote the config"),
        pytest.param(setting("config.json", "_name_or_path", "elsewhere"), id="where it came from"),
        pytest.param(setting("tokenizer_config.json", "is_local", True), id="where the tokenizer came from"),
        pytest.param(lambda folder: os.utime(folder / "model.safetensors", (1, 1)), id="time"),
        pytest.param(
            lambda folder: (folder / "config.json").write_text(
                json.dumps(dict(reversed(json.loads((folder / "config.json").read_text()).items())), indent=7)
            ),
            id="order of the config",
        ),
    ],
)
def test_what_cannot_change_text_leaves_the_id(folder: Path, change: Change) -> None:
    before, kept = model_id(str(folder)), folder_id(folder)
    change(folder)
    assert (model_id(str(folder)), folder_id(folder)) == (before, kept)


def test_the_same_weights_are_the_same_model_in_shards_in_memory_and_elsewhere(folder: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for name, options in (("whole", {}), ("shards", {"max_shard_size": "20KB"})):
        model.save_pretrained(tmp_path / name, **options)
        tokenizer.save_pretrained(tmp_path / name)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    in_memory = identity_in_memory(model, tokenizer, backend="sftgen-hf")
    found = {identity(str(tmp_path / name), backend="sftgen-hf").id for name in ("whole", "shards")}
    assert found == {in_memory.id, identity(str(folder), backend="sftgen-hf").id}
    tokenizer(["a", "bb"], padding=True)  # it remembers how it padded last
    assert identity_in_memory(model, tokenizer, backend="sftgen-hf").id == in_memory.id
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[-1, -1] += 1e-3  # one number, in neither of two samples
    changed = identity_in_memory(model, tokenizer, backend="sftgen-hf")
    assert in_memory.differences(changed.parts) == ["weights"]
    in_bfloat16 = identity_in_memory(model, tokenizer, backend="sftgen-hf", mixed_precision_dtype=torch.bfloat16)
    assert changed.differences(in_bfloat16.parts) == ["mixed_precision_dtype"]


def test_a_shard_that_is_not_of_the_model_counts_by_its_file(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    before = model_id(str(folder))
    shutil.copy(folder / "model-00001-of-00001.safetensors", folder / "model.safetensors")
    assert model_id(str(folder)) != before


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        ({"dtype": "bfloat16"}, True),
        ({"torch_dtype": "bfloat16"}, True),
        ({"dtype": "auto"}, False),
        ({"revision": "v2"}, True),
        ({"revision": "main"}, False),
        ({"load_in_4bit": True}, True),
        ({"load_in_8bit": False}, True),
        ({"quantization": "fp8"}, True),
        ({"autogptq": "model.safetensors"}, True),
        ({"attn_implementation": "eager"}, True),
        ({"add_bos_token": False}, True),
        ({"enable_thinking": False}, True),
        ({"chat_template_args": {"reasoning_effort": "low"}}, True),
        ({"max_length": 64}, True),
        ({"rope_scaling": {"factor": 2.0}}, True),
        ({"an_argument_of_next_year": 1}, True),
        ({"backend": "causal"}, True),
        ({"weights": "x"}, True),
        ({"config": "x"}, True),
        ({"peft": None}, False),
        ({"device": "cuda:1"}, False),
        ({"batch_size": 4}, False),
        ({"max_batch_size": 4}, False),
        ({"gpu_memory_utilization": 0.5}, False),
        ({"tensor_parallel_size": 2}, False),
        ({"num_concurrent": 8, "timeout": 3, "max_retries": 1}, False),
    ],
    ids=str,
)
def test_arguments_that_can_change_text_count(tiny_model: Path, arguments: dict[str, Any], counts: bool) -> None:
    assert (model_id(str(tiny_model), **arguments) != model_id(str(tiny_model))) is counts


def test_adapters_count_by_content_and_so_does_their_base(folder: Path, tmp_path: Path) -> None:
    def adapter(name: str, weights: str, base: str) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_text(weights)
        (tmp_path / name / "adapter_config.json").write_text(
            json.dumps({"base_model_name_or_path": base, "lora_alpha": 8})
        )
        return str(tmp_path / name)

    a, same, b = (adapter(name, text, "org/base") for name, text in (("a", "1"), ("same", "1"), ("b", "2")))
    for argument in ("peft", "lora_local_path", "delta"):
        ids = [model_id(str(folder)), *(model_id(str(folder), **{argument: path}) for path in (a, same, b))]
        assert ids[1] == ids[2]
        assert len(set(ids)) == 3
    setting("adapter_config.json", "lora_alpha", 16)(Path(same))
    assert model_id(str(folder), peft=same) != model_id(str(folder), peft=a)
    # An adapter's own folder as the model: the base that it names is part of it.
    on_folder = adapter("on", "1", str(folder))
    before = model_id(on_folder)
    flip("model.safetensors", 0.6)(folder)
    assert model_id(on_folder) != before


def test_another_tokenizer_counts_by_content(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    assert model_id(str(folder), tokenizer=str(other)) == model_id(str(folder))
    setting("tokenizer_config.json", "eos_token", "a")(other)
    assert model_id(str(folder), tokenizer=str(other)) != model_id(str(folder))


def test_subfolders_and_single_files_are_the_weights_that_are_named(folder: Path) -> None:
    shutil.copytree(folder, folder / "inner")
    whole = model_id(str(folder), subfolder="inner")
    flip("inner/model.safetensors", 0.6)(folder)
    assert model_id(str(folder), subfolder="inner") != whole
    write("a.gguf", "1")(folder)
    named = model_id(str(folder), gguf_file="a.gguf")
    write("b.gguf", "2")(folder)
    assert model_id(str(folder), gguf_file="a.gguf") == named
    assert model_id(str(folder), gguf_file="b.gguf") != named


def test_our_own_models_have_their_seed_in_the_sampling_settings(tiny_model: Path) -> None:
    ids = {backend: [identity(str(tiny_model), {"seed": seed}, backend=backend).id for seed in (1, 2)]
           for backend in ("sftgen-hf", "vllm")}  # fmt: skip
    assert len(set(ids["sftgen-hf"])) == 1
    assert len({*ids["vllm"], *ids["sftgen-hf"]}) == 3


# ------------------------------------------------------------------------------ models that are not here


def test_a_model_of_the_hub_is_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    from sftgen_judges.records.model_files import _commit

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    _commit.cache_clear()
    assert identity("org/model").local is False
    references = tmp_path / "models--org--model" / "refs"
    references.mkdir(parents=True)
    ids = []
    for commit in ("a" * 40, "b" * 40):
        (references / "main").write_text(commit)
        _commit.cache_clear()
        assert identity("org/model").parts == {"commit": commit}
        ids.append(model_id("org/model"))
    assert ids[0] != ids[1]
    assert model_id("org/model", revision="a" * 40) == ids[0]
    _commit.cache_clear()


def test_a_served_model_is_its_name_and_address_without_secrets() -> None:
    def served(url: str, **arguments: Any) -> str:
        return identity("org/m", {"base_url": url, **arguments}, backend="sftgen-chat", served=True).id

    plain = served("http://host/v1")
    assert plain.startswith("name:org/m:")
    assert served("http://user:secret@host/v1") == plain
    assert served("http://host/v1", api_key="secret", num_concurrent=3) == plain
    assert served("http://other/v1") != plain


# ------------------------------------------------------------------------------ paid once


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose bytes are read."""
    found: list[str] = []
    read = weights.file_leaves
    monkeypatch.setattr(weights, "file_leaves", lambda path: (found.append(path.name), read(path))[1])
    return found


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are remembered as if they had stood for an hour."""
    monkeypatch.setattr(hash_cache, "SETTLED", -3600.0)


@pytest.mark.usefixtures("settled")
def test_bytes_are_read_once_and_nothing_is_written_into_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str], tmp_path: Path
) -> None:
    before = sorted(path.name for path in folder.iterdir())
    assert model_id(str(folder)) == model_id(str(folder), dtype="auto")
    assert reads == ["model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == before
    assert folder_id(folder, fresh=True) == folder_id(folder)
    assert reads == ["model.safetensors"] * 2


@pytest.mark.usefixtures("settled")
def test_a_change_that_keeps_size_and_time_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    path, before = folder / "model.safetensors", model_id(str(folder))
    status = path.stat()
    flip("model.safetensors", 0.6)(folder)
    while True:  # until the file system's clock, which may be a coarse one, has gone on
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        if path.stat().st_ctime_ns != status.st_ctime_ns:
            break
    assert model_id(str(folder)) != before


def test_a_file_that_has_just_been_written_is_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    monkeypatch.setattr(hash_cache, "SETTLED", 3600.0)  # what a busy machine takes between the two is none
    flip("model.safetensors", 0.6)(folder)
    assert model_id(str(folder)) == model_id(str(folder))
    assert len(reads) == 2


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", ["", "{", "[]", '{"leaves": 3}', "flip", "folder"])
def test_a_damaged_cache_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    before = model_id(str(folder))
    [entry] = (hash_cache.cache_folder() / "hashes").iterdir()
    if damage == "flip":
        kept = json.loads(entry.read_text())
        kept["leaves"][0][1] = "0" * 64
        entry.write_text(json.dumps(kept))
    elif damage == "folder":
        entry.unlink()
        entry.mkdir()
    else:
        entry.write_text(damage)
    assert model_id(str(folder)) == before


@pytest.mark.usefixtures("settled")
def test_a_cache_that_cannot_be_written_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = model_id(str(folder))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert model_id(str(folder)) == before


@pytest.mark.usefixtures("settled")
def test_of_too_many_entries_the_older_ones_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_cache, "MOST_ENTRIES", 4)
    for number in range(9):
        shutil.copy(folder / "model.safetensors", folder / f"model-{number}.safetensors")
    model_id(str(folder))
    assert len(list((hash_cache.cache_folder() / "hashes").iterdir())) <= 4


def test_former_ids_are_known_as_such(tiny_model: Path) -> None:
    assert former_folder_id(tiny_model) == former_folder_id(tiny_model)
    assert is_former(former_folder_id(tiny_model))
    assert not is_former(model_id(str(tiny_model)))
