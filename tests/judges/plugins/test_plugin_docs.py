"""docs/plugins.md says what the hook specifications say."""

from __future__ import annotations

import inspect

import pytest

import sftgen_judges
from sftgen_judges.plugins.contracts import KINDS
from sftgen_judges.plugins.hookspecs import HOOKS, SPECIFICATIONS
from tests import ROOT

PAGE = ROOT / "docs" / "plugins.md"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    specification = getattr(SPECIFICATIONS, hook)
    signature = f"{hook}({', '.join(inspect.signature(specification).parameters)})"
    first_line = (inspect.getdoc(specification) or "").splitlines()[0]
    text = PAGE.read_text(encoding="utf-8")
    assert signature in text
    assert " ".join(first_line.split()) in " ".join(text.split())


@pytest.mark.parametrize("kind", KINDS)
def test_every_contract_is_in_the_face_and_documented(kind: str) -> None:
    contract = KINDS[kind].contract
    assert getattr(sftgen_judges, contract.__name__) is contract
    assert contract.__name__ in sftgen_judges.__all__
    assert f"`{contract.__name__}`" in PAGE.read_text(encoding="utf-8").split("The contracts are")[1].split(".")[0]
