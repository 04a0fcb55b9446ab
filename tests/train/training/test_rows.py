"""Every field of the training data is read, or its row is refused and the field named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import trl
from pyarrow import parquet
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from sftgen_judges.errors import SftgenError
from sftgen_tasks.data.tables import DataError
from sftgen_train.demo.tiny import build_tokenizer
from sftgen_train.training.encoding import IGNORED, Encoding, encode, told
from sftgen_train.training.rows import read_rows
from tests.conftest import Command
from tests.train.training.test_training import MARKERS, configure, trainer

TEMPLATES = Path(trl.__file__).with_name("chat_templates")
ASK = {"role": "user", "content": "What is 1+1?"}
SAY = {"role": "assistant", "content": "2"}
THOUGHT = "One and one is two."
CALL = {"name": "weather", "arguments": {"city": "Rome", "days": 3}}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells the weather.", "parameters": {"type": "object"}},
}


def encoding(template: str | None = None) -> Encoding:
    """The demo's tokenizer, with a chat template of TRL's collection of public ones."""
    tokenizer = build_tokenizer([])
    if template:
        tokenizer.chat_template = (TEMPLATES / f"{template}.jinja").read_text()
    return Encoding.of(tokenizer, None)


def parts(row: dict[str, Any], template: str | None = None) -> tuple[str, str, list[str]]:
    """Prompt, trained text and notes of a row."""
    made = encoding(template)
    found = made(row, "rows.jsonl, row 1")
    ids, count = found["input_ids"], found["prompt_tokens"]
    assert found["labels"] == [IGNORED] * count + ids[count:]
    decode = made.tokenizer.decode
    return decode(ids[:count]), decode(ids[count:]).removesuffix("<|im_end|>"), found["notes"]


def talk(*turns: dict[str, Any], **columns: Any) -> dict[str, Any]:
    return {"messages": list(turns), **columns}


def tools_called(arguments: Any, **more: Any) -> dict[str, Any]:
    return {**more, "tool_calls": [{"id": "c1", "type": "function", "function": {**CALL, "arguments": arguments}}]}


QWEN = f"<think>\n{THOUGHT}\n</think>\n\n2"
HARMONY = f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>2"
CALLED = (
    '<think>\n\n</think>\n\n<tool_call>\n{"name": "weather", "arguments": {"city": "Rome", "days": 3}}\n</tool_call>'
)
HISTORY = (
    ASK,
    {"role": "assistant", **tools_called(CALL["arguments"])},
    {"role": "tool", "content": "sunny\nand 30 degrees", "tool_call_id": "c1", "name": "weather"},
    {"role": "assistant", "content": "Take a hat."},
)

# A row, the chat template, and what is trained on.
READ: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "reasoning_content": (talk(ASK, {**SAY, "reasoning_content": THOUGHT}), "qwen3", QWEN),
    "reasoning": (talk(ASK, {**SAY, "reasoning": THOUGHT}), "qwen3", QWEN),
    "thinking": (talk(ASK, {**SAY, "thinking": THOUGHT}), "qwen3", QWEN),
    "the same in two fields": (talk(ASK, {**SAY, "reasoning": THOUGHT, "reasoning_content": THOUGHT}), "qwen3", QWEN),
    "reasoning as parts": (talk(ASK, {**SAY, "thinking": [{"type": "text", "text": THOUGHT}]}), "qwen3", QWEN),
    "a thinking part": (
        talk(ASK, {**SAY, "content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "2"}]}),
        "qwen3",
        QWEN,
    ),
    "reasoning equal to the answer": (talk(ASK, {**SAY, "reasoning": "2"}), "qwen3", "<think>\n2\n</think>\n\n2"),
    "reasoning, prompt and completion": (
        {"prompt": [ASK], "completion": [{**SAY, "reasoning_content": THOUGHT}]},
        "qwen3",
        QWEN,
    ),
    "reasoning in gpt-oss": (talk(ASK, {**SAY, "reasoning_content": THOUGHT}), "gptoss", HARMONY),
    "the prompt opens the thinking": (
        talk(ASK, {**SAY, "reasoning_content": THOUGHT}),
        "qwen3_5_think",
        f"{THOUGHT}\n</think>\n\n2",
    ),
    "empty fields": (
        talk(ASK, {**SAY, "reasoning_content": None, "tool_calls": [], "refusal": None, "annotations": []}),
        None,
        "2",
    ),
    "text parts": (
        talk({**ASK, "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "1+1?"}]}, SAY),
        None,
        "2",
    ),
    "text parts of the answer": (talk(ASK, {**SAY, "content": [{"type": "text", "text": "2"}, "."]}), None, "2."),
    "parts as a table has them": (
        talk(ASK, {**SAY, "content": [{"type": "text", "text": "2", "image_url": None}]}),
        None,
        "2",
    ),
    "thinking written out": (
        talk(ASK, {**SAY, "content": f"<think>{THOUGHT}</think>2"}),
        "qwen3",
        f"<think>{THOUGHT}</think>2",
    ),
    "tool calls": (talk(ASK, {**SAY, **tools_called(CALL["arguments"], content=None)}, tools=[TOOL]), "qwen3", CALLED),
    "arguments as JSON": (
        talk(ASK, {**SAY, **tools_called(json.dumps(CALL["arguments"]), content="")}, tools=json.dumps([TOOL])),
        "qwen3",
        CALLED,
    ),
    "tool calls in gpt-oss": (
        talk(ASK, {**SAY, **tools_called(json.dumps(CALL["arguments"]), content=None)}, tools=[TOOL]),
        "gptoss",
        ' to=functions.weather<|channel|>commentary json<|message|>{"city": "Rome", "days": 3}<|call|>',
    ),
    "a dialogue with tools": (talk(*HISTORY, tools=[TOOL]), "qwen3", "Take a hat."),
    "a system turn": (talk({"role": "system", "content": "Be brief."}, ASK, SAY), None, "2"),
    "a column that is in the prompt too": (
        talk({"role": "system", "content": "Be brief."}, ASK, SAY, system="Be brief."),
        None,
        "2",
    ),
    "options of the template": (talk(ASK, SAY, chat_template_kwargs={"enable_thinking": False}), "qwen3", "2"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "template", "trained"), READ.values(), ids=READ)
def test_a_field_is_read(row: dict[str, Any], template: str | None, trained: str) -> None:
    prompt, response, _ = parts(row, template)
    assert response == trained
    assert "What is 1+1?" in prompt
    for text in ("Be brief.", "sunny\nand 30 degrees", "Tells the weather."):
        assert (text in prompt) == (
            text in json.dumps(row, ensure_ascii=False).replace("\\\\n", "\n").replace("\\n", "\n")
        )


# A row, the chat template, and what the message says.
REFUSED: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "reasoning_content": (
        talk(ASK, {**SAY, "reasoning_content": THOUGHT}),
        None,
        "'reasoning_content' of the response",
    ),
    "thinking": (talk(ASK, {**SAY, "thinking": THOUGHT}), "llama3_1", "'thinking' of the response"),
    "reasoning behind an open thinking": (
        talk(ASK, {**SAY, "reasoning": THOUGHT}),
        "deepseek_r1_distill",
        "'reasoning' of the response",
    ),
    "a thinking part": (
        talk(ASK, {**SAY, "content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": "2"}]}),
        None,
        "content part 'thinking'",
    ),
    "two reasonings": (
        talk(ASK, {**SAY, "reasoning": "a", "thinking": "b"}),
        "qwen3",
        "turn 2: 'reasoning' and 'thinking' hold different texts",
    ),
    "reasoning twice": (
        talk(ASK, {"role": "assistant", "content": "<think>a</think>2", "reasoning_content": THOUGHT}),
        "qwen3",
        "thinking in the content and in 'reasoning_content'",
    ),
    "reasoning of another type": (talk(ASK, {**SAY, "reasoning": {"steps": 3}}), "qwen3", "turn 2, 'reasoning': dict"),
    "details of reasoning": (talk(ASK, {**SAY, "reasoning_details": [{"text": "a"}]}), "qwen3", "'reasoning_details'"),
    "tool calls": (talk(ASK, {**SAY, **tools_called({"city": "Rome"})}), None, "'tool_calls' of the response"),
    "tool calls of an earlier turn": (
        talk(ASK, {**SAY, **tools_called({"city": "Rome"})}, ASK, SAY),
        None,
        "'tool_calls' of turn 2 (assistant)",
    ),
    "tools": (talk(ASK, SAY, tools=[TOOL]), None, "column 'tools' (tool 'weather')"),
    "tools beside a text": ({"prompt": "1+1", "completion": "2", "tools": [TOOL]}, None, "'tools' beside a prompt"),
    "tools that are no list": (talk(ASK, SAY, tools={"name": "weather"}), "qwen3", "column 'tools' is dict"),
    "reasoning beside a text": (
        {"prompt": "1+1", "completion": [{**SAY, "reasoning": THOUGHT}]},
        "qwen3",
        "'reasoning' beside a prompt that is text",
    ),
    "an image": (
        talk({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}, SAY),
        None,
        "turn 1: content part of type 'image_url'",
    ),
    "a part with more": (
        talk({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "x"}}]}, SAY),
        None,
        "content part with text, cache_control",
    ),
    "content that is an object": (talk({"role": "user", "content": {"a": 1}}, SAY), None, "turn 1: content is dict"),
    "a name": (talk({**ASK, "name": "Ann"}, SAY), "qwen3", "'name' of turn 1 (user)"),
    "a weight": (talk(ASK, {**SAY, "weight": 0}), None, "'weight' of turn 2 (assistant)"),
    "a switch": (talk(ASK, {**SAY, "train": False}), None, "'train' of turn 2 (assistant)"),
    "a turn without a role": (talk({"content": "a"}, SAY), None, "turn 1: expected an object with role and content"),
    "a turn that is a text": (talk("a", SAY), None, "turn 1: expected an object"),  # type: ignore[arg-type]
    "a system turn": (talk({"role": "system", "content": "Be brief."}, ASK, SAY), "drops", "turn 1 (system)"),
    "a system column": (talk(ASK, SAY, system="Be brief."), None, "column 'system' is neither in the prompt"),
    "a column of reasoning": ({"prompt": "1+1", "completion": "2", "reasoning": THOUGHT}, None, "column 'reasoning'"),
    "a column of tool calls": (talk(ASK, SAY, tool_calls=[CALL]), None, "column 'tool_calls'"),
    "a column of images": (talk(ASK, SAY, images=["a.png"]), None, "column 'images': only text is trained on"),
    "an option that nothing reads": (
        talk(ASK, SAY, chat_template_kwargs={"enable_thinking": False}),
        None,
        "does not read 'enable_thinking' of chat_template_kwargs",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("row", "template", "says"), REFUSED.values(), ids=REFUSED)
def test_or_the_row_is_refused_and_the_field_named(row: dict[str, Any], template: str | None, says: str) -> None:
    made = encoding(template if template != "drops" else None)
    if template == "drops":
        made.tokenizer.chat_template = (
            "{% for turn in messages if turn.role != 'system' %}{{ turn.content }}\n{% endfor %}"
        )
    with pytest.raises(DataError) as caught:
        made(row, "rows.jsonl, row 3")
    assert str(caught.value).startswith("rows.jsonl, row 3")
    assert says in str(caught.value)


NOTES: dict[str, tuple[dict[str, Any], str, str]] = {
    "reasoning of earlier turns": (
        talk(ASK, {**SAY, "reasoning_content": "hm"}, ASK, SAY),
        "qwen3",
        "the chat template leaves out reasoning_content of earlier turns",
    ),
    "thinking written out": (
        talk(ASK, {**SAY, "content": "<think>hm</think>2"}, ASK, SAY),
        "qwen3",
        "the chat template leaves out thinking in earlier turns",
    ),
    "labels": (talk(*HISTORY, tools=[TOOL]), "qwen3", "the chat template does not write name, tool_call_id"),
    "opened twice": (
        talk(ASK, {**SAY, "content": "<think>hm</think>2"}),
        "qwen3_5_think",
        "the chat template's prompt ends with <think>, and the response begins with it again",
    ),
    "never closed": (
        talk(ASK, SAY),
        "qwen3_5_think",
        "the chat template's prompt ends with <think>, and the response never closes it",
    ),
}


@pytest.mark.parametrize(("row", "template", "note"), NOTES.values(), ids=NOTES)
def test_what_generation_leaves_out_too_is_told(row: dict[str, Any], template: str, note: str) -> None:
    assert parts(row, template)[2] == [note]
    rows = [row, {**row, "advantage": 1.0, "source": "made", "empty": None}]
    assert told(rows, encode(rows, "rows.jsonl", encoding(template))) == [
        "Columns that are not read: advantage, source",
        f"2 rows: {note}",
    ]


def test_a_second_form_in_a_row_is_not_read_and_told() -> None:
    both = talk(ASK, SAY, prompt="What is 1+1?", prompt_id="a1")
    assert told([both], encode([both], "rows.jsonl", encoding())) == ["Columns that are not read: prompt, prompt_id"]
    three = {**both, "message": [ASK], "response": "3"}
    assert parts(three)[1] == "3"
    assert told([three], encode([three], "rows.jsonl", encoding())) == [
        "Columns that are not read: messages, prompt, prompt_id"
    ]


def test_a_table_adds_nothing_to_tools_and_arguments(tmp_path: Path) -> None:
    """A table gives every object the fields of all others; these must not reach the text."""
    second = {
        "type": "function",
        "function": {"name": "time", "description": "Tells the time.", "parameters": {"zone": 1}},
    }
    asked = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "time", "arguments": {"zone": 1}}}],
    }
    rows = [talk(ASK, {**SAY, **tools_called(CALL["arguments"])}, tools=[TOOL]), talk(ASK, asked, tools=[second])]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    made = encoding("qwen3")
    shown = []
    for name in ("rows.jsonl", "rows.parquet"):
        data = encode(read_rows(str(tmp_path / name)), name, made)
        shown.append([made.tokenizer.decode(row["input_ids"]) for row in data])
    assert shown[0] == shown[1]
    assert '"arguments": {"zone": 1}}' in shown[0][1]
    assert "null" not in "".join(shown[0])


# ------------------------------------------------------------------------------ special tokens


def appending(single: str) -> PreTrainedTokenizerFast:
    """A tokenizer that writes special tokens around every text."""
    tokenizer = build_tokenizer([])
    named = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<|im_start|>", "<|im_end|>")]
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=named)
    return tokenizer


@pytest.mark.parametrize("single", ["$A <|im_end|>", "<|im_start|> $A <|im_end|>", "<|im_start|> $A", "$A"])
@pytest.mark.parametrize("completion", [" 2", " 2<|im_end|>"])
def test_no_end_token_stands_between_prompt_and_response(single: str, completion: str) -> None:
    made = Encoding.of(appending(single), None)
    found = made({"prompt": "Q: 1+1?", "completion": completion}, "row 1")
    shown = made.tokenizer.decode(found["input_ids"])
    assert shown == ("<|im_start|>" if "start" in single else "") + "Q: 1+1? 2<|im_end|>"
    assert [label for label in found["labels"] if label != IGNORED] == made.tokenizer(" 2", add_special_tokens=False)[
        "input_ids"
    ] + [made.end_id]
    assert made.tokenizer.decode(made.text("Q: 1+1? 2")["input_ids"]) == shown


@pytest.mark.parametrize("scheme", ["always", "first"])
@pytest.mark.parametrize("completion", [" 2", "2", "\n2", "2</s>"])
def test_a_response_gets_no_space_of_the_tokenizers_own(scheme: str, completion: str) -> None:
    """Tokenizers of the Llama 2 kind write a space before a text; a response goes on after the prompt."""
    symbols = ["<s>", "</s>", "<unk>", "▁", *map(chr, range(33, 127)), "\n", "▁2"]
    core = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(symbols)}, [("▁", "2")], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    core.decoder = decoders.Metaspace(prepend_scheme=scheme)
    core.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    ids = Encoding.of(tokenizer, None)({"prompt": "Q: 1+1?", "completion": completion}, "row 1")["input_ids"]
    text = "".join(tokenizer.convert_ids_to_tokens(ids))
    assert text == f"<s>▁Q:▁1+1?{completion.removesuffix('</s>').replace(' ', '▁')}</s>"


# ------------------------------------------------------------------------------ the trainer


def test_all_of_the_assistants_turns_or_none(tiny_model: Path, tmp_path: Path) -> None:
    """`assistant_only_loss` trains on earlier turns too: what the template leaves out of them would be missing."""
    path = tmp_path / "markers.jinja"
    path.write_text(MARKERS)
    fields = {"assistant_only_loss": True, "chat_template_path": str(path)}
    spoken = talk(ASK, {**SAY, "content": [{"type": "text", "text": "2"}]}, ASK, SAY)
    made = trainer(tiny_model, tmp_path, [spoken, talk(ASK, SAY)], **fields)
    assert sum(label != IGNORED for label in made.train_dataset[0]["labels"]) == 4
    drops = MARKERS.replace(
        "turn['content'] + '<|im_end|>' }}{% endgen", "turn['content'].split('</think>')[-1] }}{% endgen"
    )
    refused = [
        (talk(ASK, {**SAY, "reasoning_content": THOUGHT}), MARKERS, "and not 'reasoning_content'"),
        (talk(ASK, SAY, tools=[TOOL]), MARKERS, "and not tools"),
        (talk(ASK, {**SAY, "content": "<think>a</think>2"}), drops, r"turn 2 \(assistant\), or a part of it"),
    ]
    for given, template, says in refused:
        path.write_text(template)
        with pytest.raises(SftgenError, match=f"row 2: .*{says}"):
            trainer(tiny_model, tmp_path, [talk(ASK, SAY), given], **fields)


def test_texts_without_a_response(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"text": "abc"}, {"text": "de"}]
    made = trainer(tiny_model, tmp_path, rows, completion_only_loss=False)
    assert made.processing_class.decode(made.train_dataset[0]["input_ids"]) == "abc<|im_end|>"
    assert made.train_dataset[0]["labels"] == made.train_dataset[0]["input_ids"]
    with pytest.raises(SftgenError, match="row 2: column 'text' holds no text"):
        trainer(tiny_model, tmp_path, [rows[0], {"prompt": "a", "completion": "b"}], completion_only_loss=False)


def test_the_command_trains_on_the_reasoning_or_says_why_not(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    rows = [{**talk(ASK, {**SAY, "reasoning_content": THOUGHT}), "advantage": 1.0}] * 4
    arguments = configure(tiny_model, tmp_path, rows, max_steps=1)
    refused = command("sftgen", "train", *arguments)
    assert refused.returncode == 2
    assert "rows.jsonl, row 1: the chat template does not write 'reasoning_content' of the response" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = command("sftgen", "train", *arguments, "--chat_template_path", TEMPLATES / "qwen3.jinja")
    assert done.returncode == 0, done.stderr
    assert "Columns that are not read: advantage" in done.stdout
    assert "|".join("One and one is two.") in done.stdout
