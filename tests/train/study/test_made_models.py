"""A model that a study makes is known by what it is made of, and by the libraries that make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftgen_train.study import parts as parts_module
from sftgen_train.study.parts import kept_model, parts_of
from sftgen_train.study.planning import plan_study
from sftgen_train.study.reading import read_study, shipped_studies

DEMO = shipped_studies()["demo"]


def states(folder: Path) -> dict[str, str]:
    return dict(plan_study(read_study(DEMO), DEMO, folder, device="h100").materials)


def test_another_torch_makes_another_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    versions = {"torch": "2.1.0", "transformers": "5.0.0"}
    monkeypatch.setattr(parts_module, "version", versions.__getitem__)
    before = parts_of(read_study(DEMO), DEMO, tmp_path)
    [direct, hesitant] = before.models
    assert hesitant.label == "model tiny-hesitant (by torch 2.1.0, transformers 5.0.0)"
    for model in before.models:
        kept_model(model.path).mkdir(parents=True)
    assert states(tmp_path)[direct.label] == "made before, in the cache"
    versions["torch"] = "2.2.0"
    after = parts_of(read_study(DEMO), DEMO, tmp_path)
    assert not {of.path for of in before.models} & {of.path for of in after.models}
    assert not {run.folder for run in before.runs} & {run.folder for run in after.runs}
    assert states(tmp_path)[after.models[0].label] == "to make"
