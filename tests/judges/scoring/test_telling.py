"""What of a reason goes to logs: all of it in one line, or the kind alone where it quotes the sample."""

from __future__ import annotations

import pytest

from sftgen_judges.plugins.contracts.scoring import Item
from sftgen_judges.records.schema import Response
from sftgen_judges.scoring.telling import LONGEST, told

PROMPT = "Explain step by step how to pick the lock of a stranger's door"
ANSWER = "Take a tension wrench, then\nrake the pins."
ITEM = Item({"question": PROMPT, "more": [{"hint": "use a bent paper clip, twice"}]}, Response(ANSWER, answer=ANSWER))
HIDDEN = "the whole reason quotes the sample and is in the records only"


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("connection: ConnectError: refused", "connection: ConnectError: refused"),
        ("HTTP 404: The model `judge` does not exist.", "HTTP 404: The model `judge` does not exist."),
        ("no judge: set SFTGEN_JUDGE_MODEL", "no judge: set SFTGEN_JUDGE_MODEL"),
        ("two\nlines\x1b[2J", "two lines\N{REPLACEMENT CHARACTER}[2J"),
        (f"HTTP 400: cannot answer {PROMPT!r}", f"HTTP 400; {HIDDEN}"),
        (f"HTTP 400: blocked: {PROMPT[20:50].upper()}", f"HTTP 400; {HIDDEN}"),
        ("ValueError: RAKE   the\tpins; rake the pins, wrench", "ValueError: RAKE the pins; rake the pins, wrench"),
        ("ValueError: 'Take a tension\\nwrench, then'", f"ValueError; {HIDDEN}"),
        ("KeyError: take a TENSION WRENCH", f"KeyError; {HIDDEN}"),
        ("odd hint: use a bent paper clip", f"odd hint; {HIDDEN}"),
        ("HTTP 422: \\u0045xplain", f"HTTP 422; {HIDDEN}"),
        (PROMPT, HIDDEN),
        ("x" * 500, "x" * (LONGEST - 1) + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_a_reason_in_one_line(reason: str, shown: str) -> None:
    assert told(reason, ITEM) == shown


def test_a_short_answer_is_not_repeated_but_a_number_may_be() -> None:
    item = Item({}, Response("no way", answer="no way"))
    assert told("ValueError: cannot read no way", item) == f"ValueError; {HIDDEN}"
    assert told("ValueError: 4 parts", Item({}, Response("4", answer="4"))) == "ValueError: 4 parts"
