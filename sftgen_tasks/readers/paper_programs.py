r"""Programs as the paper's code (arXiv 2604.06628) takes, runs and checks them, with its faults.

That code runs a program with `exec` inside a process of its own. `inside_paper` puts `paper_process.py` around a
program, so that it finds the same in the sandbox. What the sandbox is not told (expected outputs) and what needs no
program (arguments, names) is here.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
_NAMED_MAIN = '__name__ == "__main__"'


def paper_program(text: str) -> str | None:
    r"""The last block that opens with exactly three backticks, `python` and a line break, without the prompt's mark.

    Without such a block the paper's code runs the last character of the text; this function returns None.

    >>> paper_program("```python\n  # YOUR CODE HERE\nprint(1)\n```")
    'print(1)'
    """
    blocks = _BLOCK.findall(text)
    if not blocks:
        return None
    code = str(blocks[-1]).partition("</code>")[0].replace("# YOUR CODE HERE", "")
    return code.replace("<code>", "").strip()


def inside_paper(program: str, *, function: bool) -> str:
    """A program for the sandbox that runs this one as the paper's code does.

    Standard input is the test's input, or for a function the JSON of `paper_arguments`. Standard output is what the
    paper's code would compare, for a function as JSON. A program that fails there raises an error.

    Args:
        program: What `paper_program` found.
        function: Whether a function is called. Its name is the last word before the first bracket of the program: of a
            method its own name, which that code then looks for outside the class.
    """
    if function:
        return f"{_process()}\ncall({program!r}, {called_name(program)!r})\n"
    # The name is only set where the text has this very condition, with these quotes and blanks.
    program = f'__name__ = "__main__"\n{program}' if _NAMED_MAIN in program else program
    return f"{_process()}\nrun({program!r})\n"


def called_name(program: str) -> str:
    """The name of the function that the paper's code calls: the last word before the first bracket."""
    words = program.partition("(")[0].split()
    return words[-1] if words else ""


def paper_arguments(given: str) -> str | None:
    r"""A function's arguments as the paper's code parses them, as one line of JSON; None where it cannot.

    One argument a line. Lists are JSON, and a text loses its quotes but keeps its escapes. What is no list and no
    number, such as `true` or an object, is a text. If there is a `=` anywhere, all of it is split at commas, and each
    part has to be `name=value` with a number or a text.

    >>> paper_arguments('[1, 2]\ntrue\n"a\\nb"\n2.0')
    '[[1, 2], "true", "a\\\\nb", 2.0]'
    >>> paper_arguments('"a=b"\n3'), paper_arguments('"a==b"')
    ('["b\\"\\n3"]', None)
    """
    if "=" in given:
        pairs = [part.split("=") for part in given.split(",")]
        if any(len(pair) != 2 for pair in pairs):
            return None
        return json.dumps([_value(value.strip(), value.strip().strip('"')) for _, value in pairs])
    try:
        return json.dumps([_argument(line.strip()) for line in given.split("\n") if line.strip()])
    except (ValueError, RecursionError):  # a list that is no JSON
        return None


def _argument(line: str) -> object:
    if line.startswith('"') and line.endswith('"'):
        return line.strip('"')
    if line.startswith("[") and line.endswith("]"):
        return json.loads(line)
    return _value(line, line)


def _value(text: str, otherwise: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return otherwise


def paper_same_output(expected: str, output: str) -> bool:
    """The rule of the paper's code: equal texts, apart from blanks around them and one `-` that ends `expected`."""
    wanted = expected.strip()
    return output.strip() == (wanted[:-1].rstrip() if wanted.endswith("-") else wanted)


@cache
def _process() -> str:
    return Path(__file__).with_name("paper_process.py").read_text(encoding="utf-8")
