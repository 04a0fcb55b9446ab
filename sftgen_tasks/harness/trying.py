"""A task tried out without a model: answers made of the documents' own gold, graded by the task's own rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sftgen_judges.asking.settings import missing_settings, settings_for
from sftgen_judges.plugins.contracts import Judge
from sftgen_judges.records.schema import Verdict
from sftgen_tasks.data.documents import loaded, name_of
from sftgen_tasks.harness.task import Task

MOST_LOOKED_AT = 600
"""Documents that are looked through for some to which answers can be made."""
_OTHERS = 6
"""Golds of other documents that are tried as wrong answers."""


@dataclass(frozen=True)
class Answer:
    """An answer that was graded.

    Attributes:
        kind: `right` or `wrong`, as it was meant; `given` for a person's own.
        text: The answer.
        verdict: What the task's rule says of it.
    """

    kind: str
    text: str
    verdict: Verdict

    @property
    def as_meant(self) -> bool:
        """Whether a right answer is right and a wrong one is not; of a person's own nothing is known."""
        score = self.verdict.score
        return self.kind == "given" or (score is not None and (score >= 1) == (self.kind == "right"))


@dataclass(frozen=True)
class Trial:
    """A document that was tried.

    Attributes:
        name: The document.
        prompt: The user's turn, before the chat template.
        sensitive: Whether its texts are not to be shown.
        answers: Answers to it; none where no model is asked and no answer can be made.
    """

    name: str
    prompt: str
    sensitive: bool
    answers: tuple[Answer, ...]


def try_task(task: Task, documents: int, *, first: int = 0, given: str | None = None) -> list[Trial]:
    """Grade a right and a wrong answer to some documents, or a person's own answer.

    Args:
        task: The task, loaded.
        documents: How many. Those to which no answer can be made are passed over where others are there.
        first: The first of them.
        given: An answer that is graded in place of those made of the gold.

    Returns:
        The trials. Nothing is graded where a model would have to be asked, see `asked`.
    """
    docs = [dict(doc) for doc in islice(task.test_docs(), first, first + MOST_LOOKED_AT)]
    if asked(task):
        return [_trial(task, doc, ()) for doc in docs[:documents]]
    if given is not None:
        chosen = docs[:documents]
        verdicts = task.grading.verdicts_of([(doc, given) for doc in chosen])
        return [
            _trial(task, doc, (Answer("given", given, verdict),)) for doc, verdict in zip(chosen, verdicts, strict=True)
        ]
    made = islice(((doc, pairs) for doc in docs if (pairs := list(_made(task, doc, docs)))), documents)
    found = [(doc, pairs) for doc, pairs in made]
    verdicts = task.grading.verdicts_of([(doc, text) for doc, pairs in found for _, text in pairs])
    graded = iter(verdicts)
    trials = [
        _trial(task, doc, _best([Answer(kind, text, next(graded)) for kind, text in pairs])) for doc, pairs in found
    ]
    return trials or [_trial(task, doc, ()) for doc in docs[:documents]]


def asked(task: Task) -> str:
    """Which judge would ask which model about an answer; empty where a rule grades it."""
    scorer = task.grading.scorer()
    asking = [judge for judge in (scorer.parts or (scorer,)) if judge.needs] if isinstance(scorer, Judge) else []
    if not asking:
        return ""
    names = " and ".join(judge.name for judge in asking)
    model, missing = settings_for(asking[0]).model or "no model yet", missing_settings(scorer)
    return f"judge {names} would be asked: {model}{f'; {missing}' if missing else ''}"


def _made(task: Task, doc: Mapping[str, Any], docs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Answers that may be right, and answers that should be wrong, the best first; none where none can be made."""
    if task.examples:
        right, wrong = task.examples(doc) or ("", "")
        if right:
            yield from (("right", right), ("wrong", wrong))
        return
    gold = _gold(task, doc)
    if not gold:
        return
    others = [found for other in docs if (found := _gold(task, other)) and found != gold]
    for form in ("\\boxed{{{}}}", "{}"):
        yield "right", form.format(gold)
        yield from (("wrong", form.format(other)) for other in dict.fromkeys(others[: 10 * _OTHERS][:_OTHERS]))
    yield "wrong", "I do not know."


def _gold(task: Task, doc: Mapping[str, Any]) -> str:
    return str(task.doc_to_target(doc)).strip()


def _best(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """The first right and the first wrong answer that are graded as they are meant; else the first of each."""
    found = ([answer for answer in answers if answer.kind == kind] for kind in ("right", "wrong"))
    return tuple(next((one for one in of_kind if one.as_meant), of_kind[0]) for of_kind in found)


def _trial(task: Task, doc: Mapping[str, Any], answers: tuple[Answer, ...]) -> Trial:
    name = name_of(doc, loaded(task.config.task).id_column)
    return Trial(name, str(task.doc_to_text(doc)), bool(doc.get("sensitive")), answers)
