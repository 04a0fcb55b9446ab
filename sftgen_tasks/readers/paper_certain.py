"""What the paper's code would do to a program, where the text alone proves it: a run less for each such program.

Both functions read the program's syntax and have lists of what they understand. Whatever is on no list proves nothing,
and the program is run by the paper's rule (`readers.paper_process`). Nothing of the program is run here.
"""

from __future__ import annotations

import ast
import builtins
import collections
import importlib
import symtable
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

_LONGEST = 20_000
"""Characters; a longer text is not parsed in this process."""
_MODULES = ("math", "heapq", "bisect", "collections", "itertools")
_ONLY = {
    "functools": ("lru_cache", "cache", "cmp_to_key", "reduce"),
    "typing": ("List", "Dict", "Optional", "Tuple", "Set", "Any"),
    "string": ("ascii_lowercase", "ascii_uppercase", "ascii_letters", "digits"),
    "sys": ("stdin", "stdout", "maxsize"),
}
_STREAMS = {"stdin": ("read", "readline", "readlines"), "stdout": ("write", "flush")}
_CONSUMERS = ("sum", "any", "all", "max", "min", "list", "tuple", "set", "sorted")
"""Builtins that use up an iterator or a key at once."""
_ERRORS = ("Exception", "ValueError", "IndexError", "KeyError", "EOFError", "ZeroDivisionError", "StopIteration")
_BUILTINS = frozenset((
    *("abs", "all", "any", "bin", "bool", "chr", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "hex"),
    *("input", "int", "isinstance", "iter", "len", "list", "map", "max", "min", "next", "oct", "ord", "pow", "print"),
    *("range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip", *_ERRORS),
))  # fmt: skip
_KINDS = (str, list, dict, set, frozenset, tuple, int, float, bytes, collections.deque, collections.Counter)
_ATTRIBUTES = frozenset((
    *(name for kind in _KINDS for name in dir(kind)),
    *(name for module in _MODULES for name in dir(importlib.import_module(module))),
    *("read", "readline", "readlines", "write", "flush", "setrecursionlimit", "default_factory"),
    *(name for names in _ONLY.values() for name in names),
))  # fmt: skip
_NODES = (
    *(ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.While, ast.If, ast.Try, ast.Raise),
    *(ast.Assert, ast.Pass, ast.Break, ast.Continue, ast.Return, ast.Import, ast.ImportFrom, ast.FunctionDef),
    *(ast.arguments, ast.arg, ast.alias, ast.keyword, ast.ExceptHandler, ast.Global, ast.Nonlocal, ast.Delete),
    *(ast.BoolOp, ast.NamedExpr, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.Set, ast.ListComp, ast.SetComp),
    *(ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Compare, ast.Call, ast.JoinedStr, ast.FormattedValue),
    *(ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List, ast.Tuple, ast.Slice, ast.Lambda),
    *(ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop),
)
_MAIN = 'if __name__ == "__main__":'


def never_binds(program: str, name: str) -> bool:
    """Whether no run of the program can leave a function of this name outside of classes.

    So the paper's code cannot find it. The name is only used for methods in bodies of classes, and as an attribute,
    and nothing reaches the dictionary of global names.
    """
    tree = _parsed(program)
    if tree is None:
        return False
    methods = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.ClassDef)
        for node in outer.body
        if isinstance(node, ast.FunctionDef)
    }
    return all(_leaves(node, name) or id(node) in methods for node in ast.walk(tree))


def _leaves(node: ast.AST, name: str) -> bool:
    """Whether this part of a program leaves a global name unbound."""
    match node:
        case ast.FunctionDef() | ast.ClassDef() | ast.ExceptHandler():
            return node.name != name
        case ast.Import():
            return all(one.name in _HARMLESS and name not in (one.name, one.asname) for one in node.names)
        case ast.ImportFrom():
            return not node.level and all(_binds_another(one, node.module or "", name) for one in node.names)
        case ast.Attribute():
            hidden = node.attr.startswith(("_", "tb_", "gi_", "f_")) and node.attr != "__init__"
            return not hidden and node.attr not in _REACHING
        case ast.Name():
            reaches = node.id in _REACHING or node.id.startswith("__")
            return not reaches and (node.id != name or isinstance(node.ctx, ast.Load))
    return isinstance(node, _NODES) and not (isinstance(node, ast.Global) and name in node.names)


_HARMLESS = (*_MODULES, "typing", "functools", "string", "random")
_REACHING = frozenset((
    *("globals", "locals", "vars", "exec", "eval", "compile", "getattr", "setattr", "delattr", "breakpoint", "open"),
    *("type", "sys", "modules", "attrgetter", "methodcaller", "get_type_hints", "ForwardRef", "namedtuple"),
    *("singledispatch", "singledispatchmethod", "Formatter", "get_field", "input"),
))  # fmt: skip
"""Names that may lead to the dictionary of global names, some of them through texts that they evaluate."""


def _binds_another(one: ast.alias, module: str, name: str) -> bool:
    """Whether an import from a module brings nothing that leads further, and not this name."""
    if module not in _HARMLESS or one.name in _REACHING or one.name.startswith("_"):
        return False
    if one.name == "*":  # what it brings is checked where it is used
        return not hasattr(importlib.import_module(module), name)
    return name not in (one.name, one.asname)


def alike(program: str, prelude: Sequence[str]) -> bool:
    """Whether a program that reads and prints cannot tell the two processes apart in which the two rules run it.

    It has no class, recursion, decorator, or generator that lives on, imports few modules, needs nothing that our
    prelude has imported, uses its streams as text only, and ends at its last line. So its output is the same in both,
    if its input is ASCII without carriage returns. A comparison of values that are nested a thousand deep is left out
    of account: Python's own limit of recursion, which only `paper` keeps, ends it there.

    Args:
        program: The program.
        prelude: The modules that are imported before it by the strict rule.
    """
    tree = _parsed(program)
    if tree is None:
        return False
    parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    nodes = list(ast.walk(tree))
    # What cannot be encoded is an error of standard output there and not here, which a program may catch.
    if any(isinstance(node, ast.Try) for node in nodes) and "chr" in program:
        return False
    if not all(_plain(node, parents, program) for node in nodes) or not _no_recursion(tree, parents):
        return False
    try:
        return _needs_no_prelude(program, tree, prelude)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _plain(node: ast.AST, parents: dict[int, ast.AST], program: str) -> bool:
    parent = parents.get(id(node))
    if isinstance(node, ast.Name) and node.id == "__name__":
        # The paper's code gives it a value where this very text is found, and the test has to be this one.
        return program.count("__name__") == program.count(_MAIN) == 1
    check = _CHECKS.get(type(node))
    if check is not None:
        return check(node, parent)
    if isinstance(node, ast.Lambda):  # kept nowhere, so it cannot call itself
        return isinstance(parent, ast.keyword) and parent.arg == "key" and _consumes(parents[id(parent)])
    return isinstance(node, _NODES)


def _plain_name(node: ast.Name, parent: ast.AST | None) -> bool:
    if node.id in _STREAMS:
        return isinstance(parent, ast.Attribute) and parent.attr in _STREAMS[node.id]
    if node.id in _CONSUMERS and not isinstance(node.ctx, ast.Load):
        return False
    if node.id in _ONLY or node.id in _MODULES:
        return isinstance(parent, ast.Attribute) or not isinstance(node.ctx, ast.Load)
    return not node.id.startswith("__")


def _plain_attribute(node: ast.Attribute, parent: ast.AST | None) -> bool:
    if not isinstance(node.ctx, ast.Load) or node.attr not in _ATTRIBUTES or node.attr.startswith("_"):
        return False
    if not (isinstance(node.value, ast.Name) and node.value.id in _ONLY):
        return node.attr not in (*_STREAMS, "setrecursionlimit")
    if node.attr in _STREAMS:
        return isinstance(parent, ast.Attribute) and parent.attr in _STREAMS[node.attr]
    return node.attr in _ONLY[node.value.id] or _raises_limit(node, parent)


def _plain_import(node: ast.Import, _: ast.AST | None) -> bool:
    return all(one.name in (*_MODULES, *_ONLY) and not one.asname for one in node.names)


def _plain_import_from(node: ast.ImportFrom, _: ast.AST | None) -> bool:
    module = node.module or ""
    names = [one.name for one in node.names if not one.asname and one.name != "*"]
    known = module in _MODULES or (module in _ONLY and set(names) <= set(_ONLY[module]))
    return known and not node.level and len(names) == len(node.names)


def _plain_call(node: ast.Call, _: ast.AST | None) -> bool:
    # A prompt of `input` goes to standard output, in one of two ways.
    return not (isinstance(node.func, ast.Name) and node.func.id == "input" and (node.args or node.keywords))


_CHECKS: dict[type[ast.AST], Callable[[Any, ast.AST | None], bool]] = {
    ast.Name: _plain_name,
    ast.Attribute: _plain_attribute,
    ast.Import: _plain_import,
    ast.ImportFrom: _plain_import_from,
    ast.Call: _plain_call,
    ast.FunctionDef: lambda node, _: not node.decorator_list and node.name not in _CONSUMERS,
    ast.arg: lambda node, _: node.arg not in (*_CONSUMERS, *_ONLY, *_STREAMS),
    ast.GeneratorExp: lambda _, parent: _consumes(parent),  # generators in generators are calls in calls
    ast.Delete: lambda node, _: all(isinstance(target, ast.Subscript) for target in node.targets),
    ast.Constant: lambda node, _: not isinstance(node.value, str) or node.value.isascii(),
}
"""For kinds of nodes, what else has to hold of a node and the one around it."""


def _consumes(call: ast.AST | None) -> bool:
    match call:
        case ast.Call(func=ast.Name(id=name)):
            return name in _CONSUMERS
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in ("join", "sort", "extend", "update")
    return False


def _raises_limit(node: ast.Attribute, call: ast.AST | None) -> bool:
    """Whether this is a call that sets the limit of recursion to a thousand or more."""
    if node.attr != "setrecursionlimit" or not isinstance(call, ast.Call) or len(call.args) != 1:
        return False
    match call.args[0]:
        case ast.Constant(value=int(limit)):
            return 1000 <= limit < 2**31
        case ast.BinOp(left=ast.Constant(value=10), op=ast.Pow(), right=ast.Constant(value=int(power))):
            return 3 <= power <= 9
    return False


def _no_recursion(tree: ast.Module, parents: dict[int, ast.AST]) -> bool:
    """Whether each function has one name, is only called by it, and calls only functions that end before it ends."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    ends = {node.name: node.end_lineno or 0 for node in functions}
    if len(ends) < len(functions):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ends:
            call = parents[id(node)]
            if not isinstance(node.ctx, ast.Load) or not isinstance(call, ast.Call) or call.func is not node:
                return False
            outer: ast.AST | None = call
            while outer := parents.get(id(outer)):
                if isinstance(outer, ast.FunctionDef) and ends[node.id] >= ends[outer.name]:
                    return False
        if isinstance(node, (ast.arg, ast.alias)) and (getattr(node, "arg", "") or getattr(node, "name", "")) in ends:
            return False
    return True


def _needs_no_prelude(program: str, tree: ast.Module, prelude: Sequence[str]) -> bool:
    """Whether each global name is a known builtin or bound before its first use, by a statement that always runs."""
    bound: dict[str, int] = {}
    for statement in tree.body:
        for name in _binds(statement):
            bound.setdefault(name, statement.lineno)
    first: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            first[node.id] = min(first.get(node.id, node.lineno), node.lineno)
    given = _names(tuple(prelude))
    for table in _tables(symtable.symtable(program, "program", "exec")):
        for symbol in table.get_symbols():
            name = symbol.get_name()
            of_module = table.get_type() == "module" or symbol.is_global()
            if not of_module or not symbol.is_referenced() or name == "__name__":
                continue
            always = name in bound and bound[name] < first.get(name, 0)
            if (name in given or hasattr(builtins, name)) and not always and name not in _BUILTINS:
                return False
    return True


def _binds(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.Import() | ast.ImportFrom():
            yield from (one.name for one in statement.names)
        case ast.FunctionDef():
            yield statement.name
        case ast.Assign():
            for target in statement.targets:
                yield from (node.id for node in ast.walk(target) if _stored(node))  # type: ignore[attr-defined]


def _stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


@cache
def _names(modules: tuple[str, ...]) -> frozenset[str]:
    """What the strict rule's prelude puts before a program."""
    names: set[str] = set(modules)
    for module in modules:
        found = vars(importlib.import_module(module))
        names.update(found.get("__all__", [name for name in found if name[0] != "_"]))
    return frozenset(names)


def _parsed(program: str) -> ast.Module | None:
    """The syntax of a program; None if it has a fault, or is too long to be read here."""
    if len(program) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
