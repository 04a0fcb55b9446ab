"""Prompts in a stranger's Python file: the file is parsed, never imported or run.

What is read is how the published code makes its prompts, and no more: texts and fields that are added, formatted or
put together in a loop over the options. Anything else is refused, so that a prompt is never read in part.
"""

from __future__ import annotations

import ast
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class TextError(ValueError):
    """A prompt that is not where it is looked for, or is made in another way; says where."""


@dataclass(frozen=True)
class Place:
    """A field of a document within a text."""

    name: str


Parts = tuple["str | Place", ...]
MOST = 1_000
"""Parts of a text: a stranger's text may double itself on every line."""
Names = Mapping[str, Parts]
INDEX = Place("index of an option")
LETTER, OPTION = Place("letter"), Place("option")


def parse(text: str) -> Code:
    """Parse a file.

    Raises:
        TextError: It is not Python.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise TextError(f"not Python{f', line {line}' if line else ''}") from None
    return Code(tree)


@dataclass
class Code:
    """A file that was parsed, with the texts and the letters that its first level names."""

    tree: ast.Module
    names: dict[str, Parts] = field(default_factory=dict)
    letters: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign):
                _assign(statement, self.names, self.letters)

    def text(self, name: str) -> Parts:
        """A text that is named on the first level.

        Raises:
            TextError: There is none.
        """
        if name not in self.names:
            raise TextError(f"no text {name} on the first level")
        return self.names[name]

    def format(self, name: str) -> Parts:
        """A text of the first level that `str.format` takes.

        Raises:
            TextError: There is none, or it names more than fields.
        """
        text = "".join(str(part) for part in self.text(name))
        return _formatted(text, {}, (), f"text {name}")

    def function(self, name: str) -> ast.FunctionDef:
        """A function, on the first level or in a class.

        Raises:
            TextError: There is not exactly one of this name.
        """
        found = [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef) and node.name == name]
        if len(found) != 1:
            raise TextError(f"{len(found)} functions {name}, expected one")
        return found[0]

    def returned(self, name: str, flags: Mapping[str, bool] | None = None) -> tuple[Parts, Parts]:
        """What a function returns, and what it repeats for every option.

        Args:
            name: The function.
            flags: The values of its arguments that decide something.

        Raises:
            TextError: It makes its text in a way that is not read.
        """
        maker = _Maker(dict(self.names), self.letters, flags or {})
        found = maker.run(self.function(name).body)
        if found is None:
            raise TextError(f"function {name} returns no text")
        return found, maker.repeated

    def branches(self, function: str, key: str, name: str) -> tuple[Parts, Parts]:
        """The two texts of a name, as a field of the document decides between them.

        Args:
            function: The function.
            key: The field.
            name: The name of the text.

        Raises:
            TextError: There is no such decision, or its texts are not read.
        """
        for node in ast.walk(self.function(function)):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Subscript) and _key(node.test) == key:
                return self._named(node.body, name), self._named(node.orelse, name)
        raise TextError(f"function {function} does not ask for {key}")

    def _named(self, statements: Sequence[ast.stmt], name: str) -> Parts:
        maker = _Maker(dict(self.names), self.letters, {})
        maker.names.pop(name, None)
        maker.run(statements)
        if name not in maker.names:
            raise TextError(f"line {statements[0].lineno if statements else 0}: no text {name}")
        return maker.names[name]

    def joined(self, function: str, letter: str) -> tuple[Parts, Parts]:
        """What a function appends for every option, and what it joins these with.

        Args:
            function: The function.
            letter: Its name for the letter of an option.

        Raises:
            TextError: There is not exactly one of each.
        """
        calls = [node for node in ast.walk(self.function(function)) if isinstance(node, ast.Call)]
        appended = [call.args[0] for call in calls if _method(call) == "append" and len(call.args) == 1]
        between = [
            call.func.value for call in calls if _method(call) == "join" and isinstance(call.func, ast.Attribute)
        ]
        if len(appended) != 1 or len(between) != 1:
            raise TextError(f"function {function}: expected one text an option and one between them")
        names = {letter: (LETTER,)}
        return _value(appended[0], names, self.letters), _value(between[0], {}, self.letters)


@dataclass
class _Maker:
    """Follows the statements that make a text."""

    names: dict[str, Parts]
    letters: set[str]
    flags: Mapping[str, bool]
    repeated: Parts = ()

    def run(self, statements: Sequence[ast.stmt]) -> Parts | None:
        """The text that is returned; None where nothing is."""
        for statement in statements:
            if isinstance(statement, ast.Return):
                return _value(statement.value, self.names, self.letters)
            if isinstance(statement, ast.Assign):
                _assign(statement, self.names, self.letters)
            elif isinstance(statement, ast.AugAssign):
                self._add(statement)
            elif isinstance(statement, ast.For):
                self._repeat(statement)
            elif isinstance(statement, ast.If):
                found = self.run(self._branch(statement))
                if found is not None:
                    return found
            elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                raise TextError(f"line {statement.lineno}: a statement that is not read")
        return None

    def _add(self, statement: ast.AugAssign) -> None:
        if not (isinstance(statement.target, ast.Name) and isinstance(statement.op, ast.Add)):
            raise TextError(f"line {statement.lineno}: a statement that is not read")
        name = statement.target.id
        if name not in self.names:
            raise TextError(f"line {statement.lineno}: {name} is no text")
        added = self.names[name] + _value(statement.value, self.names, self.letters)
        self.names[name] = _bounded(added, statement)

    def _branch(self, statement: ast.If) -> Sequence[ast.stmt]:
        flag = statement.test.id if isinstance(statement.test, ast.Name) else None
        if flag is None or flag not in self.flags:
            raise TextError(f"line {statement.lineno}: a decision that is not read")
        return statement.body if self.flags[flag] else statement.orelse

    def _repeat(self, loop: ast.For) -> None:
        """A loop over the numbered options that adds to one text: the text gets their place instead."""
        numbered, target = loop.iter, loop.target
        if not (
            isinstance(numbered, ast.Call)
            and isinstance(numbered.func, ast.Name)
            and numbered.func.id == "enumerate"
            and len(numbered.args) == 1
            and not numbered.keywords
            and isinstance(target, ast.Tuple)
            and all(isinstance(name, ast.Name) for name in target.elts)
            and len(target.elts) == 2
            and not self.repeated
        ):
            raise TextError(f"line {loop.lineno}: a loop that is not read")
        index, option = (name.id for name in target.elts if isinstance(name, ast.Name))
        options = _value(numbered.args[0], self.names, self.letters)
        inner = _Maker({**self.names, index: (INDEX,), option: (OPTION,)}, self.letters, {})
        inner.run(loop.body)
        changed = [name for name, before in self.names.items() if inner.names.get(name) != before]
        if len(changed) != 1 or inner.names.keys() - self.names.keys() - {index, option}:
            raise TextError(f"line {loop.lineno}: a loop that is not read")
        before, after = self.names[changed[0]], inner.names.get(changed[0], ())
        if after[: len(before)] != before:
            raise TextError(f"line {loop.lineno}: a loop that is not read")
        self.repeated = after[len(before) :]
        self.names[changed[0]] = before + options


def _assign(statement: ast.Assign, names: dict[str, Parts], letters: set[str]) -> None:
    """Note what a name is, where it is a text or the list of letters; otherwise forget what it was."""
    for target in statement.targets:
        if not isinstance(target, ast.Name):
            continue
        names.pop(target.id, None)
        letters.discard(target.id)
        if _is_alphabet(statement.value):
            letters.add(target.id)
            continue
        try:
            names[target.id] = _value(statement.value, names, letters)
        except TextError:
            continue


def _is_alphabet(node: ast.expr) -> bool:
    if not isinstance(node, ast.List):
        return False
    listed = [value.value for value in node.elts if isinstance(value, ast.Constant)]
    return len(listed) == len(node.elts) > 0 and listed == list(string.ascii_uppercase[: len(listed)])


def _value(node: ast.expr | None, names: Names, letters: set[str]) -> Parts:
    """The parts of an expression.

    Raises:
        TextError: It is not one that is read.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _bounded(_value(node.left, names, letters) + _value(node.right, names, letters), node)
    if isinstance(node, ast.Subscript):
        return _item(node, names, letters)
    if isinstance(node, ast.JoinedStr):
        return _bounded(tuple(part for value in node.values for part in _piece(value, names, letters)), node)
    if isinstance(node, ast.Call) and _method(node) == "format" and isinstance(node.func, ast.Attribute):
        text = "".join(str(part) for part in _value(node.func.value, {}, letters))
        given = [_value(argument, names, letters) for argument in node.args]
        named = {word.arg: _value(word.value, names, letters) for word in node.keywords if word.arg}
        return _formatted(text, named, given, f"line {node.lineno}")
    raise TextError(f"line {getattr(node, 'lineno', 0)}: an expression that is not read")


def _bounded(parts: Parts, node: ast.AST) -> Parts:
    if len(parts) > MOST:
        raise TextError(f"line {getattr(node, 'lineno', 0)}: a text of more than {MOST:,} parts")
    return parts


def _item(node: ast.Subscript, names: Names, letters: set[str]) -> Parts:
    """A field of the document, or the letter of an option."""
    if isinstance(node.value, ast.Name):
        if (key := _key(node)) is not None and node.value.id not in names:
            return (Place(key),)
        if node.value.id in letters and isinstance(node.slice, ast.Name) and names.get(node.slice.id) == (INDEX,):
            return (LETTER,)
    raise TextError(f"line {node.lineno}: an expression that is not read")


def _piece(node: ast.expr, names: Names, letters: set[str]) -> Parts:
    if not isinstance(node, ast.FormattedValue):
        return _value(node, names, letters)
    if node.conversion != -1 or node.format_spec is not None:
        raise TextError(f"line {node.lineno}: a format that is not read")
    return _value(node.value, names, letters)


def _formatted(text: str, named: Names, given: Sequence[Parts], where: str) -> Parts:
    """The parts of a text that `str.format` takes: it is only parsed, so that no attribute is looked up."""
    found: list[str | Place] = []
    numbers = iter(given)
    try:
        for literal, name, spec, conversion in string.Formatter().parse(text):
            found.append(literal)
            if name is None:
                continue
            if spec or conversion or not (name.isidentifier() or (name == "" and given)):
                raise TextError(f"{where}: a format that is not read")
            found += named.get(name, (Place(name),)) if name else next(numbers, (Place("absent"),))
            if len(found) > MOST:
                raise TextError(f"{where}: a text of more than {MOST:,} parts")
    except ValueError as error:
        if isinstance(error, TextError):
            raise
        raise TextError(f"{where}: a format that is not read") from None
    return tuple(found)


def _key(node: ast.Subscript) -> str | None:
    value = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return value if isinstance(value, str) else None


def _method(call: ast.Call) -> str | None:
    return call.func.attr if isinstance(call.func, ast.Attribute) else None
