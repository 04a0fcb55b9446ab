"""How model families mark their thinking: one table, and what a template, a prompt or a response tells of it.

The markers are facts from the families' public chat templates and from the reasoning parsers of vLLM and SGLang.
`sftgen_judges.records.thinking` splits a response with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from sftgen_judges.records.schema import Response


@dataclass(frozen=True)
class ThinkMarkers:
    """The text around thinking, as regular expressions.

    Attributes:
        opener: Matches the marker that opens thinking.
        closer: Matches the marker that closes it.
        signs: Literal texts. A response or a chat template without any of them is not of this family.
        families: Models that write so.
        start: Matches the beginning of a response of this family, if that is not the opener alone.
        token: The markers are special tokens: no other text looks like them, so they count wherever they are.
        word: The markers are words of a tag that a document may use too: they count only if the response, or what the
            prompt ends with, begins with the opener.
        answer: Tags that this family writes around the whole answer.
    """

    opener: str
    closer: str
    signs: tuple[str, ...] = ()
    families: str = ""
    start: str = ""
    token: bool = False
    word: bool = False
    answer: tuple[str, ...] = ()


_SLASHED = ("response", "output", "Output", "solution")
"""Tags around an answer that carry nothing of it."""


def _tag(name: str, families: str, *, token: bool = False, word: bool = False, answer: str = "") -> ThinkMarkers:
    """Markers `<name>` and `</name>`."""
    return ThinkMarkers(
        re.escape(f"<{name}>"),
        re.escape(f"</{name}>"),
        (f"</{name}>", f"<{name}>"),
        families,
        token=token,
        word=word,
        answer=(*_SLASHED, answer) if answer else _SLASHED,
    )


def _pair(opener: str, closer: str, families: str) -> ThinkMarkers:
    """Markers as they are written."""
    return ThinkMarkers(re.escape(opener), re.escape(closer), (opener, closer), families, answer=_SLASHED)


_CHANNEL = r"(?:<\|end\|>)?\s?(?:<\|start\|>assistant)?<\|channel\|>"
_HERE = r"Here(?:'s| is)"
_TO_MESSAGE = r"[^<\n]{0,200}(?:<\|constrain\|>[^<\n]{0,40})?<\|message\|>"

THINK_MARKERS: dict[str, ThinkMarkers] = {
    "think": _tag(
        "think",
        "Qwen3, QwQ, DeepSeek-R1 and V3.1 and later, GLM-4.5 and later, Kimi-K2-Thinking, MiniMax-M1 and M2, Nemotron, "
        "OLMo-3-Think, Phi-4-reasoning, Granite 3.3 and 4, EXAONE 4, LFM2.5, ERNIE 4.5, MiMo, Step3, SmolLM3, "
        "Magistral-2506, OpenThinker2 and 3, and most others",
    ),
    "gemma-4": ThinkMarkers(
        # An empty thinking is written too: `<|channel>thought`, a line break, `<channel|>`.
        r"<\|channel>\s?(?!final\b|answer\b|response\b)(?:thought|analysis|\w{1,20}(?=\n))?",
        r"<channel\|>|<\|channel>\s?(?:final|answer|response)\b",
        ("<|channel>", "<channel|>"),
        "Gemma 4",
        token=True,
    ),
    # With special tokens kept, and as they read once a decoder has dropped them.
    "gpt-oss": ThinkMarkers(
        rf"{_CHANNEL}(?:analysis|commentary){_TO_MESSAGE}|\A\s*analysis(?=[A-Z\s])",
        rf"{_CHANNEL}final{_TO_MESSAGE}|(?:<\|end\|>)?(?:<\|start\|>)?assistant(?:<\|channel\|>)?final(?:<\|message\|>)?",
        ("<|channel|>", "assistantfinal"),
        "gpt-oss (harmony)",
        # "analysis of ..." is prose, unless a final channel follows.
        start=rf"{_CHANNEL}|analysis(?=[A-Z])|analysis(?=\s)(?=(?s:.)*assistantfinal)",
        token=True,
    ),
    "bracket-think": _pair("[THINK]", "[/THINK]", "Magistral-2507 and later, Ministral-3-Reasoning"),
    "seed": _pair("<seed:think>", "</seed:think>", "Seed-OSS"),
    "cohere": _pair("<|START_THINKING|>", "<|END_THINKING|>", "Command A Reasoning, Command A+"),
    "sky-t1": _pair("<|begin_of_thought|>", "<|end_of_thought|>", "Sky-T1, Bespoke-Stratos, OpenThinker"),
    "kimi": _pair("\u25c1think\u25b7", "\u25c1/think\u25b7", "Kimi-VL-Thinking"),
    "kimi-k3": _pair("<|open|>think<|sep|>", "<|close|>think<|sep|>", "Kimi-K3"),
    "minimax-m3": _pair("<mm:think>", "</mm:think>", "MiniMax-M3"),
    "hunyuan": ThinkMarkers(
        r"<think>", r"</think>", ("<answer>",), "Hunyuan-A13B and its small ones", answer=(*_SLASHED, "answer")
    ),
    "hunyuan-3": ThinkMarkers(
        r"<think:[^\s<>]{1,40}>",
        r"</think:[^\s<>]{1,40}>",
        ("</think:", "<think:"),
        "Hunyuan 3 and 4",
        token=True,
        answer=_SLASHED,
    ),
    "k2-horizon": ThinkMarkers(
        r"<ifm\|think(?:_fast(?:er)?)?>",
        r"</ifm\|think(?:_fast(?:er)?)?>",
        ("<ifm|think", "</ifm|think"),
        "K2 Horizon",
        token=True,
    ),
    "longcat": _pair("<longcat_think>", "</longcat_think>", "LongCat-Flash-Thinking"),
    "plamo": _pair("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>", "PLaMo 3"),
    "apertus": replace(_pair("<|inner_prefix|>", "<|inner_suffix|>", "Apertus"), token=True),
    # Its closer ends an answer too.
    "inkling": replace(
        _pair("<|content_thinking|>", "<|end_message|>", "Inkling"), signs=("<|content_thinking|>",), token=True
    ),
    "muse": ThinkMarkers(
        r"(?:<\|eom\|>)?(?:<\|start\|>assistant\s?)?to=self<\|message\|>",
        r"<\|eom\|>(?:<\|start\|>assistant\s?)?(?:to=user<\|message\|>)?|(?:<\|start\|>assistant\s?)?to=user<\|message\|>",
        ("to=self<|message|>", "to=user<|message|>"),
        "Muse Glimmer",
        token=True,
    ),
    "piped-think": ThinkMarkers(
        r"<\|think\|>",
        r"<\|/think\|>|<\|end\|>(?:<\|begin\|>assistant)?<\|content\|>",
        ("<|/think|>", "<|think|>"),
        "Solar Open, and models tuned on `<|think|>`",
        token=True,
    ),
    "s1": ThinkMarkers(
        r"(?:<\|im_start\|>)think\n",
        r"(?:<\|im_end\|>\s?)?<\|im_start\|>answer\n?",
        ("<|im_start|>think",),
        "s1",
        token=True,
    ),
    "thought-tag": _tag("thought", "EXAONE-Deep", word=True),
    "thinking-tag": _tag("thinking", "Reflection-Llama, models tuned on `<thinking>`", word=True),
    "marco-o1": _tag("Thought", "Marco-o1", word=True),
    "reasoning-tag": _tag("reasoning", "Reka Flash 3, models tuned on `<reasoning>`", word=True, answer="answer"),
    "scratchpad-tag": _tag("scratchpad", "models tuned on `<scratchpad>`", word=True),
    "reflection-tag": _tag("reflection", "models tuned on `<reflection>`", word=True),
    # Prose begins like this too, so a closer has to follow.
    "granite-3.2": ThinkMarkers(
        rf"{_HERE} my thought process:",
        rf"{_HERE} my response:",
        families="Granite 3.2",
        start=rf"{_HERE} my thought process:(?=(?s:.)*{_HERE} my response:)",
        word=True,
    ),
    "apriel": ThinkMarkers(
        r"Here are my reasoning steps:",
        r"\[BEGIN FINAL RESPONSE\]",
        families="Apriel",
        start=r"Here are my reasoning steps:(?=(?s:.)*\[BEGIN FINAL RESPONSE\])",
        word=True,
    ),
}
"""Name of markers -> the markers. Of several that fit a text, the first counts."""

ALIASES: dict[str, str] = {
    **dict.fromkeys(
        ("qwen", "deepseek", "glm", "kimi-k2", "minimax", "nemotron", "olmo", "phi-4", "granite", "exaone",
         "lfm", "ernie"),
        "think",
    ),
    "harmony": "gpt-oss", "magistral": "bracket-think", "mistral": "bracket-think", "bespoke": "sky-t1",
    "openthinker": "sky-t1", "command-a": "cohere", "exaone-deep": "thought-tag", "gemma": "gemma-4",
    "reka": "reasoning-tag", "solar": "piped-think",
}  # fmt: skip
"""Other names of markers."""

LONGEST_SETTING = 200
"""Characters of two literal markers."""

# Tags whose name speaks of thinking: a prompt that ends with one opens thinking.
_OPENED = re.compile(
    r"<(?P<name>[\w:-]{0,30}(?:think|thought|reason|reflect|scratch|monologue|deliberat|ponder|cot\b)[\w:-]{0,30})>\s*\Z",
    re.IGNORECASE,
)


def think_markers(setting: str | Sequence[str] | None) -> ThinkMarkers:
    """Look up markers by name, or read them from `OPENER,CLOSER`.

    Args:
        setting: A name in `THINK_MARKERS` or `ALIASES`, two literal markers in a list or with a comma or a blank
            between, or None for `<think>...</think>`.

    Raises:
        ValueError: Neither a known name nor two markers.
    """
    if setting is None:
        return THINK_MARKERS["think"]
    name = ",".join(map(str, setting)) if isinstance(setting, list | tuple) else str(setting)
    name = ALIASES.get(name, name)
    if name in THINK_MARKERS:
        return THINK_MARKERS[name]
    opener, _, closer = name.partition("," if "," in name else " ")
    if not (opener.strip() and closer.strip()) or len(name) > LONGEST_SETTING:
        raise ValueError(
            f"think_markers {setting!r}: expected one of {', '.join([*THINK_MARKERS, *ALIASES])}, "
            "or OPENER,CLOSER as two literal strings"
        )
    return _pair(opener.strip(), closer.strip(), "")


def template_markers(template: str) -> str | None:
    """The markers that a chat template writes around thinking, as a setting of `think_markers`.

    Returns:
        A name of the table, `OPENER,CLOSER` where a template has a pair of its own, None where it has neither.
    """
    found = [name for name, markers in THINK_MARKERS.items() if not markers.word and _signed(template, markers)]
    # Templates of other families mention `<think>` too, for example to take it out of earlier turns.
    special = [name for name in found if name != "think" and (name != "hunyuan" or "think" in found)]
    return next(iter([*special, *found]), None) or _own_pair(template)


def prompt_markers(prompt: str) -> str | None:
    """The markers of the opener that a prompt ends with, as a setting of `think_markers`; None without one."""
    tail = prompt[-200:]
    for name, markers in THINK_MARKERS.items():
        if re.search(f"(?:{markers.opener})\\s*\\Z", tail):
            return name
    opened = _OPENED.search(tail)
    return f"<{opened['name']}>,</{opened['name']}>" if opened else None


def find_markers(text: str, *, known: str | None = None, prefilled: bool = False) -> ThinkMarkers:
    """The markers of a response.

    Args:
        text: The response.
        known: What its template or prompt told, as a setting of `think_markers`.
        prefilled: Whether its prompt ended inside thinking.
    """
    begin = answer_begin(text)
    told: ThinkMarkers | None = None
    if known:
        with suppress(ValueError):  # a record of another version, or a damaged one
            told = think_markers(known)
    for start, markers in _STARTS if _BEGINS.match(text, begin) else ():
        if start.match(text, begin):
            return told if told and told.opener == markers.opener else markers
    if told and (prefilled or _signed(text, told)):
        return told
    held = [(text.find(sign), number) for sign, number in _SIGNS if sign in text]
    return _STRONG[min(held)[1]] if held else THINK_MARKERS["think"]


def answer_begin(text: str) -> int:
    """Where a response begins, after blanks and after the header of its own turn."""
    head = _HEAD.match(text)
    return head.end() if head else 0


def unknown_marker(response: Response) -> str | None:
    """What looks like a marker of thinking in a response in which no thinking was found.

    Returns:
        The marker that the response begins with, or a closer that no opener stands before; None without one. Tags of
        HTML, of answers and of code are not markers.
    """
    if response.think != "none":
        return None
    text = response.answer.lstrip()
    begun = _BEGUN.match(text)
    if begun:
        return begun.group().strip() if (begun["tag"] or "").lower() not in _NO_MARKERS else None
    for closer in islice(_CLOSED.finditer(text), 20) if "</" in text else ():
        name = closer["tag"]
        if name.lower() not in _NO_MARKERS and f"<{name}" not in text and f"[{name}]" not in text:
            return closer.group().strip()
    return None


def _signed(text: str, markers: ThinkMarkers) -> bool:
    return any(sign in text for sign in markers.signs)


def _own_pair(template: str) -> str | None:
    """A pair of markers with names that speak of thinking, which no family of the table has."""
    names = dict.fromkeys(match.group() for match in _NAMED.finditer(template))
    for opener in names:
        for begins, ends in (
            ("<", "</"),
            ("[", "[/"),
            ("begin", "end"),
            ("start", "end"),
            ("START", "END"),
            ("prefix", "suffix"),
        ):
            closer = opener.replace(begins, ends, 1)
            if begins in opener and closer != opener and closer in template:
                return f"{opener},{closer}"
    return None


_STRONG = [markers for name, markers in THINK_MARKERS.items() if not markers.word and name != "hunyuan"]
_SIGNS = [(sign, number) for number, markers in enumerate(_STRONG) for sign in markers.signs]
_STARTS = [
    (re.compile(markers.start or markers.opener), markers)
    for name, markers in THINK_MARKERS.items()
    if name != "hunyuan"
]
_BEGINS = re.compile(r"[<\[\u25c1]|to=|analysis|Here")
"""What the start of every family begins with: most responses begin with none of it."""

# The header of an assistant's turn, which a model may write once more.
_HEAD = re.compile(
    r"(?:[\s\ufeff\u200b]|assistant\n+(?=[<\[\u25c1])|<s>|<bos>|<\|begin_of_text\|>|<\|im_start\|>assistant\n"
    r"|<start_of_turn>model\n|<\|turn>model\n|<\|start_header_id\|>assistant<\|end_header_id\|>|<\|assistant\|>|<\uff5cAssistant\uff5c>|\[\|assistant\|\])*"
)
_SPEAKS = r"(?:think|thought|reason|reflect|scratch|monologue|deliberat|ponder)"
_NAMED = re.compile(
    rf"<\|?[\w:|-]{{0,30}}{_SPEAKS}[\w:|-]{{0,30}}>|\[[A-Z_]{{0,30}}{_SPEAKS.upper()}[A-Z_]{{0,30}}\]", re.IGNORECASE
)
_BEGUN = re.compile(
    r"<(?P<tag>[A-Za-z][\w:-]{1,40})(?:\s[^<>\n]{1,80})?>|<\|[^|<>\s]{1,40}\|?>|<[^|<>\s/!][^|<>\s]{0,40}\|>"
    r"|\[(?!(?i:answer|final|result|inst|solution|name|date|title|your |insert |note|link)\b)"
    r"[A-Za-z][A-Za-z_ :-]{3,30}\](?!\()"
    r"|[\u25c1\u27e8][\w ]{2,30}[\u25b7\u27e9]|[\u3010\u300a](?:\u601d\u8003|\u63a8\u7406|think|thinking)[\u3011\u300b]"
    # What a decoder that drops special tokens leaves of a channel's name.
    r"|(?:thought|thinking|think|analysis)\n"
)
_CLOSED = re.compile(r"^[^\n`'\"]{0,300}?(?:</(?P<tag>[A-Za-z][\w:-]{1,40})>)[ \t]*$", re.MULTILINE)
# Tags of answers, code and HTML.
_NO_NAMES = """
    answer final final_answer finalanswer response output result solution conclusion summary question problem code
    python cpp java javascript sql bash shell json xml yaml html head body div span p br hr h1 h2 h3 h4 h5 h6 ul ol
    li table thead tbody tr td th a b i u s em strong small sub sup pre blockquote section article header footer
    main nav title style script link meta img svg path form input button label select option details center font
    note text document doc root item list data example poem story letter email name user function method class
    module unk pad eos bos
"""
_NO_MARKERS = frozenset(_NO_NAMES.split())
