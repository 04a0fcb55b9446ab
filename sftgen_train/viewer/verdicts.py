"""Verdicts of the runs, worked out in a process beside the viewer that ends: no page waits, and no memory stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock

from sftgen_judges.errors import SftgenError
from sftgen_train.report.trajectories import RunVerdicts, trajectory

Waiting = Callable[[Path], int]


class Verdicts:
    """The verdicts of runs, once an edition."""

    def __init__(self, waiting: Waiting | None = None) -> None:
        """Nothing starts before a verdict is asked for.

        Args:
            waiting: How many checkpoints of a run wait; a function of a module.
        """
        self._waiting = waiting
        self._one_by_one = ThreadPoolExecutor(1)
        self._asked: dict[str, tuple[int, Future[RunVerdicts]]] = {}
        self._lock = Lock()
        self._process: BaseProcess | None = None

    def of(self, folder: str, edition: int) -> RunVerdicts | None:
        """The verdicts of a run; None while they are worked out.

        Raises:
            SftgenError: They cannot be worked out.
        """
        with self._lock:
            known = self._asked.get(folder)
            if known is None or (known[0] != edition and known[1].done()):
                known = edition, self._one_by_one.submit(self._beside, folder)
                self._asked[folder] = known
        return known[1].result() if known[1].done() else None

    def _beside(self, folder: str) -> RunVerdicts:
        """Work out the verdicts of a run in a process of their own.

        Raises:
            SftgenError: That process failed, or was ended.
        """
        context = get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_work_out, args=(theirs, folder, self._waiting), daemon=True)
        self._process.start()
        theirs.close()
        try:
            found = ours.recv()
        except EOFError as error:
            raise SftgenError("the process that works out verdicts was ended, perhaps for lack of memory") from error
        finally:
            ours.close()
            self._process.join()
        if isinstance(found, str):
            raise SftgenError(found)
        assert isinstance(found, RunVerdicts)
        return found

    def close(self) -> None:
        """Give up what is not worked out yet."""
        self._one_by_one.shutdown(wait=False, cancel_futures=True)
        if self._process and self._process.is_alive():
            self._process.terminate()


def _work_out(answer: Connection, folder: str, waiting: Waiting | None) -> None:
    """Send the verdicts, or why there are none."""
    os.nice(5)  # pages come first
    try:
        [found] = trajectory([folder], waiting=waiting)
    except Exception as error:
        answer.send(f"{error}" if isinstance(error, SftgenError) else f"{type(error).__name__}: {error}")
    else:
        answer.send(found)
