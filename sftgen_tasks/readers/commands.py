r"""LaTeX's commands that only change how a text looks: fonts, sizes, colours, spaces, delimiters of formulas."""

from __future__ import annotations

import re


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FONTS = _names(
    """
    mathbf mathit mathsf mathtt mathnormal mathcal mathscr mathfrak boldsymbol bm bold pmb boxed fbox framebox
    ensuremath underline uline underbar smash mathop mathbin mathrel mathord mathopen mathclose mathinner
    """
)
"""Their argument stays, they go. So does a `\boxed` within an answer."""
_WORDS = _names(
    """
    text textbf textit textrm textsf texttt textnormal textsc textup textmd textsl emph mathrm mbox hbox
    operatorname operatornamewithlimits
    """
)
"""Their argument is words, a unit or the name of a function."""
_NOTHING = _names(
    """
    left right middle big Big bigg Bigg bigl bigr bigm Bigl Bigr Bigm biggl biggr biggm Biggl Biggr Biggm mleft
    mright displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits tiny scriptsize footnotesize small
    normalsize large Large LARGE huge Huge bf it sf tt sl sc em cal bfseries itshape sffamily ttfamily mdseries
    upshape slshape scshape normalfont boldmath unboldmath strut mathstrut centering noindent relax protect nonumber
    notag allowbreak nobreak null
    """
)
_SPACES = _names("quad qquad enspace enskip space thinspace medspace thickspace hfill newline linebreak")
_NO_SPACES = _names("negthinspace negmedspace negthickspace")
_ROMAN = _names("rm rmfamily")
_ARGUMENTS = {
    # What becomes of the arguments in braces: skip, drop (the braces only).
    **dict.fromkeys(("color", "hspace", "vspace", "label", "tag", "phantom", "hphantom", "vphantom"), ("skip",)),
    **dict.fromkeys(("textcolor", "colorbox", "raisebox", "fontsize", "href"), ("skip", "drop")),
    "fcolorbox": ("skip", "skip", "drop"),
    "bbox": ("drop",),
}
_SYMBOLS = {
    "[": "", "]": "", "(": "", ")": "", "!": "", "/": "", "-": "", "$": "", ",": " ", ":": " ", ";": " ", ">": " ",
    " ": " ", "\n": " ", "\t": " ",
}  # fmt: skip
"""Commands of one sign: delimiters of formulas, spaces, the dollar of a price."""

_TOKEN = re.compile(r"\\([a-zA-Z]+)\*?|\\(.)|([{}])|([^\\{}]+)|\\", re.DOTALL)
_OPTION = re.compile(r"\s*\[[^\[\]]{0,40}\]")
_HEIGHT = re.compile(r"\s*\[-?[\d.]{1,6} ?(?:pt|ex|em|mm|cm|in)\]")


def without_looks(text: str, words: bool) -> str:
    r"""A text without commands that only change its look, in one pass.

    Args:
        text: LaTeX or prose.
        words: Whether `\text{}` stays around words, as do other braces. Without it no braces stay.
    """
    if not re.search(r"[\\{}]", text):
        return text
    # JSON that was never decoded: `\\frac`. In a matrix it is the end of a line.
    return _Scan(text if "\\begin" in text else re.sub(r"\\{2,4}(?=[a-zA-Z])", r"\\", text), words).run()


class _Scan:
    """One pass over a text. A brace is `keep`, `text` (around words), `drop` or `skip` (with all that is in it)."""

    def __init__(self, text: str, words: bool) -> None:
        self.text, self.words, self.place = text, words, 0
        self.out: list[str] = []
        self.opened: list[tuple[str, int]] = []  # what a brace is, where it stands in `out`
        self.arguments: list[str] = []  # what the next braces are
        self.skipping = 0

    def run(self) -> str:
        while found := _TOKEN.match(self.text, self.place):
            self.place = found.end()
            name, sign, brace, other = found.groups()
            if brace:
                self.brace(brace)
            elif self.skipping or (other and other.isspace() and self.arguments):
                continue
            elif name:
                self.command(name, found.group())
            elif sign is not None:
                self.sign(sign)
            else:
                self.arguments = []
                self.out.append(other or "\\")
        if self.opened and self.opened[-1] == ("text", -1):
            self.out.append("}")
        return "".join(self.out)

    def brace(self, brace: str) -> None:
        plain = "keep" if self.words else "drop"
        if brace == "{":
            kind = self.arguments.pop(0) if self.arguments else plain
            self.opened.append((kind, len(self.out)))
            self.skipping += kind == "skip"
            shown = {"keep": "{", "text": "\\text{"}.get(kind, "")
        else:
            kind = self.opened.pop()[0] if self.opened else plain
            shown = "}" if kind in ("keep", "text") else ""
        if not self.skipping:
            self.out.append(shown)
        self.skipping -= brace == "}" and kind == "skip"

    def command(self, name: str, whole: str) -> None:
        if name in _ARGUMENTS:
            self.pass_over(_OPTION)
            self.arguments = list(_ARGUMENTS[name])
            self.gap()
        elif name in _WORDS or name in _FONTS:
            # A word in a word is one: `\text{\textbf{B}}`.
            inside = any(kind == "text" for kind, _ in self.opened[-3:])
            self.arguments = ["text" if self.words and name in _WORDS and not inside else "drop"]
            self.gap()
        elif name in _ROMAN and self.words:
            self.roman()
        elif name in ("left", "right"):
            self.place += self.text.startswith(".", self.place)
        elif name in _NOTHING or name in _ROMAN:
            self.gap()
        elif name in _SPACES:
            self.out.append(" ")
        elif name not in _NO_SPACES:
            self.arguments = []
            self.out.append(whole)

    def roman(self) -> None:
        r"""`{\rm cm}`, and `5 \rm cm` up to the end."""
        if self.opened and self.opened[-1][0] == "keep":
            self.out[self.opened[-1][1]] = "\\text{"
            self.opened[-1] = ("text", self.opened[-1][1])
        elif not self.opened:
            self.out.append("\\text{")
            self.opened.append(("text", -1))

    def sign(self, sign: str) -> None:
        self.arguments = []
        if sign in _SYMBOLS:
            self.out.append(_SYMBOLS[sign])
        elif sign == "\\":
            self.out.append("\\\\" if self.words else " ")
            self.pass_over(_HEIGHT)
        else:
            self.out.append(f"\\{sign}" if self.words else sign)

    def pass_over(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.place)
        self.place = found.end() if found else self.place

    def gap(self) -> None:
        r"""A blank after a letter, in prose: `is\text{B}` is two words."""
        if not self.words and self.out and self.out[-1][-1:].isalpha():
            self.out.append(" ")
