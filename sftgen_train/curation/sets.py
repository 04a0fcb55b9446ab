"""A training set on disk: Parquet in shards, a manifest, a card; made in several processes and resumed.

A folder holds `train-00000-of-00020.parquet` and so on, `set.json` (the recipe, the counts, the content hash, what made
it) and `README.md`, a card that `datasets.load_dataset(FOLDER)` follows. While it is made, `shards.jsonl` names the
shards that stand: the same command goes on with the others.

The content hash is one of rows and their order, not of bytes on disk: it is the same for one process and many.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Workers
from sftgen_judges.records.journal import append_rows, naming, read_rows, to_json, write_atomic
from sftgen_judges.records.provenance import provenance
from sftgen_train.curation.engines import HERE
from sftgen_train.training.data_facts import SET

if TYPE_CHECKING:
    import pyarrow as pa

SHARD = 50_000
"""Rows of a shard."""
MANIFEST, JOURNAL, CARD = SET, "shards.jsonl", "README.md"


class SetError(SftgenError):
    """A training set cannot be written where it was asked for."""


@dataclass(frozen=True)
class Shard:
    """A shard that stands on disk.

    Attributes:
        index: Which one, from 0.
        rows: Its rows.
        digest: Hash of its rows.
        counts: How many rows have each value of the columns that are counted: `level=sum`, for example.
    """

    index: int
    rows: int
    digest: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class TrainingSet:
    """A finished set.

    Attributes:
        folder: Where it lies.
        rows: How many rows it has.
        content_hash: Hash of its rows in order.
        counts: As in `Shard`, over all.
    """

    folder: Path
    rows: int
    content_hash: str
    counts: Mapping[str, int]


def write_set(
    folder: Path,
    recipe: Mapping[str, Any],
    parts: Iterable[Any],
    make: Callable[[int, Any], Sequence[Mapping[str, Any]]],
    *,
    shards: int,
    counted: Sequence[str] = (),
    card: str = "",
    facts: Mapping[str, Any] | None = None,
    schema: pa.Schema | None = None,
    crew: Workers = HERE,
    done: Callable[[int], None] = lambda rows: None,
) -> TrainingSet:
    """Make a set shard by shard, each in one of several processes, and write it.

    Args:
        folder: Where to. It may hold a part of this very set.
        recipe: What is made, as plain data: two sets of one recipe are the same.
        parts: What each shard is made of, in order, picklable; taken one after the other as processes become free.
        make: Makes the rows of a shard of its number and part: a function of a module.
        shards: How many there are.
        counted: Columns whose values are counted.
        card: What the card says of the set, as Markdown.
        facts: What else the manifest says.
        schema: Columns and types of all shards; by default each has those of its rows.
        crew: Who makes the shards, by default this process.
        done: Told the rows of each shard that stands.

    Raises:
        SetError: The folder holds something else, or a set of another recipe.
        WriteError: It cannot be written.
    """
    making = _Making(folder, make, shards, tuple(counted), schema)
    recipe = json.loads(to_json(recipe))
    standing = _standing(folder, recipe, shards)
    for shard in standing.values():
        done(shard.rows)
    missing = ((index, part) for index, part in enumerate(parts) if index not in standing)
    crew = crew if shards > 1 else HERE
    if len(standing) < shards:
        crew.require(folder)
    for shard in _made(making, missing, crew):
        append_rows(folder / JOURNAL, [asdict(shard)])
        standing[shard.index] = shard
        done(shard.rows)
    made = [standing[index] for index in sorted(standing)]
    counts: Counter[str] = sum((Counter(shard.counts) for shard in made), Counter())
    whole = TrainingSet(folder, sum(shard.rows for shard in made), _hash(shard.digest for shard in made), dict(counts))
    own = {"rows": whole.rows, "content_hash": whole.content_hash, "counts": dict(sorted(counts.items()))}
    write_atomic(folder / CARD, _card(folder.name, whole, card))
    manifest = {"recipe": recipe, **own, **(facts or {}), "made_by": provenance()}
    write_atomic(folder / MANIFEST, to_json(manifest, indent=1) + "\n")
    with naming(folder / JOURNAL):
        (folder / JOURNAL).unlink(missing_ok=True)
    return whole


def write_rows(
    folder: Path, recipe: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], count: int, *, card: str
) -> TrainingSet:
    """Write rows that are made already, see `write_set`.

    Args:
        folder: Where to.
        recipe: What they are, as plain data.
        rows: The rows.
        count: How many there are.
        card: What the card says of the set.

    Raises:
        SetError: As `write_set`.
    """
    left = iter(rows)
    shards = iter(lambda: list(islice(left, SHARD)), [])
    return write_set(folder, recipe, shards, _as_they_are, shards=max(-(-count // SHARD), 1), card=card)


def _as_they_are(index: int, rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return rows


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `set.json` says.

    Raises:
        SetError: There is none, or it cannot be read.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise SetError(f"{folder}: no training set of sftgen ({MANIFEST}: {error})") from error
    if not isinstance(found, dict):
        raise SetError(f"{folder}: {MANIFEST} holds no object")
    return found


def row_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash of rows in order; the order of the columns does not matter."""
    return _hash(json.dumps(row, sort_keys=True, ensure_ascii=True, separators=(",", ":")) for row in rows)


def _hash(texts: Iterable[str]) -> str:
    from blake3 import blake3

    hasher = blake3()
    for text in texts:
        hasher.update(text.encode())
        hasher.update(b"\n")
    return hasher.hexdigest()[:32]


def _standing(folder: Path, recipe: Mapping[str, Any], shards: int) -> dict[int, Shard]:
    """Shards of a run that was interrupted. Says whose the folder is from now on."""
    started = folder / JOURNAL
    if (folder / MANIFEST).exists():
        known = read_manifest(folder).get("recipe")
        raise SetError(
            f"{folder}: holds a finished set of {'the same' if known == recipe else 'another'} recipe; "
            "name another folder, or delete this one"
        )
    if not started.exists():
        if folder.exists() and any(folder.iterdir()):
            raise SetError(f"{folder}: is not empty and holds no set of sftgen; name another folder")
        append_rows(started, [{"recipe": recipe}])
        return {}
    first, *rest = list(read_rows(started)) or [{}]
    if first.get("recipe") != recipe:
        raise SetError(f"{folder}: holds the beginning of a set of another recipe; name another folder, or delete it")
    found = [Shard(**row) for row in rest if set(row) == set(Shard.__dataclass_fields__)]
    return {shard.index: shard for shard in found if shard_path(folder, shard.index, shards).is_file()}


@dataclass(frozen=True)
class _Making:
    """What all shards of a set share."""

    folder: Path
    make: Callable[[int, Any], Sequence[Mapping[str, Any]]]
    shards: int
    counted: tuple[str, ...]
    schema: pa.Schema | None


def _made(making: _Making, parts: Iterator[tuple[int, Any]], crew: Workers) -> Iterator[Shard]:
    running: set[Future[Shard]] = set()
    for index, part in parts:
        running.add(crew.pool.submit(_write, making, index, part))
        if crew is HERE or len(running) > crew.count:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)
    yield from (future.result() for future in running)


def _write(making: _Making, index: int, part: Any) -> Shard:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = making.make(index, part)
    path = shard_path(making.folder, index, making.shards)
    beside = path.with_name(f".{path.name}.part")
    with naming(path):
        pq.write_table(pa.Table.from_pylist(list(rows), schema=making.schema), beside, compression="zstd")
        beside.replace(path)
    counts = Counter(f"{name}={row[name]}" for row in rows for name in making.counted)
    return Shard(index, len(rows), row_digest(rows), dict(counts))


def shard_path(folder: Path, index: int, shards: int) -> Path:
    """Where a shard lies."""
    return folder / f"train-{index:05d}-of-{shards:05d}.parquet"


def _card(name: str, made: TrainingSet, text: str) -> str:
    counts = "".join(f"| {value} | {count:,} |\n" for value, count in sorted(made.counts.items()))
    table = f"\n| rows with | |\n| --- | --- |\n{counts}" if counts else ""
    return (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train-*.parquet\n---\n\n"
        f"# {name}\n\n{text}\n\n"
        f"{made.rows:,} rows, content hash `{made.content_hash}`. `{MANIFEST}` has the recipe.\n{table}"
    )
