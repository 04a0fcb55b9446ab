"""`import sftgen`: every name is there, and the import is light."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import sftgen
import sftgen_judges
import sftgen_tasks
import sftgen_train
from sftgen_judges.records.query import open_records
from sftgen_train.evaluation.evaluator import evaluate_checkpoint
from sftgen_train.training.callback import HarnessCallback


@pytest.mark.parametrize("name", sftgen.__all__)
def test_every_name_is_there(name: str) -> None:
    assert name in dir(sftgen)
    assert getattr(sftgen, name) is not None


def test_the_names_are_those_of_the_packages() -> None:
    assert sftgen.load_run is open_records
    assert sftgen.HarnessCallback is HarnessCallback
    assert sftgen.evaluate_checkpoint is evaluate_checkpoint
    assert set(sftgen_judges.__all__) <= set(sftgen.__all__)
    assert all(getattr(sftgen, name) is getattr(sftgen_judges, name) for name in sftgen_judges.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sftgen' has no attribute 'compar'"):
        sftgen.compar  # noqa: B018


@pytest.mark.parametrize("package", [sftgen_judges, sftgen_tasks, sftgen_train])
def test_the_names_of_a_floor_are_seen_before_they_are_used(package: ModuleType) -> None:
    assert set(package.__all__) <= set(dir(package))
    assert all(getattr(package, name) is not None for name in package.__all__)


def test_the_import_is_light() -> None:
    heavy = {"torch", "transformers", "duckdb", "pyarrow", "lm_eval", "trl", "datasets", "sftgen_train"}
    code = f"import sys, sftgen; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
