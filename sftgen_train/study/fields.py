"""Names of the fields that a training file may have, read out of the sources: nothing large is imported."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import fields
from functools import cache
from pathlib import Path

from sftgen_train.training.config import HarnessConfig

_FILES = (
    "trl/trainer/sft_config.py",
    "trl/trainer/model_config.py",
    "trl/trainer/base_config.py",
    "transformers/training_args.py",
)
SET_BY_STUDY = {
    "model_name_or_path": "base",
    "train_data": "arms",
    "train_split": "arms",
    "train_rows": "arms",
    "output_dir": "name",
    "seed": "seeds",
    "harness_tasks": "benchmarks",
    "harness_in_domain": "benchmarks",
    "harness_delta": "delta",
    "harness_at_steps": "evaluation.steps",
    "harness_every": "evaluation.steps",
    "harness_schedule": "evaluation.steps",
    "harness_limit": "evaluation.limit",
    "harness_form": "evaluation.form",
    "harness_worker": "evaluation.form",
    "harness_batch_size": "evaluation.batch_size",
    "harness_metadata": "evaluation.metadata",
    "harness_gen_kwargs": "evaluation.gen_kwargs",
    "harness_max_gen_toks": "evaluation.max_gen_toks",
}
"""Fields that a study sets itself, and where it has them from."""


@cache
def known_fields() -> frozenset[str]:
    """The fields that an arm may set."""
    own = {field.name for field in fields(HarnessConfig)}
    for file in _FILES:
        package, _, inside = file.partition("/")
        found = importlib.util.find_spec(package)
        if found and found.origin:
            own |= _declared(Path(found.origin).parent / inside)
    return frozenset(own - set(SET_BY_STUDY))


def _declared(path: Path) -> set[str]:
    """Annotated names in the classes of a file."""
    return {
        line.target.id
        for part in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(part, ast.ClassDef)
        for line in part.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }
