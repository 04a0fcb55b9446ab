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

# Names of calls with their numbers on x86_64 and aarch64; -1 if a machine has no such call.
_CALLS = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, lseek 8 62, close 3 57,
close_range 436 436, fstat 5 80, newfstatat 262 79, statx 332 291, stat 4 -1, lstat 6 -1, access 21 -1,
faccessat 269 48, faccessat2 439 439, readlink 89 -1, readlinkat 267 78, getdents64 217 61, getcwd 79 17,
chdir 80 49, fchdir 81 50, dup 32 23, dup2 33 -1, dup3 292 24, pipe 22 -1, pipe2 293 59, poll 7 -1, ppoll 271 73,
select 23 -1, pselect6 270 72, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -1, epoll_pwait 281 22,
eventfd2 290 19, flock 73 32, fsync 74 82, fdatasync 75 83, ftruncate 77 46, fadvise64 221 223, sendfile 40 71,
copy_file_range 326 285, umask 95 166, statfs 137 43, fstatfs 138 44, mmap 9 222, munmap 11 215, mprotect 10 226,
mremap 25 216, madvise 28 233, brk 12 214, msync 26 227, rt_sigaction 13 134, rt_sigprocmask 14 135,
rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigtimedwait 128 137, rt_sigsuspend 130 133, sigaltstack 131 132,
pause 34 -1, alarm 37 -1, setitimer 38 103, getitimer 36 102, timer_create 222 107, timer_settime 223 110,
timer_gettime 224 108, timer_delete 226 111, timer_getoverrun 225 109, restart_syscall 219 128, nanosleep 35 101,
clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169, time 201 -1,
times 100 153, futex 202 98, set_robust_list 273 99, get_robust_list 274 100, rseq 334 293, set_tid_address 218 96,
arch_prctl 158 -1, membarrier 324 283, sched_yield 24 124, sched_getaffinity 204 123, getcpu 309 168, getpid 39 172,
gettid 186 178, getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getgroups 115 158,
getpgrp 111 -1, getpgid 121 155, getsid 124 156, getresuid 118 148, getresgid 120 150, uname 63 160, sysinfo 99 179,
getrusage 98 165, getrlimit 97 163, getrandom 318 278, getpriority 140 141, exit 60 93, exit_group 231 94,
wait4 61 260, sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212, shutdown 48 210
"""
_WRITES = """
mkdir 83 -1, mkdirat 258 34, rmdir 84 -1, unlink 87 -1, unlinkat 263 35, rename 82 -1, renameat 264 38,
renameat2 316 276, symlink 88 -1, symlinkat 266 36, link 86 -1, linkat 265 37, truncate 76 45, fallocate 285 47,
creat 85 -1
"""
_REFUSED = """
chmod 90 -1, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, utime 132 -1, utimes 235 -1, futimesat 261 -1,
utimensat 280 88, chown 92 -1, lchown 94 -1, fchown 93 55, fchownat 260 54, setxattr 188 5, lsetxattr 189 6,
fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16, fork 57 -1, vfork 58 -1, execve 59 221,
execveat 322 281, socket 41 198, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
inotify_init1 294 26, memfd_create 319 279, setsid 112 157, setpgid 109 154
"""
# Done, says the kernel, and does nothing: how a program asks to be scheduled is not its own affair.
_IGNORED = "setpriority 141 140, sched_setaffinity 203 122"
_FATAL = """
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, pidfd_open 434 434, pidfd_send_signal 424 424,
pidfd_getfd 438 438, kcmp 312 272, tkill 200 130, unshare 272 97, setns 308 268, mount 165 40, umount2 166 39,
pivot_root 155 41, chroot 161 51, mount_setattr 442 442, open_tree 428 428, move_mount 429 429, fsopen 430 430,
fsconfig 431 431, fsmount 432 432, mknod 133 -1, mknodat 259 33, setuid 105 146, setgid 106 144, setreuid 113 145,
setregid 114 143, setresuid 117 147, setresgid 119 149, setgroups 116 159, bpf 321 280, keyctl 250 219,
add_key 248 217, request_key 249 218, perf_event_open 298 241, userfaultfd 323 282, io_uring_setup 425 425,
seccomp 317 277, init_module 175 105, finit_module 313 273, delete_module 176 106, kexec_load 246 104, reboot 169 142,
swapon 167 224, swapoff 168 225, open_by_handle_at 304 265, name_to_handle_at 303 264, shmget 29 194, shmat 30 196,
semget 64 190, msgget 68 186, mq_open 240 180, memfd_secret 447 -1, fanotify_init 300 262, acct 163 89,
quotactl 179 60, settimeofday 164 170, clock_settime 227 112, sethostname 170 161, setdomainname 171 162,
syslog 103 116, iopl 172 -1, ioperm 173 -1
"""
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

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
        "clone 56 220": _load(0) + _if(_ANY_BIT, _CLONE_THREAD, _ALLOWED, _NOT_PERMITTED),
        "fcntl 72 25": _never(1, *_FCNTL_FATAL),
        "ioctl 16 29": _never(1, *_IOCTL_FATAL),
        # Unix streams only: a datagram socket could reach the sockets of others by their address.
        "socketpair 53 199": _load(0)
        + _if(_EQUAL, 1, (*_load(1), (_AND, 0, 0, 0xF), *_if(_EQUAL, 1, _ALLOWED, _NOT_PERMITTED)), _NOT_PERMITTED),
        "open 2 -1": _ALLOWED if opens else _reads(1),
        "openat 257 56": _ALLOWED if opens else _reads(2),
        # Signals and limits of this process only.
        "kill 62 129": _load(0) + _if(_EQUAL, _THIS_PROCESS, _signal(1), _KILLED),
        "tgkill 234 131": _load(0) + _if(_EQUAL, _THIS_PROCESS, _signal(2), _KILLED),
        "prlimit64 302 261": _only(0, _THIS_PROCESS, 0),
    }
    rules = {_number(entry, column): code for entry, code in special.items()}
    tables = (
        (_CALLS, _ALLOWED), (_WRITES, _ALLOWED if writable else _FORBIDDEN), (_REFUSED, _NOT_PERMITTED),
        (_IGNORED, _DONE), (_FATAL, _KILLED),
    )  # fmt: skip
    for table, code in tables:
        rules |= {_number(entry, column): code for entry in table.split(",")}
    if column == 0:
        rules[0x40000000] = _KILLED  # this and all higher numbers: the x32 calls
    rules.pop(-1, None)
    return rules


def _number(entry: str, column: int) -> int:
    """The number of a call on one machine, from `NAME NUMBER NUMBER`."""
    return int(entry.split()[1 + column])


def _search(ranges: Sequence[tuple[int, Code]]) -> Code:
    """Look up the loaded number; each range is given by its first number."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    jump = ((_ABOVE, 0, 1, ranges[middle][0]), (_JUMP, 0, 0, len(below)))
    return (*jump, *below, *above)


def build(*, writable: bool, opens: bool | None = None) -> bytes:
    """The filter, in which `_THIS_PROCESS` stands for the id of the process.

    Args:
        writable: Whether there is a folder that may be written to.
        opens: Whether files can be opened to write, for something else decides which; by default as `writable`.

    Raises:
        OSError: The calls of this kind of machine are not listed here.
    """
    if machine() not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no system call filter for {machine()}, only for {', '.join(_MACHINES)}")
    column, architecture = _MACHINES[machine()]
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
