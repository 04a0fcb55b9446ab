"""The code that runs inside the sandbox: the worker, which we trust, and the processes that it forks for programs.

These modules use only the standard library, and of sftgen they import only each other. They import little: every
program's process is a copy of the worker, and its cost grows with what the worker holds. So there are no dataclasses
in here; they would bring along a tenth of the standard library.
"""
