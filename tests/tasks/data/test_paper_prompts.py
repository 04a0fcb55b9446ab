"""`sftgen paper-prompts`: prompts out of a clone that may hold anything."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sftgen_judges.errors import SftgenError
from sftgen_tasks.data.paper_prompts.clone import LARGEST
from sftgen_train.cli.main import app
from tests.conftest import Command
from tests.tasks.data.paper_clone import COMMIT, FILES, place, write_clone

PUBLISHED = {"ifeval", "truthfulqa"}
"""The clone's texts that are the published ones: little more than a field."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return write_clone(tmp_path / "clone")


def read(clone: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """What the command does: exit code, what it prints in one line, and the prompts that it wrote."""
    out = clone.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    result = CliRunner().invoke(app, ["paper-prompts", str(clone), "--out", str(out), *options], env={"COLUMNS": "300"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    held = json.loads((out / "prompts.json").read_text())
    return result.exit_code, result.output, held


def test_every_prompt_is_read_out_of_a_clone(command: Command, clone: Path) -> None:
    out = clone.parent / "out"
    done = command("sftgen", "paper-prompts", clone, "--out", out, "--accept-unknown")
    assert done.returncode == 0, done.stderr
    assert "7 of 7 prompts" in done.stdout
    held = json.loads((out / "prompts.json").read_text())
    assert (held["schema"], held["commit"]) == (1, COMMIT)
    texts = {
        name: {text: "".join(lines) for text, lines in entry["texts"].items()}
        for name, entry in held["prompts"].items()
    }
    options = {"option": "{letter}> {option}", "between": " | "}
    facts, end = "\n\n*Facts: {knowledge}\n", "\n*Weighed:"
    code = " ```python\n# CODE\n```."
    assert texts == {
        "ifeval": {"prompt": "Question: {prompt}\nAnswer:"},
        "truthfulqa": {"prompt": "\n\nQ: {question}"},
        "gpqa_diamond": {
            "prompt": "Riddle: {question}\nWays out: {options}\nPonder, then box it: \\boxed{}.",
            **options,
        },
        "mmlu_pro": {
            "prompt": "Riddle:\n{question}\nWays out:\n{options}Ponder, then box the letter: \\boxed{}.",
            "option": "{letter}> {option}\n",
            "between": "",
        },
        "halueval": {
            "qa": f'You weigh answers.\nSay "Yes" or "No".{facts}*Q: {{question}}\n*A: {{answer}}{end}',
            "dialogue": f"You weigh replies.{facts}*Talk: {{dialogue_history}}\n*Reply: {{response}}{end}",
            "summarization": "You weigh summaries.\n\n*Page: {document}\n*Short: {summary}\n*Weighed:",
        },
        "lcb_v2": {
            "stdin": f"You write programs.{{question_content}}Read and print.{code}",
            "function": f"You write programs.{{question_content}}Return a function.{code}",
        },
        "hex_phi": {"judge": (out / "hex_phi_judge.txt").read_text()},
    }
    assert texts["hex_phi"]["judge"].startswith(
        "\nYou hold a model to house rules: {none}.\n\n<told>\n{question}\n<said>"
    )
    assert {name for name, entry in held["prompts"].items() if entry["known"]} == PUBLISHED


def test_an_unknown_text_is_taken_only_when_that_is_asked_for(clone: Path) -> None:
    code, said, held = read(clone)
    assert code == 1
    assert set(held["prompts"]) == PUBLISHED
    assert said.count("unknown and not taken: read it, then pass --accept-unknown") == 5
    assert "2 of 7 prompts" in said
    assert "You weigh" not in said  # no text of a stranger is printed


def test_a_file_of_another_commit_with_the_same_text_is_known(clone: Path) -> None:
    path = place(clone, "ifeval")
    path.write_text("# moved\n" + path.read_text().replace("/some/where", "../data").replace("\n", "\r\n"))
    assert read(clone)[2]["prompts"]["ifeval"]["known"]


def test_a_clone_without_anything_is_refused(command: Command, tmp_path: Path) -> None:
    for given, says in ((tmp_path / "absent", "is no folder"), (tmp_path, "no prompt was taken")):
        done = command("sftgen", "paper-prompts", given, "--out", tmp_path / "out")
        assert done.returncode == 2
        assert says in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def link_out(path: Path) -> None:
    secret = next(parent for parent in path.parents if parent.name == "clone").with_name("secret")
    secret.write_text(path.read_text())
    path.unlink()
    path.symlink_to(secret)


def link_folder(path: Path) -> None:
    other = path.parent.with_name("other")
    path.parent.rename(other)
    path.parent.symlink_to(other, target_is_directory=True)


def large(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(50 << 20)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put(text: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(text)

    return change


def swap(before: str, after: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    return change


HOSTILE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "no file": ("ifeval", Path.unlink, "no such file"),
    "a link out": ("mmlu_pro", link_out, "a link, or below a link"),
    "below a link": ("mmlu_pro", link_folder, "a link, or below a link"),
    "50 MB": ("halueval", large, f"more than {LARGEST:,} bytes"),
    "a pipe": ("lcb_v2", pipe, "not a regular file"),
    "a folder": ("lcb_v2", lambda path: path.unlink() or path.mkdir(), "not read"),
    "bytes": ("gpqa_diamond", lambda path: path.write_bytes(b"\xff\xfe"), "not UTF-8"),
    "broken Python": ("gpqa_diamond", put("PROMPT = ("), "not Python, line 1"),
    "nested Python": ("gpqa_diamond", put(f"PROMPT = {'-' * 50_000}1"), "not Python"),
    "Python that runs": ("hex_phi", put("raise SystemExit(9)"), "no text judge_template"),
    "a text that is computed": ("hex_phi", put("judge_template = open('/etc/passwd').read()"), "no text judge"),
    "a text that was changed": ("hex_phi", put("judge_template = 'a {instruction}'"), "{question}, {response}, found"),
    "an attribute": ("hex_phi", swap("{response}", "{response.__class__}"), "a format that is not read"),
    "an index": ("hex_phi", swap("{response}", "{response[0]}"), "a format that is not read"),
    "a conversion": ("hex_phi", swap("{response}", "{response!r}"), "a format that is not read"),
    "a text like a place": ("hex_phi", swap("{{none}}", "{{question}}"), "a text that looks like a place"),
    "another field": ("halueval", swap('doc["answer"]', 'doc["secret"]'), "expected the places"),
    "a call": ("halueval", swap('doc["answer"]', "open(doc)"), "returns no text|expression that is not read"),
    "a statement": ("mmlu_pro", swap('prompt += "Ways', 'import os; prompt += "Ways'), "a statement that is not read"),
    "another decision": ("mmlu_pro", swap("if including", "if not including"), "a decision that is not read"),
    "another loop": ("mmlu_pro", swap("enumerate(options)", "zip(options)"), "a loop that is not read"),
    "letters of another alphabet": ("mmlu_pro", swap('"B", "C"', '"C", "B"'), "an expression that is not read"),
    "a text that doubles": (
        "mmlu_pro", swap('prompt += "Ways', "prompt += prompt\n    " * 30 + 'prompt += "Ways'), "more than 1,000 parts",
    ),
    "texts that double": (
        "hex_phi", put("a0 = 'x'\n" + "".join(f"a{n + 1} = a{n} + a{n}\n" for n in range(40))), "no text judge",
    ),
    "two functions": ("halueval", lambda path: path.write_text(path.read_text() * 2), "2 functions doc_to_text_qa"),
    "broken YAML": ("ifeval", put("doc_to_text: ["), "not YAML"),
    "nested YAML": ("ifeval", put("doc_to_text: " + "[" * 5_000), "nested too deeply"),
    "a tag that runs": ("ifeval", put("doc_to_text: !!python/object/apply:os.system [exit]"), "not YAML, line 1"),
    "a function": ("ifeval", put("doc_to_text: !function os.getcwd"), "doc_to_text is no text"),
    "no mapping": ("ifeval", put("- a"), "no doc_to_text"),
    "a template that calls": ("ifeval", put("doc_to_text: '{{ prompt.upper() }}'"), "a template that is not read"),
    "a template that loops": ("ifeval", put("doc_to_text: '{% for a in b %}{% endfor %}'"), "a template that is not"),
    "a broken template": ("ifeval", put("doc_to_text: '{{ prompt'"), "doc_to_text is no template"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_read_is_named_and_the_rest_is_read(clone: Path, case: str) -> None:
    name, spoil, says = HOSTILE[case]
    spoil(place(clone, name))
    code, said, held = read(clone, "--accept-unknown")
    assert code == 1
    assert set(held["prompts"]) == set(FILES) - {name}
    [line] = [line for line in said.splitlines() if "not read: " in line]
    assert line.split()[0] == name
    assert re.search(says, line) if "|" in says else says in line


@pytest.mark.parametrize(
    ("head", "commit"),
    [
        (COMMIT, COMMIT),
        ("ref: refs/heads/other", "f" * 40),
        ("ref: refs/heads/absent", None),
        ("ref: refs/heads/../../../secret", None),
        ("ref: /etc/passwd", None),
        (None, None),
    ],
)
def test_the_commit_is_told_where_it_is_known(clone: Path, head: str | None, commit: str | None) -> None:
    (clone / ".git" / "packed-refs").write_text(f"# pack-refs\n{'f' * 40} refs/heads/other\n")
    (clone.parent / "secret").write_text("e" * 40)
    (clone / ".git" / "HEAD").write_text(f"{head}\n") if head else shutil.rmtree(clone / ".git")
    assert read(clone)[2]["commit"] == commit


def test_control_codes_of_a_path_do_not_reach_the_terminal(clone: Path) -> None:
    odd = clone.with_name("\x1b[31mred")
    odd.mkdir()
    with pytest.raises(SftgenError, match="no prompt was taken") as caught:
        read(odd)
    assert "\x1b" not in str(caught.value)
