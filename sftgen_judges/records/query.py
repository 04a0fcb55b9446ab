"""The one reader of records: run directories as SQL views, JSONL and Parquet alike, a live run included.

    records = open_records("runs/a")                    # or several: open_records(["runs/a", "runs/b"])
    records.samples.to_pandas()
    records.sql("SELECT task, step, avg(score) FROM samples GROUP BY ALL ORDER BY ALL").rows()

Nothing is read before a query asks for it, and nothing is written. The views, each with the columns `run` and `folder`:

* `samples`: one row a graded answer, of the last evaluation of each step; `all_samples`: of all.
* `measures`: one row a measure of a sample: `value` is a number, or `vals` a list of numbers.
* `metrics`: one row a metric, or a failure that no later evaluation made good; `all_metrics`: every one.
* `texts`: one row a generation, of the current model; also those not graded yet. `all_texts`: of all models.
* `prompts`: one row a prompt as the model got it, see `sftgen_judges.records.prompts`; none in older runs.
* `labels`: what a diagnostic says of a current answer; `probes`: of a checkpoint; `findings`: what diagnostics found.
* `training_tokens`: one row a window of training steps: how well the tokens of their batches were predicted.
* `evaluations`: one row an evaluation; `runs`: one row a run, with its manifest as JSON text.

Current at a step of a task are the answers that the last evaluation was about.
"""

from __future__ import annotations

import importlib.util
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.records import views
from sftgen_judges.records.columns import NUMBER, SAMPLES, TRUTH, WHOLE
from sftgen_judges.records.display import InNotebook
from sftgen_judges.records.errors import RecordError
from sftgen_judges.records.session import as_record_error, closed_database
from sftgen_judges.records.snapshot import Snapshot, take_snapshot
from sftgen_judges.records.spill import spill_folder

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Paths = str | Path | Iterable[str | Path]
Document = tuple[str, str]
"""A task, and the hash of one of its documents."""
Parameters = Sequence[Any] | Mapping[str, Any]

_TRIES = 9  # 10 s

# For the views that a query names: the files they read and what makes them, in this order.
_LOADED_BY: tuple[tuple[re.Pattern[str], str, Callable[[Sequence[Snapshot]], Iterator[str]]], ...] = (
    (re.compile(r"samples|measures|texts|labels", re.IGNORECASE), "samples", views.load_samples),
    (re.compile(r"texts", re.IGNORECASE), "generations", views.load_texts),
    (re.compile(r"prompts", re.IGNORECASE), "prompts", views.load_prompts),
    (re.compile(r"metrics", re.IGNORECASE), "metrics", views.load_metrics),
    (re.compile(r"evaluations", re.IGNORECASE), "evaluations", views.load_evaluations),
    (re.compile(r"labels", re.IGNORECASE), "labels", views.load_labels),
    (re.compile(r"probes", re.IGNORECASE), "probes", views.load_probes),
    (re.compile(r"findings", re.IGNORECASE), "findings", views.load_findings),
    (re.compile(r"training_tokens", re.IGNORECASE), "training_tokens", views.load_training_tokens),
)
_NUMBERS = frozenset(
    name for name, of in SAMPLES.columns.items() if of in {NUMBER, WHOLE, TRUTH} and name not in SAMPLES.key
)


def open_records(paths: Paths, *, without: Collection[Document] = ()) -> Records:
    """Open run directories for reading; of a live run, what is there when a query first asks for it.

    Args:
        paths: One run directory or several.
        without: Documents that `values` leaves out, for example those that the training data hold.

    Raises:
        RecordError: One is not a run directory, is of a newer schema, or cannot be read.
    """
    return Records([paths] if isinstance(paths, str | Path) else list(paths), without)


class Records(InNotebook):
    """Run directories, open for queries. Any thread may ask."""

    shown_by = "sftgen_judges.records.display:html_of_records"

    def __init__(self, paths: Sequence[str | Path], without: Collection[Document] = ()) -> None:
        """Look at the folders; no record is read yet.

        Raises:
            RecordError: As `open_records`.
        """
        self._without = sorted(set(without))
        self._folders = list({Path(path).resolve(): Path(path) for path in paths}.values())
        if not self._folders:
            raise RecordError("no run directory is given; expected at least one")
        self._lock = threading.RLock()
        self._spill, self._cleaned = spill_folder(self)
        self.refresh()

    def refresh(self) -> None:
        """See what was written since.

        Raises:
            RecordError: As `open_records`.
        """
        with self._lock:
            self._snapshots = _named_apart([take_snapshot(folder) for folder in self._folders])
            self._made: set[Callable[..., Any]] = set()
            self._database = closed_database(self._snapshots, self._spill)

    def close(self) -> None:
        """Let go of memory and temporary files; it is done anyway when nobody holds the records."""
        self._database.close()
        self._cleaned()

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def samples(self) -> Table:
        """The view `samples`: graded answers, of the current model of each step."""
        return self.sql("SELECT * FROM samples")

    @property
    def metrics(self) -> Table:
        """The view `metrics`."""
        return self.sql("SELECT * FROM metrics")

    @property
    def texts(self) -> Table:
        """The view `texts`: generations as the models wrote them. Take it in batches where it may be large."""
        return self.sql("SELECT * FROM texts")

    @property
    def runs(self) -> Table:
        """The view `runs`, in the order in which the runs were given."""
        return self.sql("SELECT * FROM runs ORDER BY rowid")

    def sql(self, query: str, parameters: Parameters = ()) -> Table:
        """The answer to a query, not computed yet.

        Args:
            query: One SELECT over the views. It can read nothing else.
            parameters: Values for `?` or `$name` in it.

        Raises:
            RecordError: Not one SELECT.
        """
        # DuckDB refuses a second call to a connection at the same time.
        with self._lock, as_record_error():
            statements = self._database.extract_statements(query)
        if [statement.type.name for statement in statements] != ["SELECT"]:
            raise RecordError(f"query {query!r}: expected one SELECT; records are read only")
        return Table(self, query, parameters)

    def document(self, task: str, doc_hash: str) -> Table:
        """The texts of one document across all steps, in the order run, step, repeat."""
        query = "SELECT * FROM texts WHERE task = ? AND doc_hash = ? ORDER BY run, folder, step, repeat"
        return self.sql(query, (task, doc_hash))

    def doc_means(self, measure: str = "score") -> Table:
        """Means over the repeats of each document: run, folder, task, step, doc_hash, mean, n (repeats that count).

        Args:
            measure: `score`, `paper`, `truncated`, `tokens` and the other numbers of a sample, or a measure of the
                benchmark's own, such as `asr`. A sample without a number is left out.
        """
        column, path = _number(measure)
        return self.sql(
            f"""SELECT run, folder, task, step, doc_hash, avg(number) AS mean, count(*) AS n
            FROM (SELECT *, {column} AS number FROM samples) WHERE number IS NOT NULL GROUP BY ALL ORDER BY ALL""",
            path,
        )

    def values(
        self, measure: str = "score", *, beside: Sequence[str] = (), outside: bool = False, any_of: int = 1
    ) -> Table:
        """Every sample's number at every step: run, folder, task, step, doc_hash, cluster, repeat, value.

        Of the model, sampling settings and grader that the last evaluation of a step had, answers of its earlier
        evaluations count too: one that asked fewer documents takes none away. In no order.

        Args:
            measure: As `doc_means`. A sample without a number is left out.
            beside: Further numbers of a sample, as `measure`, in columns `beside_0`, `beside_1` and so on; NULL where
                it has none.
            outside: Whether evaluations outside of a training count too, as step -1.
            any_of: A sample counts where one of so many has a number: the measure and the first of `beside`.
        """
        column, path = _number(measure)
        further = [_number(name, f"beside_{place}") for place, name in enumerate(beside)]
        further_names = [f"beside_{place}" for place in range(len(further))]
        others = "".join(f", {of} AS {name}" for (of, _), name in zip(further, further_names, strict=True))
        named = "".join(f", {name}" for name in further_names)
        there = " OR ".join(f"{name} IS NOT NULL" for name in ["number", *further_names][:any_of])
        same = ("folder", "task", "step", "model", "sampling_id", "scorer", "evaluation_version")
        return self.sql(
            f"""SELECT run, folder, task, coalesce(step, -1) AS step, doc_hash, "cluster", repeat,
                number AS "value"{named}
            FROM (SELECT *, {column} AS number{others} FROM all_samples) AS a
            SEMI JOIN (SELECT DISTINCT {", ".join(same)} FROM samples) AS s ON {views.same_in(same)}{self._left_out()}
            WHERE ({there}) AND {outside or "step IS NOT NULL"}""",
            path
            | {name: value for _, paths in further for name, value in paths.items()}
            | ({"without": [list(document) for document in self._without]} if self._without else {}),
        )

    def _left_out(self) -> str:
        if not self._without:
            return ""
        named = "SELECT document[1] AS task, document[2] AS doc_hash FROM (SELECT unnest($without) AS document)"
        return f"\nANTI JOIN ({named}) AS l ON l.task = a.task AND l.doc_hash = a.doc_hash"

    def scores(self, task: str, run: str | None = None, measure: str = "score") -> dict[int | None, dict[str, float]]:
        """Step -> document -> the mean over repeats that have a number.

        Args:
            task: The task.
            run: Which of several runs, by its id.
            measure: As `doc_means`.

        Raises:
            RecordError: There are several runs and no name is given, or no run has this name.
        """
        names = [snapshot.run for snapshot in self._snapshots]
        if run is None and len(names) == 1:
            [run] = names
        if run not in names:
            raise RecordError(f"run {run!r}: expected one of {', '.join(names)}")
        means = self.doc_means(measure)
        found: dict[int | None, dict[str, float]] = {}
        asked = {**dict(means.parameters), "task": task, "run": run}
        chosen = self.sql(
            f"SELECT step, doc_hash, mean FROM ({means.query}) WHERE task = $task AND run = $run ORDER BY ALL", asked
        )
        for step, document, mean in zip(*chosen.to_arrow().to_pydict().values(), strict=True):
            found.setdefault(step, {})[document] = mean
        return found

    def _ask(self, table: Table) -> pa.Table:
        """Compute an answer, from files that stayed the same meanwhile."""
        for number in range(_TRIES):
            snapshots = self._snapshots
            try:
                with as_record_error():
                    answer = self._relation(table).to_arrow_table()
            except RecordError:
                if _stand(snapshots, table.query):
                    raise
            else:
                if _stand(snapshots, table.query):
                    return answer
            time.sleep(0.02 * 2**number)  # compacted, or scored again, in between
            self.refresh()
        raise RecordError(f"the files of {', '.join(map(str, self._folders))} change too fast to be read; try again")

    def _batches(self, table: Table, rows: int) -> Iterator[pa.RecordBatch]:
        if not _stand(self._snapshots, table.query):
            self.refresh()
        with as_record_error():
            yield from self._relation(table).to_arrow_reader(rows)

    def _relation(self, table: Table) -> duckdb.DuckDBPyRelation:
        with self._lock:
            for named, _, load in _LOADED_BY:
                if named.search(table.query) and load not in self._made:
                    self._load(load)
            cursor = self._database.cursor()
        return cursor.sql(table.query, params=table.parameters or None)

    def _load(self, load: Callable[[Sequence[Snapshot]], Iterator[str]]) -> None:
        self._database.begin()
        try:
            for statement in load(self._snapshots):
                self._database.execute(statement)
        except BaseException:
            self._database.rollback()
            raise
        self._database.commit()
        self._made.add(load)


@dataclass(frozen=True)
class Table(InNotebook):
    """The answer to a query, computed when it is asked for.

    Attributes:
        records: Where it is asked.
        query: One SELECT.
        parameters: Its values.
    """

    shown_by = "sftgen_judges.records.display:html_of_query"

    records: Records
    query: str
    parameters: Parameters = ()

    def to_arrow(self) -> pa.Table:
        """As an Arrow table."""
        return self.records._ask(self)

    def to_pandas(self) -> pd.DataFrame:
        """As a pandas DataFrame.

        Raises:
            RecordError: pandas is not installed.
        """
        _require("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """As a polars DataFrame.

        Raises:
            RecordError: polars is not installed.
        """
        _require("polars")
        import polars

        return polars.DataFrame(self.to_arrow())

    def rows(self) -> list[dict[str, Any]]:
        """As a list of dicts."""
        rows: list[dict[str, Any]] = self.to_arrow().to_pylist()
        return rows

    def batches(self, rows: int = 1000) -> Iterator[pa.RecordBatch]:
        """In batches of so many rows, which need not fit into memory together."""
        return self.records._batches(self, rows)


def _named_apart(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Folders of one name, from before runs had an id, are distinguished by their paths.

    Raises:
        RecordError: Two folders are copies of one run.
    """
    named: dict[str, list[Snapshot]] = {}
    for snapshot in snapshots:
        named.setdefault(snapshot.run, []).append(snapshot)
    for run, same in named.items():
        if len(same) > 1 and any(snapshot.manifest.get("run") == run for snapshot in same):
            folders = " and ".join(repr(snapshot.folder) for snapshot in same)
            raise RecordError(f"{folders} are copies of one run ({run}); expected different runs: read one of them")
    return [s if len(named[s.run]) == 1 else replace(s, run=s.folder) for s in snapshots]


def _stand(snapshots: Sequence[Snapshot], query: str) -> bool:
    kinds = [kind for named, kind, _ in _LOADED_BY if named.search(query)]
    return all(snapshot.still_stands(kinds) for snapshot in snapshots)


def _number(measure: str, name: str = "path") -> tuple[str, dict[str, str]]:
    """A measure of a sample in SQL, and its parameters."""
    if measure in _NUMBERS:
        return f'"{measure}"::DOUBLE', {}
    path = "/" + measure.replace("~", "~0").replace("/", "~1")
    return f"TRY_CAST(json_extract(measures, ${name}) AS DOUBLE)", {name: path}


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise RecordError(
            f"{package} is not installed: pip install {package}, or take to_arrow() or rows(), which need nothing more"
        )
