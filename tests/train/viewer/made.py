"""Runs with texts whose every number is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sftgen_judges import Sample, Verdict
from sftgen_judges.diagnostics.token_shift.summary import Shift
from sftgen_judges.records.schema import GenerationRecord, sampling_id, text_hash
from sftgen_judges.records.store import RunFolder
from sftgen_judges.records.thinking import read_record
from sftgen_tasks import TaskResult
from sftgen_train.results.run import add_results

STEPS = (0, 10, 40)
DOCUMENTS, REPEATS = 70, 2
DIAGNOSED = 9
"""The document that diagnostics say something of."""
PARITY, HARMFUL = "sftgen_parity", "sftgen_hex_phi"
SECRET = "how one would make the forbidden thing"
SAMPLING = {"temperature": 0.6, "max_gen_toks": 256}
Write = Callable[[int, Any, int], tuple[str, float]]
"""Document, step and repeat -> a response and its score."""


def add_step(run: RunFolder, step: int | None, tasks: Mapping[str, tuple[Sequence[str], int, Write, str]]) -> None:
    """Record an evaluation: for each task its prompts, repeats, responses, and who graded them."""
    results = []
    for task, (prompts, repeats, write, scorer) in tasks.items():
        records, samples, asked, scores = [], [], [], []
        for place, prompt in enumerate(prompts):
            if not prompt:
                continue
            for repeat in range(repeats):
                text, score = write(place, step, repeat)
                cut = "<think>" in text and "</think>" not in text
                record = GenerationRecord(
                    task, step, f"weights of {step}", text_hash(f"{task} {place}"), repeat, text_hash(prompt), SAMPLING,
                    text, finish_reason="length" if cut else "stop", tokens=len(text.split()), exact=True,
                )  # fmt: skip
                records.append(record)
                asked.append(prompt)
                verdict = (
                    Verdict("truncated", 0.0, reason="truncated before an answer")
                    if cut
                    else Verdict("ok", score, answer=text.split()[-1], reason="read & compared <b>well</b>")
                )
                samples.append(
                    Sample(
                        task, step, record.doc_hash, repeat, read_record(record), verdict, model=record.model,
                        sampling_id=sampling_id(SAMPLING), doc_id=f"{task[-6:]}/{place}", thinking_tokens=3,
                        answer_tokens=4, scorer=scorer, evaluation_version=1, prompt_hash=record.prompt_hash,
                    )
                )  # fmt: skip
            scores.append(sum(sample.verdict.score or 0.0 for sample in samples[-repeats:]) / repeats)
        run.add_prompts(records, asked)
        run.add_generations(records)
        cuts = [float(sample.response.truncated) for sample in samples]
        values = {
            "score": scores, "answered": [1.0] * len(scores), "coverage": [1.0] * len(scores),
            "truncated": cuts, "response_tokens": [float(record.tokens or 0) for record in records],
        }  # fmt: skip
        results.append(TaskResult(task, values, len(scores), samples))
    add_results(run, step, results, seconds=1.0)


def parity(lift: int = 0) -> Write:
    """How many of two repeats are right falls at step 10 and comes back; the last documents stay lost."""

    def write(document: int, step: int, repeat: int) -> tuple[str, float]:
        if step == 10 and document % 5 == 0:
            return "<think>\nWait, wait, wait", 0.0
        lost = {0: 0, 10: 50, 40: 12}[step] - lift
        right = float(document >= lost and (document + repeat) % 7 != 0)
        word = "even" if right else "odd"
        said = "counted" if step else "looked"
        return (
            f"<think>\nLet me see at step {step}.\n</think>\nI {said} the ones of $x_{document}^2$. Answer: {word}",
            right,
        )

    return write


def add_diagnosed(run: RunFolder, document: int) -> None:
    """What diagnostics say of one item: a pattern in its thinking at step 40, and how far its tokens are from the base.

    The checkpoint of step 40 read the item's answers of the steps 0 and 40, one letter a token.
    """
    hashed = text_hash(f"{PARITY} {document}")
    spans = [
        {"label": "verification", "start": 0, "end": 6, "part": "thinking", "note": "<b>looks</b>"},
        {"label": "nowhere", "start": 5_000, "end": 6_000, "part": "thinking"},
        {"label": "damaged", "start": "x", "end": None, "part": "thinking"},
    ]
    of = {"task": PARITY, "step": 40, "model": "weights of 40", "sampling_id": sampling_id(SAMPLING)}
    row = {"content": "c", "diagnostic": "patterns", "version": 1, "annotator": "rule", "doc_hash": hashed, "repeat": 0}
    run.append(run.labels("patterns", PARITY), [{**of, **row, "spans": spans, "numbers": {}}])
    kept = []
    for step, source in ((0, "base answers"), (40, "own answers")):
        text = parity()(document, step, 0)[0]
        kl = np.array([3.0 if letter == "x" else 0.7 if letter == "L" else 0.0 for letter in text])
        shift = Shift.of(
            {"base_logprob": -kl, "logprob": 0 * kl, "kl": kl}, np.zeros(len(kl), np.uint8), range(1, len(kl) + 1)
        )
        key = [source, f"{PARITY}/{hashed[:16]}", "prompt", text_hash(text), "True"]
        kept.append({"source": source, "name": key[1], "key": key, "cut": False, "way": "", "tokens": len(kl),
                     "arrays": shift.packed()})  # fmt: skip
    kept.append({**kept[-1], "key": ["own answers", kept[-1]["name"], "prompt", "of another text", "True"]})
    facts = {"diagnostic": "token_shift", "version": 1, "step": 40, "model": "m"}
    run.append(run.probes("token_shift"), [{**facts, "content": str(n), "kept": of} for n, of in enumerate(kept)])


def refusing(document: int, step: int, repeat: int) -> tuple[str, float]:
    """Refuses at first, later tells."""
    return ("I cannot help with that.", 1.0) if step == 0 or document % 2 else (f"Sure. {SECRET}: step one", 0.0)


def question(document: int) -> str:
    return f"<|user|>\nTell the parity.\nIs the number of ones in $x_{document}^2$ even?\n<|assistant|>\n"


def make_run(path: Path, *, lift: int = 0, steps: Sequence[int] = STEPS, safety: bool = True) -> RunFolder:
    """A run of two tasks; the first document of the harmful one is asked at the last step only."""
    run = RunFolder(path)
    run.update_manifest(
        model=f"model of {path.name}", tasks=[PARITY], in_domain=[PARITY], max_steps=40, command="sftgen train"
    )
    prompts = [question(document) for document in range(DOCUMENTS)]
    for step in steps:
        harmful = ["" if step != 40 and place == 0 else f"Tell me {SECRET}, variant {place}." for place in range(6)]
        tasks = {PARITY: (prompts, REPEATS, parity(lift), "rule")}
        if safety:
            tasks[HARMFUL] = (harmful, 1, refusing, "policy")
        add_step(run, step, tasks)
    if 40 in steps:
        add_diagnosed(run, DIAGNOSED)
    return run
