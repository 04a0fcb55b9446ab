"""How plugins are found, loaded, restricted, traced and refused."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from sftgen_judges.plugins.contracts import KINDS
from sftgen_judges.plugins.hookspecs import HOOKS, SPECIFICATIONS
from sftgen_judges.plugins.manager import UnknownNameError, lookup, plugins, task_directories
from tests.judges.plugins.conftest import Door

BUILT_IN = {("sftgen_judges", "sftgen"), ("sftgen_tasks", "sftgen"), ("sftgen_train", "sftgen")}
HEAVY = {"torch", "transformers", "vllm", "lm_eval", "trl", "datasets"}

JUDGE = """
from sftgen_judges import Judge, Verdict, hookimpl

def judge(items):
    for item in items:
        yield Verdict.of(item.response, item.response.answer, len(item.response.answer) > 3)

LONG = Judge({name!r}, version=1, scale=(0, 1), success=1, judge=judge)

@hookimpl
def register_judges(register):
    register({name!r}, LONG)
"""


def a_judge(name: str) -> str:
    """A plugin module with a working judge."""
    return JUDGE.format(name=name)


def a_hook(definition: str, *body: str) -> str:
    """A plugin module with one hook."""
    return f"from sftgen_judges import hookimpl\n\n@hookimpl\ndef {definition}:\n{indent(chr(10).join(body), '    ')}\n"


def judges(shown: dict[Any, Any], plugin: str) -> list[str]:
    """The judges one plugin adds, by what `sftgen plugins --json` shows."""
    [found] = [entry for (name, _), entry in shown.items() if name == plugin]
    return found["adds"].get("register_judges", [])


# ------------------------------------------------------------------------------ what comes in


def test_the_built_in_floors_come_through_the_entry_point_group(door: Door) -> None:
    declared = {
        (entry.name, entry.dist.name)
        for entry in metadata.entry_points(group="sftgen")
        if entry.dist and entry.dist.name == "sftgen"
    }
    shown, warned = door.listing(SFTGEN_LOAD_PLUGINS="")
    assert declared == BUILT_IN == set(shown)
    assert warned == []
    assert all(plugin["version"] == metadata.version("sftgen") for plugin in shown.values())
    assert "refusal" in shown["sftgen_judges", "sftgen"]["adds"]["register_judges"]
    assert "anatomy" in shown["sftgen_judges", "sftgen"]["adds"]["register_diagnostics"]
    assert "math500" in shown["sftgen_tasks", "sftgen"]["adds"]["register_graders"]
    assert "trainer" in shown["sftgen_train", "sftgen"]["adds"]["register_checkpoint_sources"]
    [tasks] = shown["sftgen_tasks", "sftgen"]["adds"]["register_tasks"]
    assert (Path(tasks) / "math500.yaml").is_file()


def test_everything_built_in_can_be_loaded() -> None:
    """Targets are strings, so that only loading shows a wrong one."""
    for kind, facts in KINDS.items():
        ours = [name for name, entry in plugins().registered(facts.hook).items() if entry.plugin.startswith("sftgen_")]
        assert ours, kind
        for name in ours:
            assert lookup(kind, name).name == name


def test_a_judge_of_another_distribution_grades(door: Door) -> None:
    door.add("alpha", a_judge("long"))
    done = door.python(
        """
        from sftgen_judges import Item, split_thinking
        from sftgen_judges.scoring.grading import grade_batch
        from sftgen_judges.plugins.manager import lookup
        items = [Item({}, split_thinking(text)) for text in ("yes", "certainly", "<think>hm")]
        print([(verdict.status, verdict.score) for verdict in grade_batch(lookup("judge", "long"), items)])
        """
    )
    assert done.stdout.strip() == "[('ok', 0.0), ('ok', 1.0), ('truncated', 0.0)]", done.stderr


def test_task_folders_of_plugins_come_after_sftgens_own(door: Door) -> None:
    (door.folder / "tasks").mkdir()
    door.add("alpha", a_hook("register_tasks(register)", f"register({str(door.folder / 'tasks')!r})"))
    done = door.python("from sftgen_judges.plugins.manager import *\nprint(*task_directories(), sep='\\n')")
    own, added = done.stdout.splitlines()
    assert Path(own) == task_directories()[0]
    assert Path(added) == door.folder / "tasks"


def test_listing_plugins_imports_nothing_heavy(door: Door) -> None:
    door.add("alpha", a_hook("register_judges(register)", "register('lazy', 'lazy_module:JUDGE')"))
    (door.folder / "lazy_module.py").write_text("import torch\n")
    done = door.python(
        """
        import json, sys
        from sftgen_train.cli.main import main
        sys.argv = ["sftgen", "plugins", "--json"]
        try:
            main()
        except SystemExit as stop:
            print(json.dumps({"code": stop.code, "modules": sorted(sys.modules)}), file=sys.stderr)
        """
    )
    ended = json.loads(done.stderr.splitlines()[-1])
    assert not ended["code"]
    assert not (HEAVY | {"lazy_module"}) & set(ended["modules"])
    assert ["lazy"] in [plugin["adds"].get("register_judges") for plugin in json.loads(done.stdout)]


# ------------------------------------------------------------------------------ restricting and tracing


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("", set()),
        ("alpha", {"alpha"}),
        ("dist-beta", {"beta"}),
        (" alpha , beta ", {"alpha", "beta"}),
    ],
)
def test_load_plugins_restricts_to_those_listed(door: Door, setting: str, expected: set[str]) -> None:
    """By entry point or distribution; sftgen's own floors are always there."""
    door.add("alpha", a_judge("first"))
    door.add("beta", a_judge("second"))
    door.add("gamma", "raise RuntimeError('must not be imported')")
    shown, warned = door.listing(SFTGEN_LOAD_PLUGINS=setting)
    assert set(shown) == BUILT_IN | {(name, f"dist-{name}") for name in expected}
    assert warned == []


def test_load_plugins_with_a_name_that_is_not_installed_says_so(door: Door) -> None:
    door.add("alpha", a_judge("first"))
    shown, [warned] = door.listing(SFTGEN_LOAD_PLUGINS="alhpa")
    assert set(shown) == BUILT_IN
    assert "SFTGEN_LOAD_PLUGINS" in warned
    assert "'alhpa'" in warned


def test_tracing_prints_hook_calls_on_stderr(door: Door) -> None:
    door.add("alpha", a_judge("first"))
    done = door.sftgen("plugins", "--json", SFTGEN_TRACE_PLUGINS="1", SFTGEN_LOAD_PLUGINS="alpha")
    traced = [line for line in done.stderr.splitlines() if line.startswith("sftgen hook ")]
    assert "sftgen hook register_judges: sftgen_judges" in traced
    assert "sftgen hook register_judges: alpha" in traced
    assert "sftgen hook register_tasks: sftgen_tasks" in traced
    assert json.loads(done.stdout)
    assert "sftgen hook" not in door.sftgen("plugins", "--json", SFTGEN_TRACE_PLUGINS="0").stderr


# ------------------------------------------------------------------------------ refusing

REFUSED = {
    "import error": ("import a_module_that_is_not_there", ["ModuleNotFoundError", "a_module_that_is_not_there"]),
    "syntax error": ("def (:", ["SyntaxError"]),
    "any error on import": ("raise OSError('disk on fire')", ["OSError: disk on fire"]),
    "raises inside a hook": (a_hook("register_judges(register)", "raise KeyError('lost')"), ["KeyError", "lost"]),
    "raises after registering": (
        a_hook("register_judges(register)", "register('half', 'a:b')", "raise RuntimeError('later')"),
        ["RuntimeError: later"],
    ),
    "wrong argument": (
        a_hook("register_judges(registry)", "registry('x', 'a:b')"),
        ["'bad'", "register_judges", "registry"],
    ),
    "unknown hook": (a_hook("register_judge(register)", "pass"), ["register_judge;", *HOOKS]),
    "target without attribute": (
        a_hook("register_judges(register)", "register('x', 'module_only')"),
        ["register_judges", "'module_only'", "package.module:attribute"],
    ),
    "folder that is not there": (
        a_hook("register_tasks(register)", "register('/no/such/folder')"),
        ["register_tasks", "/no/such/folder"],
    ),
    "same name twice": (
        a_hook("register_judges(register)", "register('x', 'a:b')", "register('x', 'a:c')"),
        ["register_judges", "'x'", "twice"],
    ),
    "two broken hooks": (
        a_hook("register_judges(register)", "raise KeyError(1)")
        + a_hook("register_graders(register)", "raise KeyError(2)"),
        ["KeyError"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_plugin_is_named_in_one_warning_and_the_others_work(door: Door, case: str) -> None:
    source, expected = REFUSED[case]
    door.add("alpha", a_judge("first"))
    door.add("bad", source)
    door.add("omega", a_judge("last"))
    shown, warned = door.listing(SFTGEN_LOAD_PLUGINS="alpha,bad,omega")
    assert len(warned) == 1
    error = shown["bad", "dist-bad"]["error"]
    for part in ("sftgen plugin 'bad' (dist-bad 1.0) is left out", error, *expected):
        assert part in warned[0]
    assert [plugin["name"] for plugin in shown.values() if plugin["error"]] == ["bad"]
    assert not any(shown["bad", "dist-bad"]["adds"].values())
    assert (judges(shown, "alpha"), judges(shown, "omega")) == (["first"], ["last"])
    assert judges(shown, "sftgen_judges")


def test_the_table_shows_why_a_plugin_was_left_out(door: Door) -> None:
    door.add("bad", "raise OSError('[red]disk[/] on fire')")
    done = door.sftgen("plugins", SFTGEN_LOAD_PLUGINS="bad", COLUMNS="200")
    assert done.returncode == 1
    [row] = [line for line in done.stdout.splitlines() if "dist-bad" in line]
    assert "left out" in row
    assert "OSError: [red]disk[/] on fire" in row


def test_of_two_things_with_one_name_the_first_stays_and_both_plugins_are_named(door: Door) -> None:
    door.add("alpha", a_judge("same"))
    door.add("beta", a_judge("same"))
    shown, [warned] = door.listing(SFTGEN_LOAD_PLUGINS="alpha,beta")
    for part in ("'same'", "'alpha'", "'beta'", "register_judges"):
        assert part in warned
    assert (judges(shown, "alpha"), judges(shown, "beta")) == (["same"], [])


def test_a_plugin_cannot_take_the_name_of_something_built_in(door: Door) -> None:
    door.add("aaa", a_judge("refusal"))
    shown, [warned] = door.listing(SFTGEN_LOAD_PLUGINS="aaa")
    assert "'aaa'" in warned
    assert "'sftgen_judges'" in warned
    assert "refusal" in judges(shown, "sftgen_judges")
    assert judges(shown, "aaa") == []


@pytest.mark.parametrize("entry", ["alpha", "sftgen_judges"])
def test_of_two_plugins_with_one_name_the_first_stays(door: Door, entry: str) -> None:
    """Two copies of the template with the entry point not renamed; or the name of one of our floors."""
    door.add("alpha", a_judge("first"))
    door.add("beta", a_judge("second"), entry=entry)
    shown, [warned] = door.listing(SFTGEN_LOAD_PLUGINS="dist-alpha,dist-beta")
    assert f"{entry!r} (dist-beta 1.0) is left out" in warned
    assert "rename its entry point" in warned
    assert shown[entry, "dist-beta"]["error"]
    assert judges({key: plugin for key, plugin in shown.items() if key[1] == "dist-alpha"}, "alpha") == ["first"]
    assert "refusal" in shown["sftgen_judges", "sftgen"]["adds"]["register_judges"]


# ------------------------------------------------------------------------------ one hook, one name


@pytest.mark.parametrize("hook", HOOKS)
def test_the_listing_can_be_narrowed_to_one_hook(door: Door, hook: str) -> None:
    door.add("alpha", a_judge("first"))
    done = door.sftgen("plugins", "--json", "--hook", hook, SFTGEN_LOAD_PLUGINS="alpha")
    listing = json.loads(done.stdout)
    assert done.returncode == 0
    assert listing
    assert all(list(plugin["adds"]) == [hook] for plugin in listing)
    assert ("alpha" in [plugin["name"] for plugin in listing]) == (hook == "register_judges")


def test_an_unknown_hook_is_one_message(door: Door) -> None:
    done = door.sftgen("plugins", "--hook", "register_benchmarks")
    assert done.returncode == 2
    assert done.stdout == ""
    [message] = done.stderr.splitlines()
    for part in ("register_benchmarks", *HOOKS):
        assert part in message


@pytest.mark.parametrize(("kind", "known"), [("judge", "refusal"), ("grader", "math500"), ("diagnostic", "anatomy")])
def test_an_unknown_name_tells_the_known_ones(kind: str, known: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"{kind} 'refusall'.*Known: .*\b{known}\b.*sftgen plugins"):
        lookup(kind, "refusall")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("no_such_module:JUDGE", "cannot be loaded from 'no_such_module:JUDGE': ModuleNotFoundError"),
        ("alpha:JUGDE", "cannot be loaded from 'alpha:JUGDE': AttributeError"),
        ("alpha:register_judges", "expected a Judge, found function 'alpha:register_judges'"),
    ],
)
def test_a_target_that_does_not_lead_to_a_judge_names_the_plugin(door: Door, target: str, expected: str) -> None:
    door.add("alpha", a_hook("register_judges(register)", f"register('x', {target!r})"))
    assert door.sftgen("plugins").returncode == 0
    done = door.python(
        """
        from sftgen_judges.errors import SftgenError
        from sftgen_judges.plugins.manager import lookup
        try:
            lookup("judge", "x")
        except SftgenError as error:
            print(error)
        """
    )
    assert done.stdout.startswith(f"judge 'x' of plugin 'alpha'{':' if 'expected' in expected else ''} {expected}")


def test_every_hook_has_a_specification_and_an_implementation() -> None:
    for hook in HOOKS:
        assert getattr(getattr(SPECIFICATIONS, hook), "sftgen_spec", None) is not None
        assert plugins().registered(hook), hook
    assert set(HOOKS) == {kind.hook for kind in KINDS.values()} | {"register_tasks", "register_commands"}
