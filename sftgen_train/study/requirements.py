"""What a study needs of this machine before anything is made: judges that can be asked, and packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.manager import lookup
from sftgen_tasks.harness.catalogue import installed
from sftgen_train.configuring.checking import Mistake, lines_of
from sftgen_train.configuring.yaml_file import read_yaml
from sftgen_train.study.reading import StudyError, tasks_of
from sftgen_train.study.schema import Study


def require_all(study: Study, file: Path) -> list[str]:
    """Check that a study can run here.

    Args:
        study: The study.
        file: Its file.

    Returns:
        What it can run without, but should be known first.

    Raises:
        StudyError: Something is missing. The message names all of it, with the line of the file that asks for it.
    """
    lines = missing(study, file)
    if lines:
        raise StudyError("\n".join([f"study {str(file)!r} cannot run here:", *lines]))
    return [
        f"{task}: no judge, its responses are kept and not graded: {why}; then `sftgen rescore`"
        for _, task, why in _ungraded(study)
    ]


def missing(study: Study, file: Path) -> list[str]:
    """What is missing on this machine, with file and line."""
    return lines_of(read_yaml(file), [*_of_diagnostics(study), *_of_claims(study), *_of_packages(study)])


def _options(study: Study) -> dict[str, Any]:
    named = {"judge_model": study.judges.model, "judge_base_url": study.judges.base_url}
    return {**study.evaluation.metadata, **{name: value for name, value in named.items() if value}}


def _of_diagnostics(study: Study) -> Iterator[Mistake]:
    from sftgen_judges.diagnostics.labelling import annotator_of

    for place, name in enumerate(study.diagnostics):
        at, told = ("diagnostics", place), f"diagnostics.{place}: {name!r}"
        try:
            diagnostic = lookup("diagnostic", name)
            annotator_of(diagnostic, _options(study))
        except SftgenError as error:
            yield Mistake(at, f"{told} {error}; or name the model under `judges`")
            continue
        if diagnostic.level == "checkpoint" and study.evaluation.form != "queue":
            yield Mistake(at, f"{told} measures weights while they wait in the queue: set `evaluation.form: queue`")


def _of_claims(study: Study) -> Iterator[Mistake]:
    """Claims about a task that nobody can grade here."""
    for group, task, why in _ungraded(study):
        for place, claim in enumerate(study.claims):
            if claim.score in (group, task):
                yield Mistake(
                    ("claims", place, "score"), f"claims.{place}.score: {task} is graded by a judge: {why}; or name "
                    "the model under `judges`",
                )  # fmt: skip


def _ungraded(study: Study) -> Iterator[tuple[str, str, str]]:
    """The group and the name of each task whose judge cannot be asked here, and why."""
    from sftgen_judges.asking.settings import missing_settings, with_options

    configs, _ = installed()
    for group, named in study.benchmarks.items():
        for task in (one for each in named for one in tasks_of(each)):
            judge = (study.evaluation.metadata.get("judge") or {}).get(task) or configs.get(task, {}).get("judge")
            if judge:
                try:
                    why = missing_settings(with_options(lookup("judge", judge), _options(study)))
                except SftgenError as error:
                    why = str(error)
                if why:
                    yield group, task, why


def _of_packages(study: Study) -> Iterator[Mistake]:
    from sftgen_tasks.harness.registry import UnknownModelError, require_installed

    try:
        require_installed(study.evaluation.model)
    except UnknownModelError as error:
        yield Mistake(("evaluation", "model"), f"evaluation.model: {error}")
