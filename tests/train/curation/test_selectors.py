"""Selectors: what each keeps of a prompt's responses, and what the machinery makes of those that rewrite and choose."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from sftgen_judges import Candidate, Made, Selector, Verdict, split_thinking
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.manager import Registered, plugins
from sftgen_judges.records.journal import read_rows
from sftgen_train.curation.configuration import read_curation
from sftgen_train.curation.curate import make_pool, make_sets
from sftgen_train.curation.making.rows import written
from sftgen_train.curation.reading import stream_rows
from sftgen_train.curation.selecting.recipes import Plan, RecipeError
from sftgen_train.curation.sets import read_manifest
from tests.tasks.harness.backends.chat_server import chat_server
from tests.train.curation.teacher import answer, sums, write_config


def candidate(repeat: int, *, tokens: int = 9, right: bool = True, logprob: float = -1.0, of: float = 0.5) -> Candidate:
    response = split_thinking("<think>\nhm\n</think>\nyes", tokens=tokens, finish_reason="stop")
    return Candidate(0, repeat, {"id": "a"}, response, Verdict("ok", float(right)), of, logprob=logprob)


FOUR = [
    candidate(0, tokens=30, right=False, logprob=-0.5),
    candidate(1, tokens=10, logprob=-2.0),
    candidate(2, tokens=10, logprob=-0.1),
    candidate(3, tokens=50, right=False, logprob=-1.0),
]
CUT = replace(candidate(4), response=split_thinking("<think>\nhm", tokens=9, finish_reason="length"))
KEPT: dict[str, tuple[Any, list[int]]] = {
    "right": ("right", [1, 2]),
    "wrong": ("wrong", [0, 3]),
    "finished": ("finished", [0, 1, 2, 3]),
    "the shortest; of equal ones the first": ("shortest", [1]),
    "the three longest": ({"longest": {"keep": 3}}, [3, 0, 1]),
    "the likeliest": ({"logprob": {"keep": 2}}, [2, 0]),
    "the least likely": ({"logprob": {"end": "lowest"}}, [1]),
    "a pass rate inside": ({"pass-rate": {"above": 0, "below": 1}}, [0, 1, 2, 3, 4]),
    "at its bounds": ({"pass-rate": {"least": 0.5, "most": 0.5}}, [0, 1, 2, 3, 4]),
    "not above": ({"pass-rate": {"above": 0.5}}, []),
    "not below": ({"pass-rate": {"below": 0.5}}, []),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_a_selector_keeps(case: str) -> None:
    step, expected = KEPT[case]
    [made] = Plan.of("a", None, [step]).steps
    assert made.selector.select
    given = [*FOUR, *([CUT] if case.startswith(("fin", "a pass", "at", "not")) else [])]
    assert [one.repeat for one in made.selector.select(given, made.options, random.Random(0))] == expected


def test_a_random_choice_is_fair_and_keeps_all_where_there_are_fewer() -> None:
    [step] = Plan.of("a", None, [{"random": {"keep": 2}}]).steps
    assert step.selector.select
    seen = Counter(
        tuple(one.repeat for one in step.selector.select(FOUR, step.options, random.Random(seed)))
        for seed in range(1200)
    )
    assert len(seen) == 6
    assert all(140 < count < 260 for count in seen.values())  # 200 each; 3.9 standard deviations are 50
    assert step.selector.select(FOUR[:1], step.options, random.Random(0)) == FOUR[:1]


def test_rows_are_written_with_one_pair_of_markers() -> None:
    assert written(split_thinking("<think>\nhm\n</think>\nyes")) == "<think>\nhm\n</think>\n\nyes"
    assert written(split_thinking("[THINK]hm[/THINK]yes")) == "<think>\nhm\n</think>\n\nyes"
    assert written(split_thinking("yes")) == "yes"
    assert written(split_thinking("<think>\nhm")) == "<think>\nhm"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    by: str = "level"


def turn(table: pa.Table, options: Options, rng: random.Random, made: Mapping[str, Made]) -> pa.Table:
    """As many rows as another set has, each with the response to the prompt after it, of those at one level."""
    assert len(set(table[options.by].to_pylist())) == 3
    assert table["measured"].to_pylist() == [float(len(name)) for name in table["id"].to_pylist()]
    table = table.slice(0, made["first"].rows)
    turned = [*range(1, len(table)), 0]
    for name in ("answer_place", "repeat"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), table[name].take(pa.array(turned)))
    return table


def upper(one: Candidate, options: None, rng: random.Random) -> Candidate:
    return replace(one, response=replace(one.response, answer=one.doc["id"].upper(), thinking="", think="none"))


ASKED: list[int] = []


def measured(candidates: Any, options: None) -> Any:
    ASKED.append(len(candidates))
    for place, one in reversed(list(enumerate(candidates))):
        if one.doc["id"] != "sum-3":  # of this one it can say nothing
            yield place, {"measured": float(len(one.doc["id"]))}


MINE = {
    "turn": Selector("turn", 1, choose=turn, options=Options, columns=lambda options: [options.by]),
    "upper": Selector("upper", 1, rewrite=upper),
    "measure": Selector("measure", 1, lambda given, options, rng: given, measure=measured),
    "stranger": Selector(
        "stranger", 1, choose=lambda table, *_: table.set_column(0, "place", pa.array([99] * len(table)))
    ),
}


def test_a_plugin_measures_rewrites_and_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registered = plugins().registered("register_selectors")
    mine = {name: Registered(name, "me", selector) for name, selector in MINE.items()}
    monkeypatch.setitem(plugins()._registered, "register_selectors", {**registered, **mine})
    sets = {
        "first": {"steps": ["random"], "rows": 5},
        "turned": {"steps": ["random", "measure", "upper", "turn", "upper"], "form": "prompt-completion"},
        "judged": {"steps": ["finished", {"best": {"judge": "refusal", "keep": 3, "least": 0}}]},
        "late": {"steps": ["stranger"]},
    }
    with chat_server(answer) as server:
        config = write_config(tmp_path / "a", server, sums(10), sets=sets, teacher={"logprobs": True, "samples": 2})
        curation = read_curation(config)
        pool = make_pool(curation)
    made = make_sets(pool)
    first, turned = next(made), next(made)
    assert (first.made.rows, turned.made.rows) == (5, 5)
    assert turned.counts["unmeasured"] == 1
    assert sum(ASKED) == 10
    kept = list(read_rows(tmp_path / "a" / "pool" / "measures" / "measure.jsonl"))
    assert len(kept) == 9
    rows = list(stream_rows(str(turned.made.folder)))
    # The last step sees the prompt that is answered, so its own name is written.
    assert [row["completion"][0]["content"] for row in rows] == [row["id"].upper() for row in rows]
    judged = next(made)
    assert judged.made.rows == judged.counts["finished"]  # no sum is refused
    with pytest.raises(SftgenError, match="selector 'stranger': column 'place' holds prompts that were not there"):
        next(made)
    tokens = read_manifest(first.made.folder)["tokens"]
    assert tokens == sum(row["response_length"] for row in stream_rows(str(first.made.folder)))
    # What was measured is not measured again.
    given = yaml.safe_load(config.read_text())
    given["sets"] = {"first": sets["first"], "again": {**sets["turned"], "seed": 0}}
    config.write_text(yaml.safe_dump(given, sort_keys=False))
    again = list(make_sets(make_pool(read_curation(config))))
    assert [one.before for one in again] == [True, False]
    assert again[1].made.content_hash == turned.made.content_hash
    assert sum(ASKED) == 11  # the one that could not be measured is tried again


def test_steps_in_an_order_that_cannot_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = plugins().registered("register_selectors")
    mine = {name: Registered(name, "me", selector) for name, selector in MINE.items()}
    monkeypatch.setitem(plugins()._registered, "register_selectors", {**registered, **mine})
    with pytest.raises(RecipeError, match="selector 'right' looks at one prompt: expected before those that choose"):
        Plan.of("a", None, ["turn", "right"])
    with pytest.raises(RecipeError, match="expected the name of a selector"):
        Plan.of("a", None, [{"right": {}, "wrong": {}}])
    with pytest.raises(ValueError, match="expected one of select, rewrite and choose"):
        Selector("two", 1, select=lambda *_: [], rewrite=upper)
