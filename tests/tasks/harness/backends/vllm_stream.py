"""The loop around vLLM's engine, killed again and again, with an engine that counts instead of computing.

`python vllm_stream.py FOLDER KILLS`, where vLLM is installed, leaves what came out in FOLDER/outcome.json. Everything
is the real thing but the engine: an object with the interface of `vllm.LLM` whose responses end after different numbers
of steps.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

from lm_eval.api.instance import Instance
from vllm import RequestOutput, SamplingParams
from vllm.outputs import CompletionOutput

from sftgen_judges.errors import SftgenError
from sftgen_judges.records.current import Recording
from sftgen_judges.records.store import RunFolder
from sftgen_tasks.harness.backends.vllm_engine import EngineVLLM, StreamingVLLM
from sftgen_tasks.harness.evaluation import evaluate
from sftgen_tasks.harness.loading import LoadedTasks, load_tasks
from sftgen_train.demo.tiny import build_tokenizer
from tests.train.results.killed_runs import die_before_change

TASKS = ("sftgen_parity", "sftgen_addition")
TOKENIZER = build_tokenizer([])
DOCUMENTS = 40
SEATS = 8
LONGEST = 200
"""Changes of the disk within one start; an undisturbed run makes more."""


class CountingEngine:
    """`vllm.LLM` and its `llm_engine` in one. What it is asked and what it has handed out goes into a log at once."""

    model_config = SimpleNamespace(max_model_len=4096)

    def __init__(self, log: Path) -> None:
        self.llm_engine = self
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.numbers = count()
        self.waiting: dict[str, tuple[list[int], SamplingParams, int]] = {}
        self.handed: list[int] = []
        self.calls: list[int] = []
        self.aborted: list[str] = []
        self.fails = ""

    def enqueue(
        self, prompts: list[Any], sampling: list[SamplingParams], *, lora_request: Any, use_tqdm: bool
    ) -> list[str]:
        assert lora_request is None
        assert not use_tqdm
        self.calls.append(len(prompts))
        names = [f"{next(self.numbers)}-{random.randbytes(4).hex()}" for _ in prompts]
        for name, prompt, parameters in zip(names, prompts, sampling, strict=True):
            tokens = prompt["prompt_token_ids"]
            self._note("asked", crc32(str(tokens).encode()))
            self.waiting[name] = tokens, parameters, 1 + int(100 ** random.Random(str(tokens)).random())
        return names

    def has_unfinished_requests(self) -> bool:
        return bool(self.waiting)

    def step(self) -> list[RequestOutput]:
        # Whoever asks for more has had what came before.
        for number in self.handed:
            self._note("had", number)
        self.handed.clear()
        ended = []
        for name in list(self.waiting)[:SEATS]:
            tokens, parameters, left = self.waiting[name]
            self.waiting[name] = tokens, parameters, left - 1
            if left == 1:
                del self.waiting[name]
                number = crc32(str(tokens).encode())
                self.handed.append(number)
                reason = self.fails or "stop"
                text = f"{number} {parameters.seed}"
                ids = [*TOKENIZER(text)["input_ids"], TOKENIZER.eos_token_id]
                made = CompletionOutput(0, text, ids, None, None, finish_reason=reason)
                ended.append(RequestOutput(name.partition("-")[0], None, tokens, None, [made], finished=True))
        return ended

    def abort_request(self, names: list[str], internal: bool) -> None:
        assert internal
        self.aborted += [name for name in names if self.waiting.pop(name, None)]

    def _note(self, what: str, number: int) -> None:
        os.write(self.log, f"{what} {number}\n".encode())


def model(log: Path) -> tuple[EngineVLLM, CountingEngine]:
    engine = CountingEngine(log)
    return EngineVLLM(engine, TOKENIZER, seed=0), engine


def start(tasks: LoadedTasks, folder: Path, log: Path, die_at: int) -> bool:
    """Evaluate in a child process that may be killed; whether it came to its end."""
    child = os.fork()
    if not child:
        if die_at:
            die_before_change(die_at, str(folder))
        run = Recording(RunFolder(folder), model="m", seed=0)
        evaluate(model(log)[0], tasks, run, limit=DOCUMENTS, resume=True)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, -signal.SIGKILL}
    return code == 0


def written(folder: Path) -> dict[int, str]:
    """What stands in the journals, by the number that the engine has given it."""
    texts = [record.text for task in TASKS for record in RunFolder(folder).read_generations(task)]
    found = {int(text.split()[0]): text for text in texts}
    assert len(found) == len(texts)
    return found


def killed(folder: Path, kills: int) -> dict[str, Any]:
    """Kill evaluations until there were enough; a run goes on after each kill, and a new one follows one that ended."""
    tasks = load_tasks(TASKS, gen_kwargs={"max_gen_toks": 128, "do_sample": True, "temperature": 1.0})
    assert start(tasks, folder / "whole", folder / "whole.log", 0)
    whole = written(folder / "whole")
    rng = random.Random(3)
    done, lost, again, runs, differ = 0, 0, 0, 0, 0
    while done < kills:
        runs += 1
        run = folder / f"run{runs}"
        for number in count():
            before = set(written(run))
            log = folder / f"{runs}.{number}.log"
            ended = start(tasks, run, log, int(LONGEST ** rng.random()) if done < kills else 0)
            done += not ended
            lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
            after = set(written(run))
            lost += len({int(name) for what, name in lines if what == "had"} - after)
            again += len({int(name) for what, name in lines if what == "asked"} & before)
            if ended:
                break
        differ += written(run) != whole
    return {"responses": len(whole), "kills": done, "runs": runs, "lost": lost, "again": again, "differ": differ}


def requests(number: int, limit: int = 100) -> list[Instance]:
    settings = {"max_gen_toks": limit, "until": []}
    return [
        Instance(
            "generate_until",
            {"q": place},
            (f"question {place}", settings),
            place,
            metadata=("t", place, 1),
            doc_id=place,
        )
        for place in range(number)
    ]


def loops(folder: Path) -> dict[str, Any]:
    """What the loop does with the engine: in one queue, free again after an early end, and whatever fails."""
    found: dict[str, Any] = {}
    lm, engine = model(folder / "log")
    made = [pair for pairs in lm.generate_each(requests(700), [0] * 700) for pair in pairs]
    found["all"] = len(dict(made)), len(made), list(engine.calls), len(engine.aborted)
    begun = lm.generate_each(requests(30), [0] * 30)
    first = len(next(begun))
    begun.close()
    found["closed"] = first + len(engine.aborted), len(engine.waiting)
    engine.fails = "abort"
    found["failed"] = refusal(lambda: list(lm.generate_each(requests(30), [0] * 30))), len(engine.waiting)
    engine.fails = ""
    # A prompt that leaves no room is refused when it is its turn to be encoded: what was given before is given up.
    asked = requests(600)
    asked[-1].arguments = ("x" * 5000, asked[-1].args[1])
    found["long"] = refusal(lambda: list(lm.generate_each(asked, [0] * 600))), len(engine.waiting)
    [(_, text)] = next(lm.generate_each(requests(1, limit=9000), [0]))
    found["invariant"] = refusal(lambda: StreamingVLLM("nothing", batch_invariant=True))
    found["budget"] = text.budget, text.prompt_tokens, text.tokens == len(text) + 1
    lm._max_length, lm.data_parallel_size = (
        4096,
        2,
    )  # lm_eval's other processes: no loop, but the same responses, in chunks
    lm._model_generate = lambda **given: in_processes(engine, **given)
    chunks = list(lm.generate_each(requests(300), [0] * 300))
    expected = {place: str(text) for place, text in made if place < 300}
    found["parallel"] = [len(chunk) for chunk in chunks], {p: str(t) for c in chunks for p, t in c} == expected
    return found


def in_processes(
    engine: CountingEngine, requests: list[list[int]], generate: bool, sampling_params: list[SamplingParams]
) -> list[RequestOutput]:
    names = engine.enqueue(
        [{"prompt_token_ids": tokens} for tokens in requests], sampling_params, lora_request=None, use_tqdm=False
    )
    found = {}
    while engine.waiting:
        found |= {output.request_id: output for output in engine.step()}
    return [found[name.partition("-")[0]] for name in names]


def refusal(work: Any) -> str:
    try:
        work()
    except SftgenError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was refused"


def main(folder: Path, kills: int) -> None:
    outcome = {"killed": killed(folder, kills), "loops": loops(folder)}
    (folder / "outcome.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
