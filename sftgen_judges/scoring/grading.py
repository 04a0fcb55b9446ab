"""Grading in batch: known verdicts are looked up; each new verdict is written to disk as soon as it exists.

A grader that raises, hangs or dies costs one verdict, never the batch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sftgen_judges.asking.ask import identity, judge_items, judges_all
from sftgen_judges.asking.settings import settings_for
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Grader, Item, Judge
from sftgen_judges.progress import stage
from sftgen_judges.records.columns import VERDICTS
from sftgen_judges.records.journal import append_rows, whole_rows
from sftgen_judges.records.schema import Verdict, content_hash
from sftgen_judges.scoring import process_pool as workers
from sftgen_judges.scoring.telling import told

logger = logging.getLogger(__name__)


def grade_batch(
    scorer: Grader | Judge,
    items: Sequence[Item],
    *,
    journal: Path | None = None,
    writing: Callable[[], AbstractContextManager[None]] = nullcontext,
    label: str = "",
    final: bool = True,
) -> list[Verdict]:
    """Grade every item.

    Args:
        scorer: The grader or the judge. The parts of a judge are asked first, one after the other.
        items: Documents with responses; equal ones are graded once.
        journal: JSONL file of verdicts by content hash. Those of the same scorer, version, model and
            prompt are reused, except failures; new ones are appended as they come.
        writing: Held while a verdict is appended, where several processes share the journal.
        label: Title of the progress bar.
        final: Whether failures count. Otherwise the same items are graded again later, which tells of those that stay.

    Returns:
        One verdict an item, in order.
    """
    if isinstance(scorer, Judge) and scorer.parts:
        parts = [
            grade_batch(part, items, journal=journal, writing=writing, label=f"{label} {part.name}", final=final)
            for part in scorer.parts
        ]
        items = [replace(item, verdicts=said) for item, said in zip(items, zip(*parts, strict=True), strict=True)]
        journal = None  # the verdicts of its parts are in the journal; combining them costs nothing
    keys = [_key(scorer, item) for item in items]
    known = _known(journal, set(keys)) if journal else {}
    missing = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
    graded = _verdicts(scorer, list(missing.values()), _replied(scorer, journal) if missing else "")
    order = list(missing)
    with stage(f"grading {label}", len(missing)) as more:
        for position, verdict in graded:
            key = order[position]
            known[key] = verdict
            if journal and not (isinstance(scorer, Judge) and _nobody_asked(verdict)):
                with writing():
                    append_rows(journal, [{"key": key, "scorer": scorer.name, **verdict.to_dict()}])
            more()
    verdicts = [known[key] for key in keys]
    if isinstance(scorer, Judge) and scorer.paper and not _judges_all(scorer):
        # Of some responses only; their mean would not be that of the paper's rule.
        verdicts = [replace(verdict, paper=None) for verdict in verdicts]
    if not final:
        return verdicts
    failed = [place for place, verdict in enumerate(verdicts) if verdict.score is None]
    if failed:
        first = told(verdicts[failed[0]].reason, items[failed[0]])
        logger.warning("%s: %d of %d responses not graded. First: %s", label, len(failed), len(verdicts), first)
        with suppress(SftgenError):  # settings that cannot be used: the verdicts say so
            if isinstance(scorer, Judge) and too_many_missing(scorer, verdicts):
                logger.warning("%s: incomplete, more than %.0f%% missing", label, 100 * allowed_missing(scorer))
    unclosed = sum(map(_paper_failed, verdicts))
    if unclosed and not (isinstance(scorer, Judge) and scorer.parts):
        logger.warning("%s: %d judgements of responses without an answer failed, for `paper` scores", label, unclosed)
    return verdicts


def _judges_all(judge: Judge) -> bool:
    try:
        return judges_all(judge)
    except SftgenError:  # settings that cannot be used: the verdicts say so
        return False


def _nobody_asked(verdict: Verdict) -> bool:
    """Whether no judge was asked, so that there is no verdict to keep."""
    return verdict.status == "not_graded" or (_paper_failed(verdict) and not verdict.evidence)


def _to_ask_again(verdict: Verdict) -> bool:
    """Whether a judgement is missing: the only one, or that of a response that is judged for its `paper` score."""
    return verdict.score is None or _paper_failed(verdict)


def _paper_failed(verdict: Verdict) -> bool:
    return bool(dict(verdict.measures).get("paper_failed"))


def too_many_missing(scorer: Grader | Judge, verdicts: Sequence[Verdict]) -> bool:
    """Whether so many verdicts are missing that the run is incomplete (`SFTGEN_JUDGE_MAX_MISSING`)."""
    missing = sum(map(_to_ask_again, verdicts))
    return missing > allowed_missing(scorer) * len(verdicts)


def allowed_missing(scorer: Grader | Judge) -> float:
    """The share of verdicts that may be missing: 0 for a grader, `max_missing` of the settings for a judge.

    A judge that is made of others and has no setting of its own allows what the most patient of its parts allows.
    """
    if not isinstance(scorer, Judge):
        return 0.0
    settings = settings_for(scorer)
    own = "max_missing" in settings.model_fields_set
    return settings.max_missing if own or not scorer.parts else max(map(allowed_missing, scorer.parts))


def _key(scorer: Grader | Judge, item: Item) -> str:
    response = item.response
    kind = type(scorer).__name__
    # The answer too: with other thinking markers the same text has another answer.
    read: tuple[Any, ...] = (response.text, response.answer, response.think, response.finish_reason)
    if response.turn_end is not None:
        read = (*read, {"turn_end": response.turn_end})
    if isinstance(scorer, Judge) and scorer.needs and (asked := identity(scorer, item)):
        # A request contains everything that the judge reads of the document.
        return content_hash(kind, scorer.name, scorer.version, {} if scorer.prompt else dict(item.doc), *read, asked)
    return content_hash(kind, scorer.name, scorer.version, dict(item.doc), *read)


def _known(journal: Path, wanted: set[str]) -> dict[str, Verdict]:
    fields = Verdict.__dataclass_fields__
    known: dict[str, Verdict] = {}
    keys = {key.encode() for key in wanted}

    def other(line: bytes) -> bool:
        """Whether a line, which begins `{"key": "..."`, is another response's."""
        return line.startswith(b'{"key": "') and line[9:73] not in keys

    for row in whole_rows(journal, VERDICTS, other):
        found: dict[str, Any] = {name: row[name] for name in fields if name in row}
        # A damaged row, or a row of another version of sftgen, is graded again.
        with suppress(ValueError, TypeError, KeyError):
            verdict = Verdict(**found)
            if not _to_ask_again(verdict):  # a failure is tried again
                known[row["key"]] = verdict
    return known


_TAIL = 1_000_000
"""Bytes at the end of a journal in which the latest verdict of a judge is looked for."""


def _replied(scorer: Grader | Judge, journal: Path | None) -> str:
    """The model that gave a judge's latest verdict in the journal, as its server named it; empty where none did."""
    if journal is None or not isinstance(scorer, Judge) or not scorer.needs or not journal.exists():
        return ""
    try:
        asked = settings_for(scorer).model
    except SftgenError:  # asking fails in the same way, and reports it
        return ""
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - _TAIL))
        lines = file.read().split(b"\n")
    for line in reversed(lines):
        with suppress(ValueError, RecursionError):
            row = json.loads(line.decode("utf-8", "surrogatepass"))
            evidence = row.get("evidence") if isinstance(row, dict) else None
            if not isinstance(evidence, dict) or row.get("score") is None or row.get("scorer") != scorer.name:
                continue
            if evidence.get("asked_model") == asked and isinstance(evidence.get("model"), str):
                return str(evidence["model"])
    return ""


def _verdicts(scorer: Grader | Judge, items: Sequence[Item], replied: str = "") -> Iterator[tuple[int, Verdict]]:
    """A position and a verdict for each item, whatever the scorer does."""
    if isinstance(scorer, Judge):
        yield from _in_batch(
            partial(judge_items, scorer, replied=replied), f"judge {scorer.name!r}", "judge_error", items
        )
        return
    if scorer.grade_all:
        yield from _in_batch(scorer.grade_all, f"grader {scorer.name!r}", "not_graded", items)
        return
    for position, outcome in enumerate(_outcomes(scorer, items)):
        try:
            verdict = outcome()
            if not isinstance(verdict, Verdict):
                raise TypeError(f"grader {scorer.name!r} returned {type(verdict).__name__}, expected Verdict")
        except (Exception, SystemExit) as error:
            verdict = Verdict("not_graded", reason=_describe(error))
        yield position, verdict


def _outcomes(grader: Grader, items: Sequence[Item]) -> Iterator[Callable[[], Verdict]]:
    if grader.time_limit is None:
        for item in items:
            yield lambda item=item: grader.grade(item.doc, item.response)  # type: ignore[misc]
        return
    # All jobs are submitted before the first result is awaited.
    jobs = [(dict(item.doc), item.response) for item in items]
    yield from workers.submit_all(grader.grade, jobs, time_limit=grader.time_limit, chunk=grader.chunk)


def _in_batch(
    score: Callable[[Sequence[Item]], Iterable[Verdict | tuple[int, Verdict]]],
    name: str,
    failure: Literal["judge_error", "not_graded"],
    items: Sequence[Item],
) -> Iterator[tuple[int, Verdict]]:
    left = dict.fromkeys(range(len(items)))
    reason = f"the {name.partition(' ')[0]} stopped early"
    try:
        for given in score(items) if left else ():
            position, verdict = given if isinstance(given, tuple) else (next(iter(left)), given)
            if not isinstance(verdict, Verdict):
                raise TypeError(f"{name} gave {type(verdict).__name__}, expected Verdict")
            del left[position]
            yield position, verdict
            if not left:
                break
    except (Exception, SystemExit) as error:
        reason = _describe(error)
    for position in left:
        yield position, Verdict(failure, reason=reason)


def _describe(error: BaseException) -> str:
    """The kind of error and its message, short: a message may quote the response."""
    kind = "" if isinstance(error, workers.CallError) else f"{type(error).__name__}: "
    return f"{kind}{error}"[:200]
