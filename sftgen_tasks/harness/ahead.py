"""Grading a task while responses to others are generated."""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from lm_eval.api.instance import Instance

from sftgen_judges.asking.settings import settings_for
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Grader, Judge
from sftgen_judges.records.current import Recording
from sftgen_judges.records.schema import GenerationRecord
from sftgen_tasks.harness.documents import several_ranks

logger = logging.getLogger(__name__)

Answers: TypeAlias = Sequence[tuple[Mapping[str, Any], GenerationRecord]]
"""Documents with what was written down of a response to each."""
Grade: TypeAlias = Callable[[Recording, Answers], None]
"""Grades responses into the journal of verdicts, in which lm_eval's filter finds them later."""

ALONE = threading.Lock()
"""Held while a task is graded, by whichever thread: nothing is graded twice at once."""


def note_grading(instances: Iterable[Instance], grade: Grade | None) -> None:
    """Leave word on the requests of a task how it is graded ahead; None where it cannot be."""
    for instance in instances:
        instance.grade_ahead = grade


def may_run_beside(scorer: Grader | Judge) -> bool:
    """Whether grading leaves memory and device to the model that generates: no judge's model runs in this process."""
    if not isinstance(scorer, Judge):
        return True
    if scorer.parts:
        return all(map(may_run_beside, scorer.parts))
    if scorer.judge is not None:
        return "local model" not in scorer.needs
    try:
        settings = settings_for(scorer)
    except SftgenError:  # grading says so
        return False
    return scorer.prompt is not None and not settings.missing and settings.backend == "server"


class GradingAhead:
    """Grades each task as soon as its last response stands, one after the other in a thread of its own.

    Graders that take time have processes of their own, and judges wait for a server, so that the model hardly notices.
    It ends with the generating: a task that is not begun by then is graded by lm_eval's filter, in the main thread, and
    so is whatever failed here. One that is begun goes on, and the filter waits for it. Where lm_eval shares a task
    between ranks nothing is graded ahead, since a rank's responses may be padded.
    """

    def __init__(self, run: Recording, requests: Sequence[Instance], known: Mapping[int, GenerationRecord]) -> None:
        """Look at what is asked for.

        Args:
            run: Where verdicts are written.
            requests: All requests.
            known: Responses that stand already, by the place of their request.
        """
        self._run, self._requests = run, requests
        self._standing = dict(known)
        self._left = Counter(request.task_name or "" for request in requests)
        self._due: queue.SimpleQueue[tuple[Grade, Answers] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def __enter__(self) -> GradingAhead:
        self.stand(self._standing)
        return self

    def __exit__(self, *_: object) -> None:
        """No task is begun from now on."""
        self._ended.set()
        self._due.put(None)

    def stand(self, made: Mapping[int, GenerationRecord]) -> None:
        """Responses stand now: a task that is complete with them is graded while there are others to wait for."""
        self._standing |= made
        counts = Counter(self._requests[place].task_name or "" for place in made)
        self._left -= counts
        if not self._left or several_ranks():
            return
        for task in counts:
            if task not in self._left:
                self._begin(task)

    def _begin(self, task: str) -> None:
        places = [place for place, request in enumerate(self._requests) if (request.task_name or "") == task]
        grade: Grade | None = getattr(self._requests[places[0]], "grade_ahead", None)
        if grade is None:
            return
        self._due.put((grade, [(self._requests[place].doc, self._standing[place]) for place in places]))
        if self._thread is None:
            # A daemon: an interrupted command does not wait for it. What it knows of the run comes with its context.
            work = contextvars.copy_context().run
            self._thread = threading.Thread(target=work, args=(self._work,), name="sftgen-grading", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while due := self._due.get():
            grade, answers = due
            with ALONE:
                if self._ended.is_set():
                    return
                try:
                    grade(self._run, answers)
                except Exception as error:  # the filter grades it again, and then it counts
                    logger.debug("graded ahead in vain: %s", error, exc_info=True)
