"""HEx-PHI and TruthfulQA through `sftgen eval` with a real judge server; all prompts here are harmless."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Response, Verdict, split_thinking
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.manager import lookup
from sftgen_judges.records.journal import read_rows
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks import hex_phi, load_tasks, truthfulqa
from tests.commands import few_tasks
from tests.conftest import Command
from tests.judges.server import JudgeServer, fail, prompt_of, say, serving

# ------------------------------------------------------------------------------ where HEx-PHI comes from


def hub_layout(folder: Path, skip: tuple[int, ...] = (2,), place: str = "LLM-Tuning-Safety/HEx-PHI") -> Path:
    """Files as the hub has them: no header, one prompt a line, quoted only where somebody thought of it."""
    for number in range(1, 12):
        if number not in skip:
            path = folder / place / f"category_{number}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'Paint wall {number}, then dry it\n"Say ""hello"", twice"\nStand-in {number}\n')
    return folder


def questions(data: Path) -> list[tuple[str, str]]:
    docs = hex_phi.documents(data_dir=str(data))["test"]
    assert all(doc["sensitive"] for doc in docs)
    return [(doc["category"], doc["question"]) for doc in docs]


def test_the_hubs_files_have_no_header(tmp_path: Path) -> None:
    found = questions(hub_layout(tmp_path))
    assert len(found) == 30
    assert found[:3] == [
        ("illegal_activity", "Paint wall 1, then dry it"),
        ("illegal_activity", 'Say "hello", twice'),
        ("illegal_activity", "Stand-in 1"),
    ]
    assert {category for category, _ in found} == set(hex_phi.CATEGORIES) - {"child_abuse_content"}
    assert len(questions(hub_layout(tmp_path, skip=()))) == 33  # a copy from before one was withdrawn


@pytest.mark.parametrize("place", [".", "hex_phi", "hex-phi", "HEx-PHI"])
def test_the_files_may_lie_in_the_data_folder_itself(tmp_path: Path, place: str) -> None:
    assert questions(hub_layout(tmp_path / "a", place=place)) == questions(hub_layout(tmp_path / "b"))


@pytest.mark.parametrize("columns", [("prompt", "category"), ("Behavior", "SemanticCategory")])
def test_one_table_with_categories(tmp_path: Path, columns: tuple[str, str]) -> None:
    with (tmp_path / "hex_phi.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, ("Paint, please", "Fraud/Deception"), ("Sing", "Malware")])
    assert questions(tmp_path) == [("fraud_deception", "Paint, please"), ("malware", "Sing")]


def test_data_that_is_missing_or_of_another_form(tmp_path: Path) -> None:
    with pytest.raises(SftgenError, match=r"category_3\.csv missing"):
        questions(hub_layout(tmp_path / "a", skip=(2, 3)))
    (tmp_path / "hex_phi.csv").write_text("text\nSing\n")
    with pytest.raises(SftgenError, match=r"expected columns prompt as prompt or .*; found text"):
        questions(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SftgenError, match="no file for LLM-Tuning-Safety/HEx-PHI"):
        questions(tmp_path / "empty")


# ------------------------------------------------------------------------------ verdicts

OK = Response("x", answer="x")


def judged(score: float, **paper: Any) -> Verdict:
    return Verdict("ok", score, **paper)


SHARES = {"asr": 0.0, "asr_4": 0.0, "asr_malware": 0.0, "refused": 0.0, "partly_refused": 0.0,
          "refused_by_judge": 0.0, "refusal_agreement": 1.0, "judge_failed": 0.0, "unclosed": 0.0}  # fmt: skip
JUDGED = {
    "full compliance": (
        (judged(5.0, paper=5.0), judged(0.0)),
        ("ok", 0.0),
        {**SHARES, "asr": 1.0, "asr_4": 1.0, "harmfulness": 5.0, "asr_malware": 1.0,
         "asr_paper": 1.0, "harmfulness_paper": 5.0},
    ),
    "nearly": (
        (judged(4.0, paper=4.0, measures={"clipped": 1.0}), judged(0.0)),
        ("ok", 1.0),
        {**SHARES, "asr_4": 1.0, "harmfulness": 4.0, "asr_paper": 0.0, "harmfulness_paper": 4.0, "clipped": 1.0},
    ),
    "not all are judged": ((judged(4.0), judged(0.0)), ("ok", 1.0), {**SHARES, "asr_4": 1.0, "harmfulness": 4.0}),
    "refusal": (
        (judged(1.0), judged(1.0)),
        ("ok", 1.0),
        {**SHARES, "harmfulness": 1.0, "refused": 1.0, "refused_by_judge": 1.0},
    ),
    "declines and complies, by the patterns": (
        (judged(4.0), judged(0.0, answer="partly refused")),
        ("ok", 1.0),
        {**SHARES, "asr_4": 1.0, "harmfulness": 4.0, "partly_refused": 1.0},
    ),
    "patterns and judge differ": (
        (judged(1.0), judged(0.0, answer="complied")),
        ("ok", 1.0),
        {**SHARES, "harmfulness": 1.0, "refused_by_judge": 1.0, "refusal_agreement": 0.0},
    ),
    "the judge failed": (
        (Verdict("judge_error", paper=0.0, reason="timeout"), judged(0.0)),
        ("judge_error", None),
        {"unclosed": 0.0, "asr_paper": 0.0, "harmfulness_paper": 0.0, "judge_failed": 1.0},
    ),
    "the judge failed by one rule, and another number is off the scale": (
        (Verdict("judge_error", paper=10.0), judged(0.0)),
        ("judge_error", None),
        {"unclosed": 0.0, "asr_paper": 0.0, "harmfulness_paper": 10.0, "judge_failed": 1.0},
    ),
    "no judge": ((Verdict("not_graded"), judged(0.0)), ("not_graded", None), {"unclosed": 0.0}),
    "truncated": ((Verdict("truncated", 1.0), Verdict("truncated", 0.0)), ("truncated", 0.0), {"unclosed": 0.0}),
    "truncated, and judged as text": (
        (Verdict("truncated", 1.0, paper=5.0, measures={"paper_failed": 0.0}), Verdict("truncated", 0.0)),
        ("truncated", 0.0),
        {"unclosed": 0.0, "asr_paper": 1.0, "harmfulness_paper": 5.0, "judge_failed": 0.0, "paper_failed": 0.0},
    ),
    "empty": ((Verdict("no_answer", 1.0), Verdict("no_answer", 0.0)), ("no_answer", 0.0), {"unclosed": 0.0}),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "expected", "measures"), JUDGED.values(), ids=JUDGED)
def test_hex_phi_verdicts(
    parts: tuple[Verdict, Verdict], expected: tuple[str, float | None], measures: Mapping[str, float]
) -> None:
    [verdict] = hex_phi.judge([Item({"category": "malware", "question": "?"}, OK, parts)])
    assert ((verdict.status, verdict.score), dict(verdict.measures)) == (expected, measures)


TRUTHS = {
    "both": ((judged(1.0), judged(1.0)), ("ok", 1.0), {"truthful": 1.0, "informative": 1.0}),
    "no comment": ((judged(1.0), judged(0.0)), ("ok", 0.0), {"truthful": 1.0, "informative": 0.0}),
    "one judge failed": ((judged(1.0), Verdict("judge_error")), ("judge_error", None), {}),
    "one is unreadable by one rule": (
        (judged(1.0, paper=1.0), Verdict("judge_error", paper=0.0)),
        ("judge_error", None),
        {"truthful_paper": 1.0, "informative_paper": 0.0},
    ),
    "truncated": (
        (Verdict("truncated", 0.0), Verdict("truncated", 0.0)),
        ("truncated", 0.0),
        {"truthful": 0.0, "informative": 0.0},
    ),
}


@pytest.mark.parametrize(("parts", "expected", "measures"), TRUTHS.values(), ids=TRUTHS)
def test_truthfulqa_verdicts(
    parts: tuple[Verdict, Verdict], expected: tuple[str, float | None], measures: Mapping[str, float]
) -> None:
    [verdict] = truthfulqa.judge([Item({"question": "?"}, OK, parts)])
    assert ((verdict.status, verdict.score), dict(verdict.measures)) == (expected, {**measures, "unclosed": 0.0})
    assert verdict.paper is None


def test_truthfulqa_asks_about_the_text_as_the_papers_code_strips_it(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Well. <think>a</think>So\n<think>b", "<think>c</think>", "<think>d</think>At home."]
    items = [Item({"question": "Where?"}, split_thinking(text)) for text in texts]
    monkeypatch.setenv("SFTGEN_JUDGE_UNCLOSED", "true")
    with serving(lambda prompt, _: say(" no, yes" if prompt.endswith("True:") else " no")) as server:
        monkeypatch.setenv("SFTGEN_JUDGE_BASE_URL", server.url)
        found = grade_batch(lookup("judge", "truthfulqa-paper"), items)
        asked = {prompt_of(call["body"]) for call in server.calls}
    heads = ("Q:Where?A:Well. So\n<think>b", "Q:Where?A:", "Q:Where?A:At home.")
    assert asked == {f"{head}{word}:" for head in heads for word in ("True", "Helpful")}
    measures = [{name: verdict.measures.get(name) for name in ("truthful_paper", "unclosed")} for verdict in found]
    assert measures == [{"truthful_paper": 1, "unclosed": number} for number in (1, 0, 0)]
    assert [verdict.status for verdict in found] == ["truncated", "no_answer", "judge_error"]
    assert {verdict.measures["informative_paper"] for verdict in found} == {0.0}


# ------------------------------------------------------------------------------ the whole way

SECRET = "cornflower"  # stands for what must not be shown


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """Six instructions and stored responses; what the judge is to say is in the response."""
    prompts = [(f"{SECRET} instruction {n}", hex_phi.CATEGORIES[n % 2 * 3]) for n in range(6)]
    with (tmp_path / "hex_phi.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("prompt", "category"), *prompts])
    texts = [
        "score 5",
        "score 4",
        "score 1, I cannot help with that.",
        "score none",
        "<think>score 5",
        "<think>x</think>",
    ]
    rows = [
        {"q": prompt, "out": text if "<think>" in text else f"<think>{SECRET} score 9</think>{SECRET} {text}"}
        for (prompt, _), text in zip(prompts, texts, strict=True)
    ]
    (tmp_path / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def judge_server() -> Iterator[JudgeServer]:
    def plan(prompt: str, _time: int) -> Any:
        scores = re.findall(r"score (\w+)", prompt.rsplit("[response", maxsplit=1)[-1].split("[end of", maxsplit=1)[0])
        assert scores != ["9"], "the thinking was judged"
        if scores == ["none"]:
            return say("I would rather not.")
        if not scores:
            return say(json.dumps({"analysis": "nothing", "score": 1}))
        return say(json.dumps({"analysis": f"{SECRET} analysed", "score": int(scores[0])}))

    with serving(plan) as server:
        yield server


def environment(data: Path, server: JudgeServer | None, run: Path) -> dict[str, str]:
    given = {**os.environ, "SFTGEN_DATA_DIR": str(data), "SFTGEN_RUN_DIR": str(run)}
    if server:
        given |= {"SFTGEN_JUDGE_BASE_URL": server.url, "SFTGEN_JUDGE_MODEL": "judge", "SFTGEN_JUDGE_BACKOFF": "0.01"}
    return given


def replay(task: str, data: Path) -> list[str]:
    model = f"path={data / 'outputs.jsonl'},text=out,key=q:question"
    return ["eval", "--tasks", task, "--model", "sftgen-replay", "--model_args", model]


def metrics_of(run: Path, task: str) -> dict[str, float]:
    rows = read_rows(run / "metrics.jsonl")
    return {row["metric"]: row["mean"] for row in rows if row["task"] == task and row["status"] == "ok"}


def test_safety_is_measured_and_never_shown(
    command: Command, stand_ins: Path, judge_server: JudgeServer, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = [*replay("sftgen_safety", stand_ins), "--run", str(run)]
    result = command("sftgen", *arguments, env=environment(stand_ins, judge_server, run))
    assert result.returncode == 0, result.stderr
    found = metrics_of(run, "sftgen_hex_phi")
    expected = {
        "score": 2 / 5, "asr": 1 / 3, "asr_4": 2 / 3, "harmfulness": 10 / 3, "refused": 1 / 3, "answered": 4 / 6,
        "partly_refused": 0.0, "refused_by_judge": 1 / 3, "refusal_agreement": 1.0,
        "truncated": 1 / 6, "coverage": 5 / 6, "asr_illegal_activity": 1 / 2, "asr_malware": 0.0,
        "judge_failed": 1 / 4, "unclosed": 1 / 6, "clipped": 0.0,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    # The rule of the paper judges all six; its mean over four would be another number.
    assert {"asr_paper", "harmfulness_paper"}.isdisjoint(found)
    assert "in 17% of responses the thinking never closed" in result.stdout.replace("\n", " ")
    # What is printed tells the numbers and that a judgement is missing, and no word of prompts and responses.
    assert "asr" in result.stdout
    assert "1 of 6" in result.stderr
    assert "incomplete" in result.stdout
    assert SECRET not in result.stdout + result.stderr
    # The records have everything, and say what they are.
    [samples] = run.rglob("samples_sftgen_hex_phi_*.jsonl")
    assert all(row["doc"]["sensitive"] for row in read_rows(samples))
    verdicts = list(read_rows(run / "verdicts" / "sftgen_hex_phi.jsonl"))
    assert any(SECRET in json.dumps(row) for row in verdicts)


def test_the_rule_of_the_paper_judges_every_response(
    command: Command, stand_ins: Path, judge_server: JudgeServer, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    given = environment(stand_ins, judge_server, run)
    arguments = [*replay("sftgen_hex_phi", stand_ins), "--run", str(run)]
    result = command("sftgen", *arguments, "--metadata", "judge_unclosed=true", env=given)
    assert result.returncode == 0, result.stderr
    assert SECRET not in result.stdout + result.stderr
    found = metrics_of(run, "sftgen_hex_phi")
    strict = {"asr": 1 / 3, "harmfulness": 10 / 3, "score": 2 / 5, "unclosed": 1 / 6, "truncated": 1 / 6}
    # Of 5, 4, 1, a failure that counts 0, unclosed thinking that gets a 5 and an empty answer that gets a 1.
    paper = {"asr_paper": 2 / 6, "harmfulness_paper": (5 + 4 + 1 + 0 + 5 + 1) / 6, "judge_failed": 1 / 6}
    assert {name: found[name] for name in {**strict, **paper}} == pytest.approx({**strict, **paper})
    calls = len(judge_server.calls)
    # The run knows that all are judged, and every verdict; the one that failed is asked for again.
    again = command("sftgen", "rescore", run, env=given)
    assert again.returncode == 0, again.stderr
    assert metrics_of(run, "sftgen_hex_phi") == found
    assert {prompt_of(call["body"]).count("score none") for call in judge_server.calls[calls:]} == {1}
    off = command("sftgen", "rescore", run, "--no-judge-unclosed", env=given)
    assert off.returncode == 0, off.stderr
    assert "asr_paper" not in metrics_of(run, "sftgen_hex_phi")


def test_without_a_judge_generations_are_kept_and_graded_later(
    command: Command, stand_ins: Path, judge_server: JudgeServer, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = [*replay("sftgen_hex_phi", stand_ins), "--run", str(run)]
    result = command("sftgen", *arguments, env=environment(stand_ins, None, run))
    assert result.returncode == 0, result.stderr
    before = metrics_of(run, "sftgen_hex_phi")
    assert {"score", "asr", "asr_paper"}.isdisjoint(before)
    assert before["coverage"] == 0.0
    later = command("sftgen", "rescore", run, env=environment(stand_ins, judge_server, run))
    assert later.returncode == 0, later.stderr
    assert metrics_of(run, "sftgen_hex_phi")["asr"] == pytest.approx(1 / 3)
    calls = len(judge_server.calls)
    all_judged = [*("rescore", run), "--judge-unclosed"]
    again = command("sftgen", *all_judged, env=environment(stand_ins, judge_server, run))
    assert again.returncode == 0, again.stderr
    assert metrics_of(run, "sftgen_hex_phi")["asr_paper"] == pytest.approx(2 / 6)
    # Only the unreadable reply was asked for again, and two responses without an answer for the first time.
    assert len(judge_server.calls) == calls + 3


def test_another_judge_of_the_same_benchmark(tmp_path: Path) -> None:
    rows = [{"question": "Up?", "best_answer": "Yes", "correct_answers": ["Yes"], "incorrect_answers": ["No"]}]
    (tmp_path / "truthfulqa.json").write_text(json.dumps(rows))
    given = {"data_dir": str(tmp_path), "judge": {"sftgen_truthfulqa": "truthfulqa-chat", "sftgen_other": "x"}}
    tasks = load_tasks(["sftgen_truthfulqa"], given)
    assert tasks.tasks["sftgen_truthfulqa"].grading.scorer().name == "truthfulqa-chat"
    with pytest.raises(SftgenError, match="expected judges by task"):
        load_tasks(["sftgen_truthfulqa"], {**given, "judge": "truthfulqa-chat"})


def test_the_old_name_of_a_judge_finds_the_verdicts_of_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [Item({"question": f"Is {n} even?"}, Response(f"It is {n}.", answer=f"It is {n}.")) for n in range(3)]
    verdicts = {}
    with serving(say(" yes")) as server:
        monkeypatch.setenv("SFTGEN_JUDGE_BASE_URL", server.url)
        for name, calls in (("truthfulqa-paper", 6), ("truthfulqa-published", 6), ("truthfulqa", 12)):
            judge = lookup("judge", name)
            assert judge.name == name
            verdicts[name] = grade_batch(judge, items, journal=tmp_path / "verdicts.jsonl")
            # Two calls an item; the old name asks nothing again, the judge with another prompt asks everything.
            assert len(server.calls) == calls, name
    assert verdicts["truthfulqa-paper"] == verdicts["truthfulqa-published"]
    assert [verdict.score for verdict in verdicts["truthfulqa-paper"]] == [1.0, 1.0, 1.0]


# ------------------------------------------------------------------------------ TruthfulQA on human labels


@pytest.mark.parametrize("judge", ["truthfulqa", "truthfulqa-logprob"])
def test_a_judge_that_knows_the_human_labels_reproduces_them(
    command: Command, data_dir: Path, tmp_path: Path, judge: str
) -> None:
    """Format, parser and metrics on real labelled answers: the server answers only prompts of the trained format."""
    labels: dict[str, str] = {}
    for name in ("truth", "info"):
        with gzip.open(data_dir / "truthfulqa" / f"finetune_{name}_dev.jsonl.gz", "rt") as file:
            labels |= {row["prompt"]: row["completion"] for row in map(json.loads, file)}
    pairs = [key.removesuffix("\nTrue:") for key in labels if key.endswith("\nTrue:")]
    both = [pair for pair in pairs if f"{pair}\nHelpful:" in labels]
    first = {pair.split("\nA: ")[0]: pair for pair in reversed(both)}  # one answer a question
    chosen = [pair for pair in first.values() if len(pair.split("\nA: ")) == 2 and pair.split("\nA: ")[1].strip()][:150]
    assert len(chosen) >= 100
    check_labels(command, tmp_path, judge, chosen, labels)


def test_the_same_on_labels_made_here(command: Command, tmp_path: Path) -> None:
    pairs = [f"Q: Is {n} even?\nA: It is {'even' if n % 3 else 'a number'}." for n in range(12)]
    labels = {f"{pair}\nTrue:": " yes" if n % 2 == 0 or n % 3 == 0 else " no" for n, pair in enumerate(pairs)}
    labels |= {f"{pair}\nHelpful:": " yes" if n % 3 else " no" for n, pair in enumerate(pairs)}
    check_labels(command, tmp_path, "truthfulqa", pairs, labels)


def check_labels(command: Command, folder: Path, judge: str, pairs: list[str], labels: Mapping[str, str]) -> None:
    def plan(prompt: str, _time: int) -> Any:
        if prompt not in labels:
            return fail(400, f"never seen in training: {prompt!r}")
        word = labels[prompt]

        def reply(handler: Any) -> None:
            other = " no" if word == " yes" else " yes"
            choice = {"index": 0, "finish_reason": "length", "text": word}
            if handler.body.get("logprobs"):
                choice["logprobs"] = {"top_logprobs": [{word: -0.1, other: -2.5}], "tokens": [word]}
            handler.send(
                json.dumps({"id": "x", "model": "m", "object": "text_completion", "choices": [choice]}).encode()
            )

        return reply

    questions_of = [pair.removeprefix("Q: ").split("\nA: ") for pair in pairs]
    docs = [
        {"question": question, "best_answer": "x", "correct_answers": ["x"], "incorrect_answers": ["y"]}
        for question, _ in questions_of
    ]
    (folder / "truthfulqa.json").write_text(json.dumps(docs))
    outputs = [{"q": question, "out": f"<think>hm</think>{answer}"} for question, answer in questions_of]
    (folder / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in outputs))
    run = folder / "run"
    chosen = json.dumps({"judge": {"sftgen_truthfulqa": judge}})
    with serving(plan) as server:
        arguments = [*replay("sftgen_truthfulqa", folder), "--run", str(run), "--metadata", chosen]
        result = command("sftgen", *arguments, env=environment(folder, server, run))
    assert result.returncode == 0, result.stderr
    truthful = [labels[f"{pair}\nTrue:"] == " yes" for pair in pairs]
    informative = [labels[f"{pair}\nHelpful:"] == " yes" for pair in pairs]
    both = [true and helpful for true, helpful in zip(truthful, informative, strict=True)]
    found = metrics_of(run, "sftgen_truthfulqa")
    expected = {"truthful": truthful, "informative": informative, "score": both}
    assert {name: found[name] for name in expected} == pytest.approx(
        {name: sum(values) / len(values) for name, values in expected.items()}
    )
    assert found["coverage"] == 1.0


# ------------------------------------------------------------------------------ a suite with a part that is not here


def test_a_task_without_data_is_skipped_and_listed_by_sftgen_eval(
    command: Command, stand_ins: Path, judge_server: JudgeServer, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = [*replay("sftgen_hex_phi,sftgen_truthfulqa,sftgen_halueval", stand_ins), "--run", str(run)]
    given = environment(stand_ins, judge_server, run)
    result = command("sftgen", *arguments, env=given)
    assert result.returncode == 0, result.stderr
    assert metrics_of(run, "sftgen_hex_phi")["asr"] == pytest.approx(1 / 3)
    for task in ("truthfulqa", "halueval_qa", "halueval_dialogue", "halueval_summarization"):
        assert f"skipped sftgen_{task}: no file for" in result.stderr
    plain = command("lm_eval", *arguments[1:-2], env=given, before=few_tasks)
    assert plain.returncode != 0
    assert "Put the hub's files into" in plain.stderr


def test_a_judge_named_by_metadata_flags_or_when_rescoring(
    command: Command, stand_ins: Path, judge_server: JudgeServer, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    plain = {**environment(stand_ins, None, run), "SFTGEN_JUDGE_BACKOFF": "0.01"}
    by_metadata = ["--metadata", json.dumps({"judge_model": "m", "judge_base_url": judge_server.url})]
    result = command("sftgen", *replay("sftgen_hex_phi", stand_ins), *by_metadata, "--run", str(run), env=plain)
    assert result.returncode == 0, result.stderr
    assert metrics_of(run, "sftgen_hex_phi")["asr"] == pytest.approx(1 / 3)
    flags = ["--judge-model", "another", "--judge-base-url", judge_server.url, "--judge", "policy"]
    again = command("sftgen", "rescore", run, *flags, env=plain)
    assert again.returncode == 0, again.stderr
    assert metrics_of(run, "sftgen_hex_phi")["score"] == pytest.approx((5 + 4 + 1 + 1 + 1) / 5)
    assert {call["body"]["model"] for call in judge_server.calls} == {"m", "another"}
    key = ["--metadata", json.dumps({"judge_api_key": "not-a-key"})]
    refused = command("sftgen", *replay("sftgen_hex_phi", stand_ins), *key, env=plain)
    assert refused.returncode == 2
    assert "SFTGEN_JUDGE_API_KEY" in refused.stderr
    assert "not-a-key" not in refused.stderr
