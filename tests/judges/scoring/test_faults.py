"""Every fault of a server or of a reply ends as missing with its reason, or as the score it is in other clothes.

`python -m tests.judges.scoring.test_faults` prints the table of docs/judges.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import PATIENCE, ROOT, commands
from tests.judges import server
from tests.judges.server import Action, after, dribble, fail, named, reset, say, send

DOCS = ROOT / "docs" / "judges.md"
GOOD = say('{"analysis": "harmless", "score": 2}')
SETTINGS = {
    "SFTGEN_JUDGE_MODEL": "judge",
    "SFTGEN_JUDGE_ATTEMPTS": "3",
    "SFTGEN_JUDGE_BACKOFF": "0.01",
    "SFTGEN_JUDGE_API_KEY": "sk-secret-of-mine",
}
RUBRIC = "1 - It declines.\n2 - It holds back.\nScore 3: no safeguards\nScore: 4 - not all\n**Score:** 5 - in full\n"


@dataclass(frozen=True)
class Fault:
    """What the server does, the last of it again and again, and what has to come of it."""

    does: tuple[Action, ...]
    status: str
    score: float | None
    reason: str
    calls: int = 1


def missing(reason: str, *does: Action, calls: int = 1) -> Fault:
    return Fault(does, "judge_error", None, reason, calls)


def read(score: float, *does: Action, calls: int = 1) -> Fault:
    return Fault(does, "ok", score, "", calls)


TIMEOUT = "timeout: no reply within 3 s"
FAULTS = {
    # ---- of the server
    "no reply in time": missing(TIMEOUT, after(30, GOOD), calls=3),
    "no reply in time, once": read(2, after(30, GOOD), GOOD, calls=2),
    "a byte now and then": missing(TIMEOUT, dribble, calls=3),
    "429": missing("HTTP 429: slow down", fail(429, "slow down"), calls=3),
    "429, twice": read(2, fail(429), fail(429), GOOD, calls=3),
    "429 with Retry-After, once": read(2, fail(429, Retry_After="1"), GOOD, calls=2),
    "500": missing("HTTP 500: no", fail(500), calls=3),
    "500, once": read(2, fail(500), GOOD, calls=2),
    "connection reset in mid-body": missing("connection: ReadError", reset, calls=3),
    "connection reset in mid-body, once": read(2, reset, GOOD, calls=2),
    "body is garbage": missing("unreadable reply: no JSON", send(b"\x00<html>\xff", "text/html"), calls=3),
    "body is JSON cut short": missing("unreadable reply: no JSON", send(b'{"choices": [{"mess'), calls=3),
    "body is not an object": missing("unreadable reply: no JSON object", send(b"[5]"), calls=3),
    "no choices": missing("no choices in the reply", send(b'{"choices": []}'), calls=3),
    "no choices, once": read(2, send(b'{"choices": []}'), GOOD, calls=2),
    "error in a 200": missing("no choices in the reply", send(b'{"error": {"message": "overloaded"}}'), calls=3),
    "400": missing("HTTP 400: the prompt is too long", fail(400, "the prompt is too long"), calls=2),
    # ---- of the reply
    "score 0": missing("out of range: score 0 is not in 1 to 5", say('{"analysis": "x", "score": 0}')),
    "score 6": missing("out of range: score 6 is not in 1 to 5", say("6")),
    "score -3": missing("out of range: score -3 is not in 1 to 5", say("Score: -3")),
    "score 4.5": missing("out of range: score 4.5 is not a whole number", say("4.5")),
    "score 4/10": missing("out of range: a score out of 10, not out of 5", say("4/10")),
    "5.": read(5, say("5.")),
    "**5**": read(5, say("**5**")),
    "4/5": read(4, say("4/5")),
    "#thescore: 5.": read(5, say("#thereason: (1) it asks (2) it gives 3 things (3) so\n#thescore: 5.")),
    "Score: **4** (not all)": read(4, say("It gives much.\n\nScore: **4** (not all)")),
    "JSON in a code block": read(3, say('Here it is:\n```json\n{"analysis": "a\nb", "score": "3"}\n```')),
    "JSON with a stray quotation mark": read(3, say('{"analysis": "he said "no" twice", "score": 3}')),
    "score after thinking": read(2, say('<think>\nScore: 5?\n</think>\n{"analysis": "", "score": 2}')),
    "thinking truncated": missing("the judge's thinking was truncated", say("<think>\nScore: 5\n")),
    "JSON reply truncated": missing("unreadable JSON, or truncated", say('{\n"score": 5,\n"analysis": "the resp')),
    "reply at its token limit": missing("reply truncated at 10 tokens", say("Score: 1", finish="length")),
    "no score": missing("no score in the reply", say("It is quite bad, I think.")),
    "score null": missing("no number in the score's place", say('{"analysis": "x", "score": null}')),
    "score true": missing("no number in the score's place", say('{"analysis": "x", "score": true}')),
    "refusal in words": missing("the judge declined", say("I'm sorry, but I can't assist with that.")),
    "refusal as a field": missing("the judge declined", say(None, refusal="I can't help.")),
    "held back by a filter": missing("held back by the server's filter", say("", finish="content_filter")),
    "empty reply": missing("empty reply", say(None)),
    "quotes the rubric, no score": missing("several different scores in the reply", say(RUBRIC)),
    "quotes the rubric, then scores": missing("several different scores in the reply", say(RUBRIC + "Score: 2")),
    "quotes the rubric, then JSON": read(2, say(RUBRIC + '{"analysis": "x", "score": 2}')),
    "two scores": missing("several different scores in the reply", say('{"score": 1}\n{"score": 5}')),
    "says 5 without scoring": missing("no score in the reply", say("It would be a 5 if it were not a joke.")),
}


TIMED = [name for name, fault in FAULTS.items() if fault.reason == TIMEOUT or "in time" in name]
"""What a command of its own judges: on a busy machine a limit of seconds could end other calls, too."""


@dataclass(frozen=True)
class Judged:
    """One row a fault, what the server was asked, the command of those that are not timed, and all that was said."""

    rows: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    done: subprocess.CompletedProcess[str]
    said: str


def judge_faults(folder: Path) -> Judged:
    """Judge one row a fault with the installed command, what is timed beside the rest."""
    rows = [{"question": f"<<{name}>>", "response": "stand-in", "fault": name} for name in FAULTS]
    for timed, file in ((True, "timed.jsonl"), (False, "in.jsonl")):
        chosen = [row for row in rows if (row["fault"] in TIMED) == timed]
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in chosen))

    def plan(prompt: str, time: int) -> Action:
        does = FAULTS[named(prompt)].does
        return does[min(time, len(does)) - 1]

    def line(file: str, limit: int) -> list[str | Path]:
        given = ["--base-url", running.url, "--set", f"time_limit={limit}", "--json"]
        return ["sftgen", "judge", "run", "policy", folder / file, "--out", folder / f"out-{file}", *given]

    env, said = {**os.environ, **SETTINGS}, folder / "said"
    with server.serving(plan) as running:
        timed = commands.start(*line("timed.jsonl", 3), env=env, out=said, err=said)
        done = commands.run_installed(*line("in.jsonl", PATIENCE), env=env)
        timed.wait(PATIENCE)
    found = [
        json.loads(text) for file in ("timed", "in") for text in (folder / f"out-{file}.jsonl").read_text().splitlines()
    ]
    found.sort(key=lambda row: list(FAULTS).index(row["fault"]))
    return Judged(found, running.calls, done, said.read_text() + done.stdout + done.stderr)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judge_faults(tmp_path_factory.mktemp("faults"))


def row_of(judged: Judged, name: str) -> dict[str, Any]:
    return next(row for row in judged.rows if row["fault"] == name)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_as_missing_with_its_reason_or_as_its_score(name: str, judged: Judged) -> None:
    fault, row = FAULTS[name], row_of(judged, name)
    assert (row["policy_status"], row["policy"], row["policy_reason"]) == (fault.status, fault.score, fault.reason)


@pytest.mark.parametrize("name", FAULTS)
def test_only_what_may_pass_is_tried_again(name: str, judged: Judged) -> None:
    asked = sum(named(server.prompt_of(call["body"])) == name for call in judged.calls)
    assert asked == FAULTS[name].calls


def test_the_run_is_marked_incomplete(judged: Judged) -> None:
    done = judged.done
    summary = json.loads(done.stdout)
    scores = [fault.score for name, fault in FAULTS.items() if name not in TIMED]
    scored = [score for score in scores if score is not None]
    assert (done.returncode, summary["incomplete"], summary["judged"], summary["rows"]) == (
        3,
        True,
        len(scored),
        len(scores),
    )
    assert summary["mean"] == pytest.approx(sum(scored) / len(scored))
    assert "incomplete" in done.stderr


def test_a_verdict_carries_what_it_rests_on(judged: Judged) -> None:
    evidence = row_of(judged, "Score: **4** (not all)")["policy_evidence"]
    assert len(evidence.pop("prompt_hash")) == 64
    assert evidence.pop("seconds") >= 0
    assert evidence == {
        "judge": "policy v3",
        "asked_model": "judge",
        "model": "judge-2026",
        "reply": "It gives much.\n\nScore: **4** (not all)",
        "finish_reason": "stop",
        "prompt_tokens": 100,
        "tokens": 10,
        "attempts": 1,
    }
    assert row_of(judged, "500")["policy_evidence"]["attempts"] == 3
    assert row_of(judged, "no score")["policy_evidence"]["reply"] == "It is quite bad, I think."


def test_the_key_goes_to_the_server_and_nowhere_else(judged: Judged) -> None:
    assert {call["headers"]["authorization"] for call in judged.calls} == {"Bearer sk-secret-of-mine"}
    assert "sk-secret" not in judged.said + json.dumps(judged.rows)


def test_nothing_of_prompt_and_reply_reaches_the_terminal(judged: Judged) -> None:
    assert not [text for text in ("stand-in", "gives much", "<<", "declines") if text in judged.said]


def fault_table(rows: list[dict[str, Any]], calls: list[dict[str, Any]]) -> str:
    asked = [named(server.prompt_of(call["body"])) for call in calls]
    lines = ["| fault | status | score | reason | calls |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        score = "" if row["policy"] is None else f"{row['policy']:g}"
        cells = (row["fault"], row["policy_status"], score, row["policy_reason"], str(asked.count(row["fault"])))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_documented_table_is_what_happens(judged: Judged) -> None:
    assert fault_table(judged.rows, judged.calls) in DOCS.read_text()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        all_judged = judge_faults(Path(made))
    print(fault_table(all_judged.rows, all_judged.calls))
