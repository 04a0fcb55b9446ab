"""Recipes: read, checked, and made into a plan whose steps have their selectors and options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sftgen_judges.errors import SftgenError, did_you_mean
from sftgen_judges.plugins.contracts import KINDS, Recipe, Selector
from sftgen_judges.plugins.contracts.curating import Form
from sftgen_judges.plugins.manager import lookup, plugins
from sftgen_train.configuring.checking import Mistake, check, read_config

Place = tuple[Any, ...]
THINKING = "<think>\n{thinking}\n</think>\n\n{answer}"
"""How a response with thinking is written in a row, unless a set says otherwise."""


class RecipeError(SftgenError, ValueError):
    """A recipe that cannot be used."""


class _File(BaseModel):
    """The file of a recipe, see `Recipe`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = ""
    version: int = Field(default=1, ge=1, strict=True)
    steps: list[Any] = Field(min_length=1)
    rows: int | None = Field(default=None, ge=1, strict=True)
    form: Form = "published"


@dataclass(frozen=True)
class Step:
    """A selector with its options, at its place in a recipe.

    Attributes:
        number: Which step, from 0.
        selector: The selector.
        options: Its options as it is given them.
    """

    number: int
    selector: Selector
    options: Any

    def to_dict(self) -> dict[str, Any]:
        """What tells the step apart: two sets of equal steps are the same."""
        options = self.options.model_dump(mode="json") if self.options is not None else {}
        return {"selector": self.selector.name, "version": self.selector.version, "options": options}


@dataclass(frozen=True)
class Plan:
    """How one set is made.

    Attributes:
        name: The set.
        recipe: The recipe that it follows; of steps in a configuration, one with the set's name.
        steps: Its steps.
        rows: How many rows; None for all.
        form: How rows are written.
        seed: Seed of its choices.
        thinking: How a response with thinking is written.
    """

    name: str
    recipe: Recipe
    steps: tuple[Step, ...]
    rows: int | None
    form: Form
    seed: int
    thinking: str = THINKING

    @classmethod
    def of(
        cls,
        name: str,
        recipe: str | None,
        steps: Sequence[Any] | None = None,
        *,
        rows: int | None = None,
        form: Form | None = None,
        thinking: str = THINKING,
        seed: int = 0,
    ) -> Plan:
        """The plan of a recipe, or of steps as a file has them.

        Raises:
            RecipeError: It has mistakes.
            UnknownNameError: There is no such recipe or selector.
        """
        told = [mistake.text for mistake in step_mistakes(recipe, steps, (), None)]
        if told:
            raise RecipeError(f"set {name!r}: {'; '.join(told)}")
        followed = _recipe(recipe) if recipe else Recipe(name, steps=tuple(map(_named, steps or ())))
        made = tuple(_step(number, *named) for number, named in enumerate(followed.steps))
        return cls(name, followed, made, rows or followed.rows, form or followed.form, seed, thinking)

    @cached_property
    def first_choice(self) -> int:
        """The first step that chooses from the whole set; the number of steps where none does."""
        choices = [step.number for step in self.steps if step.selector.choose]
        return choices[0] if choices else len(self.steps)

    @property
    def columns(self) -> set[str]:
        """The columns of the documents that its steps read."""
        read = [step.selector.columns(step.options) for step in self.steps if step.selector.columns]
        return {column for columns in read for column in columns}

    def to_dict(self) -> dict[str, Any]:
        """What makes the set, beside the pool."""
        return {
            "recipe": {"name": self.recipe.name, "version": self.recipe.version},
            "steps": [step.to_dict() for step in self.steps],
            "rows": self.rows,
            "form": self.form,
            "seed": self.seed,
            **({} if self.thinking == THINKING else {"thinking": self.thinking}),
        }


def _recipe(name: str) -> Recipe:
    found: Recipe = lookup("recipe", name)
    if not found.file:
        return found
    read = read_config(found.file, _File, kind="recipe", error=RecipeError)
    steps = tuple(map(_named, read.steps))
    return Recipe(found.name, read.version, steps, read.rows, read.form, read.about)


def _named(given: Any) -> tuple[str, Mapping[str, Any]]:
    """A step as a file has it: a name, or a name with options.

    Raises:
        RecipeError: It is something else.
    """
    if isinstance(given, str):
        return given, {}
    if isinstance(given, Mapping) and len(given) == 1:
        [(name, options)] = given.items()
        if isinstance(options, Mapping | None):
            return str(name), dict(options or {})
    raise RecipeError(f"step {str(given)[:80]!r}: expected the name of a selector, or `name: {{option: value}}`")


def _step(number: int, name: str, options: Mapping[str, Any]) -> Step:
    selector: Selector = lookup("selector", name)
    return Step(number, selector, selector.options.model_validate(dict(options)) if selector.options else None)


def step_mistakes(recipe: str | None, steps: Any, place: Place, facts: frozenset[str] | None) -> Iterator[Mistake]:
    """What is wrong with the steps of a recipe.

    Args:
        recipe: A registered recipe, or
        steps: steps as a file has them.
        place: Where in a file they stand.
        facts: What every candidate has; None where that is not asked.

    Raises:
        RecipeError: The recipe's own file cannot be read, or has mistakes.
    """
    listed = list(_recipe(recipe).steps) if recipe else steps
    if not isinstance(listed, list) or not listed:
        yield Mistake(place, f"{'.'.join(map(str, place))}: expected a list of steps")
        return
    chosen = False
    for number, given in enumerate(listed):
        where = (*place, number)
        try:
            name, options = given if isinstance(given, tuple) else _named(given)
        except RecipeError as error:
            yield Mistake(where, str(error))
            continue
        known = plugins().registered(KINDS["selector"].hook)
        if name not in known:
            yield Mistake(where, f"selector {name!r} is unknown{did_you_mean(name, sorted(known))}")
            continue
        selector: Selector = lookup("selector", name)
        if selector.select and chosen:
            yield Mistake(where, f"selector {name!r} looks at one prompt: expected before those that choose of all")
        chosen = chosen or selector.choose is not None
        if absent := set(selector.needs) - (facts if facts is not None else set(selector.needs)):
            yield Mistake(where, f"selector {name!r} needs {', '.join(sorted(absent))}, {_ADVICE}")
        yield from _option_mistakes(selector, options, (*where, name), ready=facts is not None)


_ADVICE = "which this teacher's responses have not: set teacher.logprobs or teacher.entropy"


def _option_mistakes(selector: Selector, options: Mapping[str, Any], place: Place, *, ready: bool) -> Iterator[Mistake]:
    if selector.options is None:
        if options:
            yield Mistake(place, f"selector {selector.name!r} takes no options, found {', '.join(map(str, options))}")
        made: BaseModel | None = None
    else:
        made, found = check(options, selector.options)
        if made is None:
            yield from (_inside(place, mistake) for mistake in found)
            return
    if ready and selector.check:
        try:
            missing = selector.check(made)
        except SftgenError as error:
            missing = str(error)
        if missing:
            yield Mistake(place, f"selector {selector.name!r}: {missing}")


def _inside(place: Place, mistake: Mistake) -> Mistake:
    """A mistake in the options of a step, at their place in the file."""
    name = ".".join(map(str, place))
    text = f".{mistake.text}" if mistake.place else mistake.text.removeprefix("the file")
    return Mistake((*place, *mistake.place), f"{name}{text}")
