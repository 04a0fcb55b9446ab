"""Probes: a checkpoint is measured while its weights are there, and what was measured is kept."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sftgen_judges.diagnostics.labelling import Annotator, DiagnosticError
from sftgen_judges.plugins.contracts import Diagnostic, Finding, Probe
from sftgen_judges.records.columns import PROBES
from sftgen_judges.records.journal import clean, whole_rows
from sftgen_judges.records.query import Records
from sftgen_judges.records.schema import content_hash
from sftgen_judges.records.store import RunFolder
from sftgen_train.checkpoints.leases import ADAPTER, CheckpointError, is_complete, verify_stable
from sftgen_train.checkpoints.sources import STEPS, TRAINER

logger = logging.getLogger(__name__)


@dataclass
class Loaded:
    """A checkpoint that is measured, with its model once somebody asks for it.

    Attributes:
        step: The training step.
        folder: Its folder.
        base: The base model, None where nobody knows it.
        content_id: Content id of its files.
        model_args: Arguments of the model: `device`, `dtype`.
    """

    step: int
    folder: Path
    base: str | None
    content_id: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    _models: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def load(self, path: str | Path | None = None) -> tuple[Any, Any]:
        """A model and its tokenizer: the checkpoint's, or another's; each is loaded once.

        Raises:
            DiagnosticError: It cannot be loaded.
        """
        named = str(path or self.folder)
        if named not in self._models:
            try:
                self._models[named] = _load(named, self.model_args)
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                raise DiagnosticError(f"model {named!r} cannot be loaded: {type(error).__name__}: {error}") from error
        return self._models[named]

    def free(self) -> None:
        """Let the models go."""
        self._models.clear()
        gc.collect()
        with suppress(ImportError):
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _load(path: str, model_args: Mapping[str, Any]) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = str(model_args.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = model_args.get("dtype", "auto")
    adapter = Path(path, ADAPTER)
    base = path
    if adapter.is_file():
        base = str(json.loads(adapter.read_text())["base_model_name_or_path"])
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    if adapter.is_file():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, path)
    return model.to(device).eval(), AutoTokenizer.from_pretrained(path)


class Checkpoints:
    """The checkpoints of a run that can still be loaded."""

    def __init__(self, run: Path, folder: Path | None = None, model_args: Mapping[str, Any] | None = None) -> None:
        """Remember where to look: in a folder, or in the run itself and in its leases."""
        self._run, self._folder, self._model_args = run, folder, dict(model_args or {})

    def found(self) -> Mapping[int, Path]:
        """Their folders by step."""
        return self._found

    @cached_property
    def _found(self) -> dict[int, Path]:
        found: dict[int, Path] = {}
        for folder in [self._folder] if self._folder else [self._run, self._run / "leases"]:
            for source in (TRAINER, STEPS):
                found |= {
                    checkpoint.step: checkpoint.path
                    for checkpoint in source.list(folder)
                    if is_complete(checkpoint.path)
                }
        return dict(sorted(found.items()))

    def require(self) -> None:
        """Check that there is one.

        Raises:
            DiagnosticError: There is none.
        """
        if not self._found:
            where = self._folder or self._run
            raise DiagnosticError(
                f"needs the weights, and {where} holds no checkpoint any more: name their folder with --checkpoints, "
                "or measure while they are evaluated: `sftgen worker RUN --probe NAME`"
            )

    def at(self, step: int, folder: Path) -> Loaded:
        """One of them, ready to be measured.

        Raises:
            DiagnosticError: Its files are not whole, or have changed.
        """
        try:
            return Loaded(step, folder, base_of(self._run, self._found), verify_stable(folder), self._model_args)
        except CheckpointError as error:
            raise DiagnosticError(str(error)) from error


def base_of(run: Path, found: Mapping[int, Path] | None = None) -> str | None:
    """The base model of a training: its step 0, or what its manifest names."""
    for folder in filter(None, ((found or {}).get(0), run / "leases" / "step-0")):
        if is_complete(folder):
            return str(folder)
    model = RunFolder(run).manifest().get("model")
    return model if isinstance(model, str) and model else None


def probe_checkpoint(
    run: RunFolder, records: Records, diagnostic: Diagnostic, checkpoint: Loaded, *, annotator: Annotator
) -> Iterable[Finding]:
    """The findings of a diagnostic about one checkpoint; what it measured before is not measured again.

    Args:
        run: Where it is kept.
        records: The run's records.
        diagnostic: The diagnostic, of level `checkpoint`.
        checkpoint: The checkpoint.
        annotator: Its judge, if it needs one.

    Raises:
        DiagnosticError: It cannot be loaded.
    """
    probe = Probe(
        run.path, checkpoint.step, checkpoint.folder, checkpoint.base, checkpoint.model_args, records,
        load=checkpoint.load, once=_once(run, diagnostic, annotator, checkpoint), ask=annotator.ask,
    )  # fmt: skip
    try:
        yield from diagnostic.diagnose(probe)
    finally:
        checkpoint.free()


def _once(
    run: RunFolder, diagnostic: Diagnostic, annotator: Annotator, checkpoint: Loaded
) -> Callable[[Sequence[Any], Callable[[], Mapping[str, Any]]], Mapping[str, Any]]:
    path = run.probes(diagnostic.name)
    kept = {
        row["content"]: row["kept"]
        for row in (whole_rows(path, PROBES) if path.exists() else ())
        if row.get("model") == checkpoint.content_id
    }

    def once(key: Sequence[Any], measure: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        named = content_hash(
            diagnostic.name, diagnostic.version, checkpoint.content_id, dict(annotator.identity), list(key)
        )
        if named not in kept:
            found = clean(dict(measure()))
            row = {"content": named, "diagnostic": diagnostic.name, "version": diagnostic.version}
            run.append(path, [{**row, "step": checkpoint.step, "model": checkpoint.content_id, "kept": found}])
            kept[named] = found
        return dict(kept[named])

    return once
