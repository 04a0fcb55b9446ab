r"""Unicode's letters, digits and signs in ASCII and in LaTeX."""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = dict.fromkeys(
    map(ord, "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufe0e\ufe0f\ufeff")
)
_ASCII = {
    **_INVISIBLE,
    **dict.fromkeys([*range(0x2000, 0x200B), 0xA0, 0x1680, 0x202F, 0x205F, 0x3000], " "),
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb"), '"'),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2212\ufe63"), "-"),
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full width
    0x3002: ".",
    0x3001: ",",
    0x3010: "[",
    0x3011: "]",
}
_ALPHABETS = re.compile("[\U0001d400-\U0001d7ff\u2102-\u2134]|(?![0-9])\\d")
"""Letters and digits of other alphabets: bold, double-struck, Arabic."""
_DOUBLE_STRUCK = {"\u211d": "R", "\u2124": "Z", "\u2115": "N", "\u211a": "Q", "\u2102": "C", "\u2119": "P"}
_GREEK = {
    "\u03b1": "alpha", "\u03b2": "beta", "\u03b3": "gamma", "\u03b4": "delta", "\u03b5": "epsilon", "\u03f5": "epsilon",
    "\u03b6": "zeta", "\u03b7": "eta", "\u03b8": "theta", "\u03d1": "theta", "\u03b9": "iota", "\u03ba": "kappa",
    "\u03bb": "lambda", "\u03bc": "mu", "\u00b5": "mu", "\u03bd": "nu", "\u03be": "xi", "\u03c0": "pi", "\u03c1": "rho",
    "\u03c3": "sigma", "\u03c4": "tau", "\u03c5": "upsilon", "\u03c6": "phi", "\u03d5": "phi", "\u03c7": "chi",
    "\u03c8": "psi", "\u03c9": "omega", "\u0393": "Gamma", "\u0394": "Delta", "\u0398": "Theta", "\u039b": "Lambda",
    "\u039e": "Xi", "\u03a0": "Pi", "\u03a3": "Sigma", "\u03a6": "Phi", "\u03a8": "Psi", "\u03a9": "Omega",
    "\u2126": "Omega",
}  # fmt: skip
_SIGNS = {
    "\u00d7": "times", "\u2715": "times", "\u22c5": "cdot", "\u00b7": "cdot", "\u2219": "cdot", "\u00f7": "div",
    "\u00b1": "pm", "\u2213": "mp", "\u221e": "infty", "\u2264": "le", "\u2a7d": "le", "\u2266": "le", "\u2265": "ge",
    "\u2a7e": "ge", "\u2267": "ge", "\u2260": "ne", "\u2248": "approx", "\u2243": "simeq", "\u2245": "cong",
    "\u223c": "sim", "\u2261": "equiv", "\u222a": "cup", "\u2229": "cap", "\u2208": "in", "\u2209": "notin",
    "\u2282": "subset", "\u2286": "subseteq", "\u2283": "supset", "\u2287": "supseteq", "\u2205": "emptyset",
    "\u2216": "setminus", "\u2026": "ldots", "\u22ef": "ldots", "\u2220": "angle", "\u25b3": "triangle",
    "\u2192": "to", "\u27f6": "to", "\u21d2": "Rightarrow", "\u27f9": "Rightarrow", "\u2225": "parallel",
    "\u22a5": "perp", "\u2202": "partial", "\u2211": "sum", "\u220f": "prod", "\u222b": "int", "\u230a": "lfloor",
    "\u230b": "rfloor", "\u2308": "lceil", "\u2309": "rceil", "\u2227": "land", "\u2228": "lor", "\u2234": "therefore",
    "\u27e8": "langle", "\u27e9": "rangle", "\u2044": "/", "\u2215": "/",
}  # fmt: skip
_LATEX = str.maketrans(
    {
        **{sign: f"\\{name} " if name != "/" else name for sign, name in {**_GREEK, **_SIGNS}.items()},
        **{sign: f"\\mathbb{{{letter}}}" for sign, letter in _DOUBLE_STRUCK.items()},
        "\u00b0": "^\\circ ", "\u00ba": "^\\circ ", "\u02da": "^\\circ ", "\u2013": "-", "\u2014": "-",
        "\u2103": "^\\circ C", "\u2109": "^\\circ F",
    }
)  # fmt: skip
_SUPER = dict(zip("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "0123456789", strict=True))
_SUPER |= {"\u207a": "+", "\u207b": "-", "\u207d": "(", "\u207e": ")", "\u207f": "n", "\u2071": "i", "\u02e3": "x"}
_SUPER |= {"\u1d57": "t", "\u02b0": "h", "\u02e2": "s", "\u02b3": "r", "\u1d48": "d"}
_SUB = {chr(0x2080 + digit): str(digit) for digit in range(10)}
_SUB |= {"\u208a": "+", "\u208b": "-", "\u2090": "a", "\u2091": "e", "\u2093": "x", "\u2099": "n", "\u2096": "k"}
_SUB |= {"\u1d62": "i", "\u2c7c": "j", "\u2098": "m", "\u209c": "t"}
_SCRIPTS = re.compile(f"([{''.join(_SUPER)}]+)|([{''.join(_SUB)}]+)")
_VULGAR = re.compile("[\u00bc-\u00be\u2150-\u215e\u2189]")
_ROOT = re.compile("([\u221a\u221b\u221c])\\s*(?:(\\d+(?:\\.\\d+)?|[A-Za-z]|\\\\[a-zA-Z]+)|([({]))?")
_ROOTS = {"\u221a": "\\sqrt", "\u221b": "\\sqrt[3]", "\u221c": "\\sqrt[4]"}


def in_ascii(text: str) -> str:
    """Quotes, blanks, full-width signs, letters and digits of other alphabets as ASCII; invisible characters go."""
    if text.isascii():
        return text
    return _ALPHABETS.sub(_in_ascii, text.translate(_ASCII))


def _in_ascii(found: re.Match[str]) -> str:
    sign = found.group()
    if sign in _DOUBLE_STRUCK:
        return sign
    plain = unicodedata.normalize("NFKC", sign)
    return str(unicodedata.decimal(plain, plain)) if len(plain) == 1 else plain


def in_latex(text: str) -> str:
    r"""Unicode's signs of mathematics as LaTeX.

    >>> in_latex("2\u03c0 \u2264 \u221a3"), in_latex("x\u00b2 + \u00bd")
    ('2\\pi  \\le  \\sqrt{3}', 'x^{2} + \\frac{1}{2}')
    """
    return text if text.isascii() else _roots(_scripts(text)).translate(_LATEX)


def _scripts(text: str) -> str:
    def script(found: re.Match[str]) -> str:
        table, sign = (_SUPER, "^") if found[1] else (_SUB, "_")
        return f"{sign}{{{''.join(table[one] for one in found.group())}}}"

    def fraction(found: re.Match[str]) -> str:
        upper, _, lower = unicodedata.normalize("NFKC", found.group()).partition("\u2044")
        return f"\\frac{{{upper}}}{{{lower}}}"

    return _SCRIPTS.sub(script, _VULGAR.sub(fraction, text))


def _roots(text: str) -> str:
    # From the last root to the first one, so that a root in a root is ready before it.
    for found in reversed(list(_ROOT.finditer(text))[:30]):
        command, end = _ROOTS[found[1]], found.end()
        if found[2]:
            text = f"{text[: found.start()]}{command}{{{found[2]}}}{text[end:]}"
        elif found[3]:
            close = _closing(text, end - 1)
            text = f"{text[: found.start()]}{command}{{{text[end:close]}}}{text[close + 1 :]}"
        else:
            text = f"{text[: found.start()]}{command} {text[end:]}"
    return text


def _closing(text: str, start: int) -> int:
    """Where the bracket at `start` closes, or the end."""
    opener, depth = text[start], 0
    closer = {"(": ")", "{": "}"}[opener]
    for place in range(start, len(text)):
        depth += (text[place] == opener) - (text[place] == closer)
        if not depth:
            return place
    return len(text)
