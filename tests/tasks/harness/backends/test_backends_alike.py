"""Every backend draws from the same distribution, whatever the model's folder and a server's defaults ask for.

100 prompts, three first tokens each, of an untrained model that finds all its 262 tokens about equally likely, against
its exact probabilities: chi-square at a level of 1e-4. All draws are seeded, so the outcome is always the same. A cut
at 50 tokens leaves out four fifths.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges.records.store import RunFolder
from sftgen_tasks import load_tasks
from tests.conftest import Command
from tests.tasks.harness.backends.chat_server import chat_server, completion
from tests.tasks.harness.backends.test_vllm import VLLM_ENVIRONMENT

PROBLEMS, REPEATS = 100, 3
LEVEL = 1e-4
FEWEST = 10
"""Draws that are expected of the tokens that are counted together."""
FOLDER = {"do_sample": True, "top_k": 20, "top_p": 0.5, "min_p": 0.2, "repetition_penalty": 3.0, "temperature": 0.1}
needs_vllm = [
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif(not (VLLM_ENVIRONMENT / "installed").is_file(), reason="no .venv-vllm"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, of a size that vLLM takes on a CPU, with sampling settings of its own in its folder."""
    import torch

    from sftgen_train.demo.tiny import Size, build_model, build_tokenizer

    folder = tmp_path_factory.mktemp("models") / "flat"
    torch.manual_seed(0)
    tokenizer = build_tokenizer([])
    build_model(tokenizer, Size(hidden=64, inner=64, layers=1, heads=2, head=32)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | FOLDER))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"problem": f"What is $7+{number}$?", "solution": "7", "answer": "7", "unique_id": f"t/{number}"}
        for number in range(PROBLEMS)
    ]
    (folder / "math500.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def plain(text: str) -> str:
    """A text without what stands for half a character, which stock vLLM leaves out."""
    return text.replace("\N{REPLACEMENT CHARACTER}", "")


class Exact:
    """The model's own probabilities of a first token, by its text."""

    def __init__(self, model: Path, data: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model, self.data = model, data
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        texts = [self.tokenizer.decode([token], skip_special_tokens=True) for token in range(len(self.tokenizer))]
        self.texts = [plain(text) for text in texts]
        task = load_tasks(["sftgen_math500"], {"data_dir": str(data)}).tasks["sftgen_math500"]
        self.prompts = [task.doc_to_text(doc) for doc in task.test_docs()]
        given = [self.templated([{"role": "user", "content": prompt}]) for prompt in self.prompts]
        batch = self.tokenizer(given, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            logits = AutoModelForCausalLM.from_pretrained(model)(**batch, logits_to_keep=1).logits[:, -1].float()
        self.rows = torch.softmax(logits, dim=-1)
        self.expected: Counter[str] = Counter()
        for token, share in enumerate((REPEATS * self.rows.sum(dim=0)).tolist()):
            self.expected[self.texts[token]] += share

    def templated(self, messages: list[dict[str, str]]) -> str:
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def chance(self, found: Mapping[str, int]) -> float:
        """How likely a model that draws from these probabilities differs from them at least so much."""
        from scipy.stats import chi2

        assert set(found) <= set(self.expected)
        bins = [[0.0, 0.0]]
        for text, expected in self.expected.most_common():
            if bins[-1][0] >= FEWEST:
                bins.append([0.0, 0.0])
            bins[-1][0] += expected
            bins[-1][1] += found.get(text, 0)
        total = sum((seen - expected) ** 2 / expected for expected, seen in bins)
        return float(chi2.sf(total, len(bins) - 1))


@pytest.fixture(scope="module")
def exact(model: Path, data: Path) -> Exact:
    made = Exact(model, data)
    assert float(made.rows.max()) < 1 / 50  # flat, over far more than 50 tokens
    return made


def drawn(command: Command, backend: str, model_args: str, data: Path, run: Path) -> Counter[str]:
    """First tokens that a backend draws, by their text."""
    done = command(
        "sftgen", "eval", "--run", run, "--tasks", "sftgen_math500", "--model", backend, "--model_args", model_args,
        "--batch_size", "150" if "hf" in backend else "auto", "--metadata", json.dumps({"data_dir": str(data)}),
        "--gen_kwargs", "max_gen_toks=1,temperature=1.0,top_p=1.0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    records = RunFolder(run).read_generations("sftgen_math500")
    assert len(records) == PROBLEMS * REPEATS
    texts = [plain(record.text) for record in records]
    # The stock backend hands on special tokens.
    return Counter(re.sub(r"<\|\w+\|>", "", text) if backend == "vllm" else text for text in texts)


@pytest.mark.parametrize("backend", ["sftgen-hf", "hf"])
def test_transformers(backend: str, command: Command, exact: Exact, tmp_path: Path) -> None:
    assert exact.chance(drawn(command, backend, f"pretrained={exact.model}", exact.data, tmp_path)) > LEVEL


@pytest.mark.parametrize("backend", [pytest.param(name, marks=needs_vllm) for name in ("sftgen-vllm", "vllm")])
def test_vllm(backend: str, vllm_command: Command, exact: Exact, tmp_path: Path) -> None:
    arguments = f"pretrained={exact.model},dtype=float32,max_model_len=512,enforce_eager=True,max_num_seqs=8"
    assert exact.chance(drawn(vllm_command, backend, arguments, exact.data, tmp_path)) > LEVEL


def sampling(exact: Exact) -> Any:
    """The answers of a server that applies the settings of the model's folder where a request names none, as vLLM's."""
    import torch
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    places = {prompt: place for place, prompt in enumerate(exact.prompts)}

    def answer(question: str, body: dict[str, Any]) -> Any:
        asked = {**FOLDER, **body}
        row = exact.rows[places[question]][None].log() / asked["temperature"]
        for limit, warper in ((asked["top_k"], TopKLogitsWarper), (asked["top_p"], TopPLogitsWarper)):
            if limit > 0 and limit != 1:
                row = warper(limit)(None, row)
        shares = torch.softmax(row, dim=-1)[0]
        shares[shares < asked["min_p"] * shares.max()] = 0
        generator = torch.Generator().manual_seed(body["seed"])
        token = int(torch.multinomial(shares, 1, generator=generator))
        return completion(exact.texts[token], "length", tokens=1)

    return answer


def test_a_server(command: Command, exact: Exact, tmp_path: Path) -> None:
    card = {"id": "flat", "owned_by": "vllm", "max_model_len": 4096}
    with chat_server(sampling(exact), models=[card]) as server:
        arguments = f"model=flat,base_url={server.url},num_concurrent=8"
        assert exact.chance(drawn(command, "sftgen-chat", arguments, exact.data, tmp_path)) > LEVEL
        assert {body["top_k"] for body in server.asked} == {-1}


def test_the_test_sees_a_cut(exact: Exact) -> None:
    """The distribution of what `--model hf` drew before tasks named top_k: its 50 likeliest tokens."""
    import torch

    torch.manual_seed(0)
    likeliest = exact.rows.topk(50)
    picked = torch.multinomial(likeliest.values, REPEATS, replacement=True)
    tokens = likeliest.indices.gather(1, picked).flatten().tolist()
    assert exact.chance(Counter(exact.texts[token] for token in tokens)) < LEVEL
