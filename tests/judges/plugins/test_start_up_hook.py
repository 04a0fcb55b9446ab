"""`_sftgen_autoload` against a stand-in for lm_eval of twenty lines; tests/environments has the real ones."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sftgen_judges.plugins.manager import task_directories
from tests import PATIENCE, ROOT
from tests.judges.plugins.conftest import Door

HOOK = ROOT / "_sftgen_autoload.py"
MANAGER = """
class TaskManager:
    def __init__(self, verbosity=None, include_path=None, include_defaults=True, metadata=None):
        self.given = [verbosity, include_path, include_defaults, metadata]
"""
OURS = [str(folder) for folder in task_directories()]


@pytest.fixture
def lm_eval(door: Door) -> Door:
    """A stand-in for lm_eval and this checkout's hook, both before the installed ones."""
    tasks = door.folder / "lm_eval" / "tasks"
    tasks.mkdir(parents=True)
    (door.folder / "lm_eval" / "__init__.py").touch()
    (tasks / "__init__.py").touch()
    (tasks / "manager.py").write_text(MANAGER, encoding="utf-8")
    (door.folder / HOOK.name).symlink_to(HOOK)
    return door


def given(door: Door, call: str, before: str = "", **settings: str) -> tuple[list[object], str]:
    """What TaskManager was given for a call, and what was printed on stderr."""
    code = f"""
        import _sftgen_autoload, json
        {before}
        _sftgen_autoload.install()
        from lm_eval.tasks.manager import TaskManager
        print(json.dumps({call}.given, default=str))
        """
    done = door.python(code, **{"SFTGEN_LOAD_PLUGINS": "", **settings})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("TaskManager()", [None, OURS, True, None]),
        ("TaskManager('INFO', 'mine', True, {'a': 1})", ["INFO", [*OURS, "mine"], True, {"a": 1}]),
        ("TaskManager(include_path=['a', 'b'])", [None, [*OURS, "a", "b"], True, None]),
        # Later folders win, so what the user names stays last; and once.
        (f"TaskManager(include_path=[{OURS[0]!r}])", [None, OURS, True, None]),
        ("TaskManager(include_path='mine', include_defaults=False)", [None, "mine", False, None]),
    ],
)
def test_our_folders_come_before_those_of_the_user(lm_eval: Door, call: str, expected: list[object]) -> None:
    assert given(lm_eval, call) == (expected, "")


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("import lm_eval.tasks.manager", id="lm_eval imported before"),
        pytest.param("_sftgen_autoload.install(); _sftgen_autoload.install()", id="installed again"),
        pytest.param("import importlib.util as u; u.find_spec('lm_eval.tasks.manager')", id="looked for before"),
    ],
)
def test_it_adds_the_folders_once_whatever_came_before(lm_eval: Door, before: str) -> None:
    assert given(lm_eval, "TaskManager()", before) == ([None, OURS, True, None], "")


def test_it_leaves_the_import_system_as_it_was(lm_eval: Door) -> None:
    done = lm_eval.python(
        """
        import sys
        waiting = [type(finder).__module__ for finder in sys.meta_path]
        import lm_eval.tasks.manager
        left = [type(finder).__module__ for finder in sys.meta_path]
        print(waiting.count("_sftgen_autoload"), left.count("_sftgen_autoload"), "sftgen_judges" in sys.modules)
        """
    )
    assert done.stdout.split() == ["1", "0", "False"]


@pytest.mark.parametrize(
    ("signature", "call", "expected"),
    [
        ("verbosity=None, include_path=None, include_defaults=True, metadata=None, *, new=3", "TaskManager(new=4)",
         [OURS, True, 4]),
        ("new=3, *, include_path=None, include_defaults=True", "TaskManager(5, include_path='a')",
         [[*OURS, "a"], True, 5]),
        ("include_path=None, include_defaults=True, **more", "TaskManager(include_defaults=False, new=6)",
         [None, False, 6]),
    ],
)  # fmt: skip
def test_it_passes_on_what_another_lm_eval_may_take(
    lm_eval: Door, signature: str, call: str, expected: list[object]
) -> None:
    last = "more.get('new')" if "more" in signature else "new"
    lines = (
        "class TaskManager:", f"    def __init__(self, {signature}):",
        f"        self.given = [include_path, include_defaults, {last}]",
    )  # fmt: skip
    (lm_eval.folder / "lm_eval" / "tasks" / "manager.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert given(lm_eval, call) == (expected, "")


def test_an_lm_eval_without_include_path_works_and_says_so(lm_eval: Door) -> None:
    manager = lm_eval.folder / "lm_eval" / "tasks" / "manager.py"
    manager.write_text("class TaskManager:\n    def __init__(self, other=1):\n        self.given = [other]\n")
    arguments, printed = given(lm_eval, "TaskManager(2)")
    assert arguments == [2]
    assert "Run `sftgen doctor`" in printed


def test_it_can_be_switched_off(lm_eval: Door) -> None:
    assert given(lm_eval, "TaskManager()", SFTGEN_NO_AUTOLOAD="1") == ([None, None, True, None], "")


def test_it_stands_aside_where_lm_eval_reads_entry_points_itself(lm_eval: Door) -> None:
    manager = lm_eval.folder / "lm_eval" / "tasks" / "manager.py"
    manager.write_text(MANAGER + "\ndef discover_plugin_task_paths():\n    return []\n", encoding="utf-8")
    assert given(lm_eval, "TaskManager()") == ([None, None, True, None], "")


def test_lm_eval_works_when_sftgen_does_not(lm_eval: Door) -> None:
    broken = "import sftgen_judges.plugins.manager as p; p.task_directories = lambda: 1 / 0"
    arguments, printed = given(lm_eval, "TaskManager(include_path='mine')", broken)
    assert arguments == [None, "mine", True, None]
    assert printed.count("\n") == 1
    assert "sftgen" in printed
    assert "ZeroDivisionError" in printed


def test_lm_eval_works_when_a_plugin_does_not(lm_eval: Door) -> None:
    lm_eval.add("bad", "raise OSError('disk on fire')")
    arguments, printed = given(lm_eval, "TaskManager()", SFTGEN_LOAD_PLUGINS="bad")
    assert arguments == [None, OURS, True, None]
    assert printed.count("sftgen plugin 'bad'") == 1
    assert "Traceback" not in printed


def test_lm_eval_works_when_only_the_hook_is_left(lm_eval: Door) -> None:
    """An `sftgen_judges` that is not there, as after half an uninstallation."""
    gone = "import sys; sys.modules['sftgen_judges'] = None"
    assert given(lm_eval, "TaskManager()", gone) == ([None, None, True, None], "")


def test_start_up_imports_only_os_and_sys() -> None:
    lines = HOOK.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith(("import ", "from "))] == ["import os", "import sys"]


def test_python_runs_the_hook_from_the_pth_file() -> None:
    code = """
import site, sys
sys.path.insert(0, sys.argv[1])
site.addpackage(sys.argv[1], "sftgen_autoload.pth", set())
print(*[type(finder).__module__ for finder in sys.meta_path if hasattr(type(finder), "searching")])
"""
    line = [sys.executable, "-S", "-c", code, str(ROOT)]  # -S: not the installed one
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("_sftgen_autoload\n", "")


def test_the_start_file_names_the_hook_as_pep_829_wants_it() -> None:
    assert (ROOT / "sftgen_autoload.start").read_text(encoding="utf-8") == "_sftgen_autoload:install\n"
