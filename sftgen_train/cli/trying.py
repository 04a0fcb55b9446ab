"""`sftgen try`: a task without a model, its prompt and answers graded by its own rule."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from sftgen_train.cli.completing import complete_task
from sftgen_train.cli.console import Metadata, console, one_task, say
from sftgen_train.cli.tasks import LONGEST_PROMPT

if TYPE_CHECKING:
    from sftgen_tasks.harness.trying import Trial

LONGEST_ANSWER = 600
LARGEST_FILE = 10_000_000


def try_task(
    task: Annotated[str, typer.Argument(help="The task.", autocompletion=complete_task)],
    *,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many documents.")] = 3,
    doc: Annotated[int, typer.Option(min=0, help="The first document, counted from 0.")] = 0,
    answer: Annotated[Optional[str], typer.Option(help="Grade this answer instead, to one document.")] = None,  # noqa: UP045
    answer_file: Annotated[Optional[Path], typer.Option(help="The same from a file.")] = None,  # noqa: UP045
    model: Annotated[Optional[str], typer.Option(help="Show prompts through the chat template of this model.")] = None,  # noqa: UP045
    metadata: Metadata = "",
    with_harmful_texts: Annotated[
        bool, typer.Option("--with-harmful-texts", help="Show questions of safety tasks too.")
    ] = False,
) -> None:
    """Try a task without a model: its prompt, and a right and a wrong answer, graded by its own rule.

    The answers are made of the documents' own gold. The exit code is 1 if one of them is graded otherwise.
    """
    from sftgen_judges.errors import SftgenError
    from sftgen_tasks import load_tasks
    from sftgen_tasks.harness import trying
    from sftgen_train.cli.doctor import load_tokenizer
    from sftgen_train.curation.contamination.benchmarks import without_hints
    from sftgen_train.evaluation.schedule import parse_mapping

    if answer is not None and answer_file:
        raise SftgenError("--answer and --answer-file: give one of the two")
    given = _read(answer_file) if answer_file else answer
    tokenizer = load_tokenizer(model) if model else None
    name = one_task(task)
    with without_hints():
        loaded = load_tasks([name], parse_mapping("--metadata", metadata)).tasks[name]
    count = len(loaded.test_docs())
    if doc >= count:
        raise SftgenError(f"--doc {doc}: {name} has {count:,} documents, counted from 0")
    asked, scorer = trying.asked(loaded), loaded.grading.scorer()
    kind = type(scorer).__name__.lower()
    say(f"{name}: {count:,} documents, scored by {kind} {scorer.name}")
    trials = trying.try_task(loaded, 1 if given is not None else n, first=doc, given=given)
    for trial in trials:
        _print(trial, tokenizer, hidden=trial.sensitive and not with_harmful_texts)
    if asked:
        say(f"\n{asked}")
        say("Nothing was graded. `sftgen judge run` asks a judge about answers in a file.")
        return
    made = [each for trial in trials for each in trial.answers if each.kind != "given"]
    if not made and given is None:
        say("\nNo answer can be made of these documents: grade your own with --answer.")
    if wrong := [each for each in made if not each.as_meant]:
        say(f"\n{len(wrong)} of {len(made)} answers are not graded as they were meant: see the lines with !")
        raise typer.Exit(1)


def _read(path: Path) -> str:
    from sftgen_judges.errors import SftgenError

    try:
        if path.stat().st_size > LARGEST_FILE:
            raise SftgenError(f"--answer-file {path}: expected at most {LARGEST_FILE:,} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SftgenError(f"--answer-file {path}: cannot be read as text ({type(error).__name__})") from error


def _print(trial: Trial, tokenizer: Any, *, hidden: bool) -> None:
    from rich.rule import Rule

    console.print(Rule(align="left", title=f"document {trial.name}".replace("[", "\\[")))
    if hidden:
        say("A question of a safety task: shown with --with-harmful-texts only.")
        return
    prompt, told = trial.prompt, "prompt, before the chat template"
    if tokenizer is not None:
        turn = [{"role": "user", "content": prompt}]
        prompt, told = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True), "prompt"
    say(f"{told}:\n{_indented(prompt, LONGEST_PROMPT)}")
    for answer in trial.answers:
        verdict = answer.verdict
        mark = "" if answer.as_meant else "! "
        say(f"{mark}{answer.kind} answer:\n{_indented(answer.text, LONGEST_ANSWER)}")
        scores = [f"score {'none' if verdict.score is None else format(verdict.score, 'g')} ({verdict.status})"]
        scores += [f"score_paper {verdict.paper:g}"] if verdict.paper is not None else []
        read = "nothing was read" if verdict.answer is None else f"read {_short(verdict.answer)!r}"
        say("  -> " + ", ".join([*scores, read, *([_short(verdict.reason)] if verdict.reason else [])]))


def _indented(text: str, longest: int) -> str:
    from sftgen_train.viewer.writing import visible

    left = len(text) - longest
    shown = visible(text[:longest]).rstrip("\n") + (f"\n... and {left:,} characters more" if left > 0 else "")
    return textwrap.indent(shown, "  ", lambda _: True)


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:120]}..."
