"""What scores a response by a rule: `Grader`, and the `Item` it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftgen_judges.records.schema import Response, Verdict


@dataclass(frozen=True)
class Item:
    """One response with the document it answers: what a grader or judge is given.

    Attributes:
        doc: The document. Judges that ask a model read the columns `question` and, some, `reference`.
        response: The response.
        verdicts: What the parts of a judge that has parts said of it, in their order.
    """

    doc: Mapping[str, Any]
    response: Response
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True)
class Grader:
    """Scores one response by a rule.

    Attributes:
        name: The name it is registered under.
        version: Raised when the rule changes; older verdicts are then not reused.
        grade: Pure function of document and response.
        time_limit: Seconds for one response. With a limit, `grade` runs in a worker process that is
            stopped when it takes longer, so it must be a module-level function. Without, it runs here.
        chunk: Responses that a worker takes at once, for a rule that takes less time than handing a
            response over. If one fails, the others are still graded.
        grade_all: The same rule for many responses at once, for a grader that spreads them over the cores
            itself; `grade` and its limit are then not used in a batch. Yields as `Judge.judge` does.
        canonical: One way to write answers that are the same, for the vote `maj@k` of several samples. Without it
            there is no such vote, for example over programs.
        unusable: Why it cannot score responses to a document, in a few words, for example of a right answer that it
            cannot read; empty where it can.
    """

    name: str
    version: int
    grade: Callable[[Mapping[str, Any], Response], Verdict]
    time_limit: float | None = None
    chunk: int = 1
    grade_all: Callable[[Sequence[Item]], Iterable[Verdict | tuple[int, Verdict]]] | None = None
    canonical: Callable[[str], str] | None = None
    unusable: Callable[[Mapping[str, Any]], str] | None = None
