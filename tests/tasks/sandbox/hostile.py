"""Programs that try to get out of the sandbox, to outlast it or to be graded as right.

Each is run on the input `MARKER FOLDER PID` (a word that no other process has, a folder of the parent with a
file in it, the parent's process id) and would be right if it printed `right`, which it cannot know. Attempts
that come to nothing go on to print what they found: it must not be the secret in the parent's environment.
"""

from __future__ import annotations

from typing import NamedTuple


class Hostile(NamedTuple):
    """A program, the words of which one has to be its reason, and what stops it, for the documentation."""

    name: str
    source: str
    reasons: tuple[str, ...]
    stops: str


_READ = "import os, sys\nmarker, folder, pid = sys.stdin.readline().split()\npid = int(pid)\n"
_C = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
REFUSED, TIME, MEMORY, CRASH, WRONG = "refused call", "time limit", "memory limit", "crash", "wrong answer"
FILTER = "system call filter"
VIEW = "no such file in its view"

HOSTILE = [
    Hostile("fork bomb", _READ + "while True:\n    os.fork()\n", (REFUSED,), FILTER),
    Hostile("fork bomb through the C library", _READ + _C + "while True:\n    libc.fork()\n", (TIME,), FILTER),
    Hostile(
        "clone without going through the C library",
        _READ + _C + "for number in (56, 57, 58, 435):\n    libc.syscall(number, 17, 0, 0, 0, 0)\nprint('right?')\n",
        (WRONG,),
        FILTER,
    ),
    Hostile(
        "thread bomb",
        _READ + "import threading, time\nthreading.stack_size(65536)\n"
        "while True:\n    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n",
        (REFUSED, CRASH, MEMORY, TIME),
        "limit on threads",
    ),
    Hostile(
        "memory bomb",
        _READ + "x = []\nwhile True:\n    x.append(bytearray(1 << 26))\n",
        (MEMORY, TIME),
        "address space",
    ),
    Hostile(
        "memory bomb that swallows errors",
        _READ
        + "x = []\nwhile True:\n    try:\n        x += [bytearray(1 << 26)]\n    except MemoryError:\n        pass\n",
        (TIME, MEMORY),
        "CPU time",
    ),
    Hostile(
        "disk fill in the temporary folder",
        _READ + "for n in range(10**6):\n    with open(f'/tmp/{n}', 'wb') as f:\n        f.write(bytes(1 << 24))\n",
        (CRASH, REFUSED),
        "size of the temporary folder",
    ),
    Hostile(
        "disk fill by many small files",
        _READ + "for n in range(10**7):\n    os.close(os.open(f'/tmp/{n}', os.O_CREAT | os.O_WRONLY))\n",
        (CRASH, REFUSED, TIME),
        "number of files in the temporary folder",
    ),
    Hostile("output flood", _READ + "while True:\n    print('x' * (1 << 20))\n", (CRASH,), "size of a file"),
    Hostile(
        "output flood to standard error",
        _READ + "while True:\n    sys.stderr.write('x' * (1 << 20))\n",
        (TIME,),
        "CPU time; the output is dropped",
    ),
    Hostile(
        "files in memory",
        _READ + "x = []\nwhile True:\n    x.append(os.memfd_create('x'))\n    os.write(x[-1], bytes(1 << 26))\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile(
        "infinite loop with signals masked",
        _READ + "import signal\nfor n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True:\n    pass\n",
        (TIME,),
        "CPU time",
    ),
    Hostile(
        "bare except round the timeout",
        _READ + "while True:\n    try:\n        while True:\n            pass\n    except:\n        pass\n",
        (TIME,),
        "CPU time",
    ),
    Hostile("sleep past the end", _READ + "import time\ntime.sleep(10**6)\n", (TIME,), "time asleep"),
    Hostile(
        "sleep in small bites",
        _READ + "import time\nwhile True:\n    time.sleep(0.001)\n",
        (TIME,),
        "time asleep",
    ),
    Hostile("wait for input that never comes", _READ + "r, w = os.pipe()\nos.read(r, 1)\n", (TIME,), "time asleep"),
    Hostile(
        "double-forked daemon",
        _READ + "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        import time\n"
        "        while True:\n            time.sleep(1)\nprint('right?')\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile("other program", _READ + "os.execv('/bin/sh', ['sh', '-c', 'sleep 1000'])\n", (REFUSED, CRASH), FILTER),
    Hostile(
        "shell",
        _READ + "import subprocess\nprint(subprocess.check_output('echo right', shell=True))\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile(
        "reading /proc of the parent",
        _READ + "for name in ('environ', 'cmdline', 'maps', 'mem'):\n"
        "    print(open(f'/proc/{pid}/{name}', 'rb').read(4000))\n",
        (CRASH, REFUSED),
        VIEW,
    ),
    Hostile(
        "reading /proc of its own ancestors",
        _READ + "for p in ('1', str(os.getppid())):\n    for name in ('environ', 'mem', 'root/etc/passwd', 'fd/3'):\n"
        "        try:\n            print(open(f'/proc/{p}/{name}', 'rb').read(100))\n"
        "        except OSError as e:\n            print(e)\n",
        (WRONG,),
        "the worker cannot be traced",
    ),
    Hostile("killing the parent", _READ + "os.kill(pid, 9)\nprint('right?')\n", (REFUSED,), FILTER),
    Hostile(
        "killing the worker", _READ + "os.kill(os.getppid(), 9)\nos.kill(1, 9)\nprint('right?')\n", (REFUSED,), FILTER
    ),
    Hostile("killing everything", _READ + "os.kill(-1, 9)\n", (REFUSED,), FILTER),
    Hostile(
        "signals by way of a descriptor",
        _READ + "import fcntl\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())\n"
        "fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)\nos.write(w, b'x')\nprint('right?')\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile("writing outside", _READ + "open(f'{folder}/{marker}', 'w').write('x')\n", (CRASH, REFUSED), VIEW),
    Hostile(
        "writing into the interpreter",
        _READ + "open(os.path.dirname(os.__file__) + f'/{marker}.py', 'w').write('x')\n",
        (REFUSED, CRASH),
        "read-only view",
    ),
    Hostile(
        "reading the user's files",
        _READ + "print(open(f'{folder}/secret.txt').read(), os.listdir(folder))\n",
        (CRASH, REFUSED),
        VIEW,
    ),
    Hostile(
        "network connection",
        _READ + "import socket\nsocket.create_connection(('127.0.0.1', 80), timeout=1)\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile(
        "name resolution",
        _READ + "import socket\nprint(socket.getaddrinfo('example.org', 80))\n",
        (REFUSED, CRASH),
        FILTER,
    ),
    Hostile(
        "socket of the machine",
        _READ + "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "a.sendto(b'x', '/run/systemd/journal/dev-log')\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile(
        "reading environment secrets",
        _READ + "print(dict(os.environ), os.getenv('SFTGEN_CANARY'))\n",
        (WRONG,),
        "empty environment",
    ),
    Hostile(
        "descriptors of the parent",
        _READ + "for n in range(3, 4096):\n    try:\n        print(n, os.fstat(n).st_size, os.pread(n, 1000, 0))\n"
        "        os.write(n, b'right')\n    except OSError:\n        pass\n",
        (WRONG, CRASH),
        "no descriptor is inherited",
    ),
    Hostile(
        "patching the checker",
        _READ + "import builtins, io, json, gc, types\nclass Right(str):\n    __eq__ = lambda a, b: True\n"
        "    __hash__ = str.__hash__\n    strip = lambda a: a\n"
        "str_ = Right('anything')\nbuiltins.all = builtins.any = builtins.bool = lambda *a: True\n"
        "json.loads = json.dumps = lambda *a, **k: Right('right?')\n"
        "for o in gc.get_objects():\n    if isinstance(o, types.FunctionType) and 'judge' in o.__name__:\n"
        "        o.__code__ = (lambda *a, **k: True).__code__\nprint(str_)\n",
        (WRONG, CRASH),
        "compared in another process",
    ),
    Hostile(
        "printing a verdict protocol",
        _READ + 'print(\'{"passed": true, "results": [[true]], "end": true}\')\nprint(\'ALL TESTS PASSED\')\n',
        (WRONG,),
        "the output is only compared",
    ),
    Hostile(
        "writing records of its own",
        _READ + "import struct\nfor n in range(3, 64):\n    for i in range(100):\n        try:\n"
        "            os.write(n, struct.pack('<B127s', 0, b''))\n        except OSError:\n            pass\n",
        (WRONG, CRASH),
        "a record claims an output, which is compared",
    ),
    Hostile(
        "records with impossible values",
        _READ + "import struct, time\nfor n in range(3, 64):\n    for status in (255, 2, 9):\n        try:\n"
        "            os.write(n, struct.pack('<B127s', status, b'\\xff' * 127)[:-status])\n        except OSError:\n"
        "            pass\ntime.sleep(0.2)\nos._exit(0)\n",
        (WRONG, CRASH),
        "records are checked",
    ),
    Hostile(
        "records to gain time",
        _READ + "import struct\nwhile True:\n    for n in range(3, 16):\n        try:\n"
        "            os.write(n, struct.pack('<B127s', 0, b''))\n        except OSError:\n            pass\n",
        (WRONG, CRASH),
        "a record ends its test, and the output is compared",
    ),
    Hostile("os._exit(0)", _READ + "os._exit(0)\n", (WRONG,), "the end of a process is not a verdict"),
    Hostile("exit in silence", _READ + "raise SystemExit(0)\n", (WRONG,), "the end of a process is not a verdict"),
    Hostile(
        "deep recursion",
        _READ + "import functools\nsys.setrecursionlimit(10**9)\n"
        "@functools.lru_cache(None)\ndef f(n):\n    return f(n + 1)\nf(0)\n",
        (CRASH, MEMORY, TIME),
        "stack and address space",
    ),
    Hostile(
        "recursion in the compiler",
        "(" * 100_000 + ")" * 100_000,
        ("compile error", MEMORY, CRASH),
        "the parser refuses it",
    ),
    Hostile("huge integer", _READ + "print(9 ** 9 ** 9 ** 9)\n", (TIME, MEMORY, CRASH), "CPU time"),
    Hostile(
        "huge constant", "x = ((2 ** 10 ** 5) ** 10 ** 5) ** 10 ** 5\nprint(x)\n", (TIME, MEMORY, CRASH), "CPU time"
    ),
    Hostile(
        "closing stdout",
        _READ + "print('right?')\nsys.stdout.close()\nos.close(1)\n",
        (WRONG, CRASH),
        "the output is only compared",
    ),
    Hostile(
        "closing every descriptor",
        _READ + "os.closerange(0, 4096)\n",
        (WRONG, CRASH),
        "the worker has the files open too",
    ),
    Hostile(
        "threads that outlive",
        _READ + "import threading\ndef spin():\n    while True:\n        pass\n"
        "for _ in range(8):\n    threading.Thread(target=spin, daemon=True).start()\nprint('right?')\n",
        (WRONG, TIME),  # whichever comes first where nine threads share one processor
        "the process ends with its test",
    ),
    Hostile(
        "threads that are waited for",
        _READ + "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()\nprint('right?')\n",
        (TIME,),
        "time asleep",
    ),
    Hostile(
        "importing the grader's module",
        _READ + "import sftgen_tasks.sandbox.samples as s\ns._judge = lambda *a: ('', '')\nprint('right?')\n",
        (CRASH, REFUSED, WRONG),
        VIEW,
    ),
    Hostile(
        "ptrace",
        _READ + _C + "print(libc.ptrace(16, os.getppid(), 0, 0), libc.ptrace(16, 1, 0, 0))\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile(
        "memory of another process",
        _READ + _C + "b = ctypes.create_string_buffer(64)\nprint(libc.process_vm_readv(pid, b, 1, b, 1, 0))\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile(
        "symlink out of the temporary folder",
        _READ + "os.symlink(folder, '/tmp/out')\nopen(f'/tmp/out/{marker}', 'w').write('x')\n",
        (CRASH, REFUSED),
        VIEW,
    ),
    Hostile(
        "hard link",
        _READ + "os.link(os.__file__, '/tmp/link')\nopen('/tmp/link', 'a').write('x')\n",
        (CRASH, REFUSED),
        VIEW,
    ),
    Hostile(
        "/dev/shm", _READ + "open(f'/dev/shm/{marker}', 'wb').write(bytes(1 << 20))\n", (WRONG, CRASH, REFUSED), VIEW
    ),
    Hostile(
        "shared memory of System V",
        _READ + _C + "print(libc.shmget(1234, 1 << 20, 0o1666))\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile(
        "core dump",
        _READ + "import resource\ntry:\n    resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))\n"
        "except (ValueError, OSError):\n    pass\nos.abort()\n",
        (CRASH,),
        "hard limits",
    ),
    Hostile(
        "raising its own limits",
        _READ + "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nprint('right?')\n",
        (CRASH, REFUSED),
        "hard limits",
    ),
    Hostile(
        "limits of another process",
        _READ + "import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))\nprint('right?')\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile(
        "atexit: print at the end, then hang",
        _READ + "import atexit, time\natexit.register(time.sleep, 10**6)\natexit.register(print, 'right?')\n",
        (TIME,),
        "time asleep",
    ),
    Hostile(
        "atexit: register forever",
        _READ + "import atexit\ndef again():\n    atexit.register(again)\n    again()\natexit.register(again)\n",
        (WRONG, TIME, CRASH, MEMORY),
        "CPU time, recursion limit",
    ),
    Hostile(
        "a namespace of its own",
        _READ + _C + "print(libc.unshare(0x10000000 | 0x20000))\n",
        (REFUSED,),
        FILTER,
    ),
    Hostile("mounting", _READ + _C + "print(libc.mount(b'proc', b'/tmp', b'proc', 0, None))\n", (REFUSED,), FILTER),
    Hostile("io_uring", _READ + _C + "b = bytes(200)\nprint(libc.syscall(425, 8, b))\n", (REFUSED,), FILTER),
    Hostile(
        "patching the end of the process",
        _READ
        + "os._exit = lambda code: None\nsys.exit = lambda code=0: None\nos.fstat = os.write = None\nprint('right?')\n",
        (WRONG, CRASH),
        "the worker sees how it ended",
    ),
    Hostile(
        "tracing the runner",
        _READ
        + "def trace(frame, event, argument):\n    raise KeyboardInterrupt\nsys.settrace(trace)\nprint('right?')\n",
        (WRONG, CRASH),
        "the worker sees how it ended",
    ),
    Hostile(
        "a module for the next program",
        _READ + "open('/tmp/heapq.py', 'w').write('right')\nsys.path.insert(0, '/tmp')\nprint('right?')\n",
        (WRONG, REFUSED),
        "another process, an empty folder",
    ),
]
