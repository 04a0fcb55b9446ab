r"""math-verify's LaTeX parser, several times faster and with the same result.

math-verify reads LaTeX with a parser that ANTLR generated from a large, ambiguous grammar. Nearly all of its
time goes into choosing: ANTLR follows every alternative at once, far ahead, in Python, and ends up with the
first one by which the whole input can be read. So where the tokens alone rule out the earlier alternatives,
the next is taken here at once; elsewhere ANTLR's fast mode chooses, which promises the full mode's choice or a
syntax error. An input that is read to its end this way has the tree of the full mode. Any other is read again
by the full mode alone.

The alternatives are known here by their numbers in the grammar of latex2sympy2_extended 1.11, so this module may only
be imported through `grammar.latex_reader`, which compares the grammar first.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from antlr4 import CommonTokenStream, InputStream, Token  # type: ignore[import-untyped]
from antlr4.atn.ParserATNSimulator import ParserATNSimulator  # type: ignore[import-untyped]
from antlr4.atn.PredictionMode import PredictionMode  # type: ignore[import-untyped]
from latex2sympy2_extended.antlr_parser import PSLexer, PSParser  # type: ignore[import-untyped]
from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy  # type: ignore[import-untyped]


def _tokens(*names: str) -> frozenset[int]:
    return frozenset(getattr(PSParser, name) for name in names)


# The grammar has no other brackets, and opens and closes them in pairs; an interval mixes their kinds.
_BRACKETS = ("PAREN", "PAREN_VISUAL", "GROUP", "BRACE", "BRACE_VISUAL", "BRACE_CMD", "BRACKET", "BRACK")
_OPEN = _tokens(*(f"L_{name}" for name in _BRACKETS))
_CLOSE = _tokens(*(f"R_{name}" for name in _BRACKETS))
_LETTERS = _tokens("LETTER_NO_E", "GREEK_CMD", "OTHER_SYMBOL_CMD", "ACCENT")
_SCRIPTS = _tokens("CARET", "UNDERSCORE")
_ASSIGNMENTS = _tokens("IN", "ASSIGNMENT")
_RELATIONS = _ASSIGNMENTS | _tokens("EQUAL", "APPROX", "LT", "LTE", "GT", "GTE", "UNEQUAL")
_SETS = frozenset(range(PSParser.SET_NATURALS, PSParser.SET_PRIMES + 1)) | _tokens("SET_EMPTY", "BOXED_CMD")
_ELEMENT_ENDS = _CLOSE | _tokens("COMMA", "SEMICOLON", "EOF")
# What may stand in a product, unless something around it claims it: `|x|`, `\int x dx`.
_FACTORS = _OPEN | _LETTERS | _tokens("NUMBER", "CMD_FRAC", "EXP_E", "FUNC_SQRT", "FUNC_SIN", "FUNC_COS")

_COMPONENTS = {PSParser.NUMBER: 9, PSParser.CMD_FRAC: 10, PSParser.FUNC_SQRT: 8}


class _Simulator(ParserATNSimulator):  # type: ignore[misc]
    """Chooses by looking at the tokens where that is proof enough.

    Each choice returns the number of an alternative before which none can be right, or 0 to leave it to ANTLR.
    """

    types: list[int]
    partner: dict[int, int]
    """Where an opening bracket closes."""

    def adaptivePredict(self, stream: Any, decision: int, context: Any) -> int:  # noqa: N802 - ANTLR's name
        if self.predictionMode is PredictionMode.SLL:
            found = _CHOICES.get(decision)
            choice = found(self, stream.index) if found else 0
            if choice:
                return choice
        return int(super().adaptivePredict(stream, decision, context))

    def look_at(self, types: list[int]) -> bool:
        """Take over the tokens; whether their brackets are paired."""
        self.types, self.partner, opened = types, {}, []
        for place, kind in enumerate(types):
            if kind in _OPEN:
                opened.append(place)
            elif kind in _CLOSE:
                if not opened:
                    return False
                self.partner[opened.pop()] = place
        return not opened

    def after(self, place: int) -> int:
        """The place after a token, or after what it opens."""
        return self.partner.get(place, place) + 1

    def after_scripts(self, place: int) -> int:
        """The place after any number of sub- and superscripts."""
        while self.types[place] in _SCRIPTS:
            place = self.after(place + 1)
        return place

    def math(self, place: int) -> int:
        """1 `x = elements`, 2 elements, 3 sets."""
        start = self.types[place]
        after = self.after_scripts(place + 1) if start in _LETTERS else self.after(place)
        if start not in _LETTERS | {PSParser.L_PAREN} or self.types[after] not in _ASSIGNMENTS:
            return 2
        after += 1
        while self.types[after] != Token.EOF:
            if self.types[after] in _RELATIONS:
                return 2
            after = self.after(after)
        return 1

    def element(self, place: int) -> int:
        """1 with a plus-minus sign, 2 a set, tuple or interval, 3 an expression."""
        start = self.types[place]
        if PSParser.PLUS_MINUS in self.types:
            return 0
        if start in _OPEN:
            return 2 if self.types[self.after(place)] in _ELEMENT_ENDS else 3
        return 0 if start in _SETS else 3

    def set_atom(self, place: int) -> int:
        """1 an interval, 2 a set with a name, 3 a tuple, 4 elements in braces."""
        start, end = self.types[place], self.partner.get(place, place)
        if start in (PSParser.L_PAREN, PSParser.L_BRACKET):
            inside, here = [], place + 1
            while here < end:
                inside.append(self.types[here])
                here = self.after(here)
            return 3 if inside.count(PSParser.COMMA) != 1 or not _RELATIONS.isdisjoint(inside) else 0
        if start == PSParser.L_BRACE:
            return 4 if end > place + 1 else 2
        return 0

    def component(self, place: int) -> int:
        """1 in brackets, 8 a function, 9 a number or letter, 10 a fraction."""
        start = self.types[place]
        if start in _LETTERS:
            return 0 if self.types[self.after_scripts(place + 1)] in _OPEN else 9
        if start in _OPEN:
            return 0 if PSParser.CMD_CHOOSE in self.types else 1
        return _COMPONENTS.get(start, 0)

    def scripts(self, place: int) -> int:
        """1 `^ _`, 2 `_ ^`, 3 `_`, 4 `^`, 5 none."""
        start = self.types[place]
        if start not in _SCRIPTS:
            return 5
        following = self.types[self.after(place + 1)]
        if following not in _SCRIPTS:
            return 3 if start == PSParser.UNDERSCORE else 4
        # The second script may belong to the content of the first, unless that is in brackets.
        both = start == PSParser.UNDERSCORE and following == PSParser.CARET and place + 1 in self.partner
        return 2 if both else 0

    def factors(self, place: int) -> int:
        """1 another factor, 2 none."""
        return 1 if self.types[place] in _FACTORS else 0


# By the number that the grammar gives to the choice. `grammar.py` sees to it that it is the grammar of these numbers.
_CHOICES = {
    0: _Simulator.math,
    19: _Simulator.factors,
    35: _Simulator.component,
    43: _Simulator.scripts,
    85: _Simulator.set_atom,
    92: _Simulator.element,
    93: _Simulator.element,
}


class _Parser(PSParser):  # type: ignore[misc]
    _interp: Any

    def math(self) -> Any:
        stream, old = self.getTokenStream(), self._interp
        stream.fill()
        simulator = _Simulator(self, old.atn, old.decisionToDFA, old.sharedContextCache)
        if simulator.look_at([token.type for token in stream.tokens]):
            simulator.predictionMode = PredictionMode.SLL
            self._interp = simulator
            try:
                return super().math()
            except Exception:
                self.reset()
                self._interp = old
        return super().math()


class LatexReader(_Latex2Sympy):  # type: ignore[misc]
    """math-verify's converter of LaTeX to SymPy, over the faster parser."""

    def create_parser(self, latex_str: str) -> Any:
        """The parser that the converter asks for."""
        listener = self.MathErrorListener(latex_str)
        lexer = PSLexer(InputStream(latex_str))
        parser = _Parser(CommonTokenStream(lexer))
        for one in (lexer, parser):
            one.removeErrorListeners()
            one.addErrorListener(listener)
        return parser

    def parse_number(self, text: str) -> Any:
        """A number; SymPy takes long for one."""
        return _number(text)


@lru_cache(maxsize=1024)
def _number(text: str) -> Any:
    return _Latex2Sympy.parse_number(None, text)
