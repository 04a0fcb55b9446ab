"""The loop that asks a model and writes down what it answers: each response as it ends, none twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from lm_eval.api.instance import Instance

from sftgen_judges.progress import stage
from sftgen_judges.records.current import Recording, current, managed
from sftgen_judges.records.provenance import timed
from sftgen_judges.records.schema import GenerationRecord
from sftgen_tasks.harness.ahead import GradingAhead
from sftgen_tasks.harness.expected import expected_lengths
from sftgen_tasks.harness.generation import (
    UNKNOWN,
    Count,
    asked,
    complete,
    describe,
    note_record,
    prompt_text,
    repeat_numbers,
)
from sftgen_tasks.harness.model import GenerateUntil, Model, OwnModel, Produced, StreamingModel
from sftgen_tasks.harness.registry import identity_of

GENERIC_CHUNK = 256
"""Requests that a model of unknown appetite is handed at once."""


def journal_generations(lm: Model, run: Recording, count: Count | None, *, resume: bool) -> None:
    """Make a model write down every generation from now on, see `journaled`; its `generate_until` is replaced."""
    lm.generate_until = journaled(lm, run, count, resume=resume)


def journaled(lm: Model, run: Recording, count: Count | None, *, resume: bool) -> GenerateUntil:
    """A `generate_until` that writes down every generation and, when resuming, takes from the records what is there.

    A model that hands out responses one by one (`StreamingModel`) is asked for those of all tasks at once, and each is
    on disk before the next is waited for: a killed run loses those under way. Any other model is asked task by task in
    batches, each on disk before the next begins: a killed run loses one batch. Batches do not depend on what is
    missing, so a resumed run makes the same ones.

    In both, what is expected to be long comes first, so that nothing long is begun when all else has ended. A task
    whose last response stands is graded while others are generated.

    Args:
        lm: Any lm_eval model.
        run: Where to write.
        count: Counts tokens, for models that do not.
        resume: Whether generations that stand in the run are used again.
    """
    streams = isinstance(lm, StreamingModel)
    produce = lm.generate_each if isinstance(lm, StreamingModel) else partial(_at_once, lm, lm.generate_until)

    def generate_until(requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        by = getattr(lm, "sftgen_name", "")
        planned = [
            describe(run, request, repeat, by)
            for request, repeat in zip(requests, repeat_numbers(requests), strict=True)
        ]
        run.folder.add_prompts(planned, map(prompt_text, requests))
        known = _known(run, planned) if resume else dict[int, GenerationRecord]()
        lengths = expected_lengths(run, planned, known if streams else {})
        order = [longest_first(lengths)] if streams else batches(requests, _chunk(lm), lengths)
        shown = stage("generating", len(planned) - len(known), hidden=disable_tqdm)
        with timed("generating"), shown as more, GradingAhead(run, requests, known) as ahead:
            for batch in order:
                wanted = [index for index in batch if index not in known]
                if not wanted:
                    continue
                stream = produce([requests[index] for index in wanted], [planned[index].repeat for index in wanted])
                with closing(stream):  # whatever stops this loop: nothing goes on generating
                    for done in stream:
                        made = {
                            wanted[place]: complete(
                                planned[wanted[place]], prompt_text(requests[wanted[place]]), text, count
                            )
                            for place, text in done
                        }
                        run.folder.add_generations(list(made.values()))
                        known.update(made)
                        more(len(made))
                        ahead.stand(made)
        for index, request in enumerate(requests):
            note_record(request, known[index])
        return [known[index].text for index in range(len(planned))]

    return generate_until


def _at_once(lm: Model, generate: GenerateUntil, requests: Sequence[Instance], repeats: Sequence[int]) -> Produced:
    numbers = {"repeats": repeats} if getattr(lm, "takes_repeats", False) else {}
    texts = generate(requests, disable_tqdm=True, **numbers)
    yield list(zip(range(len(requests)), texts, strict=True))


def _known(run: Recording, planned: Sequence[GenerationRecord]) -> dict[int, GenerationRecord]:
    tasks = dict.fromkeys(record.task for record in planned)
    model = run.model or UNKNOWN
    stored = {record.key: record for task in tasks for record in run.folder.read_generations(task, model)}
    if not stored:  # keys are hashes, and there may be ten thousand
        return {}
    keys = [record.key for record in planned]
    return {index: stored[key] for index, key in enumerate(keys) if key in stored}


def stream_generations(lm: OwnModel, arguments: Mapping[str, Any], seed: int) -> None:
    """Make one of our models that was loaded by name record its generations, unless a caller records them.

    Args:
        lm: The model.
        arguments: What it was loaded with.
        seed: Base seed of its samples.
    """
    if not managed():
        run = replace(current(), model=identity_of(lm.sftgen_name, arguments).id, seed=seed)
        journal_generations(lm, run, None, resume=False)


def all_at_once(lm: StreamingModel, requests: Sequence[Instance], repeats: Sequence[int] | None) -> list[str]:
    """What a model that hands out responses one by one answers, in the order of the requests.

    Args:
        lm: The model.
        requests: Prompts with their settings; one that comes several times is its own repeats.
        repeats: Which repeat each request is, if not by counting.
    """
    numbers = repeat_numbers(requests) if repeats is None else repeats
    found = dict(pair for pairs in lm.generate_each(requests, numbers) for pair in pairs)
    return [found[index] for index in range(len(requests))]


def longest_first(lengths: Sequence[float]) -> list[int]:
    """Places in the order in which they are best begun; of equal lengths the first comes first."""
    return sorted(range(len(lengths)), key=lambda place: -lengths[place])


def batches(requests: Sequence[Instance], size: int, lengths: Sequence[float] | None = None) -> Iterator[list[int]]:
    """Batches of one task and one set of generation settings, each of responses of about the same length.

    Args:
        requests: The requests.
        size: Most of a batch, which takes as long as its longest response.
        lengths: How long each response is expected to be; the longest come first, of equal ones long prompts.
    """

    def group(index: int) -> tuple[str, str]:
        return requests[index].task_name or "", repr(sorted(asked(requests[index]).items()))

    groups = [group(index) for index in range(len(requests))]
    first = {name: index for index, name in reversed(list(enumerate(groups)))}
    expected = lengths or [0] * len(requests)
    order = sorted(range(len(requests)), key=lambda i: (first[groups[i]], -expected[i], -len(prompt_text(requests[i]))))
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) == size or groups[index] != groups[batch[0]]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _chunk(lm: Model) -> int:
    """Requests handed over at once: the model's own batch, or enough to keep a server or vLLM busy."""
    if rows := getattr(lm, "rows", None):
        return int(rows)
    size = str(getattr(lm, "batch_size", ""))
    return int(size) if size.isdigit() and int(size) > 1 else GENERIC_CHUNK
