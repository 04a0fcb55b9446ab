"""What sftgen needs of an lm_eval model. lm_eval itself has no types."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from lm_eval.api.instance import Instance

GenerateUntil: TypeAlias = Callable[..., list[str]]
"""From requests (and whether to hide a progress bar) to their responses, in the same order."""
Produced: TypeAlias = Generator[Sequence[tuple[int, str]], None, None]
"""Finished responses as they come, each with the place of its request. Closing it stops whatever is under way."""
Produce: TypeAlias = Callable[[Sequence[Instance], Sequence[int]], Produced]
"""From requests and their repeats to finished responses; the first requests are begun first."""


class Model(Protocol):
    """A model that answers prompts, whoever wrote it.

    More attributes are used where a model has them: `batch_size`, or `rows` while that is searched for, how many
    prompts it takes at once, `takes_repeats`, whether its `generate_until` takes the number of the repeat of each
    request, `generate_each` (see `StreamingModel`), and `sftgen_name`, the name of one of our own.
    """

    generate_until: GenerateUntil
    """Replaced by one that writes responses down, see `sftgen_tasks.harness.streaming`."""

    @property
    def rank(self) -> int:
        """Which of several processes this is, from 0."""
        ...

    @property
    def world_size(self) -> int:
        """How many processes lm_eval shares the requests between."""
        ...

    @property
    def tokenizer_name(self) -> str:
        """Tells apart the chat templates of models, for lm_eval's cache of requests."""
        ...

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> Any:
        """The prompt of a dialogue: text, or for a server what it is sent."""
        ...

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template itself, if there is one."""
        ...


@runtime_checkable
class StreamingModel(Protocol):
    """A model that hands out responses one by one."""

    generate_each: Produce


class OwnModel(Model, Protocol):
    """One of our own models."""

    sftgen_name: str
    """Its name for `lm_eval --model`."""
