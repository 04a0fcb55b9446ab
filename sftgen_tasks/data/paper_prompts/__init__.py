"""The prompts of the paper's code: read from a user's clone into a folder, and asked from there.

The texts are the publication's and are not shipped. `sftgen paper-prompts CLONE --out FOLDER` reads them
(`extraction`), and `--metadata prompts=paper,paper_prompts=FOLDER` asks them (`asking`).
"""

from sftgen_tasks.data.paper_prompts.asking import Asked, PaperPrompt, asked_prompts, note_original
from sftgen_tasks.data.paper_prompts.texts import PaperPromptError

__all__ = ["Asked", "PaperPrompt", "PaperPromptError", "asked_prompts", "note_original"]
