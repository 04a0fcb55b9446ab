"""What benchmarks with a judge report beside its scores."""

from __future__ import annotations

from sftgen_judges import Item

OF_PARTS = ("clipped", "paper_failed")
"""Measures of judges that ask a model: whether the response was cut for it, and whether the `paper` score failed."""


def shares(item: Item) -> dict[str, float]:
    """Whether the thinking never closed, and what the parts of a judge say of how the response was judged."""
    found = {"unclosed": float(item.response.think == "unclosed")}
    for name in OF_PARTS:
        values = [float(said.measures[name]) for said in item.verdicts if name in said.measures]  # type: ignore[arg-type]
        if values:
            found[name] = max(values)
    return found
