"""Several judges as one, and judges made of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Judge, Response, Verdict
from sftgen_judges.asking.settings import missing_settings, with_settings
from sftgen_judges.panels import panel, repeated
from sftgen_judges.policy import POLICY
from sftgen_judges.records.journal import read_rows
from sftgen_judges.scoring.grading import grade_batch
from sftgen_judges.truth import INFO, TRUTH
from tests.judges.server import Action, named, prompt_of, say, serving

ITEMS = [Item({"question": f"<<{n}>>"}, Response("fine", answer="fine")) for n in range(3)]


def fixed(name: str, *scores: float | None) -> Judge:
    verdicts = [Verdict("judge_error", reason="no reply") if s is None else Verdict("ok", s) for s in scores]
    return Judge(name, 1, (1, 5), 5, judge=lambda items: verdicts[: len(items)])


VOTES = [
    ("majority", (5, 5, 1), 5, ""),
    ("majority", (5, 4, 1), None, "no majority of 3: 3 scores"),
    ("majority", (5, 5, 1, 1), None, "no majority of 4: 4 scores"),
    ("majority", (5, None, None), None, "no majority of 3: 1 scores"),
    ("majority", (5, 5, None), 5, ""),
    ("majority", (None, None, None), None, "no reply"),
    ("mean", (5, 4, 1), 10 / 3, ""),
    ("mean", (5, 4, None), 4.5, ""),
    ("mean", (5, None), None, "no mean of 2: 1 scores"),
    ("mean", (5,), 5, ""),
]


@pytest.mark.parametrize(("vote", "scores", "score", "reason"), VOTES)
def test_a_vote(vote: str, scores: tuple[float | None, ...], score: float | None, reason: str) -> None:
    judges = [fixed(f"judge {n}", given) for n, given in enumerate(scores)]
    [verdict] = grade_batch(panel("all", judges, vote), ITEMS[:1])
    assert (verdict.score, verdict.reason) == (pytest.approx(score) if score else None, reason)
    assert verdict.status == ("judge_error" if score is None else "ok")
    assert verdict.evidence["votes"] == list(scores)


def test_a_response_without_an_answer_keeps_its_status() -> None:
    judge = panel("all", [with_settings(POLICY, base_url="http://nobody", model=name) for name in "ab"])
    [verdict] = grade_batch(judge, [Item({"question": "?"}, Response("<think>", "unclosed"))])
    assert (verdict.status, verdict.score, verdict.answer) == ("truncated", 1, None)


@pytest.mark.parametrize(
    ("judges", "vote", "message"),
    [
        ([], "majority", "no members"),
        ([POLICY, TRUTH], "mean", r"one scale, found \[\(\(0, 1\), 1\), \(\(1, 5\), 5\)\]"),
        ([POLICY], "median", "expected one of majority, mean"),
    ],
)
def test_a_panel_that_cannot_vote(judges: list[Judge], vote: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        panel("all", judges, vote)


def test_repeats_are_judgements_of_their_own(tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"

    def plan(prompt: str, time: int) -> Action:
        return say("5") if named(prompt) == "0" and time == 2 else say("1")

    with serving(plan) as server:
        judge = with_settings(POLICY, base_url=server.url, model="judge", temperature=1.0)
        verdicts = grade_batch(repeated(judge, 3), ITEMS, journal=journal)
        assert [call["body"]["seed"] for call in server.calls] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        grade_batch(repeated(judge, 3, "mean"), ITEMS, journal=journal)  # another vote on the same opinions
        assert len(server.calls) == len(list(read_rows(journal))) == 9
    assert [verdict.score for verdict in verdicts] == [1, 1, 1]
    assert [verdict.evidence["votes"] for verdict in verdicts] == [[1, 5, 1], [1, 1, 1], [1, 1, 1]]


def both(items: Sequence[Item]) -> Iterator[Verdict]:
    for item in items:
        truth, info = item.verdicts
        failed = next((verdict for verdict in item.verdicts if verdict.score is None), None)
        if failed or truth.score is None or info.score is None:
            yield failed or truth
        else:
            yield Verdict("ok", truth.score * info.score, measures={"truthful": truth.score})


def test_a_judge_made_of_others_keeps_what_each_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    journal = tmp_path / "v.jsonl"
    judge = Judge("both", 1, (0, 1), 1, judge=both, parts=(TRUTH, INFO))
    assert missing_settings(judge).startswith("set SFTGEN_JUDGE_BASE_URL")
    sick = True

    def plan(prompt: str, _time: int) -> Action:
        if prompt.endswith("Helpful:") and sick:
            return say(" hm")
        return say(" no" if "<<1>>" in prompt else " yes")

    with serving(plan) as server:
        monkeypatch.setenv("SFTGEN_JUDGE_BASE_URL", server.url)
        assert missing_settings(judge) == ""
        assert [verdict.status for verdict in grade_batch(judge, ITEMS, journal=journal)] == ["judge_error"] * 3
        assert len(server.calls) == 6
        sick = False
        verdicts = grade_batch(judge, ITEMS, journal=journal)
        # Only the half that failed is asked again.
        assert [prompt_of(call["body"]).rpartition("\n")[2] for call in server.calls[6:]] == ["Helpful:"] * 3
    assert [(verdict.score, dict(verdict.measures)) for verdict in verdicts] == [
        (1, {"truthful": 1}),
        (0, {"truthful": 0}),
        (1, {"truthful": 1}),
    ]


def test_settings_reach_the_parts() -> None:
    judge: Any = with_settings(Judge("both", 1, (0, 1), 1, judge=both, parts=(TRUTH, INFO)), base_url="http://x")
    assert [part.settings for part in judge.parts] == [{"base_url": "http://x"}] * 2
