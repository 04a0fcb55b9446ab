"""The ground floor: judges in the root; plugins, records, asking, scoring and diagnostics in rooms of their own.

Nothing here knows lm_eval, a trainer or a benchmark.
"""

from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins import contracts
from sftgen_judges.plugins.contracts import *  # noqa: F403 - every contract, a new one too
from sftgen_judges.plugins.hookspecs import Register, hookimpl
from sftgen_judges.plugins.renamed import keep_old_names
from sftgen_judges.records.schema import Response, Verdict
from sftgen_judges.records.thinking import split_thinking

__all__ = ["Register", "Response", "SftgenError", "Verdict", "hookimpl", "split_thinking"]
__all__ += contracts.__all__

keep_old_names(
    __name__,
    {
        "contracts": "plugins.contracts",
        "grading": "scoring.grading",
        "hookspecs": "plugins.hookspecs",
        "replies": "asking.replies",
        "settings": "asking.settings",
        "thinking": "records.thinking",
    },
)
