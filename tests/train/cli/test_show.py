"""`sftgen show`: which answers changed, and one of them, in the terminal."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.store import RunFolder
from sftgen_train.cli.show import show_answers
from tests.conftest import Command
from tests.train.viewer.made import DOCUMENTS, HARMFUL, PARITY, REPEATS, SECRET, add_step, make_run, parity

HOSTILE = "\x1b]0;owned\x07[bold]x\u202eevil\x00 \x1b[2J"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("show") / "run").path


def documents(text: str) -> list[tuple[str, list[str]]]:
    """The rows of the table: a document and its scores."""
    rows = (line.split() for line in text.splitlines() if re.match(r" (parity|ex_phi)/\d+ ", line))
    return [(name, [cell for cell in cells if re.fullmatch(r"[\d.]+\*?", cell)]) for name, *cells in rows]


def test_the_documents_that_changed_most_come_first(command: Command, run: Path) -> None:
    done = command("sftgen", "show", run, "--task", "parity", "--limit", "70")
    assert done.returncode == 0, done.stderr
    rows = documents(done.stdout)
    assert len(rows) == 70
    spread = [max(scores) - min(scores) for _, cells in rows for scores in [[float(c.strip("*")) for c in cells]]]
    assert spread == sorted(spread, reverse=True)
    assert ("parity/5", ["1", "0*", "0"]) in rows
    assert "Is the number of ones in $x_5^2$ even?" in done.stdout

    narrow = command("sftgen", "show", run, "--task", "parity", "--limit", "70", env={**os.environ, "COLUMNS": "50"})
    assert documents(narrow.stdout) == rows  # a question that has no room takes none from the scores

    won = command("sftgen", "show", run, "--task", PARITY, "--steps", "10,40", "--changed", "wrong-right")
    assert "wrong-right from step 10 to 40" in won.stdout
    means = [
        [sum(parity()(each, step, n)[1] for n in range(REPEATS)) for step in (10, 40)] for each in range(DOCUMENTS)
    ]
    assert f"{sum(after > before for before, after in means)} documents" in won.stdout
    assert all(float(before.strip("*")) < float(after) for _, (before, after) in documents(won.stdout))


def test_one_document_with_its_answers(command: Command, run: Path) -> None:
    one = command("sftgen", "show", run, "--task", "parity", "--doc", "parity/9", "--steps", "0,40")
    assert one.returncode == 0, one.stderr
    assert "Is the number of ones in $x_9^2$ even?" in one.stdout
    parts = re.split(r"^step (\d+) ─+$", one.stdout, flags=re.MULTILINE)
    assert parts[1::2] == ["0", "40"]
    for part, score, word, verb in zip(parts[2::2], "10", ("even", "odd"), ("looked", "counted"), strict=True):
        for told in (
            f"score {score}, ended: stop", f"read: {word}", "because: read & compared <b>well</b>",
            "[thinking: 3 tokens; --thinking shows it]", f"I {verb} the ones of $x_9^2$. Answer: {word}",
        ):  # fmt: skip
            assert told in part
        assert "Let me see" not in part
    thought = command("sftgen", "show", run, "--task", "parity", "--doc", "parity/9", "--steps", "0", "--thinking")
    assert "Let me see at step 0." in thought.stdout
    wide = {**os.environ, "COLUMNS": "200"}
    beside = command("sftgen", "show", run, "--task", "parity", "--doc", "parity/9", env=wide)
    assert re.search(r"step 0 +┃ step 10 +┃ step 40", beside.stdout)
    assert re.search(r"I looked .* │ I counted", beside.stdout)


def test_texts_of_a_safety_task_are_shown_on_demand_only(command: Command, run: Path) -> None:
    for further in ((), ("--doc", "ex_phi/2", "--thinking")):
        hidden = command("sftgen", "show", run, "--task", HARMFUL, *further)
        assert hidden.returncode == 0, hidden.stderr
        assert SECRET not in hidden.stdout
        assert "its texts are shown with --with-harmful-texts only" in hidden.stdout
        assert "because" not in hidden.stdout
        shown = command("sftgen", "show", run, "--task", HARMFUL, *further, "--with-harmful-texts")
        assert SECRET in shown.stdout


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "--task: name one of the tasks; it has sftgen_hex_phi, sftgen_parity"),
        ({"task": "sftgen_parityy"}, "did you mean 'sftgen_parity'?"),
        ({"task": "parity", "steps": "3"}, "step 3 has no graded answers here; 0, 10, 40 have"),
        ({"task": "parity", "steps": "soon"}, "expected steps such as 0,16,80"),
        ({"task": "parity", "changed": "rigth-wrong"}, "did you mean 'right-wrong'?"),
        ({"task": "parity", "doc": "parity/900"}, "did you mean 'parity/"),
        ({"task": "parity", "doc": "parity/9", "repeat": 2}, "has the samples 0, 1"),
    ],
)
def test_what_is_not_there_is_said(run: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(SftgenError, match=re.escape(says)):
        show_answers(run, **given)


def test_a_strangers_text_moves_no_cursor_and_has_an_end(command: Command, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    long = "word " * 4_000
    add_step(run, 0, {PARITY: ([f"Q {HOSTILE}"], 1, lambda *_: (f"{HOSTILE} {long}end", 1.0), "rule")})
    for further in ((), ("--doc", "parity/0")):
        done = command("sftgen", "show", run.path, *further)
        assert done.returncode == 0, done.stderr
        assert not set("\x1b\x07\x00\u202e") & set(done.stdout)
        assert "[bold]x" in done.stdout
        assert len(done.stdout) < 10_000
    assert "more; sftgen view shows them]" in done.stdout
