"""The one splitter between a model's thinking and its answer.

Everything that scores a response reads it through `split_thinking`, so that a chain of thought is
never scored as the answer and a cut-off one is always counted as cut off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sftgen_judges.records.schema import GenerationRecord, Response, ThinkStatus


@dataclass(frozen=True)
class ThinkMarkers:
    """The text around thinking, as two regular expressions.

    Attributes:
        opener: Matches the marker that opens thinking.
        closer: Matches the marker that closes it.
    """

    opener: str
    closer: str


THINK_MARKERS: dict[str, ThinkMarkers] = {
    "think": ThinkMarkers(r"<think>", r"</think>"),
    "piped-think": ThinkMarkers(r"<\|think\|>", r"<\|/think\|>"),
    "bracket-think": ThinkMarkers(r"\[THINK\]", r"\[/THINK\]"),
    # With special tokens kept, and as they read once a decoder has dropped them.
    "gpt-oss": ThinkMarkers(
        r"(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)[^<\n]*<\|message\|>|\A\s*analysis(?=[A-Z\s])",
        r"(?:<\|end\|>)?(?:<\|start\|>)?assistant(?:<\|channel\|>)?final(?:<\|message\|>)?|<\|channel\|>final<\|message\|>",
    ),
}

# A decoder that keeps special tokens leaves the end-of-turn token in the answer.
_END_TOKENS = (
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|return|>", "<|end|>", "<end_of_turn>", "</s>"
)  # fmt: skip


def think_markers(setting: str | None) -> ThinkMarkers:
    """Look up markers by name, or read them from `OPENER,CLOSER`.

    Args:
        setting: A name in `THINK_MARKERS`, two literal markers with a comma between, or None for
            `<think>...</think>`.

    Raises:
        ValueError: Neither a known name nor two markers.
    """
    if setting is None:
        return THINK_MARKERS["think"]
    if setting in THINK_MARKERS:
        return THINK_MARKERS[setting]
    opener, comma, closer = setting.partition(",")
    if not (opener and comma and closer):
        raise ValueError(
            f"think_markers {setting!r}: expected one of {', '.join(THINK_MARKERS)}, "
            "or OPENER,CLOSER as two literal strings"
        )
    return ThinkMarkers(re.escape(opener), re.escape(closer))


def split_thinking(
    text: str,
    *,
    markers: ThinkMarkers = THINK_MARKERS["think"],
    prefilled: bool = False,
    tokens: int | None = None,
    finish_reason: str | None = None,
) -> Response:
    """Split a generation into thinking and answer.

    A marker opens thinking at the start of the text or of a line, right after a closer, or when a line
    break follows it; elsewhere, and between quotes or backticks, it is only mentioned. Inside thinking
    further openers are text. A closer with no opener means that everything before it was thinking.

    Args:
        text: The generation, without the prompt.
        markers: What opens and closes thinking.
        prefilled: The prompt already ended with an opener, so the text begins inside thinking.
        tokens: Length of the generation in tokens, passed through.
        finish_reason: Why generation stopped, passed through.
    """
    tag = re.compile(f"(?P<opener>{markers.opener})|(?P<closer>{markers.closer})")
    inside = prefilled
    status: ThinkStatus = "none"
    answer: list[str] = []
    thinking: list[str] = []
    position = 0
    blank = len(text) - len(text.lstrip())
    for match in tag.finditer(text):
        start, end = match.span()
        if _quoted(text, start, end):
            continue
        if match.lastgroup == "opener":
            if inside and start <= blank:
                position, status = end, "closed"  # the prompt's opener, written once more
                continue
            if inside or not _opens(text, position, start, end):
                continue
            answer.append(text[position:start])
            inside, position = True, end
            status = "closed" if status == "none" else status
            continue
        if inside:
            thinking.append(text[position:start])
            status = "missing_opener" if status == "none" else status
        else:  # a stray closer: what looked like an answer was thinking
            thinking += [*answer, text[position:start]]
            answer, status = [], "missing_opener"
        inside, position = False, end
    (thinking if inside else answer).append(text[position:])
    return Response(
        text=text,
        think="unclosed" if inside else status,
        thinking="".join(thinking).strip(),
        answer="" if inside else _without_end_tokens("".join(answer)),
        tokens=tokens,
        finish_reason=finish_reason,
    )


def read_record(
    record: GenerationRecord, markers: ThinkMarkers = THINK_MARKERS["think"], prefilled: bool | None = None
) -> Response:
    """Read a recorded generation; `prefilled` overrides what its prompt said.

    Where a server has split it already, its word counts and not the markers; the whole text is then put
    together as a model with `<think>` writes it, for rules that look at all of it.
    """
    if record.reasoning is not None:
        cut = record.finish_reason == "length" and not record.text.strip()
        thought = f"<think>\n{record.reasoning}" + ("" if cut else "\n</think>\n\n") if record.reasoning else ""
        return Response(
            text=thought + record.text,
            think="unclosed" if cut else "closed",
            thinking=record.reasoning.strip(),
            answer=_without_end_tokens(record.text),
            tokens=record.tokens,
            finish_reason=record.finish_reason,
        )
    return split_thinking(
        record.text,
        markers=markers,
        prefilled=record.prefilled if prefilled is None else prefilled,
        tokens=record.tokens,
        finish_reason=record.finish_reason,
    )


def opens_thinking(prompt: str) -> bool:
    """Whether a prompt ends with an opener of any known kind, so that the response begins inside thinking."""
    tail = prompt[-200:]
    return any(re.search(f"(?:{markers.opener})\\s*\\Z", tail) for markers in THINK_MARKERS.values())


def _quoted(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return bool(before) and before in "`'\"" and after == before


def _opens(text: str, position: int, start: int, end: int) -> bool:
    if text[end : end + 1] == "\n":
        return True
    while start > position and text[start - 1].isspace() and text[start - 1] != "\n":
        start -= 1
    return start == position or text[start - 1] == "\n"


def _without_end_tokens(text: str) -> str:
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        token = next((token for token in _END_TOKENS if text.endswith(token, 0, end)), None)
        if token is None:
            return text[:end].strip()
        end -= len(token)
