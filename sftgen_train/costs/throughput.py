"""`sftgen plan`: an estimate of what evaluating a training run will cost. Arithmetic only; nothing is loaded.

Decoding is bound by memory or by compute. A step of `B` sequences reads the weights once and the cache of every
sequence, so its time is

    max((weights + B x context x cache per token) / bandwidth, 2 x parameters x B / compute)

and `B` is what fits beside the weights, at most `max_batch`. Longer responses therefore cost twice: there are more
tokens, and fewer sequences fit. `efficiency` is the assumed share of these limits that a device reaches. A measured
throughput replaces all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sftgen_judges.errors import SftgenError


class CostError(SftgenError, ValueError):
    """The cost cannot be estimated."""


@dataclass(frozen=True)
class Device:
    """What a device can do, by its maker's data sheet.

    Attributes:
        memory: Bytes.
        bandwidth: Bytes a second.
        compute: Dense operations a second in bfloat16.
    """

    memory: float
    bandwidth: float
    compute: float


UTILISATION = 0.4
"""Assumed share of a device's compute that training reaches."""
DEVICES = {
    "a100": Device(80e9, 2.04e12, 312e12),
    "h100": Device(80e9, 3.35e12, 989e12),
    "h200": Device(141e9, 4.8e12, 989e12),
    "l40s": Device(48e9, 0.864e12, 362e12),
    "rtx4090": Device(24e9, 1.01e12, 165e12),
}


@dataclass(frozen=True)
class Model:
    """A model's size.

    Attributes:
        parameters: How many.
        cache: Bytes of keys and values a token, in bfloat16.
        known: Where the cache's size comes from.
    """

    parameters: float
    cache: float
    known: str = "given"


@dataclass(frozen=True)
class Assumptions:
    """What is not known beforehand.

    Attributes:
        tokens: Mean length of a response at an ordinary checkpoint.
        dip_tokens: The same at the dip.
        dip_checkpoints: How many of the checkpoints are at the dip.
        prompt: Mean length of a prompt.
        efficiency: Share of a device's limits that is reached.
        max_batch: Most sequences at once.
        tokens_per_second: Throughput, if it was measured.
        bytes_per_token: What a token of a recorded generation takes on disk.
    """

    tokens: float = 10_000
    dip_tokens: float = 28_000
    dip_checkpoints: int = 3
    prompt: float = 300
    efficiency: float = 0.5
    max_batch: int = 256
    tokens_per_second: float | None = None
    bytes_per_token: float = 4.5


@dataclass(frozen=True)
class Work:
    """What one task asks of a checkpoint.

    Attributes:
        task: The task.
        documents: Its documents.
        repeats: Responses a document.
        max_tokens: Most tokens of one.
        judge: The judge that is asked about each response, None without one.
        benchmark: The group that the task is a part of, empty for a task that stands alone.
    """

    task: str
    documents: int
    repeats: int
    max_tokens: int
    judge: str | None = None
    benchmark: str = ""

    @property
    def generations(self) -> int:
        """Responses a checkpoint."""
        return self.documents * self.repeats

    def tokens(self, mean: float) -> float:
        """Tokens a checkpoint, for responses of this mean length; the task's limit truncates them."""
        return self.generations * min(mean, self.max_tokens)


@dataclass(frozen=True)
class Cost:
    """What one checkpoint costs.

    Attributes:
        generations: Responses.
        tokens: Tokens generated.
        speed: Tokens a second.
        hours: Device hours of generating.
        bytes: Disk for its records.
    """

    generations: int
    tokens: float
    speed: float
    hours: float
    bytes: float


def checkpoint_cost(work: Sequence[Work], model: Model, device: Device, mean: float, given: Assumptions) -> Cost:
    """The cost of one checkpoint whose responses have a mean length.

    Raises:
        CostError: The model does not fit on the device.
    """
    generations = sum(part.generations for part in work)
    tokens = sum(part.tokens(mean) for part in work)
    speed = given.tokens_per_second or throughput(model, device, tokens / generations, given)
    return Cost(generations, tokens, speed, tokens / speed / 3600, tokens * given.bytes_per_token)


def millions(parameters: float) -> str:
    """A number of parameters in words."""
    return f"{parameters / 1e6:.3g} million parameters" if parameters < 1e9 else f"{parameters / 1e9:.3g}e9 parameters"


def throughput(model: Model, device: Device, mean: float, given: Assumptions) -> float:
    """Tokens a second of one device with responses of a mean length.

    Raises:
        CostError: The model does not fit on the device.
    """
    weights = 2 * model.parameters
    free = 0.9 * device.memory - weights
    longest, half = given.prompt + mean, given.prompt + mean / 2
    # On average a sequence is half written; the cache holds as many as fit then.
    batch = min(int(free / (model.cache * half)), given.max_batch) if free > 0 else 0
    if batch < 1:
        raise CostError(
            f"{millions(model.parameters)} ({weights / 1e9:.0f} GB in bfloat16) with a context of "
            f"{longest:,.0f} tokens do not fit on one device of {device.memory / 1e9:.0f} GB; name a larger one, or "
            "give --tokens-per-second as measured on several"
        )
    reading = (weights + batch * half * model.cache) / device.bandwidth
    computing = 2 * model.parameters * batch / device.compute
    return given.efficiency * batch / max(reading, computing)


@dataclass(frozen=True)
class Estimate:
    """What a run's evaluations cost.

    Attributes:
        work: What each task asks of a checkpoint.
        model: The model.
        ordinary: Cost of an ordinary checkpoint.
        dip: Cost of a checkpoint at the dip.
        checkpoints: Number of all checkpoints.
        at_dip: Number of checkpoints at the dip.
        weights: Bytes of one checkpoint's weights.
    """

    work: Sequence[Work]
    model: Model
    ordinary: Cost
    dip: Cost
    checkpoints: int
    at_dip: int
    weights: float

    def total(self, field: str) -> float:
        """A field of the costs, over all checkpoints."""
        usual: float = getattr(self.ordinary, field)
        low: float = getattr(self.dip, field)
        return (self.checkpoints - self.at_dip) * usual + self.at_dip * low


def estimate(
    work: Sequence[Work], model: Model, device: Device, checkpoints: int, given: Assumptions = Assumptions()
) -> Estimate:
    """What evaluating every checkpoint costs.

    Raises:
        CostError: The model does not fit on the device.
    """
    costs = [checkpoint_cost(work, model, device, mean, given) for mean in (given.tokens, given.dip_tokens)]
    at_dip = min(given.dip_checkpoints, checkpoints)
    return Estimate(work, model, costs[0], costs[1], checkpoints, at_dip, 2 * model.parameters)


def as_json(found: Estimate, given: Assumptions) -> dict[str, Any]:
    """The estimate as JSON data."""
    return {
        "tasks": [{**asdict(work), "generations": work.generations} for work in found.work],
        "ordinary": asdict(found.ordinary),
        "dip": asdict(found.dip),
        "checkpoints": found.checkpoints,
        "at_dip": found.at_dip,
        "total": {field: found.total(field) for field in ("generations", "tokens", "hours", "bytes")},
        "weights_bytes": found.weights,
        "model": asdict(found.model),
        "assumptions": asdict(given),
    }
