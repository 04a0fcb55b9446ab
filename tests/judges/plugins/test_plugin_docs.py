"""docs/plugins.md says what the hook specifications say."""

from __future__ import annotations

import inspect

import pytest

from sftgen_judges.plugins import hookspecs
from sftgen_judges.plugins.manager import HOOKS
from tests import ROOT

PAGE = ROOT / "docs" / "plugins.md"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    specification = getattr(hookspecs, hook)
    signature = f"{hook}({', '.join(inspect.signature(specification).parameters)})"
    first_line = (inspect.getdoc(specification) or "").splitlines()[0]
    text = PAGE.read_text(encoding="utf-8")
    assert signature in text
    assert " ".join(first_line.split()) in " ".join(text.split())
