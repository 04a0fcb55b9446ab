"""A judge's thinking, of whatever family, holds no verdict; a verdict after it is read."""

from __future__ import annotations

import pytest

from sftgen_judges import Reply
from sftgen_judges.asking.replies import UnreadableReply, read_score, read_yes_no

AFTER = {
    "<|channel|>analysis<|message|>maybe\nscore: 5\n<|end|><|start|>assistant<|channel|>final<|message|>score: 1": 1,
    'analysisWe need to score.\nscore: 5\nassistantfinal{"analysis": "x", "score": 1}': 1,
    "[THINK]\nscore: 5\n[/THINK]\nscore: 1": 1,
    "<think>\nscore: 5\n</think>\n\nscore: 1": 1,
    "score: 5\n</think>\nscore: 1": 1,
    "<thinking>\nscore: 5\n</thinking>\nscore: 1": 1,
    "<reasoning>\nscore: 5\n</reasoning>\nscore: 1": 1,
    "score: 5\n</reasoning>\nscore: 1": 1,
    "\u25c1think\u25b7score: 5\u25c1/think\u25b7score: 1": 1,
    "<seed:think>score: 5</seed:think>\nscore: 1": 1,
    "<|START_THINKING|>score: 5<|END_THINKING|><|START_RESPONSE|>score: 1<|END_RESPONSE|>": 1,
    "<|begin_of_thought|>\nscore: 5\n<|end_of_thought|>\n<|begin_of_solution|>\nscore: 1\n<|end_of_solution|>": 1,
    "<|channel>thought\nscore: 5\n<channel|>score: 1": 1,
    "Here is my thought process:\nscore: 5\nHere is my response:\nscore: 1": 1,
    "Here are my reasoning steps:\nscore: 5\n[BEGIN FINAL RESPONSE]\nscore: 1": 1,
    # Markers of no known family.
    "<pondering>\nscore: 5\n</pondering>\nscore: 1": 1,
    "score: 5\n</pondering>\nscore: 1": 1,
    # Tags that are no thinking.
    "<verdict>\nScore: 2\n</verdict>": 2,
    "<evaluation>\n<score>2</score>\n</evaluation>": 2,
}


@pytest.mark.parametrize(("text", "score"), AFTER.items())
def test_a_score_after_thinking_is_read(text: str, score: int) -> None:
    assert read_score(Reply(text, finish_reason="stop"), (1, 5)) == score


OPENERS = [
    "<think>", "<thinking>", "<reasoning>", "<analysis>", "<scratchpad>", "<reflection>", "<thought>", "<Thought>",
    "[THINK]", "<|channel|>analysis<|message|>", "analysisWe need to score.", "<|channel>thought", "thought",
    "\u25c1think\u25b7", "<seed:think>", "<|START_THINKING|>", "<|begin_of_thought|>", "<|think|>", "<mm:think>",
    "Here is my thought process:", "Here are my reasoning steps:", "<think>\nscore: 4\n</think>\n<think>",
    # Of no known family.
    "<pondering>", "<inner_monologue>", "[REASONING]", "<|my_think|>", "<Thinking>", "<THINK>", "<think >",
    "<thinking process>", "**<thinking>**", "<|begin_deliberation|>",
]  # fmt: skip


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("finish", ["stop", None])
def test_thinking_that_was_truncated_holds_no_verdict(opener: str, finish: str | None) -> None:
    for text in (f"{opener}\nscore: 5", f'{opener}\n{{"analysis": "x", "score": 5}}'):
        with pytest.raises(UnreadableReply):
            read_score(Reply(text, finish_reason=finish), (1, 5))
    with pytest.raises(UnreadableReply):
        read_yes_no(Reply(f"{opener}\nyes", finish_reason=finish))
