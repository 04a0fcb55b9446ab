"""The one splitter between a model's thinking and its answer.

Everything that scores a response reads it through `split_thinking`, so that a chain of thought is
never scored as the answer and a cut-off one is always counted as cut off.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from sftgen_judges.records.markers import (
    THINK_MARKERS,
    ThinkMarkers,
    answer_begin,
    find_markers,
    think_markers,
)
from sftgen_judges.records.schema import GenerationRecord, Response, ThinkStatus, finish_word

__all__ = ["THINK_MARKERS", "ThinkMarkers", "read_record", "split_thinking", "think_markers"]

# A decoder that keeps special tokens leaves the end-of-turn token in the answer.
_END_TOKENS = (
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|return|>", "<|end|>", "<end_of_turn>", "</s>", "<turn|>", "<eos>",
    "<|END_OF_TURN_TOKEN|>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|eom|>", "<|eot|>", "[|endofturn|]",
    "<seed:eos>", "<|end_of_text|>", "[e~[", "<|end_message|>", "<|content_model_end_sampling|>", "<|user|>",
    "<|observation|>", "<sep>", "<|close|>message<|sep|>", "[END FINAL RESPONSE]", "<|endofturn|>", "<|stop|>",
    "<|flush|>",
)  # fmt: skip
# Special tokens around an answer, which say nothing of it.
_AROUND = re.compile(
    r"<\|(?:begin|end)_of_(?:solution|box)\|>|<\|(?:START|END)_(?:RESPONSE|TEXT)\|>|<\|message_model\|>|<\|content(?:_text)?\|>"
    r"|<\|(?:open|close)\|>response<\|sep\|>"
)
# What stands between an opener and a closer that are both only mentioned.
_BETWEEN = re.compile(r"[\W_]*(?:and|or|to|und|oder|et|ou|y|e)?[\W_]*")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def split_thinking(
    text: str,
    *,
    markers: ThinkMarkers | None = None,
    known: str | None = None,
    prefilled: bool = False,
    tokens: int | None = None,
    finish_reason: str | None = None,
) -> Response:
    """Split a generation into thinking and answer.

    A marker opens thinking at the start of the text or of a line, right after a closer, or when a line
    break follows it; elsewhere, between quotes or backticks, and in a block of code it is only mentioned. Inside
    thinking further openers are text. A closer with no opener means that everything before it was thinking, except
    after an answer at the very end: there it says nothing.

    Args:
        text: The generation, without the prompt.
        markers: What opens and closes thinking; by default those of the family that writes like this
            (`sftgen_judges.records.markers`).
        known: What the template or the prompt told of the markers, if they are not given.
        prefilled: The prompt already ended with an opener, so the text begins inside thinking.
        tokens: Length of the generation in tokens, passed through.
        finish_reason: Why generation stopped, passed through.
    """
    own = markers is None
    markers = markers or find_markers(text, known=known, prefilled=prefilled)
    # Without groups the literal beginning that most markers share is found in no time.
    tag, opener = re.compile(f"{markers.opener}|{markers.closer}"), re.compile(markers.opener)
    begin = answer_begin(text)
    inside = prefilled
    status: ThinkStatus = "none"
    answer: list[str] = []
    thinking: list[str] = []
    position = begin
    matches = [(match, bool(opener.match(text, match.start()))) for match in tag.finditer(text, begin)]
    closers_at_the_end = _at_the_end(text, matches)
    mentions = _Mentions(text)
    for match, opens in matches:
        start, end = match.span()
        if _quoted(text, start, end):
            continue
        if opens:
            if inside and start <= begin:
                position, status = end, "closed"  # the prompt's opener, written once more
                continue
            if inside:
                if markers.token:
                    thinking.append(text[position:start])
                    position = end
                continue
            if mentions.in_code(position, start) or not (markers.token or _opens(text, position, start, end)):
                mentions.opened(match)
                continue
            answer.append(text[position:start])
            inside, position = True, end
            status = "closed" if status == "none" else status
            continue
        if inside:
            thinking.append(text[position:start])
            status = "missing_opener" if status == "none" else status
        elif mentions.closes(start):
            continue
        elif start >= closers_at_the_end and status != "none" and "".join([*answer, text[position:start]]).strip():
            answer.append(text[position:start])
            position = end
            continue
        else:  # a stray closer: what looked like an answer was thinking
            thinking += [*answer, text[position:start]]
            answer, status = [], "missing_opener"
        inside, position = False, end
    (thinking if inside else answer).append(text[position:])
    thought = status != "none"
    written = "" if inside else _unwrapped(_joined(answer), markers if thought else None, tokens=own or thought)
    read = Response(
        text=text,
        think="unclosed" if inside else status,
        thinking="".join(thinking).strip(),
        answer=written,
        tokens=tokens,
        finish_reason=finish_reason,
    )
    return _with_more(read, markers) if thought and own else read


def _with_more(read: Response, markers: ThinkMarkers) -> Response:
    """A response whose answer begins with thinking in the markers of another family, for example `<reflection>`."""
    others = find_markers(read.answer)
    if others.opener == markers.opener:
        return read
    more = split_thinking(read.answer, markers=others)
    if more.think not in {"closed", "unclosed"} or not more.thinking:
        return read
    status = "unclosed" if more.think == "unclosed" else read.think
    return replace(read, think=status, thinking=f"{read.thinking}\n{more.thinking}", answer=more.answer)


def _joined(parts: list[str]) -> str:
    """Parts of an answer, with a line break where thinking without one stood between them."""
    joined = ""
    for part in parts:
        glued = joined and part and not (joined[-1].isspace() or part[0].isspace())
        joined += f"\n{part}" if glued else part
    return joined


class _Mentions:
    """Openers that are only mentioned, so that the closers that belong to them are too."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.read, self.fenced = 0, False
        self.last: re.Match[str] | None = None
        self.last_fenced = False

    def in_code(self, position: int, start: int) -> bool:
        """Whether a place is in a block of code that began in the answer."""
        if self.read < position:
            self.read, self.fenced = position, False
        if len(_FENCE.findall(self.text, self.read, start)) % 2:
            self.fenced = not self.fenced
        self.read = max(self.read, start)
        return self.fenced

    def opened(self, match: re.Match[str]) -> None:
        """An opener was mentioned here."""
        self.last, self.last_fenced = match, self.fenced

    def closes(self, start: int) -> bool:
        """Whether the closer here belongs to a mentioned opener: one names both, or both are in one block of code."""
        if self.last is None:
            return False
        between = self.text[self.last.end() : start]
        belongs = not _FENCE.search(between) if self.last_fenced else bool(_BETWEEN.fullmatch(between[:40]))
        self.last = None
        return belongs


def _at_the_end(text: str, matches: list[tuple[re.Match[str], bool]]) -> int:
    """Where the closers begin after which nothing more is written; of each marker is told whether it opens."""
    end = len(text)
    for match, opens in reversed(matches):
        if opens or _without_end_tokens(text[match.end() : end]):
            break
        end = match.start()
    return end


def read_record(
    record: GenerationRecord, markers: ThinkMarkers | None = None, prefilled: bool | None = None
) -> Response:
    """Read a recorded generation; `prefilled` overrides what its prompt said.

    Where a server has split it already, its word counts and not the markers, except for markers that it has left at the
    beginning of the answer. The whole text is then put together as a model with `<think>` writes it, for rules that
    look at all of it.
    """
    reason = _finish_reason(record)
    if record.reasoning is not None:
        cut = reason == "length" and not record.text.strip()
        thought = f"<think>\n{record.reasoning}" + ("" if cut else "\n</think>\n\n") if record.reasoning else ""
        left = split_thinking(record.text, markers=markers)
        unsplit = left.think in {"closed", "missing_opener"} and not (left.thinking and record.reasoning)
        return Response(
            text=thought + record.text,
            think="unclosed" if cut else "closed",
            thinking=record.reasoning.strip() or (left.thinking if unsplit else ""),
            answer=left.answer if unsplit else _unwrapped(record.text, None, tokens=True),
            tokens=record.tokens,
            finish_reason=reason,
        )
    how: dict[str, Any] = {
        "markers": markers,
        "known": record.markers,
        "prefilled": record.prefilled if prefilled is None else prefilled,
    }
    read = split_thinking(record.text, **how, tokens=record.tokens, finish_reason=reason)
    if record.turn_end is None:
        return read
    turn = split_thinking(record.text[: max(record.turn_end, 0)], **how).answer
    return replace(read, turn_end=len(turn)) if turn and read.answer.startswith(turn) else read


def _finish_reason(record: GenerationRecord) -> str | None:
    """Why a recorded generation stopped. One of which nobody said it was cut if it has all tokens it could have."""
    if record.finish_reason is None and record.tokens and record.budget and record.tokens >= record.budget:
        return "length"
    return finish_word(record.finish_reason)


def _quoted(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return bool(before) and before in "`'\"" and after == before


def _opens(text: str, position: int, start: int, end: int) -> bool:
    if text[end : end + 1] == "\n":
        return True
    while start > position and text[start - 1].isspace() and text[start - 1] != "\n":
        start -= 1
    return start == position or text[start - 1] == "\n"


def _unwrapped(answer: str, markers: ThinkMarkers | None, *, tokens: bool) -> str:
    """An answer without the tokens and the tags that a family writes around it."""
    plain = _without_end_tokens(answer)
    if tokens and "<|" in plain:
        plain = _without_end_tokens(_AROUND.sub("", plain))
    for name in markers.answer if markers else ():
        opener, closer = f"<{name}>", f"</{name}>"
        if plain.startswith(opener):
            inner = plain.removeprefix(opener).removesuffix(closer)
            if closer not in inner and opener not in inner:
                return inner.strip()
    return plain


def _without_end_tokens(text: str) -> str:
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        token = next((token for token in _END_TOKENS if text.endswith(token, 0, end)), None)
        if token is None:
            return text[:end].strip()
        end -= len(token)
