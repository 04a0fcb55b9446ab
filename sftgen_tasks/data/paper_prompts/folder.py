"""The folder that holds the prompts which were read: `prompts.json`, and the judge's prompt as a text file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sftgen_judges.records.journal import write_atomic
from sftgen_tasks.data.paper_prompts.texts import PLACES, REPOSITORY, PaperPromptError, Template

SCHEMA = 1
FILE, JUDGE = "prompts.json", "hex_phi_judge.txt"
LARGEST = 1 << 20
"""Bytes of a file of the folder that is read."""
COMMAND = f"clone {REPOSITORY} and run `sftgen paper-prompts CLONE --out FOLDER`"


def write_folder(folder: Path, templates: Sequence[Template], commit: str | None) -> None:
    """Write what was read; of a text, one line of the file is one line.

    Args:
        folder: The folder; it is made.
        templates: What was read.
        commit: The commit of the clone, where that is known.
    """
    prompts = {
        template.name: {
            "source": template.source,
            "sha256": template.sha256,
            "known": template.known,
            "texts": {name: text.splitlines(keepends=True) for name, text in template.texts.items()},
        }
        for template in templates
    }
    folder.mkdir(parents=True, exist_ok=True)
    for template in templates:
        if template.name == "hex_phi":
            write_atomic(folder / JUDGE, template.texts["judge"])
    held = {"schema": SCHEMA, "repository": REPOSITORY, "commit": commit, "prompts": prompts}
    write_atomic(folder / FILE, json.dumps(held, indent=1, ensure_ascii=False) + "\n")


def read_template(folder: Path, name: str) -> Template:
    """The texts of one name.

    Raises:
        PaperPromptError: The folder does not hold them, or they were changed since.
    """
    path = folder / FILE
    held = _read(path)
    if held.get("schema") != SCHEMA:
        raise PaperPromptError(
            f"{path}: schema {held.get('schema')!r}, expected {SCHEMA}: make the folder again, {COMMAND}"
        )
    prompts = held.get("prompts")
    entry = prompts.get(name) if isinstance(prompts, dict) else None
    if entry is None:
        raise PaperPromptError(f"{path} holds no prompt of {name}: {COMMAND}; it says what it did not find and why")
    try:
        texts = {text: "".join(entry["texts"][text]) for text in PLACES[name]}
        template = Template(name, texts, str(entry["source"]))
    except (KeyError, TypeError) as error:
        raise PaperPromptError(
            f"{path}: the prompt of {name} is malformed: make the folder again, {COMMAND}"
        ) from error
    if template.sha256 != entry.get("sha256"):
        raise PaperPromptError(
            f"{path}: the prompt of {name} was changed since it was read (sha256 {template.sha256[:16]}, expected "
            f"{str(entry.get('sha256'))[:16]}): make the folder again, {COMMAND}"
        )
    return template


def judge_file(folder: Path, template: Template) -> Path:
    """The file of the folder that holds the judge's prompt.

    Raises:
        PaperPromptError: It is absent, or holds another text.
    """
    path = folder / JUDGE
    try:
        same = path.stat().st_size <= LARGEST and path.read_bytes() == template.texts["judge"].encode()
    except OSError:
        same = False
    if not same:
        raise PaperPromptError(f"{path} does not hold the judge's prompt of {FILE}: make the folder again, {COMMAND}")
    return path


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        held = json.loads(data) if len(data) <= LARGEST else None
    except OSError as error:
        raise PaperPromptError(f"{path}: {error.strerror}. To make the folder, {COMMAND}") from error
    except (ValueError, RecursionError) as error:
        raise PaperPromptError(f"{path}: not JSON: make the folder again, {COMMAND}") from error
    if not isinstance(held, dict):
        raise PaperPromptError(
            f"{path}: expected a JSON object of at most {LARGEST:,} bytes: make the folder again, {COMMAND}"
        )
    return held
