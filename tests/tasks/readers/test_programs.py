"""Which block of a response is the program, and when what a program gave is right."""

from __future__ import annotations

import pytest

from sftgen_tasks.readers.paper_programs import paper_program, paper_same_output
from sftgen_tasks.readers.programs import last_program, same_output, same_value

P, Q = "print(1)", "print(2)"

# text -> the program, and the one by the paper rule
BLOCKS: dict[str, tuple[str, str | None, str | None]] = {
    "python": (f"Here:\n```python\n{P}\n```\nDone.", P, P),
    "no label": (f"```\n{P}\n```", P, None),
    "py": (f"```py\n{P}\n```", P, None),
    "Python": (f"```Python\n{P}\n```", P, None),
    "python3": (f"```python3\n{P}\n```", P, None),
    "with blanks": (f"``` python \n{P}\n``` ", P, None),
    "in braces": (f"```{{.python}}\n{P}\n```", P, None),
    "with a title": (f'```python title="a.py"\n{P}\n```', P, None),
    "tildes": (f"~~~python\n{P}\n~~~", P, None),
    "a longer fence": (f"````python\n{P}\n````", P, P),
    "windows line ends": (f"```python\r\n{P}\r\n```\r\n", P, None),
    "none at the end": (f"```python\n{P}", P, None),
    "none at the end, no label": (f"```\n{P}\n", P, None),
    "closed after code": (f"```python\n{P}```", P, P),
    "opened after words": (f"The code: ```python\n{P}\n```", P, P),
    "words after the end": (f"```python\n{P}\n``` This works.\n```text\n1\n```", P, P),
    "the last of two": (f"```python\n{P}\n```\nBetter:\n```python\n{Q}\n```", Q, Q),
    "the last, of another fence": (f"```python\n{P}\n```\nBetter:\n```\n{Q}\n```", Q, P),
    "one left open before": (f"```python\n{P}\n\nNo.\n```python\n{Q}\n```", Q, P + "\n\nNo."),
    "a fence twice": (f"```python\n```python\n{P}\n```", P, ""),
    "a sample output after it": (f"```python\n{P}\n```\nOutput:\n```\n1\n```", P, P),
    "an explanation after it": (f"```python\n{P}\n```\n```text\nIt does print.\n```", P, P),
    "how to run it": (f"```python\n{P}\n```\n```bash\npython a.py > printed\n```", P, P),
    "an empty block after it": (f"```python\n{P}\n```\n```python\n\n```", P, ""),
    "in a list": (
        f"1. Code:\n   ```python\n   if 1:\n       {P}\n   ```",
        f"if 1:\n    {P}",
        f"if 1:\n       {P}",
    ),
    "a fence in a docstring": (
        f'```python\ndef f():\n    """\n    ```\n    f()\n    ```\n    """\n{P}\n```',
        f'def f():\n    """\n    ```\n    f()\n    ```\n    """\n{P}',
        'def f():\n    """',
    ),
    "a fence in a string": (f'```python\ns = "```"\n{P}\n```', f's = "```"\n{P}', 's = "'),
    "code in a line of words": (f"Use ```x``` so.\n```python\n{P}\n```", P, P),
    "only another language": ("```cpp\nint main() {}\n```", "int main() {}", None),
    "neither prints nor defines": ("```python\nx = 1\n```", "x = 1", "x = 1"),
    "tags": (f"```python\n<code>{P}</code>\n```", f"<code>{P}</code>", P),
    "the prompt's mark": (f"```python\n# YOUR CODE HERE\n{P}\n```", f"# YOUR CODE HERE\n{P}", P),
    "the mark with words": (
        f"```python\n# YOUR CODE HERE: a sum\n{P}\n```",
        f"# YOUR CODE HERE: a sum\n{P}",
        f": a sum\n{P}",
    ),
    "indented": (f"```python\n    {P}\n```", P, P),
    "words after a tag": (f"```python\n<code>\n{P}\n</code> So.\n```", f"<code>\n{P}\n</code> So.", P),
    "no block": ("print(1)", None, None),
    "only words": ("I cannot solve it.", None, None),
    "nothing": ("", None, None),
    "an empty block": ("```python\n```", None, ""),
    "a bare fence": ("```", None, None),
    "a null character": (f"```python\n{P}\0\n```", f"{P}\0", f"{P}\0"),
}


@pytest.mark.parametrize(("text", "program", "paper"), BLOCKS.values(), ids=BLOCKS)
def test_which_block_is_the_program(text: str, program: str | None, paper: str | None) -> None:
    found = last_program(text)
    assert (found and found.replace("\r", "")) == program
    assert paper_program(text) == paper


def test_megabytes_of_fences_are_read() -> None:
    for text in ("```python\n" * 10**5, "`" * 10**6, "    ```x\n" * 10**5, f"```python\n{P}\n" + "x = 1\n" * 10**6):
        last_program(text)
        paper_program(text)


OUTPUTS = [
    # expected, output, right, right by the paper rule
    ("1", "1", True, True),
    ("1\n", "1", True, True),
    ("1", "\n 1 \n\n", True, True),
    ("1", "2", False, False),
    ("a b", "a  b", False, False),
    ("1\n2", "1 \n2", True, False),
    ("1\n2", "1\r\n2\r\n", True, False),
    ("1\n2", "1\n\n2", False, False),
    ("1\n2", "1 2", False, False),
    ("1 2", "1", False, False),
    ("0.5", "0.50", True, False),
    ("0.5", "5e-1", True, False),
    ("1 2", "1.0  2", True, False),
    ("0.3333333333", "0.3333333334", False, False),
    ("50000000000000000", "50000000000000001", False, False),
    ("YES", "yes", False, False),
    ("x 1", "x 1.0", False, False),
    ("", "", True, True),
    ("", "\n", True, True),
    ("", "1", False, False),
    ("1", "", False, False),
    ("nan", "nan", True, True),
    ("1", "nan", False, False),
    ("1", "sNaN", False, False),
    ("1", "1e999999999999999999999", False, False),
    ("3 -", "3", False, True),
    ("3 -", "3 -", True, False),
]


@pytest.mark.parametrize(("expected", "output", "right", "paper"), OUTPUTS)
def test_what_a_program_prints(expected: str, output: str, right: bool, paper: bool) -> None:
    assert same_output(expected, output) is right
    assert paper_same_output(expected, output) is paper


VALUES = [
    ("3", "3", True),
    ("3", "3.0", True),
    ("true", "true", True),
    ("true", "1", True),
    ('"a"', '"a"', True),
    ('"a"', "a", False),
    ("[1, 2]", "[1,2]", True),
    ("[1, 2]", "[2, 1]", False),
    ("0.3", "0.30000000000000004", False),
    ("null", "null", True),
    ("[]", "", False),
    ("1", "[" * 10**5, False),
    ("1", "9" * 5000, False),
]


@pytest.mark.parametrize(("expected", "value", "right"), VALUES)
def test_what_a_function_returns(expected: str, value: str, right: bool) -> None:
    assert same_value(expected, value) is right
