"""Markers of thinking by family: what a response, a prompt and a chat template tell."""

from __future__ import annotations

import re
import time
from importlib import resources

import pytest

from sftgen_judges.records.markers import (
    ALIASES,
    THINK_MARKERS,
    prompt_markers,
    template_markers,
    think_markers,
    unknown_marker,
)
from sftgen_judges.records.schema import GenerationRecord
from sftgen_judges.records.thinking import read_record, split_thinking
from tests import ROOT

# Text as a family writes it, with "so B" thought and E answered.
FAMILIES = {
    "qwen, deepseek and most": "<think>\nso B\n</think>\n\nE<|im_end|>",
    "gemma 4": "<|channel>thought\nso B\n<channel|>E<turn|>",
    "gpt-oss": "<|channel|>analysis<|message|>so B<|end|><|start|>assistant<|channel|>final<|message|>E<|return|>",
    "gpt-oss, special tokens dropped": "analysis so B assistantfinalE",
    "gpt-oss, JSON": "<|channel|>analysis<|message|>so B<|end|><|start|>assistant<|channel|>final <|constrain|>JSON"
    "<|message|>E",
    "magistral": "[THINK]so B[/THINK]E</s>",
    "seed": "<seed:think>so B</seed:think>E<seed:eos>",
    "cohere": "<|START_THINKING|>so B<|END_THINKING|><|START_RESPONSE|>E<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
    "command a+": "<|START_THINKING|>so B<|END_THINKING|><|START_TEXT|>E<|END_TEXT|>",
    "sky-t1, one line": "<|begin_of_thought|> so B <|end_of_thought|> E",
    "sky-t1, openthinker": "<|begin_of_thought|>\n\nso B\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nE\n\n"
    "<|end_of_solution|>",
    "kimi-vl": "\u25c1think\u25b7so B\u25c1/think\u25b7E",
    "kimi-k3": "<|open|>think<|sep|>so B<|close|>think<|sep|><|open|>response<|sep|>E<|close|>response<|sep|>"
    "<|close|>message<|sep|>",
    "minimax-m3": "<mm:think>so B</mm:think>E",
    "ernie, granite 3.3": "<think>\nso B\n</think>\n\n<response>\nE\n</response>\n",
    "hunyuan 3": "<think:opensource>so B</think:opensource>E",
    "k2 horizon": "<ifm|think_fast>so B</ifm|think_fast>E",
    "longcat": "<longcat_think>\nso B\n</longcat_think>\nE",
    "plamo": "<|plamo:begin_think:plamo|>so B<|plamo:end_think:plamo|>E",
    "apertus": "<|inner_prefix|>so B<|inner_suffix|>E",
    "inkling": "<|content_thinking|>so B<|end_message|><|message_model|><|content_text|>E<|end_message|>",
    "muse": "to=self<|message|>so B<|eom|><|start|>assistant to=user<|message|>E<|eot|>",
    "solar": "<|think|>so B<|end|><|begin|>assistant<|content|>E<|end|>",
    "s1": "<|im_start|>think\nso B\n<|im_start|>answer\nE",
    "apertus, after a word": "<|inner_prefix|>so B<|inner_suffix|>E</s>",
    "exaone-deep": "<thought>\nso B\n</thought>\n\nE[|endofturn|]",
    "thinking": "<thinking>so B</thinking> E",
    "reflection": "<thinking>so B</thinking>\n<output>E</output>",
    "marco-o1": "<Thought>so B</Thought>\n<Output>E</Output>",
    "reka": "<reasoning>\nso B\n</reasoning>\nE <sep>",
    "tuned with GRPO": "<reasoning>\nso B\n</reasoning>\n<answer>\nE\n</answer>",
    "scratchpad": "<scratchpad>so B</scratchpad>E",
    "granite 3.2": "Here is my thought process: so B Here is my response: E",
    "apriel": "Here are my reasoning steps:\nso B\n[BEGIN FINAL RESPONSE]\nE\n[END FINAL RESPONSE]",
    "after a byte order mark": "\ufeff<think>so B</think>E",
    "after the role that dropped tokens leave": "assistant\n\n<think>so B</think>E",
    "its turn's header once more": "<|im_start|>assistant\n<think>so B</think>E",
}


@pytest.mark.parametrize("text", FAMILIES.values(), ids=FAMILIES)
def test_the_thinking_of_every_family_is_read_without_a_setting(text: str) -> None:
    response = split_thinking(text)
    assert (response.think, response.thinking, response.answer) == ("closed", "so B", "E")
    assert unknown_marker(response) is None


@pytest.mark.parametrize("name", [name for name in FAMILIES if not name.startswith(("granite 3.2", "apriel"))])
def test_thinking_of_every_family_that_is_never_closed_is_no_answer(name: str) -> None:
    cut = FAMILIES[name][: FAMILIES[name].index("so B") + 4]
    if name != "gpt-oss, special tokens dropped":  # without its final channel it is prose
        assert split_thinking(cut).think == "unclosed"


# What the template opened, so that the response has only the closer.
CLOSERS = [
    ("<think>", "so B</think>E"),
    ("[THINK]", "so B[/THINK]E"),
    ("<seed:think>", "so B</seed:think>E"),
    ("<|channel>thought\n", "so B\n<channel|>E"),
    ("<thought>\n", "so B\n</thought>\nE"),
    ("<thinking>", "so B</thinking>E"),
    ("<|channel|>analysis<|message|>", "so B<|end|><|start|>assistant<|channel|>final<|message|>E"),
    ("\u25c1think\u25b7", "so B\u25c1/think\u25b7E"),
    ("<|START_THINKING|>", "so B<|END_THINKING|>E"),
    ("Here are my reasoning steps:\n", "so B\n[BEGIN FINAL RESPONSE]\nE"),
    # A name that nobody listed, but which speaks of thinking.
    ("<deep_think>\n", "so B\n</deep_think>\nE"),
    ("<inner-monologue>", "so B</inner-monologue>E"),
]


@pytest.mark.parametrize(("opener", "text"), CLOSERS)
def test_a_prompt_that_opens_thinking_tells_the_closer(opener: str, text: str) -> None:
    known = prompt_markers(f"<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n{opener}")
    record = GenerationRecord("t", None, "m", "d", 0, "p", {}, text, prefilled=known is not None, markers=known)
    response = read_record(record)
    assert (response.think, response.thinking, response.answer) == ("missing_opener", "so B", "E")


@pytest.mark.parametrize("text", [text for _, text in CLOSERS[:4]])
def test_a_closer_alone_tells_that_all_before_it_was_thinking(text: str) -> None:
    response = split_thinking(text)
    assert (response.think, response.answer) == ("missing_opener", "E")


CHANNELS = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant"
REPEATED = {
    "a closer after the answer": ("<think>a</think>\n\\boxed{5}</think>", ("closed", "a", r"\boxed{5}")),
    "several, and the end of the turn": ("<think>a</think>5</think>\n</think><|im_end|>", ("closed", "a", "5")),
    "after an answer whose thinking had no opener": ("a</think>5</think>", ("missing_opener", "a", "5")),
    "another family": ("<seed:think>a</seed:think>5</seed:think>", ("closed", "a", "5")),
    "brackets": ("[THINK]a[/THINK]5[/THINK]", ("closed", "a", "5")),
    "two kinds of thinking": ("<thinking>a</thinking><reflection>b</reflection>E", ("closed", "a\nb", "E")),
    "thinking inside thinking": ("<thinking>a<reflection>b</reflection>c</thinking>E", ("closed", None, "E")),
    "channels again after an answer": (
        CHANNELS.format("a") + "<|channel|>final<|message|>D<|end|><|start|>assistant" + CHANNELS.format("b")
        + "<|channel|>final<|message|>E<|return|>",
        ("closed", None, "D\nE"),
    ),
    "a preamble channel": (
        CHANNELS.format("a") + "<|channel|>commentary<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>E",
        ("closed", None, "E"),
    ),
    "thinking that begins in the middle of a line": ("Sure. <think>a</think> E", ("missing_opener", None, "E")),
    "a final channel alone": ("<|channel|>final<|message|>E", ("missing_opener", "", "E")),
    "an empty channel": ("<|channel>thought\n<channel|>E", ("closed", "", "E")),
    "solar without thinking": ("<|content|>E<|flush|>", ("none", "", "E")),
    "thinking after a word of the answer": ("Hm. <|inner_prefix|>a<|inner_suffix|>E", ("closed", "a", "Hm. E")),
    "an answer without thinking in a family's wrapper": ("<|content_text|>E<|end_message|>", ("none", "", "E")),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), REPEATED.values(), ids=REPEATED)
def test_thinking_that_is_repeated_nested_or_closed_twice(text: str, expected: tuple[str, str | None, str]) -> None:
    response = split_thinking(text)
    assert (response.think, response.answer) == (expected[0], expected[2])
    assert expected[1] in (None, response.thinking)


NO_THINKING = [
    "Use `<thinking>` and `</thinking>`. E",
    "The tags <think> and </think> are used. Answer: E",
    "Write <think>...</think> first. E",
    "[sic] and [1]. E",
    "[Your Name]\n[Your Address]\nE",
    "[A source](https://example.org) says E",
    "```xml\n<thinking>\na\n</thinking>\n```\nE",
    "Use this:\n```\n<think>\na\n</think>\n```\nE",
    "print('<|channel|>analysis<|message|>')\nE",
    "<p>Hello</p>",
    "<answer>E</answer>",
    "<html>\n<body>\n<p>E</p>\n</body>\n</html>",
    r"\[x = 2\] so the set is [1, 2]",
    "[1] A source. E",
    "analysis of the data shows E",
    "Here's my thought process:\n\n1. Consider it.\n\nE",
    "The final channel of analysis is E.",
    "thoughtful people say E",
    "I [THINK] it is E",
]


@pytest.mark.parametrize("text", NO_THINKING)
def test_an_answer_that_only_looks_like_thinking_stays_an_answer(text: str) -> None:
    response = split_thinking(text)
    assert (response.think, response.thinking, response.answer) == ("none", "", text)
    assert unknown_marker(response) is None


UNKNOWN = {
    "<ponder>so B</ponder>E": "<ponder>",
    "<cogitate>so B": "<cogitate>",
    "<|deep|>so B<|/deep|>E": "<|deep|>",
    "<|mind>so B<mind|>E": "<|mind>",
    "[REFLECT]so B[/REFLECT]E": "[REFLECT]",
    "\u25c1mull\u25b7so B\u25c1/mull\u25b7E": "\u25c1mull\u25b7",
    "so B\n</ponder>\nE": "</ponder>",
    # What is left of Gemma 4's channel where special tokens were dropped.
    "thought\nso B, hence E": "thought",
    '<ponder type="deep">so B</ponder>E': '<ponder type="deep">',
    "[ponder]so B[/ponder]E": "[ponder]",
    "[DEEP THOUGHT] so B. E": "[DEEP THOUGHT]",
    "[begin:ponder] so B [end:ponder] E": "[begin:ponder]",
    "<THINK>so B</THINK>E": "<THINK>",
}


@pytest.mark.parametrize(("text", "marker"), UNKNOWN.items())
def test_what_looks_like_an_unknown_marker_is_told(text: str, marker: str) -> None:
    assert unknown_marker(split_thinking(text)) == marker


def test_markers_other_than_those_that_were_set_are_told() -> None:
    response = split_thinking("<think>so B</think>E", markers=think_markers("seed"))
    assert unknown_marker(response) == "<think>"


@pytest.mark.parametrize(
    ("reasoning", "content", "thinking", "answer"),
    [
        ("so B", "E", "so B", "E"),
        # A server's parser of another family has left them.
        ("so B", "</think>\n\nE", "so B", "E"),
        ("so B", "<think>\n\n</think>\n\nE", "so B", "E"),
        ("so B", "<|channel|>final<|message|>E<|return|>", "so B", "E"),
        ("", "<think>so B</think>E", "so B", "E"),
        # The server's word counts.
        ("so B", "The tags <think>x</think> are it.", "so B", "The tags <think>x</think> are it."),
        ("", "E", "", "E"),
    ],
)
def test_what_a_server_has_split(reasoning: str, content: str, thinking: str, answer: str) -> None:
    record = GenerationRecord("t", None, "m", "d", 0, "p", {}, content, reasoning=reasoning)
    response = read_record(record)
    assert (response.think, response.thinking, response.answer) == ("closed", thinking, answer)


# Templates that TRL ships; each is what a family publishes.
TEMPLATES = {
    "qwen3.jinja": "think",
    "deepseekv3.jinja": "think",
    "glm4moe.jinja": "think",
    "nemotron_3_nano.jinja": "think",
    "lfm2_2_5.jinja": "think",
    "gptoss.jinja": "gpt-oss",
    "gemma4.jinja": "gemma-4",
    "muse_glimmer.jinja": "muse",
    "qwen2_5.jinja": None,
    "llama3.jinja": None,
}


@pytest.mark.parametrize(("name", "markers"), TEMPLATES.items())
def test_a_chat_template_tells_its_familys_markers(name: str, markers: str | None) -> None:
    folder = resources.files("trl") / "chat_templates"
    if not (folder / name).is_file():
        pytest.skip(f"this version of TRL has no {name}")
    assert template_markers((folder / name).read_text()) == markers


@pytest.mark.parametrize(
    ("template", "markers"),
    [
        ("{{ '[THINK]' + message.thinking + '[/THINK]' }}", "bracket-think"),
        ("{{ '<seed:think>' + message.reasoning_content + '</seed:think>' }}", "seed"),
        ("{{ '<think>' }}{{ '</think>' }}{{ '<answer>' }}", "hunyuan"),
        ("{{ '<deep_thought>' + message.thinking + '</deep_thought>' }}", "<deep_thought>,</deep_thought>"),
        ("{{ '<|begin_reasoning|>' }}{{ '<|end_reasoning|>' }}", "<|begin_reasoning|>,<|end_reasoning|>"),
        ("{{ '<|im_start|>' + message.role + '\\n' + message.content }}", None),
    ],
)
def test_a_template_of_ones_own_tells_its_markers(template: str, markers: str | None) -> None:
    found = template_markers(template)
    assert found == markers
    if found and "," in found:
        opener, closer = found.split(",")
        response = split_thinking(f"so B{closer}E", known=found)
        assert (response.think, response.answer) == ("missing_opener", "E")
        assert split_thinking(f"{opener}so B{closer}E", known=found).answer == "E"


def test_hunyuans_answer_tag_is_taken_off_where_its_template_says_so() -> None:
    text = "<think>\nso B\n</think>\n<answer>\nE\n</answer>"
    assert split_thinking(text, known="hunyuan").answer == "E"
    assert split_thinking(text).answer == "<answer>\nE\n</answer>"


@pytest.mark.parametrize(
    "setting", ["<a>,</a>", "<a> </a>", ("<a>", "</a>"), ["<a>", "</a>"], "<seed:think>,</seed:think>", "qwen", "gemma"]
)
def test_a_setting_is_a_name_or_two_literals(setting: str | list[str]) -> None:
    markers = think_markers(setting)
    assert markers.opener
    assert markers.closer


def test_every_other_name_is_one_of_the_table() -> None:
    assert set(ALIASES.values()) <= set(THINK_MARKERS)
    assert not set(ALIASES) & set(THINK_MARKERS)


@pytest.mark.parametrize("known", ["nonsense", "x" * 10_000, ",", "a,"])
def test_a_damaged_record_is_read_by_what_its_text_looks_like(known: str) -> None:
    assert split_thinking("<think>so B</think>E", known=known).answer == "E"


@pytest.mark.parametrize(
    "unit", ["<", "<|", "</x> ", "[THINK", "analysis ", "<ponder>\n", "```\n<think>\n", "</ponder>\n"]
)
def test_two_hundred_thousand_characters_are_searched_for_markers_at_once(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    begun = time.process_time()
    unknown_marker(split_thinking(text))
    assert time.process_time() - begun < 10


def test_the_page_of_tasks_lists_every_family() -> None:
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([\w.-]+)`(?: \([^|]*\))? \| .*`", page.partition("## Thinking")[2], re.MULTILINE))
    assert set(THINK_MARKERS) <= named
    for name in ALIASES:
        assert f"`{name}`" in page
