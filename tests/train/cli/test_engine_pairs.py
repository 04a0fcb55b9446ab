"""`sftgen doctor` knows what each vllm goes with, and both files of constraints are the same but for that."""

from __future__ import annotations

import re
from importlib import metadata

import pytest

from sftgen_train.cli import doctor
from tests import ROOT


@pytest.mark.parametrize(
    ("versions", "level", "said"),
    [
        (("0.32.0", "2.13.0+cpu", "5.19.0"), "ok", "vllm 0.32.0 with torch 2.13.0+cpu and transformers 5.19.0"),
        (("0.33.0", "2.14.0", "5.20.2"), "ok", "vllm 0.33.0 with torch 2.14.0 and transformers 5.20.2"),
        (("0.33.0", "2.13.0", "5.20.2"), "error", "it wants torch==2.14.0"),
        (("0.32.0", "2.14.0", "5.20.2"), "error", "it wants torch==2.13.0, transformers<5.20"),
        (("0.31.0", "2.12.0", "5.19.0"), "warning", "vllm 0.31.0: expected one of 0.32, 0.33"),
    ],
)
def test_an_engine_is_named_with_its_pair(
    versions: tuple[str, str, str], level: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = dict(zip(("vllm", "torch", "transformers"), versions, strict=True))
    monkeypatch.setattr(doctor.metadata, "version", installed.__getitem__)
    [finding] = doctor._engine()
    assert finding.level == level
    assert said in finding.message
    assert bool(finding.next_step) == (level != "ok")


@pytest.mark.parametrize(("engine", "said"), [("0.33.0", set()), (None, {"torch", "transformers"})])
def test_beside_a_known_engine_its_pair_alone_judges_torch(
    engine: str | None, said: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"torch": "2.14.0", "transformers": "5.20.2", **({"vllm": engine} if engine else {})}

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor.metadata, "version", version)
    assert {finding.subject for finding in doctor._versions()} == said


@pytest.mark.parametrize(("version", "level"), [("0.4.12", "ok"), ("0.5.0.dev1", "ok"), ("0.5.0", "warning")])
def test_a_preview_that_was_run_is_as_good_as_the_range(
    version: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def versions(name: str) -> str:
        if name != "lm-eval":
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(doctor.metadata, "version", versions)
    [finding] = doctor._versions()
    assert finding.level == level


def test_without_an_engine_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", absent)
    assert list(doctor._engine()) == []


def test_the_constraints_differ_only_in_what_doctor_says() -> None:
    pins = {
        engine: dict(re.findall(r"^([\w-]+)(.*)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE))
        for engine, (file, _) in doctor.ENGINES.items()
    }
    first, second = pins.values()
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} == {"torch", "transformers"}
    for engine, (_, wanted) in doctor.ENGINES.items():
        for name, specifier in wanted.items():
            assert pins[engine][name].endswith(specifier)
