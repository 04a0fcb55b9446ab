"""What the pages ask the records: the SQL of the viewer, over the views of `sftgen_judges.records.query`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sftgen_judges.records.query import Records
from sftgen_train.trajectory.loading import OUTSIDE

PAGE = 50
"""Items of a page."""
LONGEST = 1_000_000
"""Characters of a response that a page reads; all of it can be downloaded."""
QUESTION = 4_000
"""Characters of a question in a list or heading."""
HARMFUL_SCORERS = frozenset({"policy", "refusal"})
"""Judges of answers to requests that a model ought to refuse."""

Row = dict[str, Any]


@dataclass(frozen=True)
class RunOutline:
    """What a run holds.

    Attributes:
        run: The run's id.
        folder: Its folder.
        facts: Its row of the view `runs`.
        steps: Steps with graded answers, ascending; `OUTSIDE` for an evaluation outside of a training.
        tasks: Tasks with graded answers, each with its steps.
        samples: Graded answers.
    """

    run: str
    folder: str
    facts: Mapping[str, Any]
    steps: tuple[int, ...] = ()
    tasks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    samples: int = 0


@dataclass(frozen=True)
class Outline:
    """The runs, in the order in which they were named.

    Attributes:
        runs: By id.
        harmful: Tasks of which texts are shown on demand only.
    """

    runs: Mapping[str, RunOutline]
    harmful: frozenset[str]


def outline(records: Records, safety: frozenset[str] = frozenset()) -> Outline:
    """Which tasks and steps the runs hold.

    Args:
        records: The runs.
        safety: Tasks that are harmful whoever judges them.
    """
    found: dict[str, dict[str, dict[int, int]]] = {}
    harmful = set(safety)
    query = f"""SELECT run, task, coalesce(step, {OUTSIDE}) AS at_step, count(*) AS n, min(scorer) AS scorer,
        max(json_exists(measures, '/asr')::INT) = 1 AS attacked FROM samples GROUP BY ALL ORDER BY ALL"""
    for row in records.sql(query).rows():
        found.setdefault(row["run"], {}).setdefault(row["task"], {})[row["at_step"]] = row["n"]
        if row["scorer"] in HARMFUL_SCORERS or row["attacked"]:
            harmful.add(row["task"])
    runs = {}
    for facts in records.runs.rows():
        tasks = found.get(facts["run"], {})
        runs[facts["run"]] = RunOutline(
            facts["run"],
            facts["folder"],
            facts,
            tuple(sorted({step for steps in tasks.values() for step in steps})),
            {task: tuple(sorted(steps)) for task, steps in tasks.items()},
            sum(n for steps in tasks.values() for n in steps.values()),
        )
    return Outline(runs, frozenset(harmful))


def metrics(records: Records, names: Sequence[str]) -> list[Row]:
    """Means of some metrics, with their intervals, and evaluations that failed."""
    query = f"""SELECT run, task, coalesce(step, {OUTSIDE}) AS at_step, status, metric, mean, low, high, n, docs,
        incomplete, reason FROM metrics WHERE status <> 'ok' OR metric IN (SELECT unnest($names))
        ORDER BY run, task, at_step"""
    return records.sql(query, {"names": list(names)}).rows()


@dataclass(frozen=True)
class Asked:
    """Which items are asked for. Steps are numbers, `OUTSIDE` for none.

    Attributes:
        run: The run.
        step: Its step.
        before_run: The run that is compared with.
        before: Its step.
        task: Only this task; all if empty.
        status: Only with a sample of this status.
        cut: `yes` or `no`.
        score: See `sftgen_train.viewer.address.SCORES`.
        change: See `sftgen_train.viewer.address.CHANGES`.
        q: A text to look for.
        where: `responses` or `questions`.
        sort: See `sftgen_train.viewer.address.SORTS`.
    """

    run: str
    step: int
    before_run: str
    before: int
    task: str = ""
    status: str = ""
    cut: str = ""
    score: str = ""
    change: str = ""
    q: str = ""
    where: str = "responses"
    sort: str = "change"


_SCORES = {
    "": "",
    "0": " AND score = 0",
    "between": " AND score > 0 AND score < 1",
    "1": " AND score >= 1",
    "none": " AND score IS NULL AND n > 0",
}
_CHANGES = {
    "": "",
    "lost": " AND change < -1e-9",
    "won": " AND change > 1e-9",
    "kept": " AND abs(change) <= 1e-9 AND score > 0",
    "missed": " AND abs(change) <= 1e-9 AND score = 0",
}
_SORTS = {
    "change": "change ASC NULLS LAST, tokens DESC NULLS LAST",
    "gain": "change DESC NULLS LAST, tokens ASC NULLS LAST",
    "tokens": "tokens DESC NULLS LAST",
    "score": "score ASC NULLS LAST",
    "item": "task, doc_id",
}


def items(records: Records, asked: Asked, *, limit: int = PAGE, offset: int = 0) -> tuple[list[Row], int]:
    """A part of the items that are asked for, and how many there are in all.

    An item is a document of a task. Of its repeats the means are given: `score`, `before`, `change`, `cut` (share that
    was truncated), `tokens`; `n` is 0 where the step lacks the item.
    """
    parameters: Row = {"run": asked.run, "before_run": asked.before_run, "limit": limit, "offset": offset}
    task = ""
    if asked.task:
        task, parameters["task"] = " AND task = $task", asked.task
    having = ""
    if asked.status:
        having, parameters["status"] = " AND list_contains(statuses, $status)", asked.status
    if asked.cut:
        having += " AND cut > 0" if asked.cut == "yes" else " AND cut = 0"
    having += _SCORES[asked.score] + _CHANGES[asked.change]
    if asked.q:
        having += f" AND ({_matching(asked)})"
        parameters["pattern"] = "%" + asked.q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    same = asked.run == asked.before_run and asked.step == asked.before
    own = "run, folder, task, doc_hash, doc_id, prompt_hash, score, n, cut, tokens, statuses"
    joined = (
        f"SELECT {own}, NULL::DOUBLE AS before, NULL::DOUBLE AS change FROM shown"
        if same
        else """SELECT s.run, s.folder, task, doc_hash, coalesce(s.doc_id, b.doc_id) AS doc_id,
            coalesce(s.prompt_hash, b.prompt_hash) AS prompt_hash, s.score, coalesce(s.n, 0) AS n, s.cut, s.tokens,
            s.statuses, b.score AS before, s.score - b.score AS change
        FROM shown AS s FULL JOIN earlier AS b USING (task, doc_hash)"""
    )
    query = f"""WITH shown AS (
        SELECT run, folder, task, doc_hash, min(doc_id) AS doc_id, min(prompt_hash) AS prompt_hash,
            avg(score) AS score, count(*) AS n, avg(truncated::INT) AS cut, avg(tokens) AS tokens,
            list(DISTINCT status) AS statuses
        FROM samples WHERE run = $run AND {_at(asked.step)}{task} GROUP BY ALL),
    earlier AS (
        SELECT task, doc_hash, min(doc_id) AS doc_id, min(prompt_hash) AS prompt_hash, avg(score) AS score
        FROM samples WHERE run = $before_run AND {_at(asked.before)}{task} GROUP BY ALL)
    SELECT *, count(*) OVER () AS total FROM ({joined}) WHERE true{having}
    ORDER BY {_SORTS[asked.sort]}, task, doc_hash LIMIT $limit OFFSET $offset"""
    found = records.sql(query, parameters).rows()
    return found, int(found[0]["total"]) if found else 0


def _at(step: int) -> str:
    return "step IS NULL" if step == OUTSIDE else f"step = {int(step)}"


def _matching(asked: Asked) -> str:
    """The condition that a text is found, letters of either case alike."""
    key = "(task, doc_hash) IN (SELECT (task, doc_hash)"
    named = "doc_id ILIKE $pattern ESCAPE '\\'"
    if asked.where == "questions":
        return f"{named} OR {key} FROM prompts WHERE {QUESTION_TEXT} ILIKE $pattern ESCAPE '\\')"
    task = " AND task = $task" if asked.task else ""
    found = "text ILIKE $pattern ESCAPE '\\' OR reasoning ILIKE $pattern ESCAPE '\\'"
    return f"{named} OR {key} FROM texts WHERE run = $run AND {_at(asked.step)}{task} AND ({found}))"


QUESTION_TEXT = (
    'substr(prompt, coalesce("begin", 0) + 1, greatest(coalesce("end", length(prompt)) - coalesce("begin", 0), 1))'
)
"""Of a prompt what is the document's own, in SQL."""


def strips(records: Records, rows: Sequence[Row], runs: Sequence[str]) -> dict[tuple[str, str], list[Row]]:
    """The mean score of items at every step, by task and document, in the order run, step."""
    if not rows:
        return {}
    query = f"""SELECT run, task, doc_hash, coalesce(step, {OUTSIDE}) AS at_step, avg(score) AS score,
        avg(truncated::INT) AS cut, count(*) AS n FROM samples
        WHERE task IN (SELECT unnest($tasks)) AND doc_hash IN (SELECT unnest($docs)) AND run IN (SELECT unnest($runs))
        GROUP BY ALL ORDER BY run, at_step"""
    asked = {
        "tasks": sorted({row["task"] for row in rows}),
        "docs": [row["doc_hash"] for row in rows],
        "runs": list(runs),
    }
    found: dict[tuple[str, str], list[Row]] = {}
    for row in records.sql(query, asked).rows():
        found.setdefault((row["task"], row["doc_hash"]), []).append(row)
    return found


def questions(records: Records, rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """The questions of items, as far as they were written down, by task and document."""
    query = f"""SELECT task, doc_hash, left(min({QUESTION_TEXT}), {QUESTION}) AS question FROM prompts
        WHERE doc_hash IN (SELECT unnest($docs)) GROUP BY ALL"""
    found = records.sql(query, {"docs": [row["doc_hash"] for row in rows]}).rows() if rows else []
    return {(row["task"], row["doc_hash"]): row["question"] for row in found}


def prompt(records: Records, task: str, doc_hash: str) -> Row | None:
    """The prompt of an item as a model got it; `variants` says how many different ones the runs have."""
    query = f"""SELECT left(prompt, {LONGEST}) AS prompt, {QUESTION_TEXT} AS question, prompt_hash,
        (SELECT count(DISTINCT prompt_hash) FROM prompts WHERE task = $task AND doc_hash = $doc) AS variants
        FROM prompts WHERE task = $task AND doc_hash = $doc ORDER BY run, prompt_hash LIMIT 1"""
    found = records.sql(query, {"task": task, "doc": doc_hash}).rows()
    return found[0] if found else None


def samples(records: Records, task: str, doc_hash: str, runs: Sequence[str]) -> list[Row]:
    """Every graded answer to an item, in the order run, step, repeat."""
    query = f"""SELECT *, coalesce(step, {OUTSIDE}) AS at_step FROM samples
        WHERE task = $task AND doc_hash = $doc AND run IN (SELECT unnest($runs)) ORDER BY run, at_step, repeat"""
    return records.sql(query, {"task": task, "doc": doc_hash, "runs": list(runs)}).rows()


def texts(records: Records, task: str, doc_hash: str, repeat: int, runs: Sequence[str]) -> list[Row]:
    """What the models wrote for one repeat of an item, each up to `LONGEST` characters; `characters` is its length."""
    query = f"""SELECT * REPLACE (left(text, {LONGEST}) AS text, left(reasoning, {LONGEST}) AS reasoning),
        length(text) + coalesce(length(reasoning), 0) AS characters, coalesce(step, {OUTSIDE}) AS at_step
        FROM texts WHERE task = $task AND doc_hash = $doc AND repeat = $repeat AND run IN (SELECT unnest($runs))
        ORDER BY run, at_step"""
    asked = {"task": task, "doc": doc_hash, "repeat": repeat, "runs": list(runs)}
    return records.sql(query, asked).rows()


def labels(records: Records, task: str, doc_hash: str, repeat: int, runs: Sequence[str]) -> list[Row]:
    """The spans that diagnostics marked in one repeat of an item, with who marked them."""
    query = f"""SELECT run, coalesce(step, {OUTSIDE}) AS at_step, diagnostic, annotator, spans FROM labels
        WHERE task = $task AND doc_hash = $doc AND repeat = $repeat AND run IN (SELECT unnest($runs))
        AND failed IS NULL AND spans IS NOT NULL AND spans <> '[]' ORDER BY run, at_step, diagnostic"""
    asked = {"task": task, "doc": doc_hash, "repeat": repeat, "runs": list(runs)}
    return records.sql(query, asked).rows()


def shifts(records: Records, task: str, doc_hash: str, runs: Sequence[str]) -> list[Row]:
    """What `token_shift` kept of the answers to an item, of its first repeat: as JSON, with the checkpoint's step."""
    query = """SELECT run, step, kept FROM probes WHERE diagnostic = 'token_shift' AND step IS NOT NULL
        AND json_extract_string(kept, '/name') = $name AND run IN (SELECT unnest($runs)) ORDER BY run, step"""
    return records.sql(query, {"name": f"{task}/{doc_hash[:16]}", "runs": list(runs)}).rows()


def whole_text(records: Records, task: str, doc_hash: str, *, repeat: int, run: str, step: int) -> str | None:
    """All that a model wrote; thinking that a server sent apart comes first."""
    query = f"""SELECT coalesce(reasoning || chr(10), '') || text AS text FROM texts
        WHERE task = $task AND doc_hash = $doc AND repeat = $repeat AND run = $run AND {_at(step)} LIMIT 1"""
    asked = {"task": task, "doc": doc_hash, "repeat": repeat, "run": run}
    found = records.sql(query, asked).rows()
    return found[0]["text"] if found else None
