"""A lease is checked to the last byte, whatever the clock or a cache says."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from sftgen_judges.records import hash_cache
from sftgen_judges.records.former_id import former_folder_id
from sftgen_train.checkpoints.leases import STABLE, CheckpointError, is_complete, lease, mark_stable, verify_stable


@pytest.fixture
def leased(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkpoint = Path(shutil.copytree(tiny_model, tmp_path / "checkpoint-4"))
    mark_stable(checkpoint)
    lease(checkpoint, tmp_path / "step-4")
    shutil.rmtree(checkpoint)
    monkeypatch.setattr(hash_cache, "SETTLED", -3600.0)  # the cache takes what stands
    return tmp_path / "step-4"


def damage(path: Path, place: int, *, text: bytes = b"") -> None:
    status, data = path.stat(), bytearray(path.read_bytes())
    if text:
        data[place : place + len(text)] = text
    else:
        data[place] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("place", [-1, -2000, -9001, 9000])
def test_a_flipped_bit_is_noticed(leased: Path, place: int) -> None:
    assert verify_stable(leased) == verify_stable(leased)
    damage(leased / "model.safetensors", place)
    with pytest.raises(CheckpointError, match="has changed since it was saved"):
        verify_stable(leased)


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja", "generation_config.json"])
def test_another_tokenizer_or_template_is_noticed(leased: Path, name: str) -> None:
    content = (leased / name).read_bytes()
    damage(leased / name, content.rindex(b"e"), text=b"a")
    with pytest.raises(CheckpointError, match="has changed since it was saved"):
        verify_stable(leased)


def test_a_lease_of_an_older_sftgen_is_checked_in_its_own_way(leased: Path) -> None:
    former = former_folder_id(leased)
    facts = json.loads((leased / STABLE).read_text())
    (leased / STABLE).write_text(json.dumps({**facts, "model_id": former}))
    assert verify_stable(leased) == former
    (leased / STABLE).write_text(json.dumps({**facts, "model_id": "folder:" + "0" * 64}))
    with pytest.raises(CheckpointError, match="other weights"):
        verify_stable(leased)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_id": "x", "files": 3}'])
def test_a_mark_that_cannot_be_read_is_said(leased: Path, text: str) -> None:
    (leased / STABLE).write_text(text)
    with pytest.raises(CheckpointError, match=r"STABLE\.json: cannot be read"):
        verify_stable(leased)


HEADERS = {
    "a list": b"[1]", "a text": b'"a"', "no offsets": b'{"w": {}}',
    "offsets are a text": b'{"w": {"data_offsets": "ab"}}',
    "one offset": b'{"w": {"data_offsets": [0]}}', "lists in lists": b"[" * 9_999, "no text": b"\xff\xfe",
}  # fmt: skip


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_weights_with_a_header_of_another_shape_are_no_whole_checkpoint(leased: Path, header: bytes) -> None:
    (leased / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"0" * 64)
    with pytest.raises(CheckpointError, match="half written or damaged"):
        verify_stable(leased)
    assert not is_complete(leased)


@pytest.mark.parametrize("text", ["[]", "{", '{"weight_map": []}', '{"weight_map": {"w": 5}}', '{"weight_map": null}'])
def test_an_index_of_another_shape_is_no_index(leased: Path, text: str) -> None:
    (leased / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match="not an index of weights"):
        verify_stable(leased)
