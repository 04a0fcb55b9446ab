r"""What only changes how an answer looks: LaTeX's fonts, sizes, colours and spaces, Markdown, Unicode's signs.

One list for all readers of answers. `plain_text` is for prose (a letter, Yes or No, a name), `plain_latex` for
formulas. Both take time linear in the length of the text.
"""

from __future__ import annotations

import re

from sftgen_tasks.readers.commands import without_looks
from sftgen_tasks.readers.signs import in_ascii, in_latex

# ------------------------------------------------------------------------------ Markdown, HTML

_EMPHASIS = re.compile(r"(?<![\w*)}])(\*{1,3}|_{2,3}|`{1,3})(?=[^\s*`])([^*`\n]{1,2000}?)(?<=[^\s*`])\1(?![\w*({])")
_HTML = re.compile(r"</?(?:b|strong|i|em|u|mark|span|center|p|code|br)(?: [^<>]{0,60})?/?>", re.IGNORECASE)
_HTML_SCRIPT = re.compile(r"<(su[bp])>([^<>]{1,60})</\1>", re.IGNORECASE)
_STRUCK = re.compile(
    r"~~(?=[^\s~])[^~\n]{1,200}(?<=\S)~~|\\(?:[bx]?cancel|sout|st)\s*\{[^{}]{0,200}\}|<(s|del|strike)>[^<\n]{0,200}</\1>"
)
_BLANKS = re.compile(r"[ \t]{2,}")
_LINE_START = re.compile(r"^[ \t]{0,3}(?:#{1,6}[ \t]|>[ \t]?)", re.MULTILINE)


def plain_text(text: str) -> str:
    r"""Prose without what only changes its look. Lines, brackets, quotes and dashes stay.

    Commands for fonts, sizes, colours and boxes leave their argument. LaTeX's delimiters of formulas, its spaces and
    braces go, as do Markdown's and HTML's emphasis, headings and code marks, and invisible characters. Full-width and
    mathematical letters, digits and signs and typographic quotes become ASCII.

    >>> plain_text(r"**Answer:** $\boxed{\textbf{(B)}\ 4}$")
    'Answer: (B) 4'
    """
    text = _HTML.sub("", _HTML_SCRIPT.sub(r"\2", _LINE_START.sub("", in_ascii(text))))
    text = without_looks(text, words=False).replace("~", " ").replace("$", "").replace("`", "").replace("*", "")
    return _BLANKS.sub(" ", text.replace("__", "")).strip()


def without_struck(text: str) -> str:
    """A text without what is struck out in it.

    >>> without_struck("Answer: ~~B~~ C")
    'Answer:   C'
    """
    return _STRUCK.sub(" ", text)


def plain_latex(text: str, blanks: bool = False) -> str:
    r"""A formula in plain LaTeX: equal results look different at most.

    Words, units and names of functions stay in `\text{}`, whatever command they were in. Unicode's signs become
    LaTeX's, and what LaTeX can write in several ways is written in one.

    Args:
        text: An answer, without the box around it.
        blanks: Whether all blanks stay, one in a row. Without it only those between two letters or digits do.

    >>> plain_latex(r"$\left( \dfrac12 ,\, \mathbf{x}² \right)$."), plain_latex("4√2 \\mathrm{cm}")
    ('(\\frac{1}{2},x^{2})', '4\\sqrt{2}\\text{cm}')
    """
    text = _EMPHASIS.sub(r"\2", _HTML.sub("", _HTML_SCRIPT.sub(_script, in_ascii(text))))
    text = without_looks(in_latex(text), words=True)
    for pattern, replacement in _ONE_WAY:
        text = pattern.sub(replacement, text)
    text = _TRAILING.sub("", " ".join(text.split()))
    return text if blanks else _NEEDLESS.sub(r"\1", text)


def _script(found: re.Match[str]) -> str:
    return f"{'^' if found[1].lower() == 'sup' else '_'}{{{found[2]}}}"


_ONE_WAY = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\$|~|\\checkmark(?![a-zA-Z])|[\u2713\u2714\u2705]", " "),
        (r"\{\s?([-+])\s?\}", r"\1"),
        (r"[\u20ac\u00a3\u00a5\u20b9]|\\(?:pounds|euro|textdollar|textsterling|texteuro)(?![a-zA-Z])|\"", ""),
        (r"\\textsuperscript\s*\{", "^{"),
        (r"\\textsubscript\s*\{", "_{"),
        (r"\\[dtcs]frac(?![a-zA-Z])|\\nicefrac(?![a-zA-Z])", r"\\frac"),
        (r"\\[dt]binom(?![a-zA-Z])", r"\\binom"),
        (r"\\(?:leqslant|leqq|leq)(?![a-zA-Z])|<=", r"\\le "),
        (r"\\(?:geqslant|geqq|geq)(?![a-zA-Z])|>=", r"\\ge "),
        (r"\\(?:neq|not\s*=)(?![a-zA-Z])|!=|\\not\s*=", r"\\ne "),
        (r"\\(?:lt)(?![a-zA-Z])", "<"),
        (r"\\(?:gt)(?![a-zA-Z])", ">"),
        (r"\\(?:[lr]?vert)(?![a-zA-Z])", "|"),
        (r"\\lbrack(?![a-zA-Z])", "["),
        (r"\\rbrack(?![a-zA-Z])", "]"),
        (r"\\(?:varnothing|O)(?![a-zA-Z])", r"\\emptyset "),
        (r"\\(?:dots[cbmio]?|cdots|hdots)(?![a-zA-Z])|\.\.\.", r"\\ldots "),
        (r"\\(?:R|reals)(?![a-zA-Z])", r"\\mathbb{R}"),
        (r"(?<=\d)\s*\{\}(?=\s?\^)", ""),
        (r"(?<=\d)\s*\^\s*(?:o(?![a-zA-Z])|\{\s*o\s*\})|(?<![a-zA-Z])\{\s*\^\s*\\circ\s*\}", r"^\\circ "),
        (r"\A\s*_([^_]{1,200})_\s*\Z", r"\1"),
        (r"\u00a2", r"\\text{ cents}"),
        (r"\\(?:degree|textdegree|degrees)(?![a-zA-Z])|\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![a-zA-Z])", r"^\\circ "),
        # A function, a constant or a sign without its backslash.
        (
            r"(?<![a-zA-Z\\])(?<!text\{)(sqrt|frac|pi|theta|infty|arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp"
            r"|gcd)(?![a-zA-Z])",
            r"\\\1",
        ),
        (r"(?<![a-zA-Z\\])infinity(?![a-zA-Z])", r"\\infty "),
        (r"\\sqrt\s*\(([^()]{1,200})\)", r"\\sqrt{\1}"),
        (r"\\sqrt\s*(\d|[a-zA-Z])", r"\\sqrt{\1}"),
        (r"\\frac\s*(\d|[a-zA-Z])\s*(\d|[a-zA-Z])", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d|[a-zA-Z])\s*\{", r"\\frac{\1}{"),
        (r"(\\frac\s*\{[^{}]{0,200}\})\s*(\d|[a-zA-Z])", r"\1{\2}"),
        (r"([\^_])\s*([0-9a-zA-Z])(?![0-9])", r"\1{\2}"),
        (r"\^\s*\{\s*\\prime\s*\\prime\s*\}", "''"),
        (r"\^\s*(?:\{\s*\\prime\s*\}|\\prime(?![a-zA-Z]))", "'"),
        (r"\\(overline|bar|dot|hat|vec|tilde)\s*(\d|[a-zA-Z])(?![a-zA-Z])", r"\\\1{\2}"),
        (r"\\text\{\s*\}", " "),
    )
]
_TRAILING = re.compile(r"(?:[\s.,;:]|\\){1,50}\Z")
# A blank between two digits or letters stays: 1 2 is not 12.
# So does one in `1, 234`, which is not 1,234.
_NEEDLESS = re.compile(r"(\\[a-zA-Z]{1,30}) (?![a-zA-Z])|(?<!\w) (?<!\d, (?=\d{3}(?!\d)))| (?!\w)")
