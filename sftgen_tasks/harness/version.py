"""lm_eval 0.5.0.dev1 where it differs from 0.4: the only file that knows which of the two is installed.

The names below mean the same in both. When 0.4 is dropped, the methods of this class move to our task, and the rest
goes; should 0.5 come out otherwise than its preview, this file is what changes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

__all__ = ["QUALIFIED", "ConfigurableTask", "task_module", "templates"]

QUALIFIED = "_qualified_name"
"""Where 0.5.0.dev1 puts the name `GROUP::TASK` that it gives a task in a group; ours keep their own."""

if find_spec("lm_eval.scorers") is not None:
    from lm_eval.api.metrics import Metric
    from lm_eval.api.task import _task as task_module
    from lm_eval.api.task._generation import GenerateTask
    from lm_eval.config.templates import _jinja_env

    templates = _jinja_env()

    class ConfigurableTask(GenerateTask):  # type: ignore[misc]
        """A task of 0.5.0.dev1 that does what those of 0.4 do."""

        def __init__(self, config: Mapping[str, Any]) -> None:
            """Load the documents at once: what is wrong with them is told before a model is loaded."""
            notes = logging.getLogger("lm_eval.api.metrics.utils")
            before, notes.disabled = notes.disabled, True  # that metrics of `process_results` are not its own
            try:
                super().__init__(config={key: value for key, value in config.items() if key != QUALIFIED})
            finally:
                notes.disabled = before
            self.download(self.config.dataset_kwargs)

        def doc_iterator(self, *, samples: Any = None, **options: Any) -> Iterator[tuple[int, Any]]:
            """Number chosen documents from 0: the sample log takes the number as a place among those chosen."""
            found = super().doc_iterator(samples=samples, **options)
            places = {index: place for place, index in enumerate(samples or ())}
            return ((places.get(index, index), doc) for index, doc in found)

        def process_results(self, doc: Any, results: Any) -> Any:
            """Keep a value that is a list whole: a list would be taken for the values of several responses."""
            values: Mapping[str, Any] = super().process_results(doc, results)
            return {metric: [value] for metric, value in values.items()}

        def override_metric(self, metric_name: str) -> None:
            """Show one metric in place of all, as `--predict_only` does, and grade all the same."""
            self.config.process_results = lambda *_: {metric_name: 0}
            for scorer in self.scorers:
                scorer.metrics = [Metric.from_dict({"metric": metric_name}, self.OUTPUT_TYPE)]

else:
    import lm_eval.api.task as task_module
    from lm_eval import utils
    from lm_eval.api.task import ConfigurableTask  # type: ignore[no-redef]

    templates = utils.env
