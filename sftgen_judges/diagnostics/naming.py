"""Judges that name segments: they are shown a text in numbered segments, and reply with numbers, labels and quotations.

`patterns` and `self_jailbreak` ask in this way. A quotation that is not in the text does not count; a reply of another
form, or with too many of them, cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sftgen_judges.asking.objects import read_object
from sftgen_judges.asking.replies import UnreadableReply
from sftgen_judges.diagnostics import segments as cutting
from sftgen_judges.diagnostics.many_calls import Piece
from sftgen_judges.diagnostics.quotes import quoted_segment
from sftgen_judges.plugins.contracts import Reply, Request
from sftgen_judges.records.schema import text_hash

MOST_MISQUOTED = 0.2
"""Share of quotations that may not be in the text; with more the reply is not believed."""
BEFORE = "[what stands before, only to understand the rest {mark}]\n{text}\n[end {mark}]\n\n"


@dataclass(frozen=True, order=True)
class Named:
    """A segment that a judge named: its position, from 0, its label, and whether its flag was true."""

    position: int
    label: str
    flag: bool = False


@dataclass(frozen=True)
class Read:
    """What a reply says.

    Attributes:
        named: The segments, in order.
        quotes: Quotations in it.
        misquoted: Those that are not in the text.
    """

    named: tuple[Named, ...]
    quotes: int
    misquoted: int


@dataclass(frozen=True)
class Naming:
    """What a judge is asked to name.

    Attributes:
        prompt: The prompt, with `{labels}`, `{names}`, `{mark}`, `{question}`, `{before}` and `{segments}`.
        labels: What each label means.
        field: The list in the reply.
        number: What the reply calls the number of a segment.
        label: What it calls the label.
        flag: A field of an entry that is true or false; none by default.
        most: Segments that are asked about at once; a longer text takes several calls.
        longest: Characters that are asked about at once.
        before: Segments before these that are shown, so that their beginning can be understood.
    """

    prompt: str
    labels: Mapping[str, str]
    field: str
    number: str
    label: str
    flag: str = ""
    most: int = 60
    longest: int = 9_000
    before: int = 4

    @property
    def schema(self) -> Mapping[str, Any]:
        """JSON schema of a reply."""
        entry: dict[str, Any] = {
            self.number: {"type": "integer"},
            self.label: {"type": "string", "enum": list(self.labels)},
            "quote": {"type": "string"},
            **({self.flag: {"type": "boolean"}} if self.flag else {}),
        }
        return _object({self.field: {"type": "array", "items": _object(entry)}})

    def pieces(self, text: str, question: str) -> list[Piece]:
        """What a judge is asked about a text."""
        parts = cutting.segments(text)
        # Made from the texts, so that neither can forge the end of its own part.
        mark = text_hash(question + text)[:8]
        pieces = []
        for window in cutting.windows(parts, self.most, self.longest):
            earlier = " ".join(part.of(text) for part in parts[max(0, window.start - self.before) : window.start])
            asked = self.prompt.format(
                labels="\n".join(f"- {name}: {what}" for name, what in self.labels.items()),
                names=", ".join(f'"{name}"' for name in self.labels),
                mark=mark,
                question=question,
                before=BEFORE.format(mark=mark, text=earlier) if earlier else "",
                segments=cutting.numbered(text, parts[window.start : window.stop], window.start + 1),
            )
            message = {"role": "user", "content": asked}
            pieces.append(Piece(window, Request((message,), max_tokens=4096, schema=self.schema)))
        return pieces

    def read(self, reply: Reply, text: str, window: range) -> Read:
        """The segments that a reply names.

        Args:
            reply: The reply.
            text: The whole text.
            window: Which of its segments the reply is about.

        Raises:
            UnreadableReply: It has another form than was asked for, or too much that it quotes is not in the text.
        """
        entries = read_object(reply, self.field)[self.field]
        if not isinstance(entries, list):
            raise UnreadableReply(f"{self.field!r} is no list")
        parts = cutting.segments(text)
        found: dict[tuple[int, str], Named] = {}
        misquoted = 0
        for entry in entries:
            number, label, quote, flag = self._fields(entry)
            position = quoted_segment(quote, text, parts, window, number - 1)
            if position is None:
                misquoted += 1
            else:
                found[position, label] = Named(position, label, flag)
        if misquoted > MOST_MISQUOTED * len(entries):
            raise UnreadableReply(f"{misquoted} of {len(entries)} quotations are not in the text")
        return Read(tuple(sorted(found.values())), len(entries), misquoted)

    def _fields(self, entry: Any) -> tuple[int, str, str, bool]:
        given = entry if isinstance(entry, dict) else {}
        number, label, quote = given.get(self.number), given.get(self.label), given.get("quote")
        flag = given.get(self.flag, False) if self.flag else False
        if isinstance(number, bool) or not isinstance(number, int) or not isinstance(quote, str):
            raise UnreadableReply(f"an entry of {self.field!r} has no number of a {self.number}, or no quotation")
        if not isinstance(label, str) or label not in self.labels:
            raise UnreadableReply(f"an entry of {self.field!r} has no known {self.label}")
        if not isinstance(flag, bool):
            raise UnreadableReply(f"{self.flag!r} is neither true nor false")
        return number, label, quote, flag


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": dict(properties), "required": list(properties), "additionalProperties": False,
    }  # fmt: skip
