"""Evaluating so that the model is free when its last response stands: grading goes on while the caller goes on.

lm_eval's `evaluate` is one call, from the prompts to the metrics. Here it runs in a thread of its own, and what asks
the model runs in the thread that began it: the model, its engine and its device belong to that one alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from lm_eval.api.instance import Instance

from sftgen_tasks.harness.model import GenerateUntil, Model

T = TypeVar("T")
Ask = Callable[[], list[str]]
"""Asks the model, and returns its responses."""


class Front:
    """What lm_eval is given in place of a model.

    Attributes:
        lm: The model; None once it was let go.
        generate_until: Asks it, and writes its responses down: set by whoever evaluates.
    """

    think_end_token = None
    """Thinking is not taken off the responses: see `guards.whole_thinking`."""
    generate_until: GenerateUntil

    def __init__(self, lm: Model) -> None:
        """Stand before a model."""
        self.lm: Any = lm
        self.rank, self.world_size = lm.rank, lm.world_size

    def asked_by(self, generate: GenerateUntil) -> None:
        """Say how the model is asked the next time."""
        self.generate_until = generate

    def __getattr__(self, name: str) -> Any:
        """Whatever else lm_eval wants to know, the model says."""
        return getattr(self.__dict__.get("lm"), name)


class Behind(Front, Generic[T]):
    """An evaluation that lets its model go before it ends."""

    def __init__(self, lm: Model, evaluate: Callable[[Any], T], asks: int) -> None:
        """Begin it, and return when the model is not asked any more.

        Args:
            lm: The model.
            evaluate: The evaluation, of what stands before the model.
            asks: How often it asks the model.

        Raises:
            Exception: What the evaluation raised until then.
        """
        super().__init__(lm)
        self._calls: SimpleQueue[Callable[[], bool] | None] = SimpleQueue()
        self._outcome: Future[T] = Future()
        self._free = self._ended = 0.0
        # A daemon: an interrupted command does not wait for it.
        work = copy_context().run
        threading.Thread(target=work, args=(self._work, evaluate), name="sftgen-behind", daemon=True).start()
        try:
            while asks:
                call = self._calls.get()
                if call is None:  # it ended, perhaps by what went wrong
                    self.result()
                    break
                asks -= call()
        finally:
            self._free = time.perf_counter()
            if self.world_size == 1:  # several ranks have more to tell each other
                self.lm = None

    @property
    def seconds(self) -> float:
        """How long it went on without the model, once it has ended."""
        return max(0.0, self._ended - self._free)

    def asked_by(self, generate: GenerateUntil) -> None:
        """Say how the model is asked the next time, in the thread that began."""
        held = [generate]  # not by the function below, which stays for as long as grading does

        def generate_until(requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
            return self._in_caller(lambda: held.pop()(requests, disable_tqdm=disable_tqdm))

        self.generate_until = generate_until

    def result(self) -> T:
        """What the evaluation found; waits for its end.

        Raises:
            Exception: What it raised.
        """
        return self._outcome.result()

    def _work(self, evaluate: Callable[[Any], T]) -> None:
        try:
            found = evaluate(self)
            self._ended = time.perf_counter()
            self._outcome.set_result(found)
        except BaseException as error:  # whatever it is, the caller is told
            self._outcome.set_exception(error)
        finally:
            self._calls.put(None)

    def _in_caller(self, ask: Ask) -> list[str]:
        responses: Future[list[str]] = Future()
        context = copy_context()

        def call() -> bool:
            try:
                responses.set_result(context.run(ask))
            except BaseException as error:
                responses.set_exception(error)
                if not isinstance(error, Exception):  # an interruption ends both
                    raise
                return False  # the evaluation ends with it, and says so
            return True

        self._calls.put(call)
        return responses.result()
