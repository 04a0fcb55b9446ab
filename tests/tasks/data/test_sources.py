"""Where documents come from: local files in the hub's layouts, the hub, a seed; and what is wrong with them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sftgen_tasks import load_tasks
from sftgen_tasks.countdown import documents as countdown_documents
from sftgen_tasks.data.documents import loaded, make_manifest
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.rows import digest
from sftgen_tasks.data.tables import DataError, read_table
from tests.conftest import Command

REVISION = "0123456789abcdef0123456789abcdef01234567"
SOURCE = HubSource(
    task="sftgen_riddles",
    repo="someone/Riddles",
    split="test",
    revision=REVISION,
    columns={"question": str, "answer": str},
    id_column="name",
    files=("riddles/short",),
)
GATED = HubSource("sftgen_secret", "someone/Secret", "test", REVISION, {"question": str}, "name", gated=True)
ROWS = [
    {"name": "r/1", "question": "What is 2 + 2?\nThink.", "answer": "4"},
    {"name": "r/2", "question": 'A "quoted", listed one: é漢', "answer": "x"},
    {"name": "r/3", "question": " blanks ", "answer": "7"},
]


def jsonl(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_json(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps(rows, indent=1, ensure_ascii=False).encode()


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    data = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), data)
    return data.getvalue()


FORMATS: dict[str, Callable[[Sequence[Mapping[str, Any]]], bytes]] = {
    "jsonl": jsonl,
    "json": as_json,
    "csv": as_csv,
    "parquet": parquet,
    "jsonl.gz": lambda rows: gzip.compress(jsonl(rows)),
    "json.gz": lambda rows: gzip.compress(as_json(rows)),
    "csv.gz": lambda rows: gzip.compress(as_csv(rows)),
}


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def questions(source: HubSource, **metadata: Any) -> list[str]:
    return list(source.documents(**metadata)["test"]["question"])


def error_of(call: Callable[[], Any]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


# ------------------------------------------------------------------------------ finding files

LAYOUTS = [
    "someone/Riddles/test.jsonl",
    "someone/Riddles/test.parquet",
    "someone/Riddles/data/test.json",
    "someone/Riddles/test-00000-of-00001.parquet",
    "someone/Riddles/data/test-00000-of-00001.parquet",
    "someone/Riddles/data/test-00000-of-00001-0a1b2c3d.parquet",
    f"datasets--someone--Riddles/snapshots/{REVISION}/test.jsonl",
    f"datasets--someone--Riddles/snapshots/{REVISION}/data/test-00000-of-00001.parquet",
    "sftgen_riddles.jsonl",
    "riddles.csv",
    "riddles/short.jsonl.gz",
]


@pytest.mark.parametrize("place", LAYOUTS)
def test_a_file_is_found_in_the_layouts_of_the_hub_and_under_short_names(place: str, tmp_path: Path) -> None:
    file = put(tmp_path / place, FORMATS[place.partition(".")[2]](ROWS))
    assert questions(SOURCE, data_dir=str(tmp_path)) == [row["question"] for row in ROWS]
    assert loaded("sftgen_riddles").origin == str(file)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_documents(kind: str, tmp_path: Path) -> None:
    put(tmp_path / f"riddles.{kind}", FORMATS[kind](ROWS))
    documents = list(SOURCE.documents(data_dir=str(tmp_path))["test"])
    assert documents == ROWS
    assert digest(documents) == digest(ROWS[::-1])


def test_shards_are_read_together_and_none_may_be_missing(tmp_path: Path) -> None:
    folder = tmp_path / "someone" / "Riddles" / "data"
    put(folder / "test-00000-of-00002.parquet", parquet(ROWS[:2]))
    assert "1 of 2 shards" in error_of(lambda: questions(SOURCE, data_dir=str(tmp_path)))
    put(folder / "test-00001-of-00002.parquet", parquet(ROWS[2:]))
    assert questions(SOURCE, data_dir=str(tmp_path)) == [row["question"] for row in ROWS]
    assert loaded("sftgen_riddles").origin.endswith("test-00000-of-00002.parquet and 1 more")


def test_a_configuration_has_a_folder_of_its_own(tmp_path: Path) -> None:
    source = HubSource("sftgen_riddles", "someone/Riddles", "test", REVISION, {"question": str}, "name", config="hard")
    put(tmp_path / "someone/Riddles/test.jsonl", jsonl(ROWS[:1]))
    put(tmp_path / "someone/Riddles/hard/test-00000-of-00001.parquet", parquet(ROWS[1:]))
    assert len(questions(source, data_dir=str(tmp_path))) == 2


def test_the_hubs_folder_goes_before_a_short_name(tmp_path: Path) -> None:
    put(tmp_path / "riddles.jsonl", jsonl(ROWS))
    put(tmp_path / "someone/Riddles/test.jsonl", jsonl(ROWS[:1]))
    assert len(questions(SOURCE, data_dir=str(tmp_path))) == 1


def test_metadata_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "here/riddles.jsonl", jsonl(ROWS[:1]))
    put(tmp_path / "there/riddles.jsonl", jsonl(ROWS))
    monkeypatch.setenv("SFTGEN_DATA_DIR", str(tmp_path / "there"))
    assert len(questions(SOURCE)) == 3
    assert len(questions(SOURCE, data_dir=str(tmp_path / "here"))) == 1


def test_a_missing_file_is_told_with_the_places_and_the_next_step(tmp_path: Path) -> None:
    message = error_of(lambda: questions(SOURCE, data_dir=str(tmp_path)))
    for part in (
        "sftgen_riddles",
        str(tmp_path),
        "someone/Riddles/test",
        "riddles/short",
        ".parquet",
        "unset SFTGEN_DATA_DIR",
    ):
        assert part in message


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    message = error_of(lambda: questions(SOURCE, data_dir=str(tmp_path / "absent")))
    assert str(tmp_path / "absent") in message
    assert "does not exist" in message


def test_without_internet_the_error_names_repository_revision_and_next_step() -> None:
    message = error_of(lambda: questions(SOURCE))
    for part in ("sftgen_riddles", "someone/Riddles", REVISION[:12], "SFTGEN_DATA_DIR", "someone/Riddles/test.jsonl"):
        assert part in message
    assert "gated" not in message


def test_a_gated_dataset_says_where_to_ask() -> None:
    message = error_of(lambda: questions(GATED))
    for part in ("gated", "https://huggingface.co/datasets/someone/Secret", "HF_TOKEN", REVISION[:12]):
        assert part in message


# ------------------------------------------------------------------------------ malformed files

# File name, content, what the message has to say besides the file's name.
MALFORMED: dict[str, tuple[str, bytes | str, list[str]]] = {
    "a bad JSON line": (
        "r.jsonl",
        '{"question": "a", "answer": "b"}\n{"question": }\n',
        ["row 2", "column 14", "not JSON"],
    ),
    "a cut JSON line": ("r.jsonl", '{"question": "a", "answer": "b"}\n{"question": "a', ["row 2", "not JSON"]),
    "a number of 5,000 digits": (
        "r.jsonl",
        f'{{"question": "a", "answer": {"9" * 5000}}}\n',
        ["row 1", "a number of thousands of digits"],
    ),
    "lists in lists": (
        "r.jsonl",
        f'{{"question": "a", "answer": {"[" * 99_999}',
        ["row 1", "lists or objects within each other"],
    ),
    "lists in lists in a whole file": ("r.json", "[" * 99_999, ["lists or objects within each other"]),
    "two columns of one name": ("r.csv", "question,answer,answer\na,b,c\n", ["names column 'answer' twice"]),
    "bad JSON": ("r.json", '[\n{"question": "a",}\n]', ["line 2", "not JSON"]),
    "no list": ("r.json", '{"question": "a", "answer": "b"}', ["expected a list of rows, found dict"]),
    "a list of texts": ("r.json", '["a"]', ["row 1", "expected an object with columns, found str"]),
    "a line that is no object": ("r.jsonl", '{"question": "a", "answer": "b"}\n[1]\n', ["row 2", "found list"]),
    "a missing column": (
        "r.jsonl",
        '{"question": "a", "answer": "b"}\n{"question": "a", "reply": "b"}',
        ["row 2", "'answer' is missing", "question, reply"],
    ),
    "a wrong type": ("r.jsonl", '{"question": "a", "answer": 4}', ["row 1", "'answer'", "expected str, found int"]),
    "null": ("r.jsonl", '{"question": "a", "answer": null}', ["row 1", "expected str, found NoneType"]),
    "empty text": ("r.jsonl", '{"question": " ", "answer": "b"}', ["row 1", "'question'", "found empty text"]),
    "empty text in CSV": ("r.csv", "question,answer\na,\n", ["row 1", "'answer'", "found empty text"]),
    "a short CSV row": ("r.csv", "question,answer\na,b\nc\n", ["row 2", "2 columns expected", "found fewer"]),
    "a long CSV row": ("r.csv", "question,answer\na,b,c\n", ["row 1", "2 columns expected", "found more"]),
    "an open quote in CSV": ("r.csv", 'question,answer\na,b\n"c,d\n', ["row 2", "unexpected end"]),
    "other columns in CSV": ("r.csv", "a,b\n1,2\n", ["row 1", "'question' is missing"]),
    "no rows": ("r.jsonl", "\n", ["holds no documents"]),
    "no bytes": ("r.csv", "", ["holds no documents"]),
    "not UTF-8": ("r.jsonl", b'{"question": "\xff"}', ["cannot be read"]),
    "a truncated gzip": ("r.jsonl.gz", FORMATS["jsonl.gz"](ROWS)[:-10], ["cannot be read"]),
    "a damaged gzip": ("r.jsonl.gz", FORMATS["jsonl.gz"](ROWS)[:20] + b"\xff" * 40, ["cannot be read"]),
    "no gzip": ("r.jsonl.gz", jsonl(ROWS), ["cannot be read"]),
    "no parquet": ("r.parquet", b"PAR1 not really", ["cannot be read"]),
    "a truncated parquet": ("r.parquet", parquet(ROWS)[:-10], ["cannot be read"]),
    "columns of several kinds": (
        "r.jsonl",
        '{"question": "a", "answer": "b", "name": 1}\n{"question": "c", "answer": "d", "name": "hard"}\n',
        ["several kinds"],
    ),
}


@pytest.mark.parametrize(("name", "content", "says"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_one_clear_message(
    name: str, content: bytes | str, says: list[str], tmp_path: Path
) -> None:
    file = put(tmp_path / name.replace("r.", "riddles."), content)
    message = error_of(lambda: questions(SOURCE, data_dir=str(tmp_path)))
    for part in (str(file), *says):
        assert part in message


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    put(tmp_path / "riddles.csv", b"\xef\xbb\xbfquestion,answer\r\na,b\r\n")
    assert questions(SOURCE, data_dir=str(tmp_path)) == ["a"]
    put(tmp_path / "riddles.jsonl", b'\xef\xbb\xbf{"question": "c", "answer": "d"}\r\n\r\n')
    assert questions(SOURCE, data_dir=str(tmp_path)) == ["c"]


def test_a_missing_table_is_an_error_with_its_name(tmp_path: Path) -> None:
    assert "absent.jsonl" in error_of(lambda: read_table(tmp_path / "absent.jsonl"))


# ------------------------------------------------------------------------------ subsets


@pytest.fixture
def riddles(tmp_path: Path) -> Path:
    put(tmp_path / "riddles.jsonl", jsonl(ROWS))
    return tmp_path


def subset(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    questions(SOURCE, data_dir=str(folder))
    return put(folder / "subset.json", json.dumps(make_manifest("sftgen_riddles", rows)))


def test_a_manifest_gives_its_documents_in_its_order(riddles: Path) -> None:
    manifest = subset(riddles, [ROWS[2], ROWS[0]])
    assert questions(SOURCE, data_dir=str(riddles), subset=str(manifest)) == [ROWS[2]["question"], ROWS[0]["question"]]
    assert "subset" in loaded("sftgen_riddles").origin


def test_a_manifest_says_what_it_was_made_from(riddles: Path) -> None:
    manifest = json.loads(subset(riddles, ROWS[:2]).read_text())
    assert manifest["task"] == "sftgen_riddles"
    assert manifest["origin"] == str(riddles / "riddles.jsonl")
    assert [doc["id"] for doc in manifest["docs"]] == ["r/1", "r/2"]
    assert manifest["sha256"] == digest(ROWS[:2])


def test_a_manifest_fits_the_same_documents_in_another_file(riddles: Path, tmp_path: Path) -> None:
    manifest = subset(riddles, ROWS[:2])
    put(tmp_path / "other/riddles.parquet", parquet(ROWS[::-1]))
    assert len(questions(SOURCE, data_dir=str(tmp_path / "other"), subset=str(manifest))) == 2


def test_columns_that_some_rows_lack_do_not_spoil_a_manifest(tmp_path: Path) -> None:
    put(tmp_path / "riddles.jsonl", jsonl([ROWS[0], {key: ROWS[1][key] for key in ("question", "answer")}]))
    seen = list(SOURCE.documents(data_dir=str(tmp_path))["test"])
    manifest = put(tmp_path / "subset.json", json.dumps(make_manifest("sftgen_riddles", seen[:1])))
    assert len(questions(SOURCE, data_dir=str(tmp_path), subset=str(manifest))) == 1


def test_columns_that_no_task_declares_are_left_out(tmp_path: Path) -> None:
    put(tmp_path / "a/riddles.jsonl", jsonl([{"hint": "none", **row} for row in ROWS]))
    put(tmp_path / "b/riddles.jsonl", jsonl(ROWS))
    with_hints, plain = (list(SOURCE.documents(data_dir=str(tmp_path / name))["test"]) for name in "ab")
    assert with_hints == plain
    # A manifest made of the one fits the other.
    manifest = subset(tmp_path / "a", with_hints[:1])
    assert len(questions(SOURCE, data_dir=str(tmp_path / "b"), subset=str(manifest))) == 1


def test_documents_without_an_id_are_named_by_content(tmp_path: Path) -> None:
    put(tmp_path / "riddles.jsonl", jsonl([{"question": "a", "answer": "b"}]))
    [row] = SOURCE.documents(data_dir=str(tmp_path))["test"]
    [doc] = make_manifest("sftgen_riddles", [row])["docs"]
    assert doc["sha256"].startswith(doc["id"])


def test_changed_content_is_refused(riddles: Path) -> None:
    manifest = subset(riddles, ROWS[:2])
    put(riddles / "riddles.jsonl", jsonl([ROWS[0], {**ROWS[1], "answer": "y"}, ROWS[2]]))
    message = error_of(lambda: questions(SOURCE, data_dir=str(riddles), subset=str(manifest)))
    for part in (str(manifest), "1 of 2 documents", "'r/2'"):
        assert part in message


def test_a_manifest_of_another_task_is_not_for_this_one(riddles: Path) -> None:
    manifest = put(riddles / "other.json", json.dumps({"task": "sftgen_other", "docs": []}))
    assert len(questions(SOURCE, data_dir=str(riddles), subset=str(manifest))) == 3


@pytest.mark.parametrize(
    "content",
    ["{}", '{"docs": []}', '{"task": "sftgen_riddles"}', '{"task": "sftgen_riddles", "docs": ["r/1"]}', "[]", "x"],
)
def test_what_is_no_manifest_is_refused(content: str, riddles: Path) -> None:
    manifest = put(riddles / "m.json", content)
    assert str(manifest) in error_of(lambda: questions(SOURCE, data_dir=str(riddles), subset=str(manifest)))


def test_a_missing_manifest_is_refused(riddles: Path) -> None:
    assert "absent.json" in error_of(lambda: questions(SOURCE, data_dir=str(riddles), subset="absent.json"))


def test_the_docs_command_writes_a_manifest_that_subset_accepts(installed: Command, tmp_path: Path) -> None:
    manifest = tmp_path / "subset.json"
    done = installed("sftgen", "documents", "sftgen_parity", "--limit", "5", "--out", manifest)
    assert done.returncode == 0, done.stderr
    whole = load_tasks(["sftgen_parity"]).tasks["sftgen_parity"].test_docs()
    part = load_tasks(["sftgen_parity"], {"subset": str(manifest)}).tasks["sftgen_parity"].test_docs()
    assert (len(whole), len(part)) == (500, 5)
    assert list(part) == list(whole)[:5]
    assert len(json.loads(manifest.read_text())["docs"]) == 5


def test_the_docs_command_prints_a_manifest(command: Command, tmp_path: Path) -> None:
    row = {"problem": "2+2?", "solution": r"\boxed{4}", "answer": "4", "unique_id": "t/1"}
    put(tmp_path / "math500.jsonl", jsonl([row]))
    done = command("sftgen", "documents", "sftgen_math500", env={**os.environ, "SFTGEN_DATA_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert [doc["id"] for doc in json.loads(done.stdout)["docs"]] == ["t/1"]


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("sftgen_procedural", "is a group"),
        ("sftgen_nothing", "no task 'sftgen_nothing'; did you mean"),
        ("sftgen_math500", "hub"),
    ],
)
def test_the_docs_command_fails_with_one_line(task: str, says: str, command: Command) -> None:
    done = command("sftgen", "documents", task)
    assert done.returncode == 2
    assert done.stderr.startswith("sftgen: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------ made from a seed


def test_options_of_one_task() -> None:
    docs = countdown_documents(docs_size=30, sftgen_countdown={"counts": [3], "largest_number": 20})["test"]
    assert len(docs) == 30
    assert {len(numbers) for numbers in docs["numbers"]} == {3}
    assert max(max(numbers) for numbers in docs["numbers"]) <= 20
    assert "counts" in loaded("sftgen_countdown").origin


def test_options_of_another_task_and_of_lm_eval_are_left_alone() -> None:
    docs = countdown_documents(sftgen_parity={"size": 3}, pretrained="model", max_length=2048, docs_size=4, seed=9)[
        "test"
    ]
    assert len(docs) == 4


def test_a_seed_for_all_and_one_for_a_task() -> None:
    default, shared = countdown_documents(docs_size=5), countdown_documents(docs_size=5, docs_seed=1)
    own = countdown_documents(docs_size=5, docs_seed=1, sftgen_countdown={"seed": 0})
    assert list(default["test"]) != list(shared["test"])
    assert list(default["test"]) == list(own["test"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"colour": "red"}, "colour"),
        ({"size": "many"}, "many"),
        ({"counts": []}, "counts"),
        ({"largest_target": 0}, "no puzzle"),
        (7, "found 7"),
    ],
)
def test_options_that_cannot_be_are_told_with_the_task(options: Any, says: str) -> None:
    message = error_of(lambda: countdown_documents(sftgen_countdown=options))
    assert message.startswith("sftgen_countdown: ")
    assert re.search(says, message)


def test_no_documents_at_all_are_refused() -> None:
    assert "no documents" in error_of(lambda: countdown_documents(docs_size=0))


def test_options_reach_a_task_through_lm_evals_metadata() -> None:
    tasks = load_tasks(["sftgen_countdown"], {"sftgen_countdown": {"counts": [3], "size": 7}}).tasks
    docs = tasks["sftgen_countdown"].test_docs()
    assert len(docs) == 7
    assert {len(doc["numbers"]) for doc in docs} == {3}
