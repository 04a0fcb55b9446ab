"""A filter for system calls, assembled by hand: it allows the calls that Python programs need, and no others.

A call that no correct program makes ends the process, so that the worker sees it. Calls that a library tries and can
do without return the error "not permitted"; so do changes of rights, owners and times of files, which would reach files
of the machine. Calls that are not listed here return "not implemented".
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Callable, Sequence

from sftgen_tasks.sandbox.inside.system import PR_SET_SECCOMP, machine, prepared_prctl

TABLE = os.path.join(os.path.dirname(__file__), "calls.txt")
"""Names of calls with their numbers on the `MACHINES`; -1 if a machine has no such call."""
with open(TABLE, encoding="ascii") as _lines:
    NUMBERS = {name: [int(x86_64), int(aarch64)] for name, x86_64, aarch64 in map(str.split, _lines)}
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""By the name of a kind of processor: its column in the table, and what the kernel calls it in a filter."""

_CALLS = """
read write readv writev pread64 pwrite64 lseek close close_range fstat newfstatat statx stat lstat access faccessat
faccessat2 readlink readlinkat getdents64 getcwd chdir fchdir dup dup2 dup3 pipe pipe2 poll ppoll select pselect6
epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 flock fsync fdatasync ftruncate fadvise64 sendfile
copy_file_range umask statfs fstatfs mmap munmap mprotect mremap madvise brk msync rt_sigaction rt_sigprocmask
rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause alarm setitimer getitimer timer_create
timer_settime timer_gettime timer_delete timer_getoverrun restart_syscall nanosleep clock_nanosleep clock_gettime
clock_getres gettimeofday time times futex set_robust_list get_robust_list rseq set_tid_address arch_prctl membarrier
sched_yield sched_getaffinity getcpu getpid gettid getppid getuid geteuid getgid getegid getgroups getpgrp getpgid
getsid getresuid getresgid uname sysinfo getrusage getrlimit getrandom getpriority exit exit_group wait4 sendto
recvfrom sendmsg recvmsg shutdown
"""
_WRITES = """
mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 symlink symlinkat link linkat truncate fallocate creat
"""
_REFUSED = """
chmod fchmod fchmodat fchmodat2 utime utimes futimesat utimensat chown lchown fchown fchownat setxattr lsetxattr
fsetxattr removexattr lremovexattr fremovexattr fork vfork execve execveat socket connect bind listen accept accept4
inotify_init1 memfd_create setsid setpgid
"""
# Done, says the kernel, and does nothing: how a program asks to be scheduled is not its own affair.
_IGNORED = "setpriority sched_setaffinity"
_FATAL = """
ptrace process_vm_readv process_vm_writev pidfd_open pidfd_send_signal pidfd_getfd kcmp tkill unshare setns mount
umount2 pivot_root chroot mount_setattr open_tree move_mount fsopen fsconfig fsmount mknod mknodat setuid setgid
setreuid setregid setresuid setresgid setgroups bpf keyctl add_key request_key perf_event_open userfaultfd
io_uring_setup seccomp init_module finit_module delete_module kexec_load reboot swapon swapoff open_by_handle_at
name_to_handle_at shmget shmat semget msgget mq_open memfd_secret fanotify_init acct quotactl settimeofday
clock_settime sethostname setdomainname syslog iopl ioperm
"""

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _JUMP, _EQUAL, _ABOVE, _ANY_BIT, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x54, 0x06
_CLONE_THREAD = 0x10000
# Options that choose which process gets a file's signals: with these a program could signal another process.
_FCNTL_FATAL = (8, 10, 15, 1024, 1026)
_IOCTL_FATAL = (0x8901, 0x8902, 0x5412)  # the same for sockets, and input to a terminal
_O_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_THIS_PROCESS = 0x5F5E5D5C
"""In `build` this number stands for the process of the filter; `prepare` has it replaced by the process id."""

Code = tuple[tuple[int, int, int, int], ...]


def _end(action: int) -> Code:
    return ((_RETURN, 0, 0, action),)


_ALLOWED, _KILLED, _UNKNOWN, _FORBIDDEN = map(_end, (_ALLOW, _KILL, _ERRNO | errno.ENOSYS, _ERRNO | errno.EACCES))
_NOT_PERMITTED, _DONE = map(_end, (_ERRNO | errno.EPERM, _ERRNO))


def _load(argument: int) -> Code:
    """Load the lower half of an argument. For the arguments checked here the kernel reads no more than that."""
    return ((_LOAD, 0, 0, 16 + 8 * argument),)


def _if(test: int, value: int, then: Code, otherwise: Code) -> Code:
    return ((test, 0, len(then), value), *then, *otherwise)


def _only(argument: int, *values: int) -> Code:
    """Allow the call if an argument has one of these values."""
    code = _KILLED
    for value in values:
        code = _if(_EQUAL, value, _ALLOWED, code)
    return _load(argument) + code


def _never(argument: int, *values: int) -> Code:
    """Allow the call unless an argument has one of these values."""
    code = _ALLOWED
    for value in values:
        code = _if(_EQUAL, value, _KILLED, code)
    return _load(argument) + code


def _reads(argument: int) -> Code:
    """Allow to open a file to read."""
    return _load(argument) + _if(_ANY_BIT, _O_WRITES, _FORBIDDEN, _ALLOWED)


def _signal(argument: int) -> Code:
    """Allow to send a signal, unless it stops the process or looks like this filter's own."""
    code = _ALLOWED
    for number in (signal.SIGSYS, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        code = _if(_EQUAL, number, _NOT_PERMITTED, code)
    return _load(argument) + code


def _rules(column: int, *, writable: bool, opens: bool) -> dict[int, Code]:
    """What happens at each call, by its number."""
    special = {
        # Threads only, no processes. Without `clone3` the C library uses `clone`, whose flags the filter can read.
        "clone": _load(0) + _if(_ANY_BIT, _CLONE_THREAD, _ALLOWED, _NOT_PERMITTED),
        "fcntl": _never(1, *_FCNTL_FATAL),
        "ioctl": _never(1, *_IOCTL_FATAL),
        # Unix streams only: a datagram socket could reach the sockets of others by their address.
        "socketpair": _load(0)
        + _if(_EQUAL, 1, (*_load(1), (_AND, 0, 0, 0xF), *_if(_EQUAL, 1, _ALLOWED, _NOT_PERMITTED)), _NOT_PERMITTED),
        "open": _ALLOWED if opens else _reads(1),
        "openat": _ALLOWED if opens else _reads(2),
        # Signals and limits of this process only.
        "kill": _load(0) + _if(_EQUAL, _THIS_PROCESS, _signal(1), _KILLED),
        "tgkill": _load(0) + _if(_EQUAL, _THIS_PROCESS, _signal(2), _KILLED),
        "prlimit64": _only(0, _THIS_PROCESS, 0),
    }
    rules = {NUMBERS[name][column]: code for name, code in special.items()}
    tables = (
        (_CALLS, _ALLOWED), (_WRITES, _ALLOWED if writable else _FORBIDDEN), (_REFUSED, _NOT_PERMITTED),
        (_IGNORED, _DONE), (_FATAL, _KILLED),
    )  # fmt: skip
    for table, code in tables:
        rules |= {NUMBERS[name][column]: code for name in table.split()}
    if column == 0:
        rules[0x40000000] = _KILLED  # this and all higher numbers: the x32 calls
    rules.pop(-1, None)
    return rules


def _search(ranges: Sequence[tuple[int, Code]]) -> Code:
    """Look up the loaded number; each range is given by its first number."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(below) < 256:  # a longer way does not fit into a comparison
        return ((_ABOVE, len(below), 0, first), *below, *above)
    return ((_ABOVE, 0, 1, first), (_JUMP, 0, 0, len(below)), *below, *above)


def build(*, writable: bool, opens: bool | None = None) -> bytes:
    """The filter, in which `_THIS_PROCESS` stands for the id of the process.

    Args:
        writable: Whether there is a folder that may be written to.
        opens: Whether files can be opened to write, for something else decides which; by default as `writable`.

    Raises:
        OSError: The calls of this kind of machine are not listed here.
    """
    if machine() not in MACHINES:
        raise OSError(errno.ENOSYS, f"no system call filter for {machine()}, only for {', '.join(MACHINES)}")
    column, architecture = MACHINES[machine()]
    rules = _rules(column, writable=writable, opens=writable if opens is None else opens)
    ranges: list[tuple[int, Code]] = [(0, rules.get(0, _UNKNOWN))]
    for number in sorted({*rules, *(known + 1 for known in rules)}):
        code = rules.get(number, _KILLED if number > 0x40000000 else _UNKNOWN)
        if code != ranges[-1][1]:
            ranges.append((number, code))
    start: Code = ((_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), *_KILLED, (_LOAD, 0, 0, 0))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in start + _search(ranges))


def prepare(filter_: bytes) -> Callable[[], None]:
    """What a forked process calls to filter its calls from then on; `no_new_privs` has to be set."""
    code = ctypes.create_string_buffer(filter_, len(filter_))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(filter_) // 8, ctypes.addressof(code)))
    mark = struct.pack("<I", _THIS_PROCESS)
    places = [place for place in range(4, len(filter_), 8) if filter_[place : place + 4] == mark]
    numbers = [ctypes.c_uint32.from_buffer(code, place) for place in places]
    start = prepared_prctl(PR_SET_SECCOMP, 2, ctypes.addressof(program))

    def install(_: object = program) -> None:
        pid = os.getpid()
        for number in numbers:
            number.value = pid
        start()

    return install
