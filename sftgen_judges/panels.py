"""A panel of judges: repeats of one judge, or different judges, that vote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from sftgen_judges.asking.settings import settings_for
from sftgen_judges.plugins.contracts import Item, Judge
from sftgen_judges.records.schema import SCORED, Verdict

Vote = Callable[[Sequence[float], int], "float | None"]


def majority(scores: Sequence[float], members: int) -> float | None:
    """The score that more than half of all members gave; None where no score has that many."""
    score, votes = Counter(scores).most_common(1)[0]
    return score if votes > members / 2 else None


def mean(scores: Sequence[float], members: int) -> float | None:
    """The mean, if more than half of all members gave a score."""
    return fmean(scores) if len(scores) > members / 2 else None


VOTES: dict[str, Vote] = {"majority": majority, "mean": mean}


def panel(name: str, judges: Sequence[Judge], vote: str = "majority") -> Judge:
    """A judge that asks several judges and takes their vote.

    Args:
        name: Name of the panel.
        judges: Its members; all have one scale.
        vote: `majority` or `mean`.

    Raises:
        ValueError: There are no members, they have different scales, or the vote is unknown.
    """
    if vote not in VOTES:
        raise ValueError(f"vote {vote!r}: expected one of {', '.join(VOTES)}")
    scales = {(judge.scale, judge.success) for judge in judges}
    if len(scales) != 1:
        raise ValueError(f"panel {name!r}: expected members on one scale, found {sorted(scales) or 'no members'}")
    [(scale, success)] = scales
    allowed = [judge.settings["max_missing"] for judge in judges if "max_missing" in judge.settings]
    settings = {"max_missing": allowed[0]} if allowed else {}
    return Judge(name, 1, scale, success, judge=partial(_count, vote), parts=tuple(judges), settings=settings)


def repeated(judge: Judge, times: int, vote: str = "majority") -> Judge:
    """A judge that asks the same model several times, each time with another seed.

    On most servers the replies differ only with a temperature above 0.
    """
    first = settings_for(judge).seed or 0
    members = [replace(judge, settings={**judge.settings, "seed": first + number}) for number in range(times)]
    return panel(judge.name, members, vote)


def _count(vote: str, items: Sequence[Item]) -> Iterator[Verdict]:
    for item in items:
        scored = [verdict for verdict in item.verdicts if verdict.status in SCORED]
        scores = [verdict.score for verdict in scored if verdict.score is not None]
        evidence = {"votes": [verdict.score for verdict in item.verdicts]}
        clipped = [measure for verdict in item.verdicts if (measure := verdict.measures.get("clipped")) is not None]
        measures = {"clipped": max(clipped)} if clipped else {}
        score = VOTES[vote](scores, len(item.verdicts)) if scores else None
        if score is None:
            status = "not_graded" if all(verdict.status == "not_graded" for verdict in item.verdicts) else "judge_error"
            first = next((verdict.reason for verdict in item.verdicts if verdict.score is None), "")
            reason = first if not scores else f"no {vote} of {len(item.verdicts)}: {len(scores)} scores"
            yield Verdict(status, reason=reason, evidence=evidence, measures=measures)  # type: ignore[arg-type]
        else:
            # Without an answer all members give the same status.
            status = scored[0].status
            answer = f"{score:g}" if status == "ok" else None
            yield Verdict(status, score, answer=answer, evidence=evidence, measures=measures)
