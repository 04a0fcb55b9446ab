"""LaTeX as MathML, which browsers set themselves; what cannot be read stays as it was written."""

from __future__ import annotations

from functools import lru_cache
from xml.etree import ElementTree

from markupsafe import Markup

_LONGEST = 1_000
_DEEPEST = 40
# MathML Core without links, actions and foreign content.
_ELEMENTS = frozenset(
    [
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "mtext",
        "mspace",
        "ms",
        "mfrac",
        "msqrt",
        "mroot",
        "mstyle",
        "merror",
        "mpadded",
        "mphantom",
        "msub",
        "msup",
        "msubsup",
        "munder",
        "mover",
        "munderover",
        "mmultiscripts",
        "mprescripts",
        "none",
        "mtable",
        "mtr",
        "mtd",
        "menclose",
    ]
)
_ATTRIBUTES = frozenset(
    [
        "display",
        "mathvariant",
        "stretchy",
        "fence",
        "separator",
        "lspace",
        "rspace",
        "minsize",
        "maxsize",
        "linethickness",
        "columnalign",
        "rowalign",
        "columnspacing",
        "rowspacing",
        "columnlines",
        "rowlines",
        "notation",
        "accent",
        "accentunder",
        "movablelimits",
        "largeop",
        "symmetric",
        "form",
        "width",
        "height",
        "depth",
        "displaystyle",
        "scriptlevel",
    ]
)


@lru_cache(maxsize=4096)
def mathml(latex: str, *, display: bool = False) -> Markup | None:
    """A formula as MathML.

    Args:
        latex: The formula, without delimiters.
        display: Whether it stands in a line of its own.

    Returns:
        None if it is too long, too deep, or cannot be read.
    """
    if (
        len(latex) > _LONGEST
        or _depth(latex) > _DEEPEST
        or (not latex.isprintable() and not latex.replace("\n", "").isprintable())
    ):
        return None
    from latex2mathml.converter import convert

    try:
        tree = ElementTree.fromstring(convert(latex, display="block" if display else "inline"))
    except Exception:  # a stranger's formula: any error of the reader means that it stays text
        return None
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
        if element.tag not in _ELEMENTS:
            return None
        element.attrib = {name: value for name, value in element.attrib.items() if name in _ATTRIBUTES}
    return Markup(ElementTree.tostring(tree, encoding="unicode"))


def _depth(latex: str) -> int:
    depth = deepest = 0
    for letter in latex:
        depth += (letter == "{") - (letter == "}")
        deepest = max(deepest, depth)
    return max(deepest, latex.count("\\left"))
