"""The code that runs inside the sandbox: the worker, which we trust, and the processes that it forks for programs.

These modules use only the standard library, and of sftgen they import only each other.
"""
