"""The demo as a study: some of its arms, other seeds, other documents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from sftgen_judges.errors import did_you_mean
from sftgen_train.study.reading import SHIPPED, StudyError, read_study
from sftgen_train.study.schema import DataSource, ModelSource, Study

FILE = SHIPPED / "demo.yaml"
Of = TypeVar("Of", ModelSource, DataSource)


def demo_study(arms: Collection[str] = (), seeds: Sequence[int] = (), docs_seed: int | None = None) -> Study:
    """The demo, or a part of it.

    Args:
        arms: Only these arms; comparisons and claims about others are left out.
        seeds: Seeds of the trainings.
        docs_seed: Seed of the evaluation's documents. They are left out of all training rows.

    Raises:
        StudyError: There is no such arm, or a seed stands twice.
    """
    study = read_study(FILE)
    for name in arms:
        if name not in study.arms:
            raise StudyError(
                f"--arm {name!r}: the demo has no such arm, but {', '.join(study.arms)}{did_you_mean(name, study.arms)}"
            )
    if len(set(seeds)) < len(seeds):
        raise StudyError(f"--seed {' '.join(map(str, seeds))}: one stands twice; expected different seeds")
    kept = {name: arm for name, arm in study.arms.items() if not arms or name in arms}
    known = [entry for entry in study.comparisons if {entry.arm, entry.against} <= set(kept)]
    claims = [claim for claim in study.claims if {claim.arm, claim.against or claim.arm} <= set(kept)]
    changes: dict[str, object] = {"arms": kept, "comparisons": known, "claims": claims}
    if seeds:
        changes["seeds"] = list(seeds)
    study = study.model_copy(update=changes)
    return study if docs_seed is None else _with_documents(study, docs_seed)


def _with_documents(study: Study, seed: int) -> Study:
    def without(source: Of) -> Of:
        seeds: list[int] = [*source.options["without_seeds"]]
        options = {**source.options, "without_seeds": seeds if seed in seeds else [*seeds, seed]}
        return source.model_copy(update={"options": options})

    arms = {
        name: arm.model_copy(
            update={
                "data": without(arm.data) if arm.data else None,
                "model": without(arm.model) if arm.model else None,
            }
        )
        for name, arm in study.arms.items()
    }
    metadata = {**study.evaluation.metadata, "docs_seed": seed}
    evaluation = study.evaluation.model_copy(update={"metadata": metadata})
    return study.model_copy(update={"base": without(study.base), "arms": arms, "evaluation": evaluation})
