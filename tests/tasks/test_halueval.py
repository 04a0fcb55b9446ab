"""HaluEval: reading a judgement, both rules, the sampler, rows as the hub's, whole runs, real questions."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import split_thinking
from sftgen_tasks import load_tasks
from sftgen_tasks.data.documents import loaded
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.halueval import KINDS, document, documents, grade, judgement, paper_judgement, prompt, sample
from tests.conftest import Command

# ------------------------------------------------------------------------------ reading a judgement

YES, NO, NEITHER = (
    {
        "a word": "Yes",
        "in bold": "**Yes**",
        "in small letters, with a stop": "yes.",
        "in quotes": "\u201cYes\u201d",
        "in a box": r"So \boxed{\text{Yes}}.",
        "a reason with a no in it": "Yes, the answer names a year for which there is no support.",
        "a reason with know and not": "Yes. I know that it was not in another country.",
        "a reason on lines of its own": "Yes\n\nThe knowledge says nothing of the sort, no date at all.",
        "labelled": "Your judgement: Yes",
        "labelled, another spelling": "#Your Judgment#: Yes",
        "labelled, in bold": "**Final judgement:** **Yes**",
        "labelled, on the next line": "## Verdict\nFinal verdict:\n\n**Yes**",
        "labelled, in words": "There is no such film, so my final answer is yes.",
        "at the end": "The knowledge says 1990. There is no source for 1991.\nYes",
        "as the last sentence": "The knowledge says 1990, so this is made up. Yes.",
        "after the answer's own no": "The answer is no. But both are American, so it is wrong.\n\nYes",
        "labelled after another one": "Judgement: No\nWait, the date differs.\nJudgement: Yes",
        "after a colon": "My judgement of this summary: Yes, it adds a name",
        "first, then the question's answer": "Yes, it contradicts the knowledge: the answer is no.",
        "a plain label": "Answer: Yes",
        "begins a sentence": "The film is from 1990. Yes, the summary makes the date up, as far as one can tell",
        "a question of its own": "Yes. Does the document mention Paris? No.",
    },
    {
        "a word": "No",
        "in capitals": "NO",
        "as a list item": "- No.",
        "in a box": r"\boxed{No}",
        "a reason with a yes in it": "No, yes-men are not mentioned.",
        "a reason": "No, it is supported by the knowledge.",
        "a dash": "No \u2013 every claim is in the document.",
        "denies it": "No hallucinated information is found.",
        "labelled": "Judgement: No",
        "labelled and denied": "Judgement: No hallucination",
        "changes its mind": "Yes at first sight. On reading again, all of it is there. No.",
        "at the end": "The answer is yes, both are American, as the knowledge says.\nNo",
        "because": "No because the document says so",
        "in a box before more text": r"\boxed{No} Yes, I am sure.",
    },
    {
        "nothing": "",
        "no before a noun": "There is no support for this.",
        "no one": "No one knows.",
        "a number": "No. 1 of the charts is another one.",
        "words with no in them": "I know another; it is not notable. Nothing, nobody.",
        "both": "Yes or No",
        "both, with a slash": "Judgement: Yes/No",
        "both, quoted": 'Answer "Yes" or "No".',
        "unsure": "I cannot tell from this knowledge.",
        "nope": "Nope",
        "no longer": "The answer is no longer right.",
        "a box with something else": r"\boxed{maybe}",
        "only a question of its own": "Is it supported? No. It remains open",
    },
)
READ = [
    *((f"yes: {name}", text, "yes") for name, text in YES.items()),
    *((f"no: {name}", text, "no") for name, text in NO.items()),
    *((f"neither: {name}", text, None) for name, text in NEITHER.items()),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_the_judgement(text: str, expected: str | None) -> None:
    assert judgement(text) == expected


@pytest.mark.parametrize(
    "text", ["no " * 100_000, "yes\n" * 100_000, "judgement: " * 50_000, "\n" * 300_000, "{" * 99_999]
)
def test_long_responses_take_no_time(text: str) -> None:
    judgement(text)
    paper_judgement(text)


PAPER: dict[str, tuple[str, str | None]] = {
    "the last word": ("Yes, there is no support", "no"),
    "in any case": ("NO. yes", "yes"),
    "closed thinking is stripped": ("<think>No</think>Yes", "yes"),
    "open thinking is not": ("<think>it says no", "no"),
    "the first line, as text": ("I know it\nmaybe", "no"),
    "the first line of the whole response": ("<think>eyes</think>", "yes"),
    "both": ("nothing for my eyes", None),
    "neither": ("maybe", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("text", "expected"), PAPER.values(), ids=PAPER)
def test_the_reading_of_the_paper(text: str, expected: str | None) -> None:
    assert paper_judgement(text) == expected


# ------------------------------------------------------------------------------ both rules

# The candidate is hallucinated.
RULES: dict[str, tuple[str, tuple[str, float, float], dict[str, float]]] = {
    "right": ("<think>no?</think>Yes", ("ok", 1.0, 1.0), {"invalid": 0, "yes_rate": 1}),
    "wrong": ("No", ("ok", 0.0, 0.0), {"invalid": 0, "yes_rate": 0}),
    "right with a reason": ("Yes, there is no support.", ("ok", 1.0, 0.0), {"invalid": 0, "yes_rate": 1}),
    "no judgement": ("I know.", ("no_answer", 0.0, 0.0), {"invalid": 1}),
    "thinking that never closes": ("<think>yes", ("truncated", 0.0, 1.0), {"invalid": 0}),
}


@pytest.mark.parametrize(("text", "expected", "measures"), RULES.values(), ids=RULES)
def test_both_rules(text: str, expected: tuple[str, float, float], measures: dict[str, float]) -> None:
    verdict = grade({"hallucination": "yes"}, split_thinking(text))
    assert (verdict.status, verdict.score, verdict.paper) == expected
    assert verdict.measures == {**measures, "balanced_accuracy": [1.0, verdict.score]}
    assert grade({"hallucination": "no"}, split_thinking("No")).measures["balanced_accuracy"] == [0.0, 1.0]


# ------------------------------------------------------------------------------ documents


def rows(kind: str, number: int, odd: str = "no") -> list[dict[str, Any]]:
    """Rows as the hub has them: every fourth hallucinated."""
    return [
        {**{name: f"{name} {index}" for name in KINDS[kind].fields}, "hallucination": odd if index % 4 else "yes"}
        for index in range(number)
    ]


def put(folder: Path, kind: str, made: list[dict[str, Any]]) -> None:
    """Write rows where the hub has them."""
    import pyarrow
    import pyarrow.parquet

    file = folder / "pminervini" / "HaluEval" / f"{kind}_samples" / "data-00000-of-00001.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(made), buffer)
    file.write_bytes(buffer.getvalue())


@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_shows_the_fields_and_asks_for_yes_or_no(kind: str) -> None:
    row = rows(kind, 1)[0]
    asked = prompt(document(kind, row))
    shown = [f"{name}: {row[column]}" for column, name in KINDS[kind].fields.items()]
    assert "\n".join(shown) in asked
    assert asked.endswith("and No if it does not.\nYour judgement:")
    assert "hallucinated information" in asked
    assert "hallucination: yes" not in asked


def test_the_sample_has_both_labels_and_depends_on_content_only(tmp_path: Path) -> None:
    made = rows("qa", 5000)
    put(tmp_path, "qa", made)
    docs = list(documents("qa", data_dir=str(tmp_path))["test"])
    assert Counter(doc["hallucination"] for doc in docs) == {"yes": 500, "no": 500}
    assert Counter(doc["hallucination"] for doc in docs[:100])["yes"] > 20
    assert "1000 of 5000 rows" in loaded("sftgen_halueval_qa").origin
    random.Random(0).shuffle(made)
    put(tmp_path, "qa", [*made, *made[:50]])
    assert list(documents("qa", data_dir=str(tmp_path))["test"]) == docs
    full = documents("qa", full=True, data_dir=str(tmp_path))["test"]
    assert len(full) == 5050


def test_the_sample_is_pinned() -> None:
    # The same on every machine and Python; another sample is another evaluation.
    chosen = sample([document("summarization", row) for row in rows("summarization", 60)], size=6)
    assert [doc["document"] for doc in chosen] == [f"document {index}" for index in [3, 7, 11, 12, 44, 8]]
    assert len(sample(chosen, size=1000)) == 6


@pytest.mark.parametrize("label", ["maybe", "", None])
def test_a_label_that_is_neither_is_refused(label: str | None, tmp_path: Path) -> None:
    (tmp_path / "halueval_qa.json").write_text(json.dumps(rows("qa", 2, label)))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="row 2, column 'hallucination'"):
        documents("qa", data_dir=str(tmp_path))


def test_an_empty_candidate_and_a_label_in_capitals_are_taken(tmp_path: Path) -> None:
    (tmp_path / "halueval_qa.json").write_text(json.dumps([{**rows("qa", 1)[0], "answer": "", "hallucination": "Yes"}]))
    [doc] = documents("qa", data_dir=str(tmp_path))["test"]
    assert (doc["answer"], doc["hallucination"]) == ("", "yes")


# ------------------------------------------------------------------------------ whole runs


def test_a_task_by_itself_decodes_as_in_the_group(tmp_path: Path) -> None:
    for kind in KINDS:
        put(tmp_path, kind, rows(kind, 8))
    alone = load_tasks(["sftgen_halueval_qa"], {"data_dir": str(tmp_path)}).tasks["sftgen_halueval_qa"]
    group = load_tasks(["sftgen_halueval"], {"data_dir": str(tmp_path)})
    settings = {"until": [], "do_sample": True, "temperature": 0.6, "top_p": 1.0, "max_gen_toks": 32768}
    for task in (alone, *group.tasks.values()):
        assert (task.config.generation_kwargs, task.config.repeats) == (settings, 1)
    assert list(group.tasks) == [f"sftgen_halueval_{kind}" for kind in KINDS]
    assert not any(metric.weight_by_size for metric in group.groups["sftgen_halueval"].aggregate_metric_list)


def test_the_group_through_lm_eval(command: Command, tmp_path: Path) -> None:
    said = {
        "qa": ["Yes", "No", "No", "No", "Yes", "No", "No", "No"],  # all right
        "dialogue": ["No"] * 8,  # 6 of 8; balanced 1/2
        "summarization": ["Yes", "Yes, there is no support", "hm", "<think>", "Yes", "No", "No", "No"],  # 5 of 8
    }
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    for kind, texts in said.items():
        put(tmp_path, kind, rows(kind, 8))
        docs = documents(kind, data_dir=str(tmp_path))["test"]
        lines = [json.dumps({"doc": doc, "resps": [[text]]}) for doc, text in zip(docs, texts, strict=True)]
        (outputs / f"samples_{kind}.jsonl").write_text("\n".join(lines))
    done = command(
        "lm_eval", "--tasks", "sftgen_halueval", "--model", "sftgen-replay", "--model_args", f"path={outputs}",
        "--metadata", json.dumps({"data_dir": str(tmp_path)}), "--output_path", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [path] = (tmp_path / "out").rglob("results_*.json")
    results = json.loads(path.read_text())["results"]

    def found(task: str, *metrics: str) -> list[float]:
        return [results[f"sftgen_halueval{task}"][f"{metric},sftgen"] for metric in metrics]

    assert found("_qa", "score", "balanced_accuracy", "yes_rate", "invalid") == [1.0, 1.0, 0.25, 0.0]
    assert found("_dialogue", "score", "balanced_accuracy", "yes_rate", "invalid") == [0.75, 0.5, 0.0, 0.0]
    summarization = ("score", "score_paper", "balanced_accuracy", "yes_rate", "invalid", "truncated")
    assert found("_summarization", *summarization) == pytest.approx([5 / 8, 6 / 8, 3 / 4, 3 / 6, 1 / 8, 1 / 8])
    group = ("score", "balanced_accuracy", "yes_rate", "invalid")
    assert found("", *group) == pytest.approx([(1 + 0.75 + 0.625) / 3, 0.75, 0.25, 1 / 24])


# ------------------------------------------------------------------------------ real questions


def test_real_questions(data_dir: Path, tmp_path: Path) -> None:
    with gzip.open(data_dir / "halueval" / "qa_one-turn_data.json.gz", "rt") as lines:
        pairs = [json.loads(line) for line in lines]
    rng = random.Random(0)
    made = []
    for pair in pairs:
        label = rng.choice(["yes", "no"])
        answer = pair["hallucinated_answer" if label == "yes" else "right_answer"]
        made.append(
            {**{name: pair[name] for name in ("knowledge", "question")}, "answer": answer, "hallucination": label}
        )
    put(tmp_path, "qa", made)
    docs = list(documents("qa", data_dir=str(tmp_path))["test"])
    assert len(docs) == len(pairs) == 500
    for doc in docs:
        said = "Yes" if doc["hallucination"] == "yes" else "No"
        # A careful model quotes the candidate first; in HotpotQA that is often "yes" or "no" itself.
        text = f"The candidate says: {doc['answer']}\nI compared it with what we know.\n\nJudgement: {said}"
        assert grade(doc, split_thinking(text)).score == 1.0
        assert doc["answer"] in prompt(doc)
    assert {"yes", "no"} <= {doc["answer"].lower() for doc in docs}
