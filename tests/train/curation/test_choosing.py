"""Selectors that rewrite responses and that look at whole sets, on candidates and tables of the contract's shape."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sftgen_judges.plugins.contracts import Candidate, Made, Selector
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.schema import Verdict
from sftgen_judges.records.thinking import split_thinking
from sftgen_train.curation.selecting.balancing import SelectionError
from sftgen_train.curation.selecting.branching import branches

TEXT = "<think>\nFirst add.\nThen wait.\nThen divide.\nDone.\n</think>\n\nThe sum is \\boxed{4}."


def candidate(text: str = TEXT, score: float | None = 1, **doc: Any) -> Candidate:
    response = split_thinking(text, tokens=len(text), finish_reason="stop")
    verdict = Verdict.of(response, "4", score) if score is not None else Verdict("judge_error")
    return Candidate(0, 0, {"id": "a", "question": "2+2?", "answer": "4", **doc}, response, verdict, answer_tokens=7)


def rewritten(name: str, given: Candidate, **options: Any) -> Candidate | None:
    selector: Selector = lookup("selector", name)
    assert selector.rewrite
    if selector.measure:
        for _, numbers in selector.measure([given], _options(selector, options)):
            given = replace(given, measures={**given.measures, **numbers})
    return selector.rewrite(given, _options(selector, options), random.Random(0))


def chosen(name: str, table: pa.Table, made: dict[str, Made] | None = None, seed: int = 0, **options: Any) -> pa.Table:
    selector: Selector = lookup("selector", name)
    assert selector.choose
    return selector.choose(table, _options(selector, options), random.Random(seed), made or {})


def _options(selector: Selector, options: dict[str, Any]) -> Any:
    return selector.options.model_validate(options) if selector.options else None


def table(prompts: int, each: int = 1, **columns: Any) -> pa.Table:
    place = np.repeat(np.arange(prompts), each)
    facts = {
        "place": pa.array(place, pa.int64()),
        "repeat": pa.array(np.tile(np.arange(each), prompts), pa.int32()),
        "answer_place": pa.array(place, pa.int64()),
        "tokens": pa.array(10 + place % 7, pa.int64()),
        "characters": pa.array(40 + place, pa.int64()),
        "right": pa.array(place % 2 == 0),
        "pass_rate": pa.array(place % 4 / 4),
        "id": [f"p{number}" for number in place],
    }
    return pa.table({**facts, **columns})


def test_a_response_is_rewritten_into_its_counterparts() -> None:
    without = rewritten("no-thinking", candidate())
    assert without
    assert (without.response.text, without.response.tokens) == ("The sum is \\boxed{4}.", 7)
    alone = rewritten("answer-only", candidate())
    assert alone
    assert (alone.response.text, alone.response.tokens) == ("\\boxed{4}", None)
    cut = rewritten("truncated", candidate(), share=0.5)
    assert cut
    assert (cut.response.think, cut.response.thinking.split()) == ("closed", ["First", "add.", "Then", "wait."])
    assert cut.response.answer == without.response.answer
    other = rewritten("column", candidate(solution="By hand: \\boxed{4}."), column="solution")
    assert other
    assert (other.response.text, other.response.think) == ("By hand: \\boxed{4}.", "none")


def test_what_cannot_be_rewritten_is_left_out() -> None:
    unclosed = candidate("<think>\non and on\nand on")
    assert rewritten("no-thinking", unclosed) is None
    assert rewritten("truncated", unclosed) is None
    assert rewritten("truncated", candidate("\\boxed{4}")) is None
    assert rewritten("answer-only", candidate("It is 4.")) is None
    assert rewritten("column", candidate(), column="solution") is None


def test_a_column_is_taken_only_where_the_grader_verifies_it() -> None:
    doc = {"numbers": [2, 5], "target": 10, "r1": "<think>\n5 * 2\n</think>\n\\boxed{2 * 5}"}
    assert rewritten("column", candidate(**doc), column="r1", grader="countdown")
    assert rewritten("column", candidate(**{**doc, "r1": "\\boxed{5 + 2}"}), column="r1", grader="countdown") is None


def test_traces_that_branch_most_go() -> None:
    assert branches("") == 0
    plain, branching = (
        "Add two and two. The sum is four. So it is done.",
        "Wait, that is wrong. Alternatively try five.",
    )
    assert branches(plain) == 0 < branches(branching)
    values = pa.array([float(number % 5) for number in range(50)])
    few = chosen("few-branches", table(50, branches=values), drop=0.2)
    assert (len(few), max(few["branches"].to_pylist())) == (40, 3.0)
    assert few["place"].to_pylist() == sorted(few["place"].to_pylist())
    assert len(chosen("few-branches", table(50, branches=values), most=0.0)) == 10


def test_strata_are_equal_or_as_in_the_pool() -> None:
    subjects = ["algebra"] * 60 + ["geometry"] * 30 + [None] * 10
    rows = table(100, subject=subjects)
    equal = chosen("stratified", rows, by="subject", rows=41)["subject"].to_pylist()
    assert sorted(Counter(equal).values()) == [20, 21]
    alike = chosen("stratified", rows, by="subject", rows=45, shares="as in pool")["subject"].to_pylist()
    assert Counter(alike) == {"algebra": 30, "geometry": 15}
    hard = chosen("stratified", table(100), by="pass_rate", rows=40, bins=2)["pass_rate"].to_pylist()
    assert sum(rate < 0.5 for rate in hard) == 20
    with pytest.raises(SelectionError, match="geometry: 30, 40 wanted"):
        chosen("stratified", rows, by="subject", rows=80)


def test_a_budget_of_tokens_is_met_to_less_than_a_row() -> None:
    rows = table(200)
    made = {"other": Made(50, 700, (1, 2))}
    matched = chosen("match-tokens", rows, made, of="other")
    assert 700 - 10 < sum(matched["tokens"].to_pylist()) <= 700
    with pytest.raises(SelectionError, match="is not made yet"):
        chosen("match-tokens", rows, of="other")
    with pytest.raises(SelectionError, match="these 200 rows have"):
        chosen("match-tokens", rows, tokens=10_000)


def test_a_set_takes_the_prompts_of_another() -> None:
    kept = chosen("same-prompts", table(20, 2), {"cot": Made(3, None, (4, 7, 9))}, of="cot")
    assert kept["place"].to_pylist() == [4, 4, 7, 7, 9, 9]


def test_the_share_of_wrong_responses_is_exact() -> None:
    # Even prompts have a right and a wrong response, odd ones wrong ones alone.
    right = [float(place % 2 == 0 and repeat == 0) for place in range(60) for repeat in range(2)]
    rows = table(60, 2, graded_right=right)
    for share, size in ((0.5, 60), (0.0, 30), (1.0, 60), (0.75, 40)):
        got = chosen("wrong-share", rows, share=share, **({"rows": 40} if size == 40 else {}))
        assert len(got) == size
        assert got["graded_right"].to_pylist().count(0.0) == round(share * size)
        assert len(set(got["place"].to_pylist())) == size
    with pytest.raises(SelectionError, match="60 have a wrong response and 30 a right one"):
        chosen("wrong-share", rows, share=0.1, rows=50)
    selector: Selector = lookup("selector", "wrong-share")
    assert selector.measure
    given = [candidate(), candidate(score=0), candidate(score=None)]
    measured = dict(selector.measure(given, _options(selector, {"share": 0.5})))
    assert measured == {0: {"graded_right": 1.0}, 1: {"graded_right": 0.0}}


@pytest.mark.parametrize("each", [1, 3])
def test_shuffled_responses_belong_to_other_prompts(each: int) -> None:
    rows = chosen("shuffled", table(30, each))
    pairs = list(zip(rows["place"].to_pylist(), rows["answer_place"].to_pylist(), strict=True))
    assert all(place != answer for place, answer in pairs)
    taken = zip(rows["answer_place"].to_pylist(), rows["repeat"].to_pylist(), strict=True)
    assert len(set(taken)) == 30 * each
    assert rows["tokens"].to_pylist() == [10 + answer % 7 for _, answer in pairs]
    with pytest.raises(SelectionError, match="cannot all get"):
        chosen("shuffled", table(1, 3))


def test_a_smaller_set_is_nested_in_a_larger_one_whatever_the_pool_holds_more() -> None:
    small, large = (set(chosen("nested", table(300), rows=rows)["id"].to_pylist()) for rows in (20, 200))
    assert small < large
    assert small != set(chosen("nested", table(300), rows=20, seed=1)["id"].to_pylist())


def test_divergence_is_the_loss_of_the_base_and_a_band_of_it_is_kept(tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    selector: Selector = lookup("selector", "divergence")
    options = _options(selector, {"base": str(tiny_model), "least": 0, "most": 100, "keep": 1})
    given = [candidate(), candidate("\\boxed{4}"), candidate("")]
    assert selector.measure
    measured = dict(selector.measure(given, options))
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_model), AutoModelForCausalLM.from_pretrained(tiny_model)
    asked = [{"role": "user", "content": "2+2?"}]
    prompt = tokenizer.apply_chat_template(asked, tokenize=True, add_generation_prompt=True, return_dict=False)
    for place in (0, 1):
        answer = tokenizer(given[place].response.text, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[*prompt, *answer, tokenizer.eos_token_id]])
        labels = torch.where(torch.arange(ids.shape[1]) < len(prompt), -100, ids)
        with torch.no_grad():
            loss = float(model.double()(ids, labels=labels).loss)
        assert measured[place]["nll"] == pytest.approx(loss, rel=1e-4)
    assert selector.select
    ready = [replace(given[place], measures=measured[place]) for place in (0, 1)]
    assert len(selector.select(ready, options, random.Random(0))) == 1
    none = _options(selector, {"base": str(tiny_model), "least": 99, "most": 100})
    assert not selector.select(ready, none, random.Random(0))
    shares = chosen("divergence-share", table(50, nll=[float(n) for n in range(50)]), base="b", least=0.1, most=0.9)
    assert shares["nll"].to_pylist() == [float(number) for number in range(5, 45)]
