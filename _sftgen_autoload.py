"""Makes sftgen's tasks visible to plain `lm_eval`. Run from `sftgen_autoload.pth` at interpreter start.

No released lm_eval finds the tasks of another package. This module waits, without importing
anything, until `lm_eval.tasks.manager` is imported, and then adds sftgen's and its plugins' task
folders to what `TaskManager` scans, and sftgen's models to lm_eval's registry. Until then it also waits
for the parser of lm_eval's flags, so that `--metadata think_markers=OPENER,CLOSER` is read. It touches
nothing else, stands aside where lm_eval reads the entry points `lm_eval.tasks` itself, and is switched off
by `SFTGEN_NO_AUTOLOAD=1`.
"""

import os
import sys

TARGET = "lm_eval.tasks.manager"
PARSER = "lm_eval._cli.utils"
MARKERS = "think_markers="


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


def keep_marker_pairs(utils):
    """Let two markers with a comma between through lm_eval's parser of `key=value,key=value`."""
    original = getattr(utils, "key_val_to_dict", None)
    if original is None or getattr(original, "_sftgen", False):
        return

    def key_val_to_dict(args):
        before, found, value = ("," + (args or "")).partition("," + MARKERS)
        opener, comma, rest = value.partition(",")
        closer, _, after = rest.partition(",")
        # A name is no pair, nor is what lm_eval keeps together itself: a quoted text.
        if not found or not comma or "=" in rest.partition(">")[0] or value[:1] in "\"'":
            return original(args)
        left = ",".join(part for part in (before.strip(","), after) if part)
        return {**(original(left) if left else {}), MARKERS[:-1]: opener + "," + closer}

    key_val_to_dict._sftgen = True
    key_val_to_dict.__doc__ = original.__doc__
    utils.key_val_to_dict = key_val_to_dict


class _Finder:
    """Finds only TARGET and, until then, PARSER, and only to patch each once it has been executed."""

    searching = False

    def find_spec(self, name, path=None, target=None):
        if name not in (TARGET, PARSER) or self.searching:
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
                try:
                    if name == PARSER:
                        keep_marker_pairs(module)
                        return
                    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
                    _patch(module)
                except Exception as error:
                    print(f"sftgen: cannot add its tasks to lm_eval: {error!r}", file=sys.stderr)

            spec.loader.exec_module = exec_module
        return spec


def install():
    """Start waiting for lm_eval. Does nothing when called again or switched off."""
    if os.environ.get("SFTGEN_NO_AUTOLOAD"):
        return
    if PARSER in sys.modules:
        keep_marker_pairs(sys.modules[PARSER])
    if TARGET in sys.modules:
        _patch(sys.modules[TARGET])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
