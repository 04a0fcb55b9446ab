"""What is proved of a program without running it, and what is not."""

from __future__ import annotations

import pytest

from sftgen_tasks.livecodebench import SETTING
from sftgen_tasks.readers.paper_certain import alike, never_binds

ALIKE = {
    "reads and prints": "n = int(input())\nprint(sum(int(x) for x in input().split()) + n)",
    "a main part": 'import sys\ndef main():\n    print(sys.stdin.read())\nif __name__ == "__main__":\n    main()',
    "an import before its use": "import math\nprint(math.sqrt(4))",
    "a local name of the prelude": "def f(count):\n    copy = count\n    return copy\nprint(f(1))",
    "functions that call earlier ones": "def f():\n    return 1\ndef g():\n    return f()\nprint(g())",
    "a limit of recursion that does not matter": "import sys\nsys.setrecursionlimit(10**6)\nprint(1)",
}


@pytest.mark.parametrize("name", ALIKE)
def test_programs_that_are_the_same_to_both_rules(name: str) -> None:
    assert alike(ALIKE[name], SETTING.modules)


DIFFERS = {
    "not a program": "print(",
    "a name of the prelude": "print(sqrt(4))",
    "a module of the prelude": "print(math.sqrt(4))",
    "an import after the use": "print(sqrt(4))\nfrom math import sqrt",
    "an import that may not run": "if input():\n    from math import sqrt\nprint(sqrt(4))",
    "a loop that may not run": "for count in input():\n    pass\nprint(count)",
    "recursion": "def f(n):\n    return n and f(n - 1)\nprint(f(2000))",
    "recursion of two": "def f(n):\n    return n and g(n - 1)\ndef g(n):\n    return f(n)\nprint(f(2000))",
    "a function that is passed": "def f(g, n):\n    return n and g(g, n - 1)\nprint(f(f, 2000))",
    "a lambda that is kept": "d = {}\nd[0] = lambda n: n and d[0](n - 1)\nprint(d[0](2000))",
    "a lambda that looks up": "from collections import defaultdict\nd = defaultdict(lambda: d[len(d)])\nprint(d[0])",
    "a lambda that looks up without a call": "from collections import defaultdict\nd = defaultdict(lambda: d[0])",
    "a lambda by a keyword": "d = dict(key=lambda n: n and d['key'](n - 1))\nprint(d['key'](2000))",
    "a sort that keeps its key": "def sorted(key):\n    return key\nf = sorted(key=lambda n: n and f(n - 1))",
    "generators in generators": "it = iter(range(9))\nfor i in range(2000):\n    it = (x for x in it)\nprint(list(it))",
    "a generator function": "def f(it):\n    yield from it\nprint(list(f([])))",
    "a class": "class A:\n    def f(self):\n        return self.f()\nprint(A().f())",
    "a main part in single quotes": "if __name__ == '__main__':\n    print(1)",
    "two of them": 'a = __name__ == "__main__"\nif __name__ == "__main__":\n    print(a)',
    "an exit": "print(1)\nexit()",
    "another exit": "import sys\nprint(1)\nsys.exit()",
    "a third exit": "print(1)\nraise SystemExit",
    "bytes": "import sys\nprint(sys.stdin.buffer.read())",
    "a descriptor": "print(open(0).read())",
    "another module": "import os\nprint(os.getcwd())",
    "a thread": "import threading\nthreading.Thread(target=print).start()",
    "a stream in another name": "import sys\nf = sys.stdin\nprint(f)",
    "a stream that is written": "import sys\ntry:\n    sys.stdin.write('a')\nexcept Exception:\n    print(1)",
    "another stream": "import sys\nprint(1, file=sys.stderr)",
    "a prompt": "print(input('a'))",
    "a low limit of recursion": "import sys\nsys.setrecursionlimit(50)\nprint(1)",
    "random numbers": "import random\nprint(random.random())",
    "an import of all": "from math import *\nprint(sqrt(4))",
    "attributes by name": "import string\nprint(string.Formatter().get_field('0.real', (1,), {}))",
    "half a letter": "try:\n    print(chr(0xD800))\nexcept Exception:\n    print(1)",
    "a decorator": "from functools import cache\n@cache\ndef f():\n    return 1\nprint(f())",
    "much text": "print(1)\n" * 5_000,
}


@pytest.mark.parametrize("name", DIFFERS)
def test_programs_that_have_to_be_run(name: str) -> None:
    assert not alike(DIFFERS[name], SETTING.modules)


METHOD = "class Solution:\n    def f(self, n):\n        return self.f(n - 1) if n else 0\n"
MAY_BIND = {
    "a function": "def f(n):\n    return 0",
    "a function in a condition": "if 1:\n    def f(n):\n        return 0",
    "a method of that name makes it global": "class A:\n    def g(self):\n        global f\n        f = 1",
    "an assignment": METHOD + "f = Solution().f",
    "a loop": METHOD + "for f in [Solution().f]:\n    pass",
    "an expression": METHOD + "print(f := 1)",
    "an import": "from math import sqrt as f",
    "an import of all": "from math import *",
    "the dictionary": METHOD + "globals()['f'] = Solution().f",
    "the dictionary of a function": METHOD + "Solution.f.__globals__['f'] = Solution().f",
    "the dictionary by a text": "import string\nstring.Formatter().get_field('0.__globals__', (g,), {})",
    "the dictionary by another name": "from typing import get_type_hints as g\ng(1)",
    "code": "exec('f = 1')",
    "another module": "import os\n" + METHOD,
    "not a program": METHOD + "(",
}


@pytest.mark.parametrize("name", MAY_BIND)
def test_functions_that_may_be_found(name: str) -> None:
    assert not never_binds(MAY_BIND[name], "sqrt" if name == "an import of all" else "f")


@pytest.mark.parametrize("before", ["", "from typing import *\n", "import math\nfrom typing import List\n"])
def test_methods_are_never_found(before: str) -> None:
    assert never_binds(before + METHOD, "f")
