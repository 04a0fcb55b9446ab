"""What this package adds to sftgen.

Targets are strings and imported at first use, so that `sftgen plugins` stays fast.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sftgen_judges import Register, hookimpl


@hookimpl
def register_tasks(register: Callable[[str | Path], None]) -> None:
    """The folder of the benchmark's YAML file."""
    register(Path(__file__).parent / "tasks")


@hookimpl
def register_graders(register: Register) -> None:
    """The rule that the YAML names under `grader:`."""
    register("template_letters", "sftgen_plugin_template.letters:GRADER")


@hookimpl
def register_judges(register: Register) -> None:
    """The judge a YAML may name under `judge:`."""
    register("template_conciseness", "sftgen_plugin_template.conciseness:CONCISENESS")


@hookimpl
def register_diagnostics(register: Register) -> None:
    """One of each level; the first is computed at every evaluation, the others by `sftgen diagnose --all`."""
    register("template_repetition", "sftgen_plugin_template.repetition:REPETITION")
    register("template_surprise", "sftgen_plugin_template.surprise:SURPRISE")
    register("template_cut_answers", "sftgen_plugin_template.cut_answers:CUT_ANSWERS")


@hookimpl
def register_selectors(register: Register) -> None:
    """The step that a recipe may name."""
    register("template_unrepeated", "sftgen_plugin_template.terse:UNREPEATED")


@hookimpl
def register_recipes(register: Register) -> None:
    """The recipe that the file of `sftgen curate` may name."""
    register("template_terse", "sftgen_plugin_template.terse:TERSE")


@hookimpl
def register_exporters(register: Register) -> None:
    """The format that `sftgen export template_means RUN` writes."""
    register("template_means", "sftgen_plugin_template.means:MEANS")


@hookimpl
def register_report_sections(register: Register) -> None:
    """A section that `sftgen report` shows between sftgen's findings and safety."""
    register("template_answer_lengths", "sftgen_plugin_template.answer_lengths:ANSWER_LENGTHS")
