"""IFEval: 541 prompts with 834 instructions that a program can check, such as "no commas", one sample.

Protocol (arXiv 2604.06628): temperature 0.6, top_p 1.0, one sample; 32,768 new tokens. Our user turn is the prompt of
the benchmark. The paper's code puts it between "Question:" and "Answer:" (`--metadata prompts=paper`). The score may
move either way, of base models most: they answer a question in fewer words, and may write the next one after the
answer.

* `strict`: lm_eval's checkers, which are those of the benchmark, on the answer part (outside the thinking). `score` is
  the share of prompts whose instructions are all followed (`prompt_strict`). A response whose thinking never closed
  follows no instruction; an empty answer counts as an answer and follows no instruction.
* `paper`: the same checkers on the text without its thinking, as the paper's code strips it (`paper.strip_thinking`).

Every response also reports `prompt_strict`, `prompt_loose`, `inst_strict`, `inst_loose` and their mean `four_mean`:
`prompt_*` counts prompts and `inst_*` instructions, `loose` also accepts a response without its first line, its last
line or its asterisks. The paper does not say which of them its column shows, and its numbers cannot be shares of 541
prompts. `inst_strict_paper` and `four_mean_paper` are the two metrics that fit.

Two random parts of the benchmark's code are fixed here. langdetect is seeded. Two prompts ask for a number of `#` and
of `!`; the benchmark's checker is made for letters and would draw a random letter, here the character itself is
counted. As in the benchmark, a text whose language cannot be detected counts as following.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_tasks.data.documents import finish
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.paper_prompts import PaperPrompt
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.harness.aggregation import ratio
from sftgen_tasks.harness.ifeval_checkers import instruction_checkers
from sftgen_tasks.readers.paper import strip_thinking

if TYPE_CHECKING:
    from datasets import Dataset

    from sftgen_judges.records.schema import Measure

SOURCE = HubSource(
    task="sftgen_ifeval",
    repo="google/IFEval",
    split="train",
    revision="966cd89545d6b6acfd7638bc708b98261ca58e84",
    columns={"prompt": str, "instruction_id_list": list, "kwargs": list},
    id_column="key",
    # The hub's own name of the file, and the one it has in the benchmark's repository.
    files=("google/IFEval/ifeval_input_data", "ifeval_input_data", "ifeval/input_data"),
)
PAPER_PROMPT = PaperPrompt("ifeval")
TIME_LIMIT = 60.0
"""Seconds for one response: some of the checkers' patterns take quadratic time on a response of brackets only."""


def documents(**metadata: Any) -> dict[str, Dataset]:
    """The prompts, as lm_eval's `custom_dataset` wants them. First it is made sure that they can be scored.

    Raises:
        DataError: The rows are missing or malformed, or an instruction has no checker.
        PunktError: The sentence splitter is not available.
    """
    rows, origin = SOURCE.read(**metadata)
    known = instruction_checkers().instructions_registry.INSTRUCTION_DICT
    for number, row in enumerate(rows, 1):
        names = row["instruction_id_list"]
        if not names or len(names) != len(row["kwargs"]) or not set(names) <= set(known):
            raise DataError(
                f"{origin}, row {number}: expected instructions that lm_eval can check, each with its kwargs; "
                f"found {names} with {len(row['kwargs'])} kwargs"
            )
    return finish(SOURCE.task, rows, origin, metadata, SOURCE.id_column)


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Score by both rules."""
    followed = check(doc, response.answer)
    followed_paper = check(doc, strip_thinking(response.text))
    missed = [name for name, (strict, _) in zip(doc["instruction_id_list"], followed, strict=True) if not strict]
    strict, loose = (sum(column) for column in zip(*followed, strict=True))
    strict_paper = sum(strict for strict, _ in followed_paper)
    total = len(followed)
    measures: dict[str, Measure] = {
        "prompt_strict": float(strict == total),
        "prompt_loose": float(loose == total),
        "inst_strict": [strict, total],
        "inst_loose": [loose, total],
        "four_mean": _four(followed),
        "inst_strict_paper": [strict_paper, total],
        "four_mean_paper": _four(followed_paper),
    }
    reason = f"not followed: {', '.join(missed)}" if missed else ""
    paper = float(strict_paper == total)
    return Verdict.of(response, f"{strict} of {total}", strict == total, paper=paper, reason=reason, measures=measures)


GRADER = Grader("ifeval", version=2, grade=grade, time_limit=TIME_LIMIT, chunk=32)


# What a text needs to follow an instruction, in the order in which it is added.
_ADDED: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {
    "punctuation:no_comma": lambda text, _: text,
    "detectable_content:number_placeholders": lambda text, given: text + " [word]" * given["num_placeholders"],
    "keywords:existence": lambda text, given: f"{text} {' '.join(given['keywords'])}",
    "detectable_format:number_bullet_lists": lambda text, given: text + "\n* point" * given["num_bullets"],
    "detectable_format:number_highlighted_sections": lambda text, given: text + " *part*" * given["num_highlights"],
    "detectable_format:title": lambda text, _: f"<<title>>\n{text}",
    "detectable_content:postscript": lambda text, given: f"{text}\n{given['postscript_marker']} more",
    "startend:quotation": lambda text, _: f'"{text}"',
}


def examples(doc: Mapping[str, Any]) -> tuple[str, str] | None:
    """A text that follows all instructions, and one that does not; None where there is no rule to write one."""
    given = dict(zip(doc["instruction_id_list"], doc["kwargs"], strict=True))
    if not set(given) <= set(_ADDED):
        return None
    text = "Here is the answer"
    for name in filter(given.__contains__, _ADDED):
        text = _ADDED[name](text, given[name])
    return text, "No, nothing of this."


def check(doc: Mapping[str, Any], text: str) -> list[tuple[bool, bool]]:
    """For each instruction of a document, whether a text follows it strictly and loosely."""
    return [
        _follows(doc, name, given, text) for name, given in zip(doc["instruction_id_list"], doc["kwargs"], strict=True)
    ]


def four_mean(values: Sequence[Sequence[float]]) -> float:
    """Mean of the four accuracies: lm_eval's `aggregation:` of the values that `_four` returns."""
    prompts = [fmean(column) for column in list(zip(*values, strict=True))[:2]]
    instructions = [ratio([(value[part], value[4]) for value in values]) for part in (2, 3)]
    return fmean([*prompts, *instructions])


def _four(followed: Sequence[tuple[bool, bool]]) -> list[float]:
    strict, loose = zip(*followed, strict=True)
    return [float(all(strict)), float(all(loose)), sum(strict), sum(loose), len(followed)]


def _follows(doc: Mapping[str, Any], name: str, given: Mapping[str, Any], text: str) -> tuple[bool, bool]:
    letter = str(given.get("letter") or "")
    if name == "keywords:letter_frequency" and not re.fullmatch("[A-Za-z]", letter):
        # The checker of keywords counts any character, and counts it in the same way.
        name = "keywords:frequency"
        given = {
            "keyword": re.escape(letter),
            "frequency": given["let_frequency"],
            "relation": given["let_relation"],
        }
    one = {"key": doc.get("key"), "prompt": doc["prompt"], "instruction_id_list": [name], "kwargs": [dict(given)]}
    try:
        found = instruction_checkers().utils.process_results(one, [text])
    except RecursionError:  # JSON was asked for, and the text has thousands of open brackets
        return False, False
    return bool(found["prompt_level_strict_acc"]), bool(found["prompt_level_loose_acc"])
