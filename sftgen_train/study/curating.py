"""A study's data set by a recipe: `sftgen curate` in a process of its own."""

from __future__ import annotations

from pathlib import Path

from sftgen_train.curation.configuration import Curation, CurationError, read_curation
from sftgen_train.curation.sets import MANIFEST
from sftgen_train.study.jobs import Job


def set_of(recipe: Path, name: str | None) -> str:
    """The set of a curation that a study trains on.

    Args:
        recipe: The file of `sftgen curate`.
        name: Name of the set; None where there is one only.

    Raises:
        CurationError: The file has mistakes, or no such set.
    """
    sets = list(read_curation(recipe).sets)
    if name is None and len(sets) == 1:
        return sets[0]
    if name not in sets:
        asked = "names none of its sets" if name is None else f"has no set {name!r}"
        raise CurationError(
            f"recipe {str(recipe)!r} {asked}: expected `set: NAME`, one of {', '.join(sets) or '(none)'}"
        )
    return str(name)


def is_curated(folder: Path) -> bool:
    """Whether a set is whole."""
    return (folder / MANIFEST).is_file()


def curating(recipe: Path, folder: Path, logs: Path, engine: str = "") -> Job:
    """The job that makes a set and those before it in its file; one that was stopped goes on.

    Args:
        recipe: The file of `sftgen curate`; what it says of folders does not hold here.
        folder: Where the set goes: `sets/NAME` of its pool.
        logs: Where its output goes.
        engine: Name of an executor; empty for the job's own process.
    """
    arguments = {
        "recipe": str(recipe), "pool": str(folder.parent.parent), "name": folder.name, "engine": engine or "local",
    }  # fmt: skip
    return Job(f"curating {recipe.name}", "sftgen_train.study.curating:curate", arguments, logs / f"{recipe.stem}.log")


def curate(recipe: str, pool: str, name: str, engine: str) -> None:
    """Make a pool, and its sets up to one of them.

    Raises:
        SftgenError: The teacher cannot be asked, or a set cannot be made. What stands is kept.
    """
    from sftgen_train.curation.curate import make_pool, make_sets
    from sftgen_train.curation.engines import engine_of

    where = engine_of(engine)
    given = read_curation(Path(recipe))
    sets = {each: plan.model_copy(update={"folder": None}) for each, plan in given.sets.items()}
    curation: Curation = given.model_copy(update={"out": pool, "sets": sets})
    for written in make_sets(make_pool(curation, engine=where), engine=where):
        if written.name == name:
            return
