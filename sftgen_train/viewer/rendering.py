"""Templates with what they all use."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sftgen_train.report.reading import short
from sftgen_train.trajectory import WORDS
from sftgen_train.viewer import naming
from sftgen_train.viewer.address import Choice
from sftgen_train.viewer.links import Links
from sftgen_train.viewer.questions import PAGE
from sftgen_train.viewer.writing import visible


@cache
def environment() -> Environment:
    """The templates. Everything that they are given is escaped."""
    made = Environment(
        loader=PackageLoader("sftgen_train.viewer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": naming.number, "score": naming.score, "signed": naming.signed, "count": naming.count,
        "share": naming.share, "step_name": naming.step_name, "at": naming.step_in_address,
        "one_line": naming.one_line,
        "short": lambda task: visible(short(task)), "visible": visible,
        "pair_short": lambda task: (task, short(task)),
    }  # fmt: skip
    made.globals |= {"words": WORDS, "no_choice": Choice(), "per_page": PAGE}
    return made


def page(name: str, /, *, links: Links, **context: Any) -> str:
    """A page, or a part of one, as HTML.

    Args:
        name: Of the template, without `.html.j2`.
        links: Where it leads to.
        context: What it shows.
    """
    html = environment().get_template(f"{name}.html.j2").render(context, links=links)
    # Half of a surrogate pair in a name would stop the encoder.
    return html.encode("utf-8", "replace").decode()
