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
from tests.commands import few_tasks
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
        "taken back": "No... wait, actually yes.",
        "corrected": "Judgement: No. Correction: Yes.",
        "labelled in Chinese": "\u6211\u7684\u5224\u65ad\u662f Yes",
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
        "before a preliminary one": "Final judgement: No\nPreliminary judgement: Yes",
        "struck out": "Judgement: ~~Yes~~ No",
        "taken back": "Yes \u2014 sorry, I mean No.",
        "corrected in another line": "Yes\n\nEdit: No",
        "labelled in Chinese": "\u5224\u65ad\uff1aNo",
        "in a box before more text": r"\boxed{No} Yes, I am sure.",
    },
    {
        "nothing": "",
        "no before a noun": "There is no support for this.",
        "no one": "No one knows.",
        "a number": "No. 1 of the charts is another one.",
        "words with no in them": "I know another; it is not notable. Nothing, nobody.",
        "both": "Yes or No",
        "from one to the other": "Yes \u2192 No",
        "both, again and again": "Yes No Yes No",
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


# From outputs of models.
FROM_OUTSIDE: dict[str, tuple[str, str | None]] = {
    "hal-no-side-1": ("Judgement: No (it is supported)", "no"),
    "hal-no-side-2": ("No (every statement is in the knowledge).", "no"),
    "hal-no-side-3": ("No based on the knowledge, every statement is there.", "no"),
    "hal-no-side-4": ("Final answer: No \u2192 supported", "no"),
    "hal-no-side-5": ("Verdict: No | confidence: high", "no"),
    "hal-no-side-6": ("No according to the document, which says the same.", "no"),
    "hal-no-side-7": ("Judgement: No -- supported by the document", "no"),
    "hal-no-side-8": ("My reasoning is short.\n\nNo and I am sure.", "no"),
    "hal-no-side-9": ("No* (see the second sentence of the knowledge)", "no"),
    "hal-other-field-1": ("Hallucination: Yes\nSupported by the knowledge: No", "yes"),
    "hal-other-field-2": ('{"hallucination": "Yes", "supported": "No"}', "yes"),
    "hal-other-field-3": (
        "**Yes**\n\n- False information: Yes\n- Not supported by the knowledge: Yes\n- Does not answer "
        "the question: No",
        "yes",
    ),
    "hal-other-field-4": ("No\n\n1. Supported by the knowledge: Yes\n2. Answers the question: Yes", "no"),
    "hal-other-field-5": ("Yes\n\nIs it supported by the document?\nNo", "yes"),
    "hal-label-1": ("Judgement: Yes\n\nHad the summary said 1990, the judgement would be No.", "yes"),
    "hal-label-2": ("Yes, it contains hallucinated information.\n\nCorrected answer: No", "yes"),
    "hal-label-3": (
        "Conclusion: No, the document does not mention Paris. The summary contains hallucinated information.",
        "yes",
    ),
    "hal-restated-1": (
        "Question: Are both American?\nAnswer: no\n\nThe knowledge says that both are American. The "
        "answer contains hallucinated information.",
        "yes",
    ),
    "hal-missed-1": ("The answer contains hallucinated information.", "yes"),
    "hal-missed-2": ("The answer does not contain hallucinated information.", "no"),
    "hal-missed-3": ("Since the claim is not supported, the judgement should be Yes.", "yes"),
    "hal-missed-4": ("All claims are in the knowledge. Therefore, no.", "no"),
    "hal-missed-5": (
        "The document never mentions Paris, so yes, the summary contains hallucinated information.",
        "yes",
    ),
    "hal-missed-6": ("<answer>Yes</answer>", "yes"),
    "hal-missed-7": ("\\boxed{Yes, it contains hallucinated information}", "yes"),
    "hal-missed-8": ("There is no hallucination in the answer.", "no"),
    "hal-missed-9": ("Definitely yes.", "yes"),
    "hal-missed-10": ("Verdict \u2013 Yes", "yes"),
    "hal-missed-11": ("Does the answer contain hallucinated information? No.", "no"),
    "hal-missed-12": ("Hallucinated.", "yes"),
    "hal-missed-13": ("| Check | Result |\n|---|---|\n| Supported | Yes |\n| Hallucinated | No |", "no"),
    "hal-guard-1": ("There is no support for this.", None),
    "hal-guard-2": ("Yes or No", None),
    "hal-guard-3": ("Judgement: No\nWait, the date differs.\nJudgement: Yes", "yes"),
    "hal-guard-4": ("Claim 1: Yes, supported. Claim 2: Yes, supported. Judgement: No", "no"),
    "hal-guard-5": ("No hallucinated information is found.", "no"),
    "hal-guard-6": ("Answer Yes if it contains hallucinated information, and No if it does not.", None),
    "hal-no-side-x-1": ("Judgement: No [high confidence]", "no"),
    "hal-other-field-x-2": ("Yes\n\n1. Contradicts the knowledge: Yes\n2. Misunderstands the question: No", "yes"),
    "hal-missed-x-1": ("The summary doesn't contain any hallucinated information.", "no"),
    "hal-missed-x-3": ("Hence, Yes.", "yes"),
    "hal-missed-x-7": ("It is not hallucinated.", "no"),
    "hal-missed-x-9": ("Verdict \u2192 No", "no"),
    "halu-1": ("\\boxed{Yes}. As asked, the word is in \\boxed{}.", "yes"),
    "halu-2": ("\\boxed{\\mbox{Yes}}", "yes"),
    "halu-3": ("Verdict: \\(\\text{Yes}\\)", "yes"),
}


@pytest.mark.parametrize(("text", "expected"), FROM_OUTSIDE.values(), ids=FROM_OUTSIDE)
def test_judgements_from_outside(text: str, expected: str | None) -> None:
    assert judgement(text) == expected


CANDIDATE = {"kind": "qa", "knowledge": "Paris is in France.", "question": "Where is Paris?", "answer": "In Spain"}
NEXT = "Knowledge: Oslo is in Norway.\nQuestion: Where is Oslo?\nAnswer: In Norway"
# What follows the judgement Yes; whether it is left out.
BEHIND = {
    "another candidate": (f"\n\n{NEXT}\n\nYour judgement: No", True),
    "another question": ("\n\nQuestion: Where is Oslo?\nAnswer: In Norway\nYour judgement: No", True),
    "another turn": ("<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\nNo", True),
    "the same candidate": ("\n\nKnowledge: Paris is in France.\nAnswer: In Spain", False),
}


@pytest.mark.parametrize(("behind", "left_out"), BEHIND.values(), ids=BEHIND)
def test_a_judgement_of_another_candidate_is_none(behind: str, left_out: bool) -> None:
    verdict = grade({**CANDIDATE, "hallucination": "yes"}, split_thinking("Yes" + behind))
    assert (verdict.score, verdict.measures["wrote_on"]) == (1, left_out)
    assert verdict.measures["score_whole"] == (not left_out)


@pytest.mark.parametrize("text", ["no " * 100_000, "yes\n" * 100_000, "\n" * 300_000], ids=["no", "yes", "lines"])
def test_the_papers_reading_of_long_responses_takes_no_time(text: str) -> None:
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
    "right": ("<think>no?</think>Yes", ("ok", 1.0, 1.0), {"invalid": 0, "yes_rate": 1, "contradictory": 0}),
    "wrong": ("No", ("ok", 0.0, 0.0), {"invalid": 0, "yes_rate": 0, "contradictory": 0}),
    "right with a reason": (
        "Yes, there is no support.",
        ("ok", 1.0, 0.0),
        {"invalid": 0, "yes_rate": 1, "contradictory": 0},
    ),
    "a word and another explanation": (
        "Yes\n\nThe answer is supported by the knowledge.",
        ("ok", 1.0, 1.0),
        {"invalid": 0, "yes_rate": 1, "contradictory": 1},
    ),
    "no judgement": ("I know.", ("no_answer", 0.0, 0.0), {"invalid": 1}),
    "thinking that never closes": ("<think>yes", ("truncated", 0.0, 1.0), {"invalid": 0}),
}


@pytest.mark.parametrize(("text", "expected", "measures"), RULES.values(), ids=RULES)
def test_both_rules(text: str, expected: tuple[str, float, float], measures: dict[str, float]) -> None:
    verdict = grade({"hallucination": "yes"}, split_thinking(text))
    assert (verdict.status, verdict.score, verdict.paper) == expected
    first = {"balanced_accuracy": [1.0, verdict.score], "wrote_on": 0, "score_whole": verdict.score}
    assert verdict.measures == {**measures, **first}
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
    assert loaded("sftgen_halueval_qa").total == 5000
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
    settings = {"until": [], "do_sample": True, "temperature": 0.6, "top_p": 1.0, "top_k": 0, "max_gen_toks": 32768}
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
        "--metadata", json.dumps({"data_dir": str(tmp_path)}), "--output_path", tmp_path / "out", before=few_tasks,
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
        other, denial = ("No", "contains") if said == "Yes" else ("Yes", "does not contain")
        for text in (
            f"The candidate says: {doc['answer']}\nI compared it with what we know.\n\nJudgement: {said}",
            f"Question: {doc['question']}\nAnswer: {doc['answer']}\n\n{said} based on the knowledge.",
            f"{said} (see the knowledge)\n\nCorrected answer: {doc['answer']}",
            f"Question: {doc['question']}\nAnswer: {doc['answer']}\n\nThe answer {denial} hallucinated information.",
            json.dumps({"answer": doc["answer"], "hallucination": said, "supported": other}),
        ):
            assert grade(doc, split_thinking(text)).score == 1.0, text
        assert doc["answer"] in prompt(doc)
    assert {"yes", "no"} <= {doc["answer"].lower() for doc in docs}


# A verdict `{w}` (`{n}` is its opposite, `{s}` in words) with the knowledge, question and answer.
REWORDED = {
    "first": "{w}. {k}",
    "alone, first": "{w}\n\n{k}",
    "alone, last": "{k}\n\n{w}",
    "labelled, last": "The knowledge says: {k} The answer: {a}. Judgement: {w}",
    "because": "{w} because {k}",
    "according": "{w} according to the knowledge: {k}",
    "in brackets": "{w} ({k})",
    "a dash": "{w} - {k}",
    "Markdown": "**Judgement:** {w}\n\n**Explanation:** {k}",
    "restated": "Question: {q}\nAnswer: {a}\nKnowledge: {k}\n\nFinal judgement: {w}",
    "box": "{k}\n\\boxed{{{w}}}",
    "JSON": '{{"reason": "{k}", "hallucination": "{w}", "supported": "{n}"}}',
    "a sentence": "{k} So the answer {s} hallucinated information.",
    "other fields": "{k}\n\nHallucination: {w}\nSupported: {n}",
    "a corrected answer": "{w}. {k}\n\nCorrected answer: {a}",
}


@pytest.mark.parametrize("wording", REWORDED.values(), ids=REWORDED)
def test_verdicts_score_the_same_in_every_wording(wording: str, data_dir: Path) -> None:
    """A judge that is right about nine answers in ten, on real knowledge, keeps its score whatever words it uses."""
    with gzip.open(data_dir / "halueval" / "qa_one-turn_data.json.gz", "rt") as lines:
        pairs = [json.loads(line) for line in lines]
    rng = random.Random(0)
    scores, right = [], []
    for pair in pairs:
        label = rng.choice(["yes", "no"])
        answer = pair["hallucinated_answer" if label == "yes" else "right_answer"]
        right.append(rng.random() < 0.9)
        yes = (label == "yes") == right[-1]
        text = wording.format(
            w="Yes" if yes else "No", n="No" if yes else "Yes", s="contains" if yes else "does not contain",
            k=pair["knowledge"], q=pair["question"], a=answer,
        )  # fmt: skip
        scores.append(grade({"hallucination": label}, split_thinking(text)).score)
    assert sum(scores) / len(scores) == pytest.approx(sum(right) / len(right), abs=0.004)
