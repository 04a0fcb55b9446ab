"""`sftgen curate` through its door: a server answers, the process is killed, and the sets are what the seed says."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset

from sftgen_judges.records.schema import Response, Verdict
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.math.grading import INSTRUCTION
from sftgen_train.curation.sets import read_manifest
from tests import ROOT, commands
from tests.conftest import Command
from tests.tasks.harness.backends.chat_server import ChatServer, chat_server
from tests.train.curation.teacher import answer, fate_of, sums, write_config

PROMPTS = 16
SAMPLES = 3


def curate(command: Command, config: Path, *more: str, **settings: Any) -> str:
    ended = command("sftgen", "curate", "--config", config, *(more or ("--processes", "1")), **settings)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def refused(command: Command, config: Path, *more: str, **settings: Any) -> str:
    ended = command("sftgen", "curate", "--config", config, *more, **settings)
    assert ended.returncode == 2, ended.stdout
    assert "Traceback" not in ended.stderr
    return " ".join(ended.stderr.split())


def rows_of(folder: Path, cache: Path) -> list[dict[str, Any]]:
    return list(load_dataset(str(folder), split="train", cache_dir=str(cache)))


def fates(server: ChatServer) -> Counter[str]:
    return Counter(fate_of(body["messages"][-1]["content"], body["seed"]) for body in server.asked)


@pytest.fixture(scope="module")
def pool(command: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Counter[str]]:
    """A configuration whose pool was made without a stop, what the command said, and what the teacher answered."""
    folder = tmp_path_factory.mktemp("pool")
    with chat_server(answer) as server:
        config = write_config(folder / "b", server, sums(PROMPTS))
        said = curate(command, config)
        return config, said, fates(server)


def test_a_killed_pool_goes_on_and_its_sets_are_those_of_one_that_was_not(
    command: Command, pool: tuple[Path, str, Counter[str]], tmp_path: Path
) -> None:
    with chat_server(lambda question, body: answer(question, body) if len(held.asked) <= 25 else 60.0) as held:
        config = write_config(tmp_path / "a", held, sums(PROMPTS))
        killed = commands.start("sftgen", "curate", "--config", config)
        journal = RunFolder(tmp_path / "a" / "pool").generations("curate_00001")
        while len(held.asked) < 29 or not journal.exists():  # in the second of three blocks
            assert killed.poll() is None
            time.sleep(0.01)
        killed.kill()
        killed.wait()
    stood = 18 + len(journal.read_text().splitlines())
    with chat_server(answer) as server:
        config.write_text(config.read_text().replace(held.url, server.url))  # it comes back elsewhere
        said = curate(command, config, "--processes", "2")
        assert len(server.asked) == PROMPTS * SAMPLES - stood
        assert curate(command, config).replace(" (stood before)", "") == said
        assert len(server.asked) == PROMPTS * SAMPLES - stood  # no model is asked for what stands
    whole = pool[1].replace(str(pool[0].parent), str(tmp_path / "a"))
    assert said == whole  # the same counts and content hashes


def test_every_count_from_prompts_to_rows_is_told(pool: tuple[Path, str, Counter[str]], tmp_path: Path) -> None:
    config, said, asked = pool
    made = config.parent / "pool" / "sets"
    manifest = read_manifest(made / "one")
    counts = manifest["made_of"]
    assert said.splitlines()[0] == f"{PROMPTS} prompts, {PROMPTS} asked"
    assert {name: counts[name] for name in ("prompts", "generated", "right", "truncated", "empty")} == {
        "prompts": PROMPTS, "generated": PROMPTS * SAMPLES, "right": asked["right"], "truncated": asked["cut"],
        "empty": asked["nothing"],
    }  # fmt: skip
    assert counts["finished"] == asked["right"] + asked["wrong"]
    assert counts["step 1 right: responses"] == asked["right"]
    assert counts["selected"] == manifest["rows"] == counts["step 2 random: prompts"]
    assert manifest["teacher"]["sampling"] == {
        "temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.0, "max_tokens": 16_384, "further": {},
    }  # fmt: skip
    assert manifest["recipe"]["pool"]["grader"] == {"name": "exact", "version": 2}
    assert manifest["recipe"]["recipe"] == {"name": "random-correct", "version": 1}
    card = (made / "one" / "README.md").read_text()
    assert "One verified response a prompt, chosen at random." in card
    assert f"| generated | {PROMPTS * SAMPLES} |" in card


def test_rows_have_the_published_columns_or_those_of_trl(
    pool: tuple[Path, str, Counter[str]], tmp_path: Path, command: Command
) -> None:
    made = pool[0].parent / "pool" / "sets"
    published = rows_of(made / "one", tmp_path / "cache")
    assert list(published[0]) == [
        "data_source", "question", "answer", "message", "response", "response_length", "advantage", "id", "sample",
        "level",
    ]  # fmt: skip
    for row in published:
        number = int(row["id"].partition("-")[2])
        assert row["question"] == f"What is {number} + {number + 1}?"
        assert row["message"] == [{"role": "user", "content": row["question"]}]
        assert row["response"].startswith("<think>\nhm")
        assert row["response"].endswith(f"</think>\n\nIt is \\boxed{{{2 * number + 1}}}.")
        assert (row["answer"], row["level"]) == (str(2 * number + 1), str(number % 3))
    ended = command("sftgen", "data", "verify", made / "one", "--grader", "exact")
    assert f"{len(published)} rows: {len(published)} right" in ended.stdout
    chats = rows_of(made / "two", tmp_path / "cache")
    assert Counter(row["id"] for row in chats) == {f"sum-{n}": 2 for n in range(PROMPTS)}
    assert [turn["role"] for turn in chats[0]["messages"]] == ["user", "assistant"]
    said = [row["messages"][1]["content"] for row in chats]
    closed = [text for text in said if text.startswith("[hm") and "] It is \\boxed{" in text]
    assert closed  # as the set writes thinking
    assert all(text.startswith("[hm") and "]" not in text for text in said if text not in ("", *closed))


def test_neither_blocks_nor_processes_nor_other_sets_change_a_set(
    command: Command, pool: tuple[Path, str, Counter[str]], tmp_path: Path
) -> None:
    with chat_server(answer) as server:
        teacher = {"logprobs": True, "args": {"num_concurrent": 8}}
        sets = {"of another": {"steps": ["random"]}, "one": {"recipe": "random-correct"}}
        config = write_config(tmp_path / "c", server, sums(PROMPTS), block=100, sets=sets, teacher=teacher)
        mistake = refused(command, config)
        assert "set 'of another': expected letters, digits, dots and hyphens" in mistake
        sets = {"best": {"steps": ["finished", {"logprob": {"keep": 1}}]}, "one": {"recipe": "random-correct"}}
        config = write_config(tmp_path / "c", server, sums(PROMPTS), block=100, sets=sets, teacher=teacher)
        curate(command, config, "--processes", "1")
        seeds = {(body["messages"][-1]["content"], body["seed"] % 5) for body in server.asked}
    one, other = (read_manifest(folder / "pool" / "sets" / "one") for folder in (pool[0].parent, tmp_path / "c"))
    assert one["content_hash"] == other["content_hash"]
    best = rows_of(tmp_path / "c" / "pool" / "sets" / "best", tmp_path / "cache")
    assert len(seeds) > PROMPTS
    assert best


BAD_ROWS = {
    "a gold that does not parse": ({"answer": "???"}, "1 unusable", "math-verify cannot parse the right answer"),
    "no gold": ({"answer": None}, "1 unusable", "no right answer"),
    "the same again": ({}, "1 same again", "stand there before"),
    "another right answer": ({"answer": "8", "uuid": "x"}, "2 disputed", "another right answer"),
    "ten million letters": ({"problem": "7" * 10_000_000}, "1 too long", "10000000 characters"),
}


def test_prompts_that_cannot_be_verified_are_kept_aside_and_counted(command: Command, tmp_path: Path) -> None:
    rows = sums(12)
    for number, (changes, _, _) in enumerate(BAD_ROWS.values()):
        fresh = {"uuid": f"bad-{number}", "problem": f"{number}?", "answer": "1", "level": "1"}
        base = fresh if "problem" in changes or ("uuid" not in changes and changes) else rows[number]
        rows.append({**base, **changes})
    with chat_server(answer) as server:
        prompts, sets = {"grader": "math_verify"}, {"one": {"recipe": "random-correct"}}
        config = write_config(tmp_path / "a", server, rows, prompts=prompts, sets=sets, teacher={"samples": 1})
        said = curate(command, config)
        assert server.questions()[0].endswith("\n" + INSTRUCTION)
        assert len(server.asked) == 11  # one of the good ones is disputed
    for _, counted, _ in BAD_ROWS.values():
        kind = counted.partition(" ")[2]
        expected = sum(int(other.partition(" ")[0]) for _, other, _ in BAD_ROWS.values() if other.endswith(kind))
        assert f"{expected} {kind}" in said
    aside = (tmp_path / "a" / "pool" / "documents" / "aside.jsonl").read_text()
    for _, _, reason in BAD_ROWS.values():
        assert reason in aside
    assert len(aside) < 5000  # without the texts


def _with(**changes: Any) -> list[dict[str, Any]]:
    rows = sums(4)
    rows[3] |= changes
    return rows


BAD_SOURCES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "an id twice": (_with(uuid="sum-0"), {}, "1 rows have the id of another question, for example 'sum-0'"),
    "mixed kinds": (_with(level=3), {}, "column 'level' holds text in row 1 and a whole number in row 4"),
    "no question": (_with(problem=""), {}, "row 4, column 'problem': expected a question, found nothing"),
    "no column": (sums(4), {"gold": "anser"}, "row 1: no column 'anser'; found problem, answer, uuid, level"),
    "no row": ([], {}, "no rows"),
    "none usable": (_with()[:1], {"longest": 3}, "none of 1 rows can be asked: 1 too long"),
    "broken UTF-8": (b'{"problem": "\xff\xfe?"}\n', {}, "row 1: not UTF-8 at byte 14"),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_a_source_that_cannot_be_used_is_refused_before_anything_is_asked(
    command: Command, tmp_path: Path, case: str
) -> None:
    rows, prompts, says = BAD_SOURCES[case]
    config = write_config(tmp_path / "a", None, [] if isinstance(rows, bytes) else rows, prompts=prompts)
    if isinstance(rows, bytes):
        (tmp_path / "a" / "prompts.jsonl").write_bytes(rows)
    assert says in refused(command, config)
    assert not (tmp_path / "a" / "pool" / "manifest.json").exists()


def test_a_server_that_dies_costs_nothing_that_came(command: Command, tmp_path: Path) -> None:
    with chat_server(lambda question, body: answer(question, body) if len(dying.asked) <= 20 else None) as dying:
        config = write_config(tmp_path / "a", dying, sums(8), sets={"all": {"steps": ["random"], "rows": 9}})
        told = refused(command, config)
    assert "Every response that came is recorded" in told
    with chat_server(answer) as server:
        config.write_text(config.read_text().replace(dying.url, server.url))
        assert "the steps leave 8 rows, 9 are asked for" in refused(command, config)
        assert len(server.asked) == 4
        config.write_text(config.read_text().replace("rows: 9", "rows: 8"))
        assert "all: 8 rows" in curate(command, config)
        assert len(server.asked) == 4


def test_a_folder_of_another_pool_or_recipe_is_refused(
    command: Command, pool: tuple[Path, str, Counter[str]], tmp_path: Path
) -> None:
    given = yaml.safe_load(pool[0].read_text())
    changed = tmp_path / "changed.yaml"

    def says(**changes: Any) -> str:
        changed.write_text(yaml.safe_dump({**given, **changes}))
        return refused(command, changed)

    teacher = given["teacher"]
    assert "other prompts (first differ)" in says(prompts={**given["prompts"], "first": 3})
    assert "another teacher (teacher.seed differ)" in says(teacher={**teacher, "seed": 1})
    assert "holds a finished set of another recipe" in says(sets={"one": {"steps": ["random"]}})


def test_a_model_in_this_process_is_a_teacher(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    own = {"backend": "sftgen-hf", "base_url": None, "samples": 1, "sampling": {"max_tokens": 4}, "args": {}}
    sets = {"all": {"steps": ["random"]}}
    absent = write_config(tmp_path / "a", None, sums(3), sets=sets, teacher={**own, "model": str(tmp_path / "absent")})
    assert "cannot be loaded" in refused(command, absent)
    config = write_config(tmp_path / "b", None, sums(3), sets=sets, teacher={**own, "model": str(tiny_model)})
    assert "3 generated, 0 finished, 3 truncated" in curate(command, config)


LARGEST = 15


def newer_grader() -> None:
    """In the command's process: the next version of `exact`, by which no answer above `LARGEST` is right."""
    from sftgen_tasks import procedural

    known = procedural.GRADER

    def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
        verdict = known.grade(doc, response)
        return verdict if int(doc["answer"]) <= LARGEST else replace(verdict, score=0.0)

    procedural.GRADER = replace(known, version=known.version + 1, grade=grade)


def test_a_finished_pool_is_verified_again_by_a_newer_grader_and_nothing_is_generated(
    command: Command, pool: tuple[Path, str, Counter[str]], tmp_path: Path
) -> None:
    shutil.copytree(pool[0].parent / "pool", tmp_path / "pool")
    given = yaml.safe_load(pool[0].read_text()) | {"out": str(tmp_path / "pool")}
    made, before = tmp_path / "pool" / "sets", read_manifest(pool[0].parent / "pool" / "sets" / "one")
    with chat_server(answer) as server:
        given["teacher"]["base_url"] = server.url
        (tmp_path / "curate.yaml").write_text(yaml.safe_dump(given))
        again: Any = (command, tmp_path / "curate.yaml", "--processes", "1", "--reverify")
        assert "verdicts: as they were" in curate(*again)
        said = refused(command, tmp_path / "curate.yaml", before=newer_grader)
        assert "verified by version 2 of exact, and this sftgen has version 3: --reverify verifies them again" in said
        said = curate(*again, before=newer_grader)
        assert "verdicts: verified again by version 3 of exact, before by version 2" in said
        assert curate(*again, before=newer_grader).count("(stood before)") == len(given["sets"])
        assert "version 3" in refused(command, tmp_path / "curate.yaml")  # of this sftgen, which has version 2
        assert not server.asked
    one, rows = read_manifest(made / "one"), rows_of(made / "one", tmp_path / "cache")
    assert one["recipe"]["pool"]["grader"] == {"name": "exact", "version": 3}
    assert one["earlier_graders"] == [{"name": "exact", "version": 2}]
    kept = [row for row in rows_of(made / "one.exact-2", tmp_path / "cache") if int(row["answer"]) <= LARGEST]
    assert rows == kept != []
    assert one["made_of"]["generated"] == before["made_of"]["generated"]
    assert one["made_of"]["right"] < before["made_of"]["right"]
    assert "version 3, before by version 2" in (made / "one" / "README.md").read_text()


def test_mistakes_are_told_together_in_a_moment_and_without_large_libraries(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(MISTAKES)
    code = (
        "import sys\nfrom pathlib import Path\nfrom sftgen_judges.errors import SftgenError\n"
        "from sftgen_train.curation.configuration import read_curation\n"
        "try:\n    read_curation(Path(sys.argv[1]))\nexcept SftgenError as error:\n    print(error)\n"
        f"print('large:', *({LARGE} & sys.modules.keys()))"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "c.yaml")]
    ended = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=True)
    first, *told, large = ended.stdout.splitlines()
    assert large == "large:"
    assert [line.removeprefix(f"{tmp_path / 'c.yaml'}:") for line in told] == TOLD
    assert f"has {len(TOLD)} mistakes:" in first


LARGE = {"torch", "transformers", "vllm", "lm_eval", "trl", "datasets", "duckdb"}
MISTAKES = """\
out: pool
promts: {source: a.jsonl}
prompts: {source: ./absent.jsonl, grader: math_verfy, ask: "Solve it"}
teacher:
  backend: sftgen-hf
  samples: 0
  logprobs: true
  sampling: {temperatur: 0.6, top_p: 1.5}
sets:
  a: {recipe: random-corect}
  b:
    steps:
    - finishd
    - right: {keep: 2}
    - shortest: {keep: 0}
    - pass-rate: {abov: 0}
    - pass-rate
    - logprob: {end: middle}
  c: {rows: 3}
  d: {recipe: random-correct, thinking: "{answer}"}
"""
TOLD = [
    "2: promts is unknown; did you mean 'prompts'?",
    "3: prompts.ask: 'Solve it': expected {prompt}, where the question stands",
    "3: grader 'math_verfy' is unknown; did you mean 'math_verify'?",
    "3: prompts.source './absent.jsonl': no such file",
    "6: teacher.samples: '0': input should be greater than or equal to 1",
    "7: teacher.logprobs: sftgen-hf tells no log-probabilities; sftgen-vllm and sftgen-chat do",
    "8: teacher.sampling.top_p: '1.5': input should be less than or equal to 1",
    "8: teacher.sampling.temperatur is unknown; did you mean 'temperature'?",
    "10: recipe 'random-corect' is unknown; did you mean 'random-correct'?",
    "13: selector 'finishd' is unknown; did you mean 'finished'?",
    "14: selector 'right' takes no options, found keep",
    "15: sets.b.steps.2.shortest.keep: '0': input should be greater than or equal to 1",
    "16: sets.b.steps.3.pass-rate.abov is unknown; did you mean 'above'?",
    "17: sets.b.steps.4.pass-rate: expected at least one of above, least, below and most",
    "18: sets.b.steps.5.logprob.end: 'middle': input should be 'highest' or 'lowest'",
    "19: sets.c: expected one of `recipe` and `steps`",
    "20: sets.d.thinking: '{answer}': expected {thinking} and after it {answer}",
]
