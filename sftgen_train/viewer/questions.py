"""What the pages ask the records: the SQL of the viewer, over the views of `sftgen_judges.records.query`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sftgen_judges.records.columns import literal
from sftgen_judges.records.query import Records
from sftgen_train.results.blocks import BLOCK, POOL
from sftgen_train.trajectory.loading import OUTSIDE

if TYPE_CHECKING:
    import pyarrow as pa

PAGE = 50
"""Items of a page."""
LONGEST = 1_000_000
"""Characters of a response that a page reads; all of it can be downloaded."""
QUESTION = 4_000
"""Characters of a question in a list or heading."""
HARMFUL_SCORERS = frozenset({"policy", "refusal"})
"""Judges of answers to requests that a model ought to refuse."""

TASK = f"CASE WHEN regexp_full_match(task, '{BLOCK}') THEN '{POOL}' ELSE task END"
"""The task of a row as pages show it, in SQL: the blocks of a pool are one."""

Row = dict[str, Any]


def _is_of(task: str) -> str:
    """Whether a row is of the task `$task` as pages show it. Written so, a reader passes over rows of other tasks."""
    return f"(task = $task OR regexp_full_match(task, '{BLOCK}'))" if task == POOL else "task = $task"


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
    query = f"""SELECT run, {TASK} AS task, coalesce(step, {OUTSIDE}) AS at_step, count(*) AS n, min(scorer) AS scorer,
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


def _at(step: int) -> str:
    return "step IS NULL" if step == OUTSIDE else f"step = {int(step)}"


def matching(records: Records, asked: Asked, documents: Sequence[str] | None = None) -> pa.Table:
    """The items in whose texts a text is found, letters of either case alike: columns `task` and `doc_hash`.

    Args:
        records: The runs.
        asked: The text, where it is looked for, and of which task.
        documents: Hashes of the documents that are looked through; None for all.
    """
    pattern = "%" + asked.q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    parameters: Row = {"pattern": pattern}
    # Written out: only so does the reader of Parquet files pass over groups of rows that have none of them.
    only = "" if documents is None else f" AND doc_hash IN ({', '.join(map(literal, documents)) or 'NULL'})"
    if asked.task:
        only, parameters["task"] = f"{only} AND {_is_of(asked.task)}", asked.task
    if asked.where == "questions":
        query = f"FROM prompts WHERE {QUESTION_TEXT} ILIKE $pattern ESCAPE '\\'{only}"
    else:
        parameters["run"] = asked.run
        found = "(text ILIKE $pattern ESCAPE '\\' OR reasoning ILIKE $pattern ESCAPE '\\')"
        query = f"FROM texts WHERE run = $run AND {_at(asked.step)}{only} AND {found}"
    return records.sql(f"SELECT DISTINCT {TASK} AS task, doc_hash {query}", parameters).to_arrow()


QUESTION_TEXT = (
    'substr(prompt, coalesce("begin", 0) + 1, greatest(coalesce("end", length(prompt)) - coalesce("begin", 0), 1))'
)
"""Of a prompt what is the document's own, in SQL."""


def questions(records: Records, rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """The questions of items, as far as they were written down, by task and document."""
    query = f"""SELECT {TASK} AS task, doc_hash, left(min({QUESTION_TEXT}), {QUESTION}) AS question FROM prompts
        WHERE doc_hash IN (SELECT unnest($docs)) GROUP BY ALL"""
    found = records.sql(query, {"docs": [row["doc_hash"] for row in rows]}).rows() if rows else []
    return {(row["task"], row["doc_hash"]): row["question"] for row in found}


def prompt(records: Records, task: str, doc_hash: str) -> Row | None:
    """The prompt of an item as a model got it; `variants` says how many different ones the runs have."""
    query = f"""SELECT left(prompt, {LONGEST}) AS prompt, {QUESTION_TEXT} AS question, prompt_hash,
        (SELECT count(DISTINCT prompt_hash) FROM prompts WHERE {_is_of(task)} AND doc_hash = $doc) AS variants
        FROM prompts WHERE {_is_of(task)} AND doc_hash = $doc ORDER BY run, prompt_hash LIMIT 1"""
    found = records.sql(query, {"task": task, "doc": doc_hash}).rows()
    return found[0] if found else None


def samples(records: Records, task: str, doc_hash: str, runs: Sequence[str]) -> list[Row]:
    """Every graded answer to an item, in the order run, step, repeat."""
    query = f"""SELECT *, coalesce(step, {OUTSIDE}) AS at_step FROM samples
        WHERE {_is_of(task)} AND doc_hash = $doc AND run IN (SELECT unnest($runs)) ORDER BY run, at_step, repeat"""
    return records.sql(query, {"task": task, "doc": doc_hash, "runs": list(runs)}).rows()


def texts(records: Records, task: str, doc_hash: str, repeat: int, runs: Sequence[str]) -> list[Row]:
    """What the models wrote for one repeat of an item, each up to `LONGEST` characters; `characters` is its length."""
    query = f"""SELECT * REPLACE (left(text, {LONGEST}) AS text, left(reasoning, {LONGEST}) AS reasoning),
        length(text) + coalesce(length(reasoning), 0) AS characters, coalesce(step, {OUTSIDE}) AS at_step
        FROM texts WHERE {_is_of(task)} AND doc_hash = $doc AND repeat = $repeat AND run IN (SELECT unnest($runs))
        ORDER BY run, at_step"""
    asked = {"task": task, "doc": doc_hash, "repeat": repeat, "runs": list(runs)}
    return records.sql(query, asked).rows()


def labels(records: Records, task: str, doc_hash: str, repeat: int, runs: Sequence[str]) -> list[Row]:
    """The spans that diagnostics marked in one repeat of an item, with who marked them."""
    query = f"""SELECT run, coalesce(step, {OUTSIDE}) AS at_step, diagnostic, annotator, spans FROM labels
        WHERE {_is_of(task)} AND doc_hash = $doc AND repeat = $repeat AND run IN (SELECT unnest($runs))
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
        WHERE {_is_of(task)} AND doc_hash = $doc AND repeat = $repeat AND run = $run AND {_at(step)} LIMIT 1"""
    asked = {"task": task, "doc": doc_hash, "repeat": repeat, "run": run}
    found = records.sql(query, asked).rows()
    return found[0]["text"] if found else None
