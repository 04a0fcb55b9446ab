"""Letting checkpoints wait again that failed, were skipped, or whose entry cannot be read."""

from __future__ import annotations

from collections.abc import Collection

from sftgen_judges.errors import SftgenError
from sftgen_train.checkpoints.leases import verify_stable
from sftgen_train.queue.entries import LEASES, STATES, Entry, Queue, Unreadable
from sftgen_train.queue.steps import AllSteps
from sftgen_train.results.training_file import read_training


def retry_steps(queue: Queue, steps: Collection[int]) -> list[int]:
    """Let checkpoints wait again, with no failure counted.

    Args:
        queue: The queue.
        steps: Which steps; of all steps, those are taken that failed, were skipped or cannot be read.

    Returns:
        The steps that wait now.

    Raises:
        SftgenError: A step that is not in the queue, is being evaluated, is done, or has lost its weights.
    """
    known = {entry.step: (state, entry) for state in STATES for entry in queue.entries(state)}
    unreadable = {found.step: found for found in queue.unreadable() if found.step is not None}
    left_out = {step for step, (state, _) in known.items() if state in {"failed", "skipped"}}
    chosen = sorted(left_out | set(unreadable) if isinstance(steps, AllSteps) else steps)
    for step in chosen:
        state = known[step][0] if step in known else "unreadable" if step in unreadable else None
        if state is None:
            raise SftgenError(f"step {step}: not in the queue; it holds {', '.join(map(str, sorted(known))) or 'none'}")
        if state in {"waiting", "running", "done"} and step not in unreadable:
            raise SftgenError(f"step {step}: it is {state}; steps that failed or were skipped can be tried again")
        if not (queue.run / _lease(step, known.get(step))).is_dir():
            raise SftgenError(
                f"step {step}: its weights are gone ({_lease(step, known.get(step))}). To measure it, put the "
                "checkpoint back there, or evaluate the trainer's own folder with sftgen watch"
            )
    for step in chosen:
        if step in unreadable:
            _make_anew(queue, step, unreadable[step])
        else:
            queue.retry(known[step][1])
    return chosen


def _lease(step: int, known: tuple[str, Entry] | None) -> str:
    return known[1].path if known else f"{LEASES}/step-{step}"


def _make_anew(queue: Queue, step: int, found: Unreadable) -> None:
    """Write an entry for the leased weights of a step; the file that cannot be read stays beside it, renamed."""
    path = _lease(step, None)
    model_id = verify_stable(queue.run / path)
    training = read_training(queue.folder)
    last = training.get("state") == "finished" and training.get("step") == step
    found.path.rename(found.path.with_suffix(".unreadable"))
    queue.add(Entry(step, path, model_id, last=last))
