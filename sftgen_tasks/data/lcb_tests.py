"""LiveCodeBench's files from the hub: problems are streamed, and tests stay out of the documents.

A file is larger than a gigabyte, and most of it is private tests. A document holds only a hash of its tests. When a
program is graded, the hash finds the tests again: in the cache folder, or at their place in the file. The file holds
them as pickles. So they are decoded in the sandbox, once, and kept in the cache folder as compressed JSON.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from sftgen_judges.errors import SftgenError
from sftgen_tasks.data.tables import DataError, rows_of
from sftgen_tasks.sandbox import Case, decode

TEST_COLUMNS = ("public_test_cases", "private_test_cases")

_places: dict[str, tuple[Path, int]] = {}
"""By the hash of tests: the file, and where in it the row with these tests begins."""


class BrokenTestsError(SftgenError):
    """The tests of a problem cannot be used, so no program can be graded."""


def read_problems(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file, in which `tests`, a hash, replaces the tests.

    Raises:
        DataError: A line is not a JSON object with texts for the tests.
    """
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise DataError(f"{path}: expected the dataset's own file, .jsonl or .jsonl.gz")
    offset = 0
    with _open(path) as file:
        lines = rows_of(file)
        for number in count(1):
            try:
                line = next(lines, None)
            except (OSError, EOFError, ValueError, zlib.error) as error:
                raise DataError(f"{path}, row {number}: cannot be read: {error}") from error
            if line is None:
                return
            if line.strip():
                row = _row(line, f"{path}, row {number}")
                tests = _hash(row)
                _places[tests] = path, offset
                kept = {name: value for name, value in row.items() if name not in TEST_COLUMNS}
                yield kept | {"tests": tests}
            offset += len(line)


def read_tests(tests: str, function: str) -> tuple[list[Case], int]:
    """The tests of a problem, found by the hash in its document.

    Args:
        tests: The hash.
        function: Name of the function that is tested; its arguments and result have to be JSON. Empty for a program.

    Returns:
        The tests, private ones first, and the number of private tests. If there are no private tests, all count as
        such.

    Raises:
        BrokenTestsError: The tests are missing or malformed.
        SandboxError: The sandbox cannot decode them.
    """
    stored = _store() / f"{tests}.json.zlib"
    try:
        return _cases(zlib.decompress(stored.read_bytes()), function)
    except (OSError, zlib.error):
        decoded = _decoded(tests)
    found = _cases(decoded, function)
    with suppress(OSError):  # a full disk costs decoding again
        _write(stored, zlib.compress(decoded, 1))
    return found


def _decoded(tests: str) -> bytes:
    if tests not in _places:
        raise BrokenTestsError("tests are missing: load the benchmark in this process first")
    path, offset = _places[tests]
    with _open(path) as file:
        file.seek(offset)
        row = _row(next(rows_of(file), b""), str(path))
    if _hash(row) != tests:
        raise BrokenTestsError(f"tests have changed in {path} since the benchmark was loaded")
    try:
        public, private = (row[name] for name in TEST_COLUMNS)
        if not private.startswith("["):
            private = decode("pickled_json", base64.b64decode(private, validate=True)).decode("utf-8")
        return json.dumps([json.loads(private), json.loads(public)], ensure_ascii=False).encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        raise BrokenTestsError(f"tests cannot be decoded: {type(error).__name__}") from error


def _cases(decoded: bytes, function: str) -> tuple[list[Case], int]:
    try:
        private, public = json.loads(decoded)
        cases = [Case(row["input"], row["output"]) for row in (*private, *public)]
        for case in cases:
            if not (isinstance(case.given, str) and isinstance(case.expected, str)):
                raise TypeError("not text")
            for text in (*case.given.split("\n"), case.expected) if function else ():
                json.loads(text)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BrokenTestsError("tests without text as `input` and `output`, or without JSON for a function") from error
    if not cases:
        raise BrokenTestsError("the problem has no tests")
    return cases, len(private) or len(cases)


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in TEST_COLUMNS):
        raise DataError(f"{where}: expected an object with text in {' and '.join(TEST_COLUMNS)}")
    return row


def _hash(row: Mapping[str, Any]) -> str:
    return hashlib.sha256("\0".join(row[name] for name in TEST_COLUMNS).encode("utf-8", "surrogatepass")).hexdigest()


def _open(path: Path) -> Any:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _store() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "sftgen" / "livecodebench"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
