"""`sftgen data recipes`."""

from __future__ import annotations

from typing import Annotated

import typer

from sftgen_train.cli.completing import complete_recipe
from sftgen_train.cli.console import console


def show_recipes(
    name: Annotated[
        str, typer.Argument(help="Only this recipe, with its steps and what it is.", autocompletion=complete_recipe)
    ] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recipes of training sets and the selectors that their steps can be."""
    import json

    from rich.markup import escape

    from sftgen_judges.plugins.contracts import KINDS
    from sftgen_judges.plugins.manager import plugins
    from sftgen_judges.records.schema import printable
    from sftgen_train.curation.selecting.recipes import Plan

    def shown(text: str) -> str:
        return escape(printable(text))

    names = [name] if name else sorted(plugins().registered(KINDS["recipe"].hook))
    plans = {each: Plan.of(each, each) for each in names}
    if as_json:
        facts = {each: {**plan.to_dict(), "about": plan.recipe.about} for each, plan in plans.items()}
        print(json.dumps(facts, indent=1))
        return
    width = max(map(len, plans))
    for each, plan in plans.items():
        steps = ", ".join(step.selector.name for step in plan.steps)
        rows = f"{plan.rows:,}" if plan.rows else "all"
        console.print(
            f"[bold]{shown(each):<{width}}[/]  {rows:>6} rows  {shown(steps)}", soft_wrap=True, highlight=False
        )
    if name:
        plan = plans[name]
        console.print(shown(plan.recipe.about.strip()), soft_wrap=True, highlight=False)
        for step in plan.steps:
            told = json.dumps(step.to_dict()["options"])
            console.print(
                f"{step.number + 1}. {shown(step.selector.name)} {shown(told)}", soft_wrap=True, highlight=False
            )
        return
    selectors = ", ".join(sorted(plugins().registered(KINDS["selector"].hook)))
    console.print(f"\nselectors: {shown(selectors)}", soft_wrap=True, highlight=False)
