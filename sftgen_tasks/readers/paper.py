"""How the paper's code (arXiv 2604.06628) strips the thinking from a response and finds a box, for several benchmarks.

Only `paper` rules read a response in this way, and they keep the faults of that code. Everything else uses
`sftgen_judges.records.thinking`.
"""

from __future__ import annotations

import re

from sftgen_tasks.readers.boxed import in_braces

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")


def strip_thinking(text: str) -> str:
    """The text that the paper's code scores for IFEval, HaluEval and TruthfulQA.

    Closed `<think>...</think>` pairs are removed, then all text up to the last `</think>` that is left. The same is
    done again with `<|/think|>` as the closer. Thinking that was never closed stays, and is scored like an answer.

    >>> strip_thinking("<think>a</think> b"), strip_thinking("a</think> b"), strip_thinking("<think>a")
    ('b', 'b', '<think>a')
    """
    for closer in ("</think>", "<|/think|>"):
        text = _without_pairs(text, "<think>", closer).rpartition(closer)[2]
    return text.strip()


def paper_boxed(text: str) -> str | None:
    r"""The box that the paper's code reads: the last complete `\boxed{...}`, also an empty one, or None.

    >>> paper_boxed(r"\boxed{1}, then \boxed{} and \boxed 2")
    ''
    """
    found = in_braces(text, _BOX)
    return found[-1][1] if found else None


def _without_pairs(text: str, opener: str, closer: str) -> str:
    # The same as a non-greedy pattern, in time linear in the text.
    kept, position = [], 0
    while (start := text.find(opener, position)) >= 0 and (end := text.find(closer, start)) >= 0:
        kept.append(text[position:start])
        position = end + len(closer)
    return "".join([*kept, text[position:]])
