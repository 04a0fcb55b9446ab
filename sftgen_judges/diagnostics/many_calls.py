"""Asks a judge about long texts in several calls: a response has labels only if all calls about it were read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sftgen_judges.asking.replies import UnreadableReply
from sftgen_judges.plugins.contracts import Answer, Batch, Failure, Labels, Reply, Request
from sftgen_judges.plugins.judge_settings import JudgeSettings

MOST_MISSING: float = JudgeSettings.model_fields["max_missing"].default
"""Share of judgements that may be missing; with more, what was found is incomplete and says so."""
Read = TypeVar("Read")


@dataclass(frozen=True)
class Piece:
    """A part of a text that is asked about in one call.

    Attributes:
        window: The positions of its segments.
        request: What is asked.
    """

    window: range
    request: Request


def ask_in_pieces(
    batch: Batch,
    pieces_of: Callable[[Answer], Sequence[Piece]],
    read: Callable[[int, range, Reply], Read],
    labels_of: Callable[[Answer, Sequence[Read], Mapping[str, Any]], Labels],
) -> Iterator[tuple[int, Labels]]:
    """Ask about each response of a batch, all calls together.

    Args:
        batch: The responses.
        pieces_of: What is asked about one.
        read: Reads the reply about a piece: given the response's place, the piece's window and the reply. It raises
            `UnreadableReply`.
        labels_of: The labels of a response, from what was read of its pieces in their order, and the evidence.

    Yields:
        A place and its labels, as soon as its last call has come back.
    """
    assert batch.ask
    asked: list[tuple[int, Piece]] = []
    left: dict[int, int] = {}
    for place, answer in enumerate(batch):
        pieces = pieces_of(answer)
        asked += [(place, piece) for piece in pieces]
        left[place] = len(pieces)
        if not pieces:
            yield place, Labels(failed="no text to read")
    reads: dict[int, dict[int, Read]] = defaultdict(dict)
    replies: dict[int, dict[int, str]] = defaultdict(dict)
    failed: dict[int, str] = {}
    models: dict[int, str] = {}
    for number, outcome in batch.ask([piece.request for _, piece in asked]):
        place, piece = asked[number]
        left[place] -= 1
        try:
            if isinstance(outcome, Failure):
                raise UnreadableReply(outcome.reason)
            replies[place][number], models[place] = outcome.text, outcome.model
            reads[place][number] = read(place, piece.window, outcome)
        except UnreadableReply as error:
            failed.setdefault(place, str(error))
        if left[place]:
            continue
        evidence = {"model": models.get(place), "replies": _in_order(replies.pop(place, {}))}
        if place in failed:
            yield place, Labels(failed=failed[place], evidence=evidence)
        else:
            yield place, labels_of(batch.answers[place], _in_order(reads.pop(place)), evidence)


def _in_order(held: Mapping[int, Any]) -> list[Any]:
    return [held[number] for number in sorted(held)]
