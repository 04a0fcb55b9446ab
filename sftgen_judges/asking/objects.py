"""Reads the JSON object of a judge's reply, for judges that reply with more than one score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sftgen_judges.asking.replies import answer_of
from sftgen_judges.asking.score_places import UnreadableReply
from sftgen_judges.plugins.contracts import Reply

_MOST_ATTEMPTS = 50
"""Braces that are tried as the beginning of an object, so that a reply of braces is read in linear time."""


def read_object(reply: Reply, field: str) -> Mapping[str, Any]:
    """The one JSON object of a reply that has a field; text and code fences around it do not matter.

    Args:
        reply: The reply; thinking before the answer is ignored.
        field: A field that the object must have.

    Raises:
        UnreadableReply: There is no such object, there are several that differ, or the reply is truncated.
    """
    if reply.finish_reason == "length":
        raise UnreadableReply(f"reply truncated at {reply.tokens or 'its limit of'} tokens")
    text = answer_of(reply)
    decoder = json.JSONDecoder(strict=False)
    found: list[Mapping[str, Any]] = []
    place = text.find("{")
    for _ in range(_MOST_ATTEMPTS):
        if place < 0:
            break
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if field in value and value not in found:
                found.append(value)
        place = text.find("{", end)
    if len(found) > 1:
        raise UnreadableReply(f"several different objects with {field!r} in the reply")
    if not found:
        raise UnreadableReply(f"no JSON object with {field!r} in the reply")
    return found[0]
