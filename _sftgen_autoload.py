"""Makes sftgen's tasks visible to plain `lm_eval`. Run from `sftgen_autoload.pth` at interpreter start.

No released lm_eval finds the tasks of another package. This module waits, without importing
anything, until `lm_eval.tasks.manager` is imported, and then adds sftgen's and its plugins' task
folders to what `TaskManager` scans, and sftgen's models to lm_eval's registry. It touches nothing
else, stands aside where lm_eval reads the entry points `lm_eval.tasks` itself, and is switched off
by `SFTGEN_NO_AUTOLOAD=1`.
"""

import os
import sys

TARGET = "lm_eval.tasks.manager"


def _patch(manager):
    if hasattr(manager, "discover_plugin_task_paths"):  # lm_eval finds entry points itself
        return
    original = manager.TaskManager.__init__
    if getattr(original, "_sftgen", False):
        return

    def __init__(self, *args, **kwargs):
        try:
            from inspect import signature

            given = signature(original).bind(self, *args, **kwargs)  # another lm_eval may take more than today's
            given.apply_defaults()
            if given.arguments["include_defaults"]:
                given.arguments["include_path"] = _with_plugin_folders(given.arguments["include_path"])
            args, kwargs = given.args[1:], given.kwargs
        except (KeyError, TypeError) as error:
            print(f"sftgen: its tasks are not available: {error!r}. Run `sftgen doctor`.", file=sys.stderr)
        original(self, *args, **kwargs)

    __init__._sftgen = True
    __init__.__doc__, __init__.__wrapped__ = original.__doc__, original
    manager.TaskManager.__init__ = __init__


def _with_plugin_folders(include_path):
    try:
        from sftgen_judges.plugins.manager import task_directories

        ours = [str(folder) for folder in task_directories()]
        _register_models()
    except ImportError:  # half uninstalled: this file stands, the packages are gone
        return include_path
    except Exception as error:  # lm_eval's own tasks must work whatever is wrong with ours
        print(f"sftgen: its tasks are not available: {error!r}. Run `sftgen doctor`.", file=sys.stderr)
        return include_path
    given = [] if not include_path else include_path if isinstance(include_path, (list, tuple)) else [include_path]
    # What the user names comes last: later folders win.
    return [folder for folder in ours if folder not in map(str, given)] + list(given)


def _register_models():
    try:
        from sftgen_tasks.harness.registry import register_models

        register_models()
    except ImportError:  # an lm_eval whose registry is elsewhere; asking for one of our models will say so
        pass


class _Finder:
    """Finds only TARGET, and only to run `_patch` once it has been executed."""

    searching = False

    def find_spec(self, name, path=None, target=None):
        if name != TARGET or self.searching:
            return None
        from importlib.util import find_spec

        self.searching = True
        try:
            spec = find_spec(name)
        finally:
            self.searching = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
                try:
                    _patch(module)
                except Exception as error:
                    print(f"sftgen: cannot add its tasks to lm_eval: {error!r}", file=sys.stderr)

            spec.loader.exec_module = exec_module
        return spec


def install():
    """Start waiting for lm_eval. Does nothing when called again or switched off."""
    if os.environ.get("SFTGEN_NO_AUTOLOAD"):
        return
    if TARGET in sys.modules:
        _patch(sys.modules[TARGET])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
