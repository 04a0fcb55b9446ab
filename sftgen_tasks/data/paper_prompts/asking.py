"""Asking the paper's prompts: what lm_eval's metadata ask for, and the prompt of a document."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftgen_judges.records.schema import doc_hash
from sftgen_tasks.data.paper_prompts.folder import COMMAND, judge_file, read_template
from sftgen_tasks.data.paper_prompts.texts import PaperPromptError, Template

logger = logging.getLogger(__name__)

VARIABLE = "SFTGEN_PAPER_PROMPTS"
Doc = Mapping[str, Any]
_originals: dict[str, Doc] = {}


def note_original(doc: Doc, **fields: Any) -> None:
    """Remember fields of a document as the data set has them, where the document has them without blanks around.

    The paper's prompts show these blanks. The document stays the same for both prompts, so that they compare.
    """
    if any(doc[name] != value for name, value in fields.items()):
        _originals[doc_hash(doc)] = fields


def _all_fields(doc: Doc) -> Doc:
    return doc


@dataclass(frozen=True)
class PaperPrompt:
    """What a benchmark says of its prompt in the paper's code; its YAML names it as `paper_prompt`.

    Attributes:
        name: Of the texts (`texts.PLACES`).
        text: Which of them a document is asked with.
        fields: What the places of the text stand for.
    """

    name: str
    text: Callable[[Doc], str] = lambda _: "prompt"
    fields: Callable[[Doc], Doc] = _all_fields

    def ask(self, template: Template, doc: Doc) -> str:
        """The user turn."""
        original = _originals.get(doc_hash(doc), {}) if _originals else {}
        return template.render(self.text(doc), {**self.fields(doc), **original})


@dataclass(frozen=True)
class Asked:
    """The prompts that a task asks.

    Attributes:
        template: The paper's; None for our own.
        prompt: The user turn of a document; None where the task's own stays.
        judge_template: The file with the judge's prompt; None where it stays.
    """

    template: Template | None = None
    prompt: Callable[[Doc], str] | None = None
    judge_template: Path | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest and the results."""
        if self.template is None:
            return {"asked": "own"}
        return {
            "asked": "paper",
            "source": self.template.source,
            "sha256": self.template.sha256,
            "known": self.template.known,
        }


def asked_prompts(paper: PaperPrompt | None, metadata: Mapping[str, Any]) -> Asked | None:
    """The prompts that metadata ask a task for; None where the task has only one.

    Args:
        paper: The task's prompt in the paper's code; None where it is our own too.
        metadata: `prompts` is `own` or `paper`; `paper_prompts` the folder, else `SFTGEN_PAPER_PROMPTS` names it.

    Raises:
        PaperPromptError: `prompts` is something else, or the folder does not hold the task's prompt.
    """
    asked = metadata.get("prompts", "own")
    if asked not in ("own", "paper"):
        raise PaperPromptError(f"metadata prompts={asked!r}: expected own or paper")
    if paper is None:
        return None
    if asked == "own":
        return Asked()
    named = metadata.get("paper_prompts") or os.environ.get(VARIABLE)
    if not named:
        raise PaperPromptError(
            f"metadata prompts=paper: no folder is named. First {COMMAND}; then name the folder with "
            f"--metadata prompts=paper,paper_prompts=FOLDER or with {VARIABLE}"
        )
    folder = Path(str(named))
    template = read_template(folder, paper.name)
    if not template.known:
        logger.warning(
            "%s: the prompt of %s is not one of the published texts that sftgen knows (sha256 %s)",
            folder, paper.name, template.sha256[:16],
        )  # fmt: skip
    if "judge" in template.texts:
        return Asked(template, judge_template=judge_file(folder, template))
    return Asked(template, prompt=lambda doc: paper.ask(template, doc))
