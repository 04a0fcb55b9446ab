"""What is put in the place of something of lm_eval's is gone when its block ends, however it ends."""

from __future__ import annotations

import importlib
import json
import sys
import types
from importlib.machinery import ModuleSpec

import pytest

from sftgen_tasks.harness.patches import hidden, packages_read_here, replaced, spare_vllms_bar


class Model:
    """Has a method that is its class's."""

    def answer(self) -> str:
        return "own"


def test_a_method_of_one_object_is_its_classs_again() -> None:
    model = Model()

    def fail() -> None:
        with replaced(model, "answer", lambda: "other"):
            assert (model.answer(), Model().answer()) == ("other", "own")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert model.answer() == "own"
    assert vars(model) == {}


def test_an_attribute_of_a_module_is_put_back() -> None:
    module = types.ModuleType("mine")
    module.value = 1  # type: ignore[attr-defined]
    with replaced(module, "value", 2):
        assert module.value == 2  # type: ignore[attr-defined]
    assert module.value == 1  # type: ignore[attr-defined]


def test_a_hidden_package_cannot_be_imported_and_then_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with hidden("this", "json"):
        with pytest.raises(ImportError):
            importlib.import_module("this")
        assert importlib.import_module("json") is json
    assert importlib.import_module("this").s


def test_the_packages_of_the_results_are_those_that_pip_names() -> None:
    from torch.utils import collect_env

    def no_process(_line: object) -> None:
        raise AssertionError

    expected = collect_env.get_pip_packages(collect_env.run)  # type: ignore[no-untyped-call]
    assert "torch==" in expected[1]
    with packages_read_here():
        assert collect_env.get_pip_packages(no_process) == expected  # type: ignore[no-untyped-call]


def test_vllm_is_asked_for_no_bar_where_bars_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It divides by the time of its bar, which is 0 then."""

    class LLM:
        def generate(self, prompt: str, use_tqdm: bool = True) -> tuple[str, bool]:
            return prompt, use_tqdm

    vllm = types.ModuleType("vllm")
    vllm.LLM = LLM  # type: ignore[attr-defined]
    vllm.__spec__ = ModuleSpec("vllm", None)
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    spare_vllms_bar.cache_clear()
    spare_vllms_bar("sftgen-vllm")
    assert LLM().generate("p") == ("p", True)
    spare_vllms_bar("vllm")
    assert LLM().generate("p", use_tqdm=True) == ("p", False)
    spare_vllms_bar.cache_clear()
