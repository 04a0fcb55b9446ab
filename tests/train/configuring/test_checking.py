"""Configuration files: every mistake at once, also where a value may have several forms or a model checks itself."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sftgen_judges.errors import SftgenError
from sftgen_train.configuring.checking import Mistake, read_config


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    share: float = Field(default=0.5, ge=0, le=1)


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["first", "second"] | list[int] = "first"
    asked: str | Asked
    others: list[Asked] = []
    named: dict[str, Asked] = {}

    @model_validator(mode="after")
    def _kind_goes_with_others(self) -> Whole:
        if self.kind == "second" and not self.others:
            raise ValueError("`kind: second` needs `others`")
        return self


class TestError(SftgenError):
    __test__ = False


def told(folder: Path, text: str) -> list[str]:
    """What is said after the file's name: a line and a text for each mistake."""
    path = folder / "whole.yaml"
    path.write_text(text)
    with pytest.raises(TestError) as error:
        read_config(path, Whole, kind="test", error=TestError, also=lambda _: [Mistake(("named", "b"), "b is no name")])
    first, *lines = str(error.value).splitlines()
    assert first == f"test {str(path)!r} has {len(lines)} mistake{'s' * (len(lines) > 1)}:"
    return [line.removeprefix(f"{path}:") for line in lines]


def test_forms_lists_and_mappings(tmp_path: Path) -> None:
    text = """kind: [1, x]
asked: {nam: a}
others:
  - name: a
  - {name: b, share: 2}
  - {name: c, shar: 2}
named:
  b: {name: 5}
  b: 7
"""
    assert told(tmp_path, text) == [
        "1: kind.1: 'x': input should be a valid integer, unable to parse string as an integer",
        "2: asked.name is missing",
        "2: asked.nam is unknown; did you mean 'name'?",
        "5: others.1.share: '2': input should be less than or equal to 1",
        "6: others.2.shar is unknown; did you mean 'share'?",
        "9: b stands twice",
        "9: named.b: '7': input should be a valid dictionary or instance of Asked",
        "9: b is no name",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind: secnd\nasked: a", "1: kind: 'secnd': input should be 'first' or 'second'; did you mean 'second'?"),
        ("kind: 7\nasked: a", "1: kind: '7': input should be 'first' or 'second', or input should be a valid list"),
        ("kind: second\nasked: a", "1: the file: `kind: second` needs `others`"),
        ("asked: 3", "1: asked: '3': input should be a valid string, or input should be a valid dictionary or instance "
                     "of Asked"),
    ],
)  # fmt: skip
def test_one_mistake(tmp_path: Path, text: str, line: str) -> None:
    assert line in told(tmp_path, text)
