"""One vLLM engine for the checkpoints of a worker, where it is proven that its weights can be replaced.

To start an engine takes longer than to evaluate a checkpoint on a short task. Reloaded weights may be wrong in silence:
what arrives depends on the architecture, the device and vLLM. So the first checkpoint of a kind is loaded twice, by a
fresh engine, and into an engine that began with noise. Only where both answer some probes alike, token for token, the
next ones go into the engine that stands.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.errors import first_line
from sftgen_judges.records.journal import no_link
from sftgen_judges.records.schema import content_hash
from sftgen_tasks.harness.model import Model
from sftgen_train.checkpoints.leases import CheckpointError
from sftgen_train.checkpoints.sizes import read_facts, tensors_of
from sftgen_train.evaluation.evaluator import load_model

if TYPE_CHECKING:
    from sftgen_tasks.harness.backends.vllm_engine import StreamingVLLM
    from sftgen_tasks.harness.backends.vllm_reload import Probed

logger = logging.getLogger(__name__)

Expected = Callable[[], tuple[Sequence[Path], int]]
"""Folders of checkpoints that wait, and how many more are to come at least."""
Facts = Mapping[str, str]
"""What two checkpoints have in common that may share an engine, by what it is."""

WORTH = 2
"""So many checkpoints have to follow for a proof, which costs one start, to save as much."""
LOOKED_AT = 16
"""Checkpoints that wait are looked at up to this many."""
_OF_MODEL = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.py")
"""Files beside the weights that make a model what it is."""
_NOT_OF_MODEL = ("STABLE.json", "trainer_state.json", "adapter_config.json")
_LARGEST = 256 << 20
_SAVED_BY = ("transformers_version", "_name_or_path")
"""Keys of a configuration that change nothing."""


@dataclass
class _Held:
    lm: StreamingVLLM
    facts: Facts
    last: Probed | None = None
    base: Probed | None = None


class KeptEngine:
    """Makes the lm_eval models of checkpoint after checkpoint; those that are alike share a vLLM engine.

    Attributes:
        how: Of the last model: whether its engine was fresh or had its weights replaced, and why.
    """

    def __init__(self, expected: Expected, never: str = "") -> None:
        """Begin without an engine.

        Args:
            expected: Which checkpoints are to come: for one alone no proof is made.
            never: Why every engine is to be a fresh one; empty where it need not be.
        """
        self._expected, self._never = expected, never
        self._held: _Held | None = None
        self._proofs: dict[str, tuple[bool, str]] = {}
        self.how = ""

    def __call__(self, folder: Path, model: str, arguments: Mapping[str, Any]) -> Model:
        """The model of a checkpoint.

        Args:
            folder: The checkpoint.
            model: Name of the lm_eval model.
            arguments: Its arguments.

        Raises:
            CheckpointError: It cannot be loaded.
        """
        if model != "sftgen-vllm":
            self.how = ""
            return load_model(folder, model, arguments)
        facts = {} if self._never else facts_of(folder, arguments)
        why = self._never or ("" if facts else "what it consists of cannot be read")
        if held := self._held:
            why = why or _unlike(held.facts, facts) or self._replaced(held, folder, arguments)
            if not why:
                logger.info("%s: %s", folder.name, self.how)
                return held.lm
        self.close()
        lm = self._fresh(folder, model, arguments, facts, why)
        logger.info("%s: %s", folder.name, self.how)
        return lm

    def close(self) -> None:
        """Stop the engine that stands."""
        if held := self._held:
            from sftgen_tasks.harness.backends.vllm_reload import close

            self._held = None
            try:
                close(held.lm)
            except Exception as error:  # of an engine that is broken: it is given up anyway
                logger.warning("vLLM's engine did not stop as it should: %s: %s", type(error).__name__, error)

    def _fresh(self, folder: Path, model: str, arguments: Mapping[str, Any], facts: Facts, why: str) -> Model:
        """A model with an engine of its own, which stays where its weights can be replaced."""
        adapter = "lora_local_path" in arguments
        kind = content_hash(dict(facts))
        reloaded, follow, new = None, True, kind not in self._proofs
        if facts and not adapter and new:
            follow = self._to_come(facts, arguments) >= WORTH
            reloaded = self._reloaded(folder, model, arguments, kind) if follow else None
        try:
            lm: Any = load_model(folder, model, arguments)
        except CheckpointError:
            if new:  # what failed before was this checkpoint's fault
                self._proofs.pop(kind, None)
            raise
        if facts and (reloaded or self._proofs.get(kind, (adapter, ""))[0]):
            try:
                self._hold(lm, facts, kind, reloaded, adapter=adapter)
            except Exception as error:  # the probes are ours, and no reason not to evaluate
                self._proofs[kind] = False, f"it cannot answer probes: {first_line(error, kind=True)}"
                self._held = _Held(lm, facts)
                self.close()
                lm = load_model(folder, model, arguments)
        reasons = [why, self._proofs.get(kind, (False, ""))[1]]
        reasons += [] if follow else ["too few of its kind are to come for a proof"]
        self.how = ": ".join(["fresh engine", *filter(None, ["; ".join(filter(None, reasons))])])
        made: Model = lm
        return made

    def _hold(self, lm: StreamingVLLM, facts: Facts, kind: str, reloaded: Probed | None, *, adapter: bool) -> None:
        """Keep a fresh engine, if its weights or its adapter can be replaced."""
        from sftgen_tasks.harness.backends.vllm_reload import PROBES, probe

        now = probe(lm)
        if reloaded and (unlike := reloaded.unlike(now, _dtype(lm))):
            self._proofs[kind] = False, f"reloading is not trusted here: after it, {unlike}"
            return
        if reloaded:
            told = f"reloading is proven: after it, {len(PROBES)} probes were answered alike, token for token"
            self._proofs[kind] = True, told
        self._held = _Held(lm, facts, now, probe(lm, adapted=False) if adapter else None)

    def _reloaded(self, folder: Path, model: str, arguments: Mapping[str, Any], kind: str) -> Probed | None:
        """What an engine answers that began with noise and was given a checkpoint's weights; None where it failed."""
        from sftgen_tasks.harness.backends.vllm_reload import NOISE, close, leave_noise, probe, reload_weights

        lm: Any = None
        try:
            lm = load_model(folder, model, {**arguments, **NOISE})
            leave_noise(lm)
            reload_weights(lm, folder)
            return probe(lm)
        except Exception as error:  # whatever it is, a fresh engine shows whose fault it was
            self._proofs[kind] = False, f"reloading is not trusted here: {first_line(error, kind=True)}"
            return None
        finally:
            if lm is not None:
                close(lm)

    def _replaced(self, held: _Held, folder: Path, arguments: Mapping[str, Any]) -> str:
        """Put a checkpoint into the engine that stands; why that failed, or nothing."""
        from sftgen_tasks.harness.backends.vllm_reload import PROBES, hand_adapter, probe, reload_weights

        try:
            if held.base is None:
                reload_weights(held.lm, folder)
            else:
                hand_adapter(held.lm, Path(arguments["lora_local_path"]))
                if unlike := probe(held.lm, adapted=False).unlike(held.base, _dtype(held.lm)):
                    return f"another adapter changed the base model: {unlike}"
            now = probe(held.lm)
        except Exception as error:  # whatever it is, a fresh engine shows whose fault it was
            return f"its weights were not replaced: {first_line(error, kind=True)}"
        if now == held.last:  # other bytes were enqueued as another checkpoint
            return "the engine answered the probes exactly as before its weights were replaced"
        held.last = now
        self.how = (
            "engine kept, another adapter applied to its base model, which answers the probes as before"
            if held.base
            else f"engine kept, weights reloaded, as proven by {len(PROBES)} probes"
        )
        return ""

    def _to_come(self, facts: Facts, arguments: Mapping[str, Any]) -> int:
        """Checkpoints of the same kind that are to come, as far as that is known."""
        waiting, more = self._expected()
        return more + sum(facts_of(folder, arguments) == facts for folder in waiting[:LOOKED_AT])


def facts_of(folder: Path, arguments: Mapping[str, Any]) -> Facts:
    """What has to be the same of two checkpoints for one engine: model, tokenizer, templates, shapes, arguments.

    Args:
        folder: The checkpoint.
        arguments: Those of the lm_eval model.

    Returns:
        Nothing where no other checkpoint can follow in the same engine, or this cannot be read.
    """
    adapter = "lora_local_path" in arguments
    of_folder = {"lora_local_path", "tokenizer"} if adapter else {"pretrained"}
    tensors = tensors_of(folder)
    if str(arguments.get("data_parallel_size", 1)) != "1" or "load_format" in arguments or not tensors:
        return {}
    shared = {name: value for name, value in arguments.items() if name not in of_folder}
    facts = {"arguments": json.dumps(shared, sort_keys=True, default=str)}
    if not adapter:
        facts["tensors"] = content_hash(sorted([name, *map(str, shape)] for name, shape in tensors.items()))
    try:
        for path in sorted({path for pattern in _OF_MODEL for path in folder.glob(pattern)}):
            if path.name not in _NOT_OF_MODEL and not path.name.endswith(".index.json"):
                facts[path.name] = _hash(path)
    except (OSError, ValueError):
        return {}
    return facts


def _hash(path: Path) -> str:
    if path.name == "config.json":
        return content_hash({name: value for name, value in read_facts(path).items() if name not in _SAVED_BY})
    with open(path, "rb", opener=no_link) as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"{path}: more than {_LARGEST} bytes")
    return blake2b(text, digest_size=16).hexdigest()


def _dtype(lm: StreamingVLLM) -> Any:
    return lm.model.llm_engine.model_config.dtype


def _unlike(held: Facts, facts: Facts) -> str:
    names = sorted(name for name in {*held, *facts} if held.get(name) != facts.get(name))
    return f"{', '.join(names[:3])} differ from the checkpoint before" if names else ""
