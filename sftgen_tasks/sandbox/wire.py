"""What a sandbox service and its client say to each other, and what either side believes of the other.

The client sends one sample as JSON: a program, its inputs and limits. The service answers with one message an
execution, as soon as it is there: a line of JSON, then as many bytes of output as the line says. A line that is empty
is a sign of life. The line `{"end": true}` says that all is told; without it the service has failed.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sftgen_judges.plugins.contracts import Execution, Limits, Program, Setting
from sftgen_tasks.sandbox.inside import records
from sftgen_tasks.sandbox.inside.children import OUTPUT_BYTES
from sftgen_tasks.sandbox.levels import SandboxError

PROTOCOL = 2
TOKEN = "SFTGEN_SANDBOX_TOKEN"
REQUEST_BYTES = 256 << 20
"""The most that one sample may take: its program and all its inputs."""
LINE_BYTES = 64 << 10
PATIENCE = 30.0
"""Seconds of silence after which the other side counts as dead."""
# A worker imports them before it is confined, so no others are asked of a service.
MODULES = frozenset(
    [
        *("array", "bisect", "calendar", "cmath", "collections", "contextlib", "copy", "dataclasses"),
        *("datetime", "decimal", "enum", "fractions", "functools", "heapq", "io", "itertools", "json"),
        *("math", "numbers", "operator", "random", "re", "statistics", "string", "sys", "time", "typing"),
    ]
)
REASONS = frozenset(["", "time limit", *records.REASONS.values()])
"""Why a program may have ended; a wrong answer is one that is no output at all."""
_LONGEST, _MOST_MEMORY, _DEEPEST = 3600.0, 1 << 40, 1_000_000
_DETAIL = 200


class BadMessageError(ValueError):
    """The other side sent something else than what is agreed on."""


def token() -> str:
    """The token of the environment; empty if there is none.

    Raises:
        SandboxError: It has characters that a header cannot have.
    """
    found = os.environ.get(TOKEN, "")
    if not all("!" <= letter <= "~" for letter in found):
        raise SandboxError(f"{TOKEN}: expected letters, digits and signs of ASCII without blanks")
    return found


def request(program: Program, inputs: Sequence[str], limits: Limits) -> bytes:
    """One sample, as the client sends it."""
    return json.dumps({"program": asdict(program), "inputs": list(inputs), "limits": asdict(limits)}).encode()


def read_request(body: bytes) -> tuple[Program, list[str], Limits]:
    """What a client asks for.

    Raises:
        BadMessageError: It is no request, or asks for more than a service gives.
    """
    asked = _object(body, "request", program=dict, inputs=list, limits=dict)
    program = _fields(asked["program"], "program", source=str, setting=dict, streams_only=bool)
    setting = _fields(program["setting"], "setting", modules=list, recursion_limit=int)
    limits = _fields(asked["limits"], "limits", test_seconds=float, total_seconds=float, memory_bytes=int)
    function, inputs, modules = program.get("function"), asked["inputs"], setting["modules"]
    _expect(function is None or isinstance(function, str), "function: expected a name or null")
    _expect(bool(inputs) and _texts(inputs), "inputs: expected texts")
    _expect(_texts(modules), "modules: expected names")
    unknown = sorted(set(modules) - MODULES)
    _expect(not unknown, f"modules {', '.join(unknown)}: expected only {', '.join(sorted(MODULES))}")
    depth, memory = setting["recursion_limit"], limits["memory_bytes"]
    _expect(0 <= depth <= _DEEPEST, f"recursion_limit {depth}: expected 0 to {_DEEPEST}")
    _expect(0 < memory <= _MOST_MEMORY, f"memory_bytes {memory}: expected 1 to {_MOST_MEMORY}")
    for name in ("test_seconds", "total_seconds"):
        _expect(0 < limits[name] <= _LONGEST, f"{name} {limits[name]}: expected up to {_LONGEST:g}")
    return (
        Program(
            program["source"], function, Setting(tuple(modules), setting["recursion_limit"]), program["streams_only"]
        ),
        inputs,
        Limits(float(limits["test_seconds"]), float(limits["total_seconds"]), limits["memory_bytes"]),
    )


def execution(one: Execution) -> tuple[bytes, bytes]:
    """The line and the output of one execution, as the service sends them."""
    output = one.output.encode("utf-8", "replace")
    about = {
        "reason": one.reason,
        "detail": one.detail[:_DETAIL],
        "spent": one.spent,
        "fresh": one.fresh,
        "late": one.late,
    }
    return json.dumps({**about, "bytes": len(output)}).encode() + b"\n", output


def read_line(line: bytes) -> dict[str, Any] | None:
    """What a line of the service says of an execution; None if it says that all is told.

    Raises:
        BadMessageError: It says something else, or that the service has failed.
    """
    about = _object(line, "message")
    if about.get("end") is True:
        return None
    if "error" in about:
        raise BadMessageError(f"it failed: {plain(about['error'])}")
    _fields(about, "message", reason=str, detail=str, spent=float, fresh=bool, late=bool, bytes=int)
    _expect(about["reason"] in REASONS, "it gave no reason of a program")
    _expect(0 <= about["spent"] <= 1000 * _LONGEST, "it gave a time that cannot be")
    _expect(0 <= about["bytes"] <= OUTPUT_BYTES, f"an output has more than {OUTPUT_BYTES} bytes")
    return about


def plain(value: Any) -> str:
    """A text of the other side, short, in one line, without control characters and without the token."""
    text = value[: 10 * _DETAIL] if isinstance(value, str) else "(no text)"
    if secret := os.environ.get(TOKEN):
        text = text.replace(secret, "(token)")
    return "".join(letter if letter.isprintable() else " " for letter in text[:_DETAIL])


def read_level(body: bytes) -> str:
    """The level of a service, and what describes it.

    Raises:
        BadMessageError: This is no service, or one of another protocol.
    """
    about = _object(body, "description", protocol=int, level=str, description=str)
    _expect(
        about["protocol"] == PROTOCOL,
        f"protocol {about['protocol']}: expected {PROTOCOL}; use the same version of sftgen",
    )
    return f"{plain(about['level'])}: {plain(about['description'])}"


def _object(body: bytes, what: str, **kinds: type) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"{what}: expected JSON") from error
    _expect(isinstance(found, dict), f"{what}: expected an object")
    return _fields(found, what, **kinds)


def _fields(found: Any, what: str, **kinds: type) -> dict[str, Any]:
    for name, kind in kinds.items():
        value = found.get(name)
        fits = type(value) is kind or (kind is float and type(value) is int)
        if fits and kind is float:
            fits = isinstance(value, int) or math.isfinite(value)
        _expect(fits, f"{what}: expected {name} of type {kind.__name__}")
    return dict(found)


def _texts(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise BadMessageError(otherwise)
