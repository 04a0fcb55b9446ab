"""What of a library's error stands in a message of ours."""

import pytest

from sftgen_judges.errors import first_line


@pytest.mark.parametrize(
    ("said", "alone", "with_kind"),
    [
        ("no such file", "no such file", "OSError: no such file"),
        ("\n \nno such file  \nand a page of advice", "no such file", "OSError: no such file"),
        ("x" * 1000, "x" * 300, "OSError: " + "x" * 300),
        ("", "OSError", "OSError"),
        ("\n", "OSError", "OSError"),
    ],
)
def test_the_first_line_of_an_error(said: str, alone: str, with_kind: str) -> None:
    error = OSError(said)
    assert (first_line(error), first_line(error, kind=True)) == (alone, with_kind)
