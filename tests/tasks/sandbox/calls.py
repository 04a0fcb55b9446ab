"""The kernel's own lists of system calls, and the table of the sandbox that is made from them.

`python -m tests.tasks.sandbox.calls` writes the table anew from this machine's headers (package linux-libc-dev). Calls
that they do not have yet keep their numbers.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

from sftgen_tasks.sandbox.inside import seccomp

# Of each kind of machine: where its numbers stand below /usr/include. The second has those of all newer machines.
HEADERS = {
    "x86_64": ("x86_64-linux-gnu/asm/unistd_64.h", "asm/unistd_64.h"),
    "aarch64": ("asm-generic/unistd.h",),
}
_DEFINITION = re.compile(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", re.MULTILINE)
_SAME = re.compile(r"^#define __NR_(\w+) __NR3264_(\w+)$", re.MULTILINE)


def from_headers(machine: str) -> dict[str, int]:
    """Numbers by name from the kernel's headers on this machine; empty without headers."""
    for name in HEADERS[machine]:
        path = Path("/usr/include", name)
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            found = {name: int(number) for name, number in _DEFINITION.findall(text)}
            return found | {new: found[old] for new, old in _SAME.findall(text) if old in found and new not in found}
    return {}


def from_libseccomp(machine: str) -> dict[str, int]:
    """Numbers of the table's calls from libseccomp; empty without the library."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return {}
    _, audit = seccomp.MACHINES[machine]
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    found = {name: library.seccomp_syscall_resolve_name_arch(audit, name.encode()) for name in seccomp.NUMBERS}
    return {name: number for name, number in found.items() if number >= 0}


def main() -> None:
    """Write the table."""
    columns = [from_headers(machine) for machine in seccomp.MACHINES]
    lines = []
    for name in sorted(seccomp.NUMBERS):
        numbers = [column.get(name, -1) for column in columns]
        if numbers == [-1, -1]:
            numbers = seccomp.NUMBERS[name]
        lines.append(" ".join([name, *map(str, numbers)]) + "\n")
    Path(seccomp.TABLE).write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
