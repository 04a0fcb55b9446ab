"""Folders for what a query spills: gone with their process, or with the next start where it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftgen_judges.records import spill
from sftgen_judges.records.query import open_records
from sftgen_judges.records.spill import spill_folder
from tests import ROOT
from tests.judges.records.run_folders import start


class Owner: ...


HOLDER = """
import signal
from sftgen_judges.records.spill import spill_folder
class Owner: ...
owner = Owner()
print(spill_folder(owner)[0], flush=True)
signal.pause()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spill._cleared.cache_clear()
    yield tmp_path
    spill._cleared.cache_clear()


def holding(temporary: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a folder until it is killed."""
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", HOLDER]
    process = subprocess.Popen(line, env=environment, text=True, stdout=subprocess.PIPE)
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_is_in_use_stays(temporary: Path) -> None:
    (dead, left), (alive, held) = holding(temporary), holding(temporary)
    try:
        dead.send_signal(signal.SIGKILL)
        dead.communicate()
        (left / "spilled").write_text("x")
        owner = Owner()
        mine = Path(spill_folder(owner)[0])
        assert mine.parent == left.parent == held.parent
        assert (mine.is_dir(), left.exists(), held.is_dir()) == (True, False, True)
    finally:
        alive.kill()
        alive.communicate()


def test_a_folder_goes_with_its_records_and_only_in_the_process_that_made_it(temporary: Path) -> None:
    records = open_records(start(temporary / "run"))
    folder = Path(records._spill)
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == folder.parent.stat().st_mode & 0o077 == 0
    child = os.fork()
    if not child:
        records._cleaned()
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.is_dir()
    records.close()
    assert not folder.exists()


@pytest.mark.parametrize("taken", ["a file", "a link", "open to others"])
def test_where_another_has_the_name_nothing_is_put_there_or_removed(temporary: Path, taken: str) -> None:
    other, name = temporary / "other", temporary / f"sftgen-spilled-{os.geteuid()}"
    (other / "theirs").mkdir(parents=True)
    if taken == "a file":
        name.touch()
    elif taken == "a link":
        name.symlink_to(other)
    else:
        other.rename(name)
        name.chmod(0o777)
        other = name
    owner = Owner()
    folder = Path(spill_folder(owner)[0])
    assert folder.parent == temporary
    assert [path.name for path in other.iterdir()] == ["theirs"]


def test_without_locks_of_folders_nothing_is_shared_or_removed(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError("no locks")

    monkeypatch.setattr(spill.fcntl, "flock", no_locks)
    for _ in range(2):
        owner = Owner()
        folder, removed = spill_folder(owner)
        assert Path(folder).parent == temporary
        removed()
        spill._cleared.cache_clear()
