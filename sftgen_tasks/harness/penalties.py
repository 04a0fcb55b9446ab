"""A task whose published decoding has penalties that not every backend takes."""

from __future__ import annotations

import logging
from typing import Any

from sftgen_tasks.harness.task import Task

logger = logging.getLogger(__name__)
PENALTIES = ("presence_penalty", "frequency_penalty")


class PenalisedTask(Task):
    """Leaves the penalties out for lm_eval's `hf`, which stops at settings that transformers does not know.

    Where the backend is not known, they are left out too. Either is said once a task, and the records tell what each
    response was made with. `sftgen-hf` applies them itself.
    """

    def build_all_requests(self, **options: Any) -> None:
        """Build the prompts, with settings that the backend takes."""
        super().build_all_requests(**options)
        owner = self.model_of(options)
        modules = {kind.__module__ for kind in type(owner).__mro__}
        applied = hasattr(owner, "sftgen_name") or "lm_eval.models.huggingface" not in modules
        if owner is not None and applied:
            return
        left_out: set[str] = set()
        for instance in self._instances:
            prompt, settings = instance.arguments
            left_out |= {name for name in PENALTIES if settings.get(name)}
            kept = {name: value for name, value in settings.items() if name not in PENALTIES}
            instance.arguments = (prompt, kept)
        if left_out:
            why = "lm_eval's hf takes none" if owner is not None else "the backend is not known"
            logger.warning("%s: generated without its %s: %s", self.config.task, " and ".join(sorted(left_out)), why)
