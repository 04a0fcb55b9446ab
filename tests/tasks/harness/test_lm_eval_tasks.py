"""The tasks as lm_eval loads and runs them, with a model that answers what a test tells it to."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from sftgen_judges import Grader, Response, Verdict
from sftgen_judges.errors import SftgenError
from sftgen_judges.records.current import Recording
from sftgen_judges.records.journal import read_rows
from sftgen_judges.records.store import RunFolder
from sftgen_tasks import Task, evaluate, load_tasks
from sftgen_tasks.data.task_files import task_configs
from sftgen_tasks.gpqa_diamond import ANSWERS
from sftgen_tasks.harness.aggregation import balanced, ratio
from sftgen_tasks.harness.evaluation import aggregations
from sftgen_tasks.harness.generation import GeneratedText
from sftgen_tasks.harness.task import GradeFilter, process_results
from sftgen_tasks.mmlu_pro import SUBJECTS, write_subset

CONFIGS = sorted(task_configs().rglob("*.yaml"))
# A row of the shape of the hub's for every task whose documents are not made from a seed.
ROWS = {
    "math500": {"problem": "What is $2+2$?", "solution": r"It is $\boxed{4}$.", "answer": "4", "unique_id": "t/1"},
    "aime24": {"problem": "What is $20+13$?", "solution": "Add.", "answer": "033", "id": 1},
    "ifeval": {"key": 1, "prompt": "Hi. No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    "alpaca_eval": {"instruction": "Say hi.", "dataset": "d"},
    "halueval_qa": {"knowledge": "k", "question": "q", "answer": "a", "hallucination": "yes"},
    "halueval_dialogue": {"knowledge": "k", "dialogue_history": "d", "response": "r", "hallucination": "no"},
    "halueval_summarization": {"document": "d", "summary": "s", "hallucination": "no"},
    "truthfulqa": {"question": "q", "best_answer": "a", "correct_answers": ["a"], "incorrect_answers": ["b"]},
    "hex_phi": {"prompt": "Say hi.", "category": "Malware"},
    "lcb_v2": {
        **dict.fromkeys(("question_id", "question_content", "difficulty", "platform", "contest_date"), "easy"),
        **dict.fromkeys(("public_test_cases", "private_test_cases"), "[]"),
        "metadata": "{}",
    },
    "gpqa_diamond": {"Question": "2+2?", **dict(zip(ANSWERS, "4567", strict=True)), "Record ID": "g1"},
}
# One of each subject.
QUESTIONS = [
    {"question_id": number, "question": "2+2?", "options": ["3", "4"], "answer": "B", "category": subject}
    for number, subject in enumerate(SUBJECTS)
]
METRICS = {"score", "answered", "truncated", "coverage", "unknown_markers", "response_tokens"}


def names(path: Path, key: str) -> list[str]:
    """Values of a key of a YAML file; the `!function` tags of lm_eval are not looked at."""
    return [line.split(":", 1)[1].strip() for line in path.read_text().splitlines() if line.startswith(f"{key}:")]


TASKS = {name for path in CONFIGS if not names(path, "group") for name in names(path, "task")}
GROUPS = {name for path in CONFIGS for name in names(path, "group")}


@pytest.fixture
def data(tmp_path: Path) -> dict[str, str]:
    """Metadata that points to documents made here."""
    for name, row in ROWS.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "mmlu_pro.json").write_text(json.dumps(QUESTIONS))
    write_subset(tmp_path / "subset.json", data_dir=str(tmp_path))
    return {"data_dir": str(tmp_path), "subset": str(tmp_path / "subset.json")}


class Scripted(LM):  # type: ignore[misc]
    """Answers each prompt as told; a chat template that ends with `opening`."""

    def __init__(self, answer: Callable[[str], str], opening: str = "") -> None:
        super().__init__()
        self.answer, self.opening = answer, opening
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        self.seen += [request.args for request in requests]
        return [self.answer(request.args[0]) for request in requests]

    def apply_chat_template(self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        assert add_generation_prompt
        return "".join(f"[{turn['role']}]{turn['content']}" for turn in chat_history) + "[assistant]" + self.opening

    def chat_template(self, chat_template: bool | str = False) -> str:
        return "scripted"

    @property
    def tokenizer_name(self) -> str:
        return "scripted"

    def loglikelihood(self, requests: Any) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: Any) -> Any:
        raise NotImplementedError


def run(lm: LM, task: str, folder: Path, metadata: Mapping[str, Any] | None = None, **options: Any) -> Any:
    tasks = load_tasks([task], metadata, options.pop("gen_kwargs", None))
    [result] = evaluate(lm, tasks, Recording(RunFolder(folder)), **{"limit": 2, **options})
    return result


# ------------------------------------------------------------------------------ the YAML files


def test_all_tasks_load_with_a_glob(data: dict[str, str]) -> None:
    loaded = set(load_tasks(["sftgen_*"], data).tasks)
    assert loaded >= TASKS
    assert not loaded & GROUPS


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_generates_with_settings_of_its_own_and_exports_the_common_metrics(
    name: str, data: dict[str, str]
) -> None:
    task = load_tasks([name], data).tasks[name]
    assert set(task.aggregation()) >= METRICS
    assert set(task.higher_is_better()) >= METRICS
    assert task.higher_is_better()["truncated"] is False
    assert [filtered["name"] for filtered in task.config.filter_list] == ["sftgen"]
    settings = task.config.generation_kwargs
    assert settings["until"] == []
    assert {"do_sample", "temperature", "max_gen_toks"} <= set(settings)
    assert settings["do_sample"] is (settings["temperature"] > 0)
    assert task.config.num_fewshot == 0
    assert task.config.output_type == "generate_until"


def test_math500_is_sampled_as_published(data: dict[str, str]) -> None:
    task = load_tasks(["sftgen_math500"], data).tasks["sftgen_math500"]
    assert task.config.repeats == 3
    settings = task.config.generation_kwargs
    assert (settings["temperature"], settings["top_p"], settings["max_gen_toks"]) == (0.6, 0.95, 32768)
    assert task.doc_to_text(ROWS["math500"]).startswith("What is $2+2$?\n Please reason")


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_a_group_averages_the_score_of_its_tasks(name: str, data: dict[str, str]) -> None:
    loaded = load_tasks([name], data)
    assert set(loaded.tasks) <= TASKS
    aggregates = loaded.groups[name].aggregate_metric_list or []
    # A mean over tasks would count each subject of MMLU-Pro, and each part of HaluEval, as a benchmark.
    if name in {"sftgen_reasoning", "sftgen_general", "sftgen_safety", "sftgen_ood", "sftgen_all"}:
        assert not aggregates
        return
    assert "score" in {aggregate.metric for aggregate in aggregates}
    assert {tuple(aggregate.filter_list) for aggregate in aggregates} == {("sftgen",)}


def test_generation_settings_can_be_put_over_a_tasks_own(data: dict[str, str]) -> None:
    task = load_tasks(["sftgen_math500"], data, {"max_gen_toks": 64}).tasks["sftgen_math500"]
    assert (task.config.generation_kwargs["max_gen_toks"], task.config.generation_kwargs["top_p"]) == (64, 0.95)


BASE = {"task": "mine", "doc_to_text": "{{question}}", "doc_to_target": "{{answer}}", "grader": "exact"}
MISTAKES = {
    "neither": ({"grader": None}, "exactly one of `grader` and `judge`"),
    "both": ({"judge": "refusal"}, "exactly one of `grader` and `judge`"),
    "unknown markers": ({"metadata": {"think_markers": "odd"}}, "think_markers 'odd'"),
    "unknown grader": ({"grader": "exactly"}, "exactly"),
}


def load_mine(change: Mapping[str, Any], folder: Path) -> Any:
    config = {key: value for key, value in {**BASE, **change}.items() if value is not None}
    lines = [
        "class: !function sftgen_tasks.Task",
        "custom_dataset: !function sftgen_tasks.procedural.parity_documents",
        yaml.safe_dump(config),
    ]
    (folder / "mine.yaml").write_text("\n".join(lines))
    return TaskManager(include_path=str(folder), include_defaults=False).load(["mine"])


@pytest.mark.parametrize(("change", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_yaml_that_cannot_work_is_a_clear_error(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(SftgenError) as caught:
        evaluate(Scripted(lambda _: "x"), load_mine(change, tmp_path), Recording(RunFolder(tmp_path)), limit=1)
    assert says in str(caught.value)


@pytest.mark.parametrize(("change", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_yaml_that_cannot_work_is_told_when_it_is_loaded(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(SftgenError) as caught:
        load_mine(change, tmp_path)
    assert says in str(caught.value)


def test_a_task_may_bring_its_own_metrics() -> None:
    from sftgen_tasks.procedural import parity_documents

    own = {"metric": "instructions", "aggregation": ratio, "higher_is_better": True}
    task = Task({**BASE, "custom_dataset": parity_documents, "metric_list": [own]})
    assert set(task.aggregation()) == {*METRICS, "score_paper", "instructions"}
    assert aggregations(task) == {"instructions": ratio}


MEASURES = {
    "a mean": ([{"x": 1.0}, {"x": 0.5}], {"x": 0.75}),
    "on some repeats only": ([{"x": 1.0}, {}], {"x": 1.0}),
    "on none": ([{}, {}], {}),
    "parts and wholes": ([{"x": [1.0, 2.0]}, {"x": [2.0, 2.0]}], {"x": [1.5, 2.0]}),
}


@pytest.mark.parametrize(("given", "expected"), MEASURES.values(), ids=MEASURES)
def test_measures_become_metrics_of_the_document(given: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    found = process_results({}, [verdict(measures=measures) for measures in given])
    assert {name: value for name, value in found.items() if name == "x"} == expected


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        (ratio, [[1, 2], [3, 3], [0, 0]], 4 / 5),
        (balanced, [[1, 1.0], [1, 0.0], [0, 1.0]], 0.75),
        (balanced, [[1, 1.0]], 1.0),
    ],
)
def test_aggregations(function: Callable[[Any], float], values: list[list[float]], expected: float) -> None:
    assert function(values) == pytest.approx(expected)


def test_aggregations_of_nothing_are_no_number() -> None:
    assert math.isnan(ratio([[0, 0]]))
    assert math.isnan(balanced([]))


# ------------------------------------------------------------------------------ running them


def answer_of(prompt: str) -> str:
    [number] = [int(word) for word in prompt.split() if word.isdecimal()]
    return "even" if number % 2 == 0 else "odd"


def test_a_right_model_scores_one_and_leaves_its_samples(tmp_path: Path) -> None:
    lm = Scripted(lambda prompt: rf"<think>hm</think>\boxed{{{answer_of(prompt)}}}")
    result = run(lm, "sftgen_parity", tmp_path, limit=3)
    assert result.documents == 3
    assert {metric: result.values[metric] for metric in ("score", "answered", "truncated", "coverage")} == {
        "score": [1.0] * 3,
        "answered": [1.0] * 3,
        "truncated": [0.0] * 3,
        "coverage": [1.0] * 3,
    }
    assert [sample.verdict.score for sample in result.samples] == [1.0] * 3
    [prompt, settings] = lm.seen[0]
    assert prompt.startswith("[user]Is ")
    assert prompt.endswith(r"in \boxed{}.[assistant]")
    assert settings["until"] == []
    generations = list(read_rows(tmp_path / "generations" / "sftgen_parity.jsonl"))
    assert [row["text"] for row in generations] == [lm.answer(prompt) for prompt, _ in lm.seen]
    assert len(list(read_rows(tmp_path / "verdicts" / "sftgen_parity.jsonl"))) == 3


def test_repeats_are_all_graded_and_averaged(data: dict[str, str], tmp_path: Path) -> None:
    answers = iter([r"\boxed{4}", r"\boxed{5}", "<think>2+2"])
    result = run(Scripted(lambda _: next(answers)), "sftgen_math500", tmp_path, data)
    assert len(result.samples) == 3
    assert [sample.repeat for sample in result.samples] == [0, 1, 2]
    assert result.values["score"] == [pytest.approx(1 / 3)]
    assert result.values["score_paper"] == [pytest.approx(1 / 3)]
    assert result.values["answered"] == [pytest.approx(2 / 3)]
    assert result.values["truncated"] == [pytest.approx(1 / 3)]
    assert result.values["coverage"] == [1.0]


def test_a_judge_scores_a_task(tmp_path: Path) -> None:
    result = run(Scripted(lambda _: "I cannot share that."), "sftgen_refusal", tmp_path)
    assert result.values["score"] == [1.0, 1.0]


def test_a_prompt_that_opens_thinking_is_noticed(tmp_path: Path) -> None:
    closed = Scripted(lambda prompt: rf"odd or even?</think>\boxed{{{answer_of(prompt)}}}", opening="<think>\n")
    assert run(closed, "sftgen_parity", tmp_path / "closed").values["score"] == [1.0, 1.0]
    never = Scripted(lambda prompt: rf"perhaps \boxed{{{answer_of(prompt)}}}", opening="<think>\n")
    result = run(never, "sftgen_parity", tmp_path / "never")
    assert (result.values["score"], result.values["truncated"]) == ([0.0, 0.0], [1.0, 1.0])
    assert {sample.response.think for sample in result.samples} == {"unclosed"}
    # The same words after a plain prompt are an answer.
    assert run(Scripted(never.answer), "sftgen_parity", tmp_path / "plain").values["score"] == [1.0, 1.0]


@pytest.mark.parametrize(("prefilled", "think"), [(True, "unclosed"), (False, "none")])
def test_metadata_can_overrule_what_the_prompt_looks_like(prefilled: bool, think: str, tmp_path: Path) -> None:
    lm = Scripted(lambda _: r"\boxed{odd}", opening="<think>\n")
    result = run(lm, "sftgen_parity", tmp_path, {"think_prefilled": prefilled})
    assert {sample.response.think for sample in result.samples} == {think}


def test_other_thinking_markers_come_through_metadata(tmp_path: Path) -> None:
    lm = Scripted(lambda prompt: rf"[THINK]\boxed{{no}}[/THINK]\boxed{{{answer_of(prompt)}}}")
    result = run(lm, "sftgen_parity", tmp_path, {"think_markers": "bracket-think"})
    assert result.values["score"] == [1.0, 1.0]
    assert {sample.response.thinking for sample in result.samples} == {r"\boxed{no}"}


def test_a_stock_models_truncation_is_seen_by_counting_tokens(tiny_model: Path, tmp_path: Path) -> None:
    # The tiny tokenizer has a token a byte.
    lengths = {True: 200, False: 20}
    long = Scripted(lambda prompt: "x" * lengths[answer_of(prompt) == "odd"])
    result = run(
        long, "sftgen_parity", tmp_path, {"pretrained": str(tiny_model)}, limit=20, gen_kwargs={"max_gen_toks": 200}
    )
    expected = [sample.response.text == "x" * 200 for sample in result.samples]
    assert 0 < sum(expected) < 20
    assert result.values["truncated"] == [float(cut) for cut in expected]
    assert result.values["response_tokens"] == [200.0 if cut else 20.0 for cut in expected]
    assert [sample.verdict.status == "truncated" for sample in result.samples] == expected


def test_without_a_tokenizer_lengths_are_left_out(tmp_path: Path) -> None:
    result = run(Scripted(lambda _: r"\boxed{odd}"), "sftgen_parity", tmp_path)
    assert "response_tokens" not in result.values
    assert {sample.response.finish_reason for sample in result.samples} == {None}


def test_what_our_own_models_know_is_not_guessed_again(tiny_model: Path, tmp_path: Path) -> None:
    lm = Scripted(lambda _: GeneratedText(r"\boxed{odd}", tokens=7, finish_reason="length"), opening="<think>\n")
    result = run(lm, "sftgen_parity", tmp_path, {"pretrained": str(tiny_model)})
    assert result.values["response_tokens"] == [7.0, 7.0]
    assert {(sample.response.think, sample.response.finish_reason) for sample in result.samples} == {
        ("unclosed", "length")
    }


def test_the_length_of_a_model_folder_is_read_from_its_configuration(tiny_model: Path, tmp_path: Path) -> None:
    longest = json.loads((tiny_model / "config.json").read_text())["max_position_embeddings"]
    lm = Scripted(lambda _: "x")
    run(lm, "sftgen_parity", tmp_path, {"pretrained": str(tiny_model)}, gen_kwargs={"max_gen_toks": longest})
    assert {settings["max_gen_toks"] // (longest // 64) for _, settings in lm.seen} == {63}


# ------------------------------------------------------------------------------ the filter and the metrics

DOCS = [{"question": "a", "answer": "1"}, {"question": "b", "answer": "2"}]


def test_the_filter_keeps_every_repeat_and_drops_padding() -> None:
    # Of two ranks, the one with fewer documents gets extra responses to its last one.
    responses = [[r"\boxed{1}", r"\boxed{2}"], [r"\boxed{1}", r"\boxed{2}", r"\boxed{2}", r"\boxed{2}"]]
    graded = GradeFilter("mine", grader="exact").apply(responses, DOCS)
    assert [[json.loads(text)["score"] for text in texts] for texts in graded] == [[1.0, 0.0], [0.0, 1.0]]


def test_the_filter_takes_what_lm_eval_gives_it() -> None:
    assert GradeFilter("mine", grader="exact").apply((), ()) == []
    [[text]] = GradeFilter("mine", grader="exact").apply(iter([(r"\boxed{1}",)]), iter(DOCS[:1]))
    assert json.loads(text) == {
        "status": "ok",
        "score": 1.0,
        "paper": None,
        "answer": "1",
        "reason": "",
        "think": "none",
        "truncated": False,
        "tokens": None,
        "measures": {},
    }


def broken(doc: Mapping[str, Any], response: Response) -> Verdict:
    if doc["answer"] == "1":
        raise RuntimeError("no network")
    return Verdict.of(response, "2", 1.0)


def test_a_failed_judgement_is_never_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    grading = GradeFilter("mine", grader="exact")
    grading.scorer = lambda: Grader("broken", 1, broken)  # type: ignore[assignment]
    failed, fine = grading.apply([["x", "y"], ["x", "y"]], DOCS)
    assert process_results(DOCS[0], [failed]) == {"answered": 1.0, "truncated": 0.0, "coverage": 0.0}
    assert process_results(DOCS[1], [fine]) == {"answered": 1.0, "truncated": 0.0, "coverage": 1.0, "score": 1.0}
    # One of two repeats failed: the other one is the score, and coverage tells.
    assert process_results(DOCS[0], [[failed[0], fine[0]]]) == {
        "answered": 1.0,
        "truncated": 0.0,
        "coverage": 0.5,
        "score": 1.0,
    }


def verdict(**fields: Any) -> str:
    plain = {"status": "ok", "score": 1.0, "paper": None, "truncated": False, "tokens": None, "measures": {}}
    return json.dumps({**plain, **fields})


@pytest.mark.parametrize(
    "nest", [lambda texts: texts, lambda texts: [texts], lambda texts: [[text] for text in texts], tuple]
)
def test_metrics_are_read_however_repeats_are_nested(nest: Callable[[list[str]], Any]) -> None:
    texts = [
        verdict(tokens=10, paper=1.0),
        verdict(tokens=20, paper=1.0, score=0.0, status="truncated", truncated=True),
        verdict(tokens=30, paper=0.0, score=0.0, status="no_answer"),
        verdict(tokens=40, status="judge_error", score=None),
    ]
    assert process_results({}, nest(texts)) == {
        "answered": 0.5,  # the judge failed, which says nothing about the response
        "truncated": 0.25,
        "coverage": 0.75,
        "score": pytest.approx(1 / 3),
        "score_paper": pytest.approx(2 / 3),
        "response_tokens": 25.0,
    }


def test_thinking_and_answer_are_counted_with_the_tokenizer_of_the_model(tmp_path: Path) -> None:
    lm = Scripted(lambda _: GeneratedText("<think>\na b c\n</think>\nfour five", tokens=9, finish_reason="stop"))
    lm.tokenizer = lambda text, **_: {"input_ids": text.split()}
    result = run(lm, "sftgen_parity", tmp_path)
    assert {(sample.thinking_tokens, sample.answer_tokens) for sample in result.samples} == {(7, 2)}
