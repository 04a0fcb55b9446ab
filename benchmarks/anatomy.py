"""What the anatomy of responses costs, beside the usual way to measure the same.

    python benchmarks/anatomy.py

240 responses of 200 to 10,000 words, a fifth of which end in a loop, through the whole path of the diagnostic. The peer
measures repetition as scripts usually do: a set of tuples for n-grams, a regular expression for loops in the last 2,000
characters, and sorted suffixes, cut after 100 words, for the longest repeat; then zlib, and each letter's name for its
script. It gives neither endings nor the places of loops.

Then memory is told for one text of a megabyte. The last line is one JSON object; `ratio` compares the seconds of
processors, which others on the machine change less.
"""

from __future__ import annotations

import json
import random
import re
import time
import tracemalloc
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from sftgen_judges import Answer, Batch, Verdict, split_thinking
from sftgen_judges.diagnostics.anatomy import ANATOMY

RESPONSES = 240
MOST = 100
LOOP = re.compile(r"(.{12,400}?)\1{2,}", re.DOTALL)


def made() -> list[str]:
    """Texts that are written from a small vocabulary, so that n-grams do come twice."""
    rng = random.Random(0)
    words = [
        f"{stem}{end}" for stem in ("let", "so", "wait", "check", "sum", "prime") for end in ("", "s", "ed", "ing")
    ]
    words += [str(n) for n in range(400)] + [f"term{n}" for n in range(2000)]
    texts = []
    for number in range(RESPONSES):
        text = " ".join(rng.choices(words, k=round(200 * 50 ** rng.random())))
        if number % 5 == 0:
            text += " Let me check this once more, step by step." * rng.randrange(5, 200)
        if number % 7 == 0:
            text += " 所以答案是七"
        texts.append(text)
    return texts


def ours(texts: Sequence[str]) -> int:
    """Every measure of the diagnostic."""
    answers = [
        Answer("t", split_thinking(text, finish_reason="stop"), verdict=Verdict("no_answer", 0.0)) for text in texts
    ]
    return sum(len(labels.values) for labels in ANATOMY.diagnose(Batch(answers)))


def common(first: Sequence[str], second: Sequence[str]) -> int:
    """Words that two stretches begin with alike."""
    return next(
        (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def peer(texts: Sequence[str]) -> int:
    """The same numbers of repetition, compression and scripts, plainly."""
    count = 0
    for text in texts:
        words = text.split()
        ngrams = [tuple(words[place : place + 4]) for place in range(len(words) - 3)]
        _ = 1 - len(set(ngrams)) / len(ngrams)
        _ = LOOP.search(text[-2000:])
        order = sorted(words[place : place + MOST] for place in range(len(words)))
        _ = max(map(common, order, order[1:]), default=0)
        _ = len(zlib.compress(text.encode(), 6)) / len(text.encode())
        _ = len({unicodedata.name(letter, "?").partition(" ")[0] for letter in text if letter.isalpha()})
        count += 5
    return count


def timed(work: Callable[[], Any]) -> float:
    """Seconds of processors."""
    used = time.process_time()
    work()
    return time.process_time() - used


def main() -> None:
    """Measure and print."""
    texts = made()
    characters = sum(map(len, texts))
    used = sorted(timed(lambda: ours(texts)) for _ in range(3))[1]
    # Slow: every eighth text is enough.
    some = texts[::8]
    share = sum(map(len, some)) / characters
    plain = timed(lambda: peer(some)) / share
    print(f"{RESPONSES} responses, {characters:,} characters: {used:.2f} s of processors (median of 3)")
    print(f"{1000 * used / RESPONSES:.2f} ms a response, {1e9 * used / characters:.0f} ns a character")
    print(f"the plain way: {plain:.2f} s, from {share:.0%} of the characters")
    long = " ".join(random.Random(1).choices([f"w{n}" for n in range(3000)], k=190_000))
    tracemalloc.start()
    ours([long])
    peak = tracemalloc.get_traced_memory()[1]
    print(f"one text of {len(long):,} characters: {peak / len(long):.0f} bytes a character at most")
    found = {
        "name": "anatomy", "ratio": round(plain / used, 1), "ours": round(used, 2), "peer": round(plain, 2),
        "unit": "seconds of processors", "bytes_a_character": round(peak / len(long)),
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
