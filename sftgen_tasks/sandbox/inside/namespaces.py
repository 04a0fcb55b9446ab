"""Namespaces: a separate root folder, separate processes, network and users, set up without root rights."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress

from sftgen_tasks.sandbox.inside.system import call, mount

_NS, _CGROUP, _UTS, _IPC, _USER, _PID, _NET = 0x20000, 0x2000000, 0x4000000, 0x8000000, 1 << 28, 1 << 29, 1 << 30
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_MNT_DETACH, _AT_RECURSIVE, _MOUNT_SETATTR = 2, 0x8000, 442
# A mount point that every Linux has. Its content is opened before something is mounted there.
_BASE = "/tmp"

USER_ID = 1000
TEMPORARY_BYTES = 64 << 20
WRITABLE = ("/tmp", "/dev/shm")
"""The folders of a program. `multiprocessing` keeps its locks in the second."""


def separate() -> None:
    """Move this process to namespaces of its own; its child processes get the new process namespace."""
    user, group = os.getuid(), os.getgid()
    call("unshare", _USER | _NS | _PID | _NET | _IPC | _UTS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{USER_ID} {user} 1"), ("gid_map", f"{USER_ID} {group} 1")):
        _write(f"/proc/self/{name}", text)


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)
    os.write(file, text.encode())
    os.close(file)


def build_root(readable: Sequence[tuple[str, str]], hidden: Sequence[str]) -> None:
    """Make a new root folder of read-only views and a small temporary folder, and move into it.

    Args:
        readable: Paths outside, each with its path inside; paths that do not exist are left out.
        hidden: Folders inside that an empty folder covers.
    """
    wanted = [(source, target) for source, target in readable if os.path.exists(source)]
    opened = [(os.open(source, os.O_PATH | os.O_CLOEXEC), target) for source, target in wanted]
    mount("none", "/", None, _REC | _PRIVATE)
    mount("root", _BASE, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for source, target in opened:
        _bind(source, _BASE + target)
        os.close(source)
    for folder in hidden:
        if os.path.isdir(_BASE + folder):
            mount("hidden", _BASE + folder, "tmpfs", _RDONLY | _NOSUID | _NODEV | _NOEXEC, "size=4k,mode=755")
    for folder in WRITABLE:
        _folder(_BASE + folder)
    _processes()
    os.chdir(_BASE)
    call("pivot_root", b".", b".")
    call("umount2", b".", _MNT_DETACH)
    os.chdir("/")
    mount("root", "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    _temporary()


def _processes() -> None:
    """Mount /proc to read, for our own processes, if the kernel can hide the rest: some programs open /dev/stdin."""
    _folder(_BASE + "/proc")
    with suppress(OSError):  # before Linux 5.8
        mount("proc", _BASE + "/proc", "proc", _RDONLY | _NOSUID | _NODEV | _NOEXEC, "subset=pid")
    for name, number in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{number}", f"{_BASE}/dev/{name}")


def _bind(source: int, target: str) -> None:
    path = f"/proc/self/fd/{source}"
    device = target.startswith(_BASE + "/dev/")
    if os.path.isdir(path):
        _folder(target)
    else:
        _folder(os.path.dirname(target))
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    mount(path, target, None, _BIND | _REC)
    if device:
        return
    flags = _RDONLY | _NOSUID | _NODEV
    try:
        attributes = struct.pack("<QQQQ", flags, 0, 0, 0)
        call("syscall", _MOUNT_SETATTR, -100, target.encode(), _AT_RECURSIVE, attributes, len(attributes))
    except OSError:  # before Linux 5.12; the flags of the mounted file system may be locked, so they are kept
        kept = os.statvfs(target).f_flag & (_NOSUID | _NODEV | _NOEXEC)
        mount("none", target, None, _REMOUNT | _BIND | kept | flags)


def _folder(path: str) -> None:
    os.makedirs(path, 0o755, exist_ok=True)


def _temporary() -> None:
    for folder in WRITABLE:
        options = f"size={TEMPORARY_BYTES},nr_inodes=1024,mode=700"
        mount("temporary", folder, "tmpfs", _NOSUID | _NODEV | _NOEXEC, options)


def clean() -> None:
    """Give the next program empty folders."""
    os.chdir("/")
    if any(map(_used, WRITABLE)):
        for folder in WRITABLE:
            call("umount2", folder.encode(), _MNT_DETACH)
        _temporary()


def _used(folder: str) -> bool:
    files = os.statvfs(folder)  # the folder itself is one
    return files.f_files - files.f_ffree > 1 or os.stat(folder).st_mode & 0o777 != 0o700
