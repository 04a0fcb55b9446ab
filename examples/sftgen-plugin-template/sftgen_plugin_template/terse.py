"""`template_unrepeated`, a selector, and `template_terse`, a recipe: training data that do not go round in circles."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sftgen_judges import Candidate, Recipe, Selector
from sftgen_plugin_template.repetition import repeated


class Options(BaseModel):
    """The options that a recipe may set, with their defaults."""

    model_config = ConfigDict(extra="forbid")

    most: float = Field(default=0.2, ge=0, le=1)


def unrepeated(candidates: Sequence[Candidate], options: Options, rng: random.Random) -> list[Candidate]:
    """The responses of one prompt of which few 4-grams stood before; a short one has none and stays."""
    return [one for one in candidates if (repeated(one.response.text) or 0.0) <= options.most]


UNREPEATED = Selector("template_unrepeated", version=1, select=unrepeated, options=Options)
TERSE = Recipe("template_terse", file=Path(__file__).parent / "terse.yaml")
