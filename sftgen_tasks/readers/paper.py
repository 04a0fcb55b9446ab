r"""How the paper's code (arXiv 2604.06628) reads a response: without its thinking, its last box, its letter.

Only `paper` rules read a response in this way, and they keep the faults of that code: thinking that never closed is
read like an answer, and so is all thinking on GPQA and MMLU-Pro; nothing has to end after a letter. Everything else
uses `sftgen_judges.records.thinking` and the other readers.

All take time linear in the length of the text.
"""

from __future__ import annotations

import re

INVALID = "[invalid]"


def strip_thinking(text: str) -> str:
    """The text that the paper's code scores for IFEval, HaluEval and TruthfulQA.

    Closed `<think>...</think>` pairs are removed, with the blanks and line breaks after them. Then all text up to the
    last `</think>` that is left is removed. The same is done again with `<|/think|>` as the closer. Thinking that was
    never closed stays, and is scored like an answer.

    >>> strip_thinking("<think>a</think> b"), strip_thinking("a</think> b"), strip_thinking("<think>a")
    ('b', 'b', '<think>a')
    """
    for closer in ("</think>", "<|/think|>"):
        text = _without_pairs(text, "<think>", closer).rpartition(closer)[2]
    return text.strip()


def _without_pairs(text: str, opener: str, closer: str) -> str:
    # The same as a non-greedy pattern, in time linear in the text.
    kept, position = [], 0
    while (start := text.find(opener, position)) >= 0 and (end := text.find(closer, start)) >= 0:
        kept.append(text[position:start])
        position = end + len(closer)
        while text[position : position + 1].isspace():
            position += 1
    return "".join([*kept, text[position:]])


def paper_gpqa(text: str) -> str:
    r"""GPQA by the paper's code: four patterns on the last `\boxed{}` of the whole response, else on all of it.

    The first pattern that is found decides, wherever it is in the text. If none is found, the text has to be one
    letter. It may have blanks around it, or a dot or a slash directly after it.

    Returns:
        A capital letter, or an empty text if nothing was read.

    >>> paper_gpqa(r"The answer is A: \boxed{b.}"), paper_gpqa("Answer: because"), paper_gpqa(r"\boxed{\text{B}}")
    ('B', 'B', '')
    """
    box = _last_box(text)
    read = text if box is None else box
    for pattern in _GPQA:
        match = pattern.search(read)
        if match:
            return match[1].upper()
    single = read.rstrip(".").rstrip("/").strip().upper()
    return single if single in ("A", "B", "C", "D") else ""


_GPQA = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # "Correct answer" and "right answer" end in the same word.
        r"answer\s*(?:is|:)\s*([A-D])",
        r"(?:choose|select|pick)\s*(?:option\s*)?([A-D])",
        r"(?:option|choice)\s*([A-D])\s*is (?:correct|right)",
        r"\b([A-D])\s*is (?:correct|right|the answer)",
    )
]


def _last_box(text: str) -> str | None:
    r"""What GPQA's code takes for the box: the last `\boxed{`, up to the brace that closes it.

    Escaped braces count like others. A last box that never closes is none, and no earlier one stands in. Of a box with
    a line break, its first line counts up to the last brace there; without one, the whole box with its command does.
    """
    start = text.rfind(r"\boxed{")
    if start < 0:
        return None
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace.group() == "{" else -1
        if not depth:
            box = text[start : brace.end()]
            first = box.partition("\n")[0]
            return first[len(r"\boxed{") : first.rfind("}")] if "}" in first else box
    return None


_BRACE = re.compile(r"[{}]")


def paper_mmlu_pro(text: str) -> str:
    r"""MMLU-Pro by the paper's code: the first "answer is X" or boxed letter of the whole response.

    >>> paper_mmlu_pro(r"The answer is Because ... \boxed{C}"), paper_mmlu_pro(r"\boxed{\text{C}}"), paper_mmlu_pro("C")
    ('B', 'C', '[invalid]')
    """
    match = _MMLU_PRO.search(text)
    return (match[1] or match[2]) if match else INVALID


_MMLU_PRO = re.compile(r"answer is \(?([A-J])|\\boxed\{(?:\\text\{)?([A-Z])\}")
