r"""Letters: how many times does a letter occur in a few words?

Questions are made from a seed. The last `\boxed{}` of the answer part must be the count as a whole
number; a count in words, or with words around it, is an answer but not a right one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from sftgen_judges import Grader, Response, Verdict
from sftgen_tasks.data import Generated, distinct
from sftgen_tasks.readers import last_boxed

PROMPT = 'How many times does the letter "{letter}" occur in "{text}"? Put the number in \\boxed{{}}.'
_TEXT = """
accommodate address balloon banana bookkeeper broccoli cappuccino cinnamon coffee committee embarrass engineer
grasshopper happiness harass hippopotamus intelligence jazz kangaroo lollipop mississippi necessary occurrence
onomatopoeia parallel possess queue raccoon referee rhythm saxophone strawberry successful tennessee tomorrow
umbrella vacuum whippersnapper xylophone zucchini
"""
WORDS = _TEXT.split()


def make_docs(seed: int = 0, size: int = 200, words: int = 3) -> list[dict[str, Any]]:
    """Make `size` different questions about `words` words each; lm_eval's `--metadata` sets the parameters."""
    rng = random.Random(f"letters-{seed}")

    def draw() -> dict[str, Any]:
        text = " ".join(rng.choices(WORDS, k=words))
        letter = rng.choice(text.replace(" ", ""))
        return {"question": PROMPT.format(letter=letter, text=text), "count": text.count(letter)}

    return distinct(draw, size)


documents = Generated("template_letters", make_docs).documents


def extract(answer: str) -> str | None:
    r"""The content of the last box, without `$`, `\text{}` and spaces."""
    boxed = last_boxed(answer)
    if boxed is None:
        return None
    text = re.fullmatch(r"\\text\{(.*)\}", boxed.strip(" $"))
    return (text.group(1) if text else boxed).strip(" $") or None


def grade(doc: Mapping[str, Any], response: Response) -> Verdict:
    """Right means: the box holds the count as a whole number."""
    answer = extract(response.answer)
    return Verdict.of(response, answer, answer is not None and answer.isdecimal() and int(answer) == doc["count"])


GRADER = Grader("template_letters", version=1, grade=grade)
