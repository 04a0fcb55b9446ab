"""The numbers of system calls are the kernel's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sftgen_tasks.sandbox.inside import seccomp
from tests.tasks.sandbox.calls import HEADERS, from_headers, from_libseccomp

# What `python -m tests.tasks.sandbox.calls` wrote from the headers of linux-libc-dev 6.1.187. `fchmodat2` is newer: its
# number is 452 on all machines since Linux 6.6. So a change by hand is seen where there are no headers, too.
TABLE = "c6e7aaeefc13d996dff5289dda7bbc420fe0e3c6841b5240aea0689663ba94ee"


def test_the_table_is_the_one_that_was_made_from_the_headers() -> None:
    assert hashlib.sha256(Path(seccomp.TABLE).read_bytes()).hexdigest() == TABLE


@pytest.mark.parametrize("machine", HEADERS)
@pytest.mark.parametrize("source", [from_headers, from_libseccomp])
def test_other_sources_have_the_same_numbers(machine: str, source: Callable[[str], dict[str, int]]) -> None:
    column, _ = seccomp.MACHINES[machine]
    known = source(machine)
    if not known:
        pytest.skip("not on this machine: linux-libc-dev and libseccomp2 have them; the table's hash is checked anyway")
    ours = {name: numbers[column] for name, numbers in seccomp.NUMBERS.items()}
    assert {name: known.get(name, -1) for name in ours if name in known or name != "fchmodat2"} == {
        name: number for name, number in ours.items() if name in known or name != "fchmodat2"
    }


@pytest.mark.parametrize("machine", HEADERS)
def test_a_filter_for_each_kind_of_machine(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "machine", lambda: machine)
    column, audit = seccomp.MACHINES[machine]
    filter_ = seccomp.build(writable=True)
    assert audit.to_bytes(4, "little") in filter_
    assert decide(filter_, audit, seccomp.NUMBERS["read"][column]) == seccomp._ALLOW
    assert decide(filter_, audit, seccomp.NUMBERS["ptrace"][column]) == seccomp._KILL
    assert decide(filter_, audit, seccomp.NUMBERS["execve"][column]) == seccomp._ERRNO | 1
    assert decide(filter_, audit, 999) == seccomp._ERRNO | 38
    assert decide(filter_, audit ^ 1, 0) == seccomp._KILL


def decide(filter_: bytes, audit: int, number: int) -> int:
    """What the filter answers to a call whose arguments it does not look at."""
    loaded, place = 0, 0
    while True:
        kind, then, otherwise, value = (
            int.from_bytes(filter_[place : place + 2], "little"),
            filter_[place + 2],
            filter_[place + 3],
            int.from_bytes(filter_[place + 4 : place + 8], "little"),
        )
        place += 8
        if kind == seccomp._RETURN:
            return value
        if kind == seccomp._LOAD:
            loaded = {0: number, 4: audit}[value]
        elif kind == seccomp._JUMP:
            place += 8 * value
        else:
            right = {seccomp._EQUAL: loaded == value, seccomp._ABOVE: loaded >= value}[kind]
            place += 8 * (then if right else otherwise)
