"""Probes: a checkpoint is measured while its weights are there, and what was measured is kept."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

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


class Models:
    """The models that probes ask for, each loaded once: a checkpoint's for all its probes, the base's for all of them.

    A model that has no room beside those that are held is loaded in their place.
    """

    def __init__(self, model_args: Mapping[str, Any] | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            model_args: Arguments of the models: `device`, `dtype`.
        """
        self.model_args = dict(model_args or {})
        self._held: dict[str, Any] = {}
        self._tokenizers: dict[str, Any] = {}

    def load(self, path: str | Path) -> tuple[Any, Any]:
        """A model and its tokenizer.

        Raises:
            DiagnosticError: It cannot be loaded.
        """
        named = str(path)
        if named not in self._held:
            try:
                self._held[named] = self._loaded(named)
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                raise DiagnosticError(f"model {named!r} cannot be loaded: {type(error).__name__}: {error}") from error
        return self._held[named], self.tokenizer(named)

    def tokenizer(self, path: str | Path) -> Any:
        """The tokenizer of a model.

        Raises:
            DiagnosticError: It cannot be loaded.
        """
        from transformers import AutoTokenizer

        named = str(path)
        if named not in self._tokenizers:
            try:
                self._tokenizers[named] = AutoTokenizer.from_pretrained(named)
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                raise DiagnosticError(f"the tokenizer of {named!r} cannot be loaded: {error}") from error
        return self._tokenizers[named]

    def _loaded(self, named: str) -> Any:
        import torch

        try:
            return _load(named, self.model_args)
        except torch.OutOfMemoryError:
            if not self._held:
                raise
        logger.info("there is no room for %s beside %s: it is loaded alone", named, ", ".join(self._held))
        self.free()
        return _load(named, self.model_args)

    def free(self, *, but: str | None = None) -> None:
        """Let the models and tokenizers go.

        Args:
            but: Those of this model stay.
        """
        self._tokenizers = {named: held for named, held in self._tokenizers.items() if named == but}
        gone = [named for named in self._held if named != but]
        for named in gone:
            del self._held[named]
        if not gone:
            return
        gc.collect()
        with suppress(ImportError):
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that is measured, with its model once somebody asks for it.

    Attributes:
        step: The training step.
        folder: Its folder.
        base: The base model, None where nobody knows it.
        content_id: Content id of its files.
        models: Loads the models.
    """

    step: int
    folder: Path
    base: str | None
    content_id: str
    models: Models

    def load(self, path: str | Path | None = None) -> tuple[Any, Any]:
        """A model and its tokenizer: the checkpoint's, or another's.

        Raises:
            DiagnosticError: It cannot be loaded.
        """
        return self.models.load(path or self.folder)

    def tokenizer(self, path: str | Path | None = None) -> Any:
        """A tokenizer: the checkpoint's, or another model's. No weights are loaded.

        Raises:
            DiagnosticError: It cannot be loaded.
        """
        return self.models.tokenizer(path or self.folder)

    def free(self) -> None:
        """Let its model go; that of the base stays for the next checkpoint."""
        self.models.free(but=self.base)


def _load(path: str, model_args: Mapping[str, Any]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    device = str(model_args.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = model_args.get("dtype", "auto")
    model: Any = AutoModelForCausalLM.from_pretrained(weights_of(path), dtype=dtype)
    if Path(path, ADAPTER).is_file():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, path)
    return model.to(device).eval()


def weights_of(path: str) -> str:
    """The model whose whole weights a folder is about: itself, or the one that its adapter belongs to."""
    adapter = Path(path, ADAPTER)
    return str(json.loads(adapter.read_text())["base_model_name_or_path"]) if adapter.is_file() else path


class Checkpoints:
    """The checkpoints of a run that can still be loaded."""

    def __init__(self, run: Path, folder: Path | None = None, model_args: Mapping[str, Any] | None = None) -> None:
        """Remember where to look: in a folder, or in the run itself and in its leases."""
        self._run, self._folder, self._models = run, folder, Models(model_args)

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

    def free(self) -> None:
        """Let all models go."""
        self._models.free()

    def at(self, step: int, folder: Path) -> Loaded:
        """One of them, ready to be measured.

        Raises:
            DiagnosticError: Its files are not whole, or have changed.
        """
        try:
            return Loaded(step, folder, base_of(self._run, self._found), verify_stable(folder), self._models)
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

    The checkpoint's model stays loaded, for other diagnostics: the caller lets it go.
    """
    probe = Probe(
        run.path, checkpoint.step, checkpoint.folder, checkpoint.base, checkpoint.models.model_args, records,
        load=checkpoint.load, once=_once(run, diagnostic, annotator, checkpoint), ask=annotator.ask,
        tokenizer=checkpoint.tokenizer,
    )  # fmt: skip
    return cast("Iterable[Finding]", diagnostic.diagnose(probe))


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
