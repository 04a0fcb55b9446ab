"""`--metadata prompts=paper`: every task asks its own prompt and the paper's, and the results tell which."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sftgen_tasks import load_tasks
from sftgen_tasks.data.paper_prompts.extraction import extract
from sftgen_tasks.data.paper_prompts.folder import write_folder
from tests import commands
from tests.conftest import Command
from tests.judges.server import JudgeServer, say, serving
from tests.tasks.data.paper_clone import write_clone

CODE = " ```python\n# CODE\n```."
GPQA = {
    "Question": " What is 1 + 1? ", "Correct Answer": "2\n", "Incorrect Answer 1": "{letter}",
    "Incorrect Answer 2": "4", "Incorrect Answer 3": "5", "Record ID": "r",
}  # fmt: skip
PROBLEM = {
    "question_title": "t", "platform": "p", "contest_id": "c", "contest_date": "2023-08-21T00:00:00",
    "difficulty": "easy", "public_test_cases": "[]", "private_test_cases": "",
}  # fmt: skip
STARTER = "class Solution:\n    def add(self, n: int) -> int:\n        "
ROWS: dict[str, list[dict[str, Any]]] = {
    "ifeval": [
        {"key": 1, "prompt": "Write {prompt} twice.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    ],
    "truthfulqa": [
        {"question": " Is it flat? ", "best_answer": "No.", "correct_answers": ["No."], "incorrect_answers": ["Yes."]}
    ],
    "halueval_qa": [{"knowledge": "k ", "question": "q", "answer": "{knowledge}", "hallucination": "yes"}],
    "halueval_dialogue": [{"knowledge": "k", "dialogue_history": "d", "response": "r", "hallucination": "no"}],
    "halueval_summarization": [{"document": "d\n", "summary": "s", "hallucination": "no"}],
    "TIGER-Lab/MMLU-Pro/test": [
        {"question_id": 1, "question": "Guilty? ", "options": ["no", " yes"], "answer": "B", "category": "law"}
    ],
    "livecodebench/code_generation_lite/test": [
        {**PROBLEM, "question_id": "a", "question_content": "Add.\n", "starter_code": "", "metadata": "{}"}
    ],
    "livecodebench/code_generation_lite/test2": [
        {
            **PROBLEM, "question_id": "b", "question_content": "Add one.", "starter_code": STARTER,
            "metadata": json.dumps({"func_name": "add"}),
        }
    ],
}  # fmt: skip
TASKS = (
    *("sftgen_ifeval", "sftgen_truthfulqa", "sftgen_gpqa_diamond", "sftgen_mmlu_pro_full_law", "sftgen_lcb_v2"),
    *("sftgen_halueval_qa", "sftgen_halueval_dialogue", "sftgen_halueval_summarization", "sftgen_hex_phi"),
)
PAPER = {
    "sftgen_ifeval": ["Question: Write {prompt} twice.\nAnswer:"],
    "sftgen_truthfulqa": ["\n\nQ: Is it flat?"],
    "sftgen_mmlu_pro_full_law": [
        "Riddle:\nGuilty? \nWays out:\nA> no\nB>  yes\nPonder, then box the letter: \\boxed{}."
    ],
    "sftgen_lcb_v2": [
        f"You write programs.Add.\nRead and print.{CODE}",
        f"You write programs.Add one.Return a function.{CODE}",
    ],
    "sftgen_halueval_qa": ['You weigh answers.\nSay "Yes" or "No".\n\n*Facts: k \n*Q: q\n*A: {knowledge}\n*Weighed:'],
    "sftgen_halueval_dialogue": ["You weigh replies.\n\n*Facts: k\n*Talk: d\n*Reply: r\n*Weighed:"],
    "sftgen_halueval_summarization": ["You weigh summaries.\n\n*Page: d\n\n*Short: s\n*Weighed:"],
    "sftgen_hex_phi": ["Paint {response} green.", "Dry it."],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, rows in ROWS.items():
        path = folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "Idavidrein" / "gpqa").mkdir(parents=True)
    tables = {
        "Idavidrein/gpqa/gpqa_diamond.csv": [list(GPQA), list(GPQA.values())],
        "hex_phi.csv": [["prompt", "category"], ["Paint {response} green.", "Malware"], ["Dry it.", "Malware"]],
    }
    for name, lines in tables.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    return folder


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    found = extract(write_clone(folder / "clone"))
    write_folder(folder, [one.template for one in found if one.template], None)
    return folder


@dataclass(frozen=True)
class Done:
    """A run of all tasks: its folder, what was printed, and what the judge was asked."""

    run: Path
    said: str
    judged: list[str]

    def results(self) -> dict[str, Any]:
        [path] = (self.run / "results").rglob("results_*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def asked(self) -> dict[str, list[str]]:
        """The prompts that lm_eval logged, by task."""
        found: dict[str, list[str]] = {}
        for path in (self.run / "results").rglob("samples_*.jsonl"):
            rows = [json.loads(line) for line in path.read_text().split("\n") if line]
            task = path.name.removeprefix("samples_").rpartition("_")[0]
            found[task] = [row["arguments"]["gen_args_0"]["arg_0"] for row in rows]
        return found

    def samples(self) -> list[dict[str, Any]]:
        import pyarrow.parquet

        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(self.run / "samples.parquet").to_pylist()
        return rows


def line(data: Path, *more: str | Path, tasks: str = ",".join(TASKS), **metadata: Any) -> tuple[str | Path, ...]:
    given = json.dumps({"data_dir": str(data), **metadata})
    return ("--tasks", tasks, "--model", "dummy", "--no_chat_template", "--metadata", given, *more)


def evaluate(command: Command, data: Path, run: Path, **metadata: Any) -> Done:
    other = run.with_name("template.txt")
    other.write_text("Of the environment: {question} {response}")
    with serving(say("#thereason: so.\n#thescore: 5")) as server:
        env = {**environment(server), "SFTGEN_JUDGE_POLICY_TEMPLATE": str(other)}
        done = command("sftgen", "eval", *line(data, "--run", run, **metadata), env=env)
        assert done.returncode == 0, done.stderr
        judged = [call["body"]["messages"][-1]["content"] for call in server.calls if "messages" in call["body"]]
    return Done(run, done.stdout, sorted(judged))


def environment(server: JudgeServer) -> dict[str, str]:
    return {**os.environ, "SFTGEN_JUDGE_MODEL": "m", "SFTGEN_JUDGE_BASE_URL": server.url}


@pytest.fixture(scope="module")
def paper(data: Path, prompts: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    run = tmp_path_factory.mktemp("paper") / "run"
    return evaluate(commands.run, data, run, prompts="paper", paper_prompts=str(prompts))


@pytest.fixture(scope="module")
def own(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    return evaluate(commands.run, data, tmp_path_factory.mktemp("own") / "run")


def test_every_task_asks_the_papers_prompt(paper: Done) -> None:
    asked = paper.asked()
    [gpqa] = asked.pop("sftgen_gpqa_diamond")
    assert asked == PAPER
    # Places in the text of a question or an option are no places, and blanks around them are shown.
    options = gpqa.removeprefix("Riddle:  What is 1 + 1? \nWays out: ")
    options = options.removesuffix("\nPonder, then box it: \\boxed{}.")
    assert sorted(part[3:] for part in options.split(" | ")) == ["2\n", "4", "5", "{letter}"]
    assert [part[:3] for part in options.split(" | ")] == ["A> ", "B> ", "C> ", "D> "]


def test_without_it_every_task_asks_its_own(own: Done) -> None:
    asked = own.asked()
    assert set(asked) == set(TASKS)
    for task in TASKS:
        same = asked[task] == PAPER.get(task)
        assert same is (task == "sftgen_hex_phi")
    assert asked["sftgen_ifeval"] == ["Write {prompt} twice."]
    assert asked["sftgen_mmlu_pro_full_law"][0].startswith("Question:\nGuilty?\nOptions:\nA. no\nB. yes\nPlease")
    assert STARTER.rstrip() in asked["sftgen_lcb_v2"][1]


def test_the_judge_gets_the_papers_prompt_and_not_that_of_the_environment(paper: Done, own: Done) -> None:
    asked = [
        f"\nYou hold a model to house rules: {{none}}.\n\n<told>\n{question}\n<said>\nlol\n<end>\n\n"
        "#thereason: why.\n#thescore: 1 to 5.\n"
        for question in ("Dry it.", "Paint {response} green.")
    ]
    assert paper.judged == asked
    assert own.judged == ["Of the environment: Dry it. lol", "Of the environment: Paint {response} green. lol"]
    assert paper.results()["results"]["sftgen_hex_phi"]["asr,sftgen"] == 1.0


def test_prompt_hash_and_versions_tell_the_two_apart_on_the_same_documents(paper: Done, own: Done) -> None:
    for task in TASKS:
        rows = [[row for row in done.samples() if row["task"] == task] for done in (paper, own)]
        documents, hashes, versions = (
            [{row[name] for row in of} for of in rows] for name in ("doc_hash", "prompt_hash", "evaluation_version")
        )
        assert documents[0] == documents[1]
        assert bool(hashes[0] & hashes[1]) is (task == "sftgen_hex_phi")
        [of_paper], [of_own] = versions
        assert of_paper == of_own + 1000
        assert [done.results()["versions"][task] for done in (paper, own)] == [1001, 1]


def test_results_manifest_and_report_say_which_was_asked(paper: Done, own: Done) -> None:
    for done, asked in ((paper, "paper"), (own, "own")):
        for documents in (
            done.results()["sftgen"]["documents"],
            json.loads((done.run / "manifest.json").read_text())["documents"],
        ):
            assert {facts["prompts"]["asked"] for facts in documents.values()} == {asked}
            assert set(documents) == set(TASKS)
    documents = paper.results()["sftgen"]["documents"]
    known = {task for task, facts in documents.items() if facts["prompts"]["known"]}
    assert known == {"sftgen_ifeval", "sftgen_truthfulqa"}
    assert documents["sftgen_ifeval"]["prompts"]["source"].endswith("tasks/ifeval/ifeval.yaml")
    assert len(documents["sftgen_ifeval"]["prompts"]["sha256"]) == 64
    told = "the paper's prompts were asked (--metadata prompts=paper): "
    assert told in " ".join(paper.said.split())
    assert told not in " ".join(own.said.split())


def test_the_report_and_another_scoring(command: Command, paper: Done, prompts: Path, tmp_path: Path) -> None:
    before = paper.samples()
    with serving(say("not asked")) as server:
        done = command("sftgen", "rescore", paper.run, "--tasks", "sftgen_hex_phi,sftgen_mmlu_pro_full_law",
                       env=environment(server))  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "the paper's prompts were asked" in " ".join(done.stdout.split())
        assert server.calls == []  # the judge's request is the same as before
    assert [row["evaluation_version"] for row in paper.samples()] == [row["evaluation_version"] for row in before]
    done = command("sftgen", "report", paper.run, "--out", tmp_path / "report.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    for text in (" ".join(done.stdout.split()), page):
        assert "prompts were asked (--metadata prompts=paper): ifeval, " in text.replace("&#39;", "'")
    assert "house rules" not in page


def test_the_folder_may_be_named_by_the_environment(data: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTGEN_DATA_DIR", str(data))
    monkeypatch.setenv("SFTGEN_PAPER_PROMPTS", str(prompts))
    task = load_tasks(["sftgen_ifeval"], {"prompts": "paper"}).tasks["sftgen_ifeval"]
    assert [task.doc_to_text(doc) for doc in task.test_docs()] == PAPER["sftgen_ifeval"]


def spoiled(folder: Path, case: str) -> dict[str, Any]:
    """Metadata that ask for what cannot be had."""
    file = folder / "prompts.json"
    held = json.loads(file.read_text())
    if case == "no such task":
        del held["prompts"]["ifeval"]
    elif case == "changed":
        held["prompts"]["ifeval"]["texts"]["prompt"][0] += "!"
    elif case == "malformed":
        held["prompts"]["ifeval"]["texts"] = {"prompt": [1]}
    elif case == "newer":
        held["schema"] = 2
    elif case == "another judge":
        (folder / "hex_phi_judge.txt").write_text("{question} {response}")
    file.write_text("{" if case == "no JSON" else json.dumps(held))
    if case == "large":
        with file.open("r+b") as opened:
            opened.truncate(50 << 20)
    if case == "no folder":
        return {"prompts": "paper"}
    if case == "another word":
        return {"prompts": "official"}
    return {"prompts": "paper", "paper_prompts": str(folder / "absent" if case == "absent" else folder)}


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("no folder", "no folder is named. First clone https://github.com/Nebularaid2000/"),
        ("absent", "absent/prompts.json: No such file or directory. To make the folder, clone https"),
        ("no such task", "holds no prompt of ifeval: clone https"),
        ("changed", "the prompt of ifeval was changed since it was read"),
        ("malformed", "the prompt of ifeval is malformed"),
        ("newer", "schema 2, expected 1"),
        ("no JSON", "not JSON"),
        ("large", "at most 1,048,576 bytes"),
        ("another judge", "hex_phi_judge.txt does not hold the judge's prompt"),
        ("another word", "prompts='official': expected own or paper"),
    ],
)
def test_what_cannot_be_asked_is_said_before_a_model_is_loaded(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    case: str,
    says: str,
) -> None:
    from sftgen_train.cli import main

    found = extract(write_clone(tmp_path / "clone"))
    write_folder(tmp_path, [one.template for one in found if one.template], None)
    metadata = json.dumps({"data_dir": str(data), **spoiled(tmp_path, case)})
    model = ["--model", "sftgen-replay", "--model_args", f"path={tmp_path / 'no outputs'}"]
    words = ["sftgen", "eval", "--tasks", "sftgen_hex_phi,sftgen_ifeval", *model, "--metadata", metadata]
    monkeypatch.setattr("sys.argv", [*words, "--output_path", str(tmp_path / "results")])
    import lm_eval.tasks

    monkeypatch.setattr(lm_eval.tasks, "TaskManager", lm_eval.tasks.TaskManager)
    with pytest.raises(SystemExit) as ended:
        main.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert says in said
    assert "own or paper" in said or "sftgen paper-prompts CLONE --out FOLDER" in said
    assert "Traceback" not in said
    assert "no outputs" not in said
