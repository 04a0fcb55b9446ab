# ruff: noqa: E501 - programs are easier to read with few breaks
"""Correct programs in all the ways that people write them; each reads two numbers and prints their sum.

`FUNCTIONS` have a name to call and arguments; the rest reads standard input.

"""

from __future__ import annotations

CORRECT = {
    "input()": "a = int(input())\nb = int(input())\nprint(a + b)\n",
    "for line in sys.stdin": "import sys\nprint(sum(int(line) for line in sys.stdin))\n",
    "sys.stdin.buffer": "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))\n",
    "sys.stdin.readline as input": "import sys\ninput = sys.stdin.readline\nprint(int(input()) + int(input()))\n",
    "open(0)": "a, b = map(int, open(0))\nprint(a + b)\n",
    "open(0) and open(1)": "a, b = map(int, open(0))\nout = open(1, 'w')\nout.write(f'{a + b}\\n')\n",
    "open('/dev/stdin')": "print(sum(map(int, open('/dev/stdin').read().split())))\n",
    "os.read": "import os\nprint(sum(map(int, os.read(0, os.fstat(0).st_size).split())))\n",
    "os.write": "import os\nos.write(1, b'%d\\n' % (int(input()) + int(input())))\n",
    "sys.stdout.buffer": "import sys\nsys.stdout.buffer.write(b'%d' % (int(input()) + int(input())))\n",
    "sys.stdout detached": (
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), 'utf-8', write_through=True)\n"
        "print(int(input()) + int(input()))\n"
    ),
    "sys.stdout replaced": (
        "import io, os, sys, atexit\n"
        "class Out(io.IOBase):\n"
        "    def __init__(self):\n        self.buffer = io.BytesIO()\n"
        "    def write(self, text):\n        self.buffer.write(text.encode())\n"
        "    def flush(self):\n        os.write(1, self.buffer.getvalue())\n        self.buffer = io.BytesIO()\n"
        "sys.stdin = io.StringIO(sys.stdin.read())\nsys.stdout = Out()\n"
        "input = lambda: sys.stdin.readline().rstrip()\nprint(int(input()) + int(input()))\n"
    ),
    "mmap of standard input": (
        "import mmap\nm = mmap.mmap(0, 0, access=mmap.ACCESS_READ)\nprint(sum(map(int, m.read().split())))\n"
    ),
    "global": "total = 0\ndef add(n):\n    global total\n    total += n\nadd(int(input()))\nadd(int(input()))\nprint(total)\n",
    "exit() inside a function": "def main():\n    print(int(input()) + int(input()))\n    exit()\nmain()\nprint('not here')\n",
    "sys.exit with a message": "import sys\nprint(int(input()) + int(input()))\nsys.exit('done')\n",
    "os._exit(0) after flushing": "import os, sys\nprint(int(input()) + int(input()))\nsys.stdout.flush()\nos._exit(0)\n",
    "star imports": "from math import *\nfrom sys import *\nfrom collections import *\nprint(gcd(0, int(stdin.readline())) + int(stdin.readline()))\n",
    "thread with a raised recursion limit": (
        "import sys, threading\nsys.setrecursionlimit(10**7)\nthreading.stack_size(1 << 27)\n"
        "def depth(n):\n    return 0 if n == 0 else 1 + depth(n - 1)\n"
        "def main():\n    a, b = int(input()), int(input())\n    print(a + b + depth(50000) - 50000)\n"
        "thread = threading.Thread(target=main)\nthread.start()\nthread.join()\n"
    ),
    "thread that is not joined": (
        "import threading, time\ndef main():\n    time.sleep(0.01)\n    print(int(input()) + int(input()))\n"
        "threading.Thread(target=main).start()\n"
    ),
    "thread pool": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(4)\n"
        "print(sum(pool.map(int, [input(), input()])))\n"
    ),
    "daemon thread left behind": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
        "print(int(input()) + int(input()))\n"
    ),
    "lru_cache and deep recursion": (
        "import sys\nfrom functools import lru_cache\nsys.setrecursionlimit(10**6)\n"
        "@lru_cache(maxsize=None)\ndef depth(n):\n    return 0 if n == 0 else 1 + depth(n - 1)\n"
        "print(int(input()) + int(input()) + depth(20000) - 20000)\n"
    ),
    "raised stack limit": (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "print(int(input()) + int(input()))\n"
    ),
    "main guard": "def main():\n    print(int(input()) + int(input()))\nif __name__ == '__main__':\n    main()\n",
    "its own __main__": (
        "import sys, pickle\nclass Pair:\n    pass\np = Pair()\np.a, p.b = int(input()), int(input())\n"
        "q = pickle.loads(pickle.dumps(p))\nassert sys.modules['__main__'].Pair is Pair\nprint(q.a + q.b)\n"
    ),
    "dataclass and annotations": (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport typing\n"
        "@dataclass(order=True)\nclass Pair:\n    a: int\n    b: typing.ClassVar[int] = 1\n"
        "print(Pair(int(input())).a + int(input()))\n"
    ),
    "atexit": "import atexit\natexit.register(lambda: print(int(input()) + int(input())))\n",
    "names imported beforehand": "print(reduce(add, map(int, sys.stdin)) + gcd(2, 3) - len(Counter('a')) + math.floor(0.5))\n",
    "built-ins patched": (
        "import builtins, sys\nbuiltins.input = lambda: sys.stdin.readline()\nold = builtins.print\n"
        "builtins.print = lambda *a: old(*a, sep='')\nprint(int(input()) + int(input()))\n"
    ),
    "works only in a fresh process": (
        "import builtins\nassert not hasattr(builtins, 'seen')\nbuiltins.seen = True\nprint(int(input()) + int(input()))\n"
    ),
    "standard output closed": "import sys\nprint(int(input()) + int(input()))\nsys.stdout.close()\nsys.stdin.close()\n",
    "descriptors closed": (
        "import os, sys\nprint(int(input()) + int(input()))\nsys.stdout.flush()\nos.closerange(0, 200)\n"
    ),
    "asyncio": "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    print(int(input()) + int(input()))\nasyncio.run(main())\n",
    "numpy": "import numpy as np\nprint(np.array([int(input()), int(input())]).sum())\n",
    "temporary file": (
        "import tempfile\nwith tempfile.TemporaryFile('w+') as f:\n    f.write(input() + ' ' + input())\n    f.seek(0)\n"
        "    print(sum(map(int, f.read().split())))\n"
    ),
    "an error that is caught": (
        "import os, signal\ntry:\n    open('/nowhere/at/all')\nexcept OSError:\n    pass\nprint(int(input()) + int(input()))\n"
    ),
    "an alarm of its own": (
        "import signal\nsignal.signal(signal.SIGALRM, lambda *a: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\n"
        "signal.pause()\nprint(int(input()) + int(input()))\n"
    ),
    "stderr": "import sys\nprint('debug', file=sys.stderr)\nprint(int(input()) + int(input()))\n",
    "Windows line ends": "a = int(input())\r\nb = int(input())\r\nprint(a + b)\r\n",
}

FUNCTIONS = {
    "plain function": ("add", "def add(a, b):\n    return a + b\n"),
    "helper first": ("add", "def helper(x):\n    return x\n\ndef add(a, b):\n    return helper(a) + helper(b)\n"),
    "method of class Solution": (
        "add",
        "class Solution:\n    def add(self, a: int, b: Optional[int]) -> List[int]:\n        return a + b\n",
    ),
    "helper class first": (
        "add",
        "class Node:\n    pass\n\nclass Solution:\n    memo = defaultdict(int)\n    @cache\n    def add(self, a, b):\n"
        "        return a + b\n",
    ),
    "prints and reads beside it": (
        "add",
        "def add(a, b):\n    print('debug')\n    return a + b\n\nif __name__ == '__main__':\n    input()\n",
    ),
    "number of numpy": ("add", "import numpy as np\ndef add(a, b):\n    return np.int64(a) + np.int64(b)\n"),
    "threads": (
        "add",
        "import threading\ndef add(a, b):\n    r = []\n    t = threading.Thread(target=lambda: r.append(a + b))\n    t.start()\n"
        "    t.join()\n    return r[0]\n",
    ),
}
