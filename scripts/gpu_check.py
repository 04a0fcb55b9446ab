"""What only a GPU can show: callback in mixed precision, transformers backend, token shift, hashing, vLLM.

    python scripts/gpu_check.py [--tiny] [--device cpu] [NAME ...]

Every check runs in a process of its own with a time limit, on a Qwen3 of 0.6 billion random parameters, and prints one
JSON object: its name, `ok` (null if it was skipped, with the reason), what it measured, seconds. The exit code is 1 if
one failed. Without a GPU, `--tiny --device cpu` runs the same code on a model of a few thousand parameters.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
TASKS = ["sftgen_parity", "sftgen_addition"]
GB = 1e9


class CheckFailedError(Exception):
    """What a check found is not as it must be."""


@dataclass(frozen=True)
class Bench:
    """Where the checks run, and on a model of which size.

    Attributes:
        device: `cuda` or `cpu`.
        tiny: Whether the model has a few thousand parameters, and the texts are short.
    """

    device: str
    tiny: bool

    @property
    def cuda(self) -> bool:
        """Whether there is a GPU."""
        return self.device == "cuda"

    def tokenizer(self) -> Any:
        """The demo's tokenizer of bytes; every other token of the vocabulary is decoded to a number."""
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast

        from sftgen_train.demo.tiny import build_tokenizer

        small = build_tokenizer([" odd or even?", "odd", "even"])
        data = json.loads(small.backend_tokenizer.to_str())
        words = data["model"]["vocab"]
        # Tokens that stand beside the words get the last ids.
        numbers = range(len(words), self.vocabulary - len(data["added_tokens"]))
        words |= {f"{number},": number for number in numbers}
        return PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(json.dumps(data)), pad_token=small.pad_token, eos_token=small.eos_token,
            chat_template=small.chat_template, clean_up_tokenization_spaces=False, padding_side="left",
            model_max_length=40960,
        )  # fmt: skip

    @property
    def vocabulary(self) -> int:
        """Qwen3's, or a small one."""
        return 2_000 if self.tiny else 151_936

    def model(self, dtype: Any, *, seed: int = 0, tied: bool = True) -> Any:
        """A Qwen3 of random weights: 0.6 billion, or a few thousand."""
        import torch
        from transformers import Qwen3Config, Qwen3ForCausalLM

        size: dict[str, Any] = {
            "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 128,
        }  # fmt: skip
        if self.tiny:
            size = {
                "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
                "num_key_value_heads": 1, "head_dim": 32,
            }  # fmt: skip
        config = Qwen3Config(
            vocab_size=self.vocabulary, max_position_embeddings=40960, tie_word_embeddings=tied, bos_token_id=None,
            eos_token_id=self.tokenizer().eos_token_id, **size,
        )  # fmt: skip
        torch.manual_seed(seed)
        with torch.device(self.device):
            return Qwen3ForCausalLM(config).to(dtype).eval()

    def wait(self) -> None:
        """Until the GPU has done everything."""
        if self.cuda:
            import torch

            torch.cuda.synchronize()

    def timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """Seconds that a piece of work takes, and what it gives."""
        self.wait()
        started = time.perf_counter()
        made = work()
        self.wait()
        return time.perf_counter() - started, made

    @contextlib.contextmanager
    def peak(self, found: dict[str, Any], name: str) -> Iterator[None]:
        """Note how much more than now is allocated at most, in GB."""
        if not self.cuda:
            yield
            return
        import torch

        free()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield
        found[name] = round((torch.cuda.max_memory_allocated() - before) / GB, 3)


def free() -> None:
    """Give back what nobody holds."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def require(holds: bool, what: str) -> None:
    """Fail the check unless something holds."""
    if not holds:
        raise CheckFailedError(what)


# ------------------------------------------------------------------------------ training


def sft(bench: Bench, output: Path, callbacks: Sequence[Any], model: Any, **settings: Any) -> Any:
    """Eight steps of TRL's trainer in mixed precision, float32 weights in bfloat16 arithmetic."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [
        {
            "prompt": [{"role": "user", "content": f"Is {n} odd or even?"}],
            "completion": [{"role": "assistant", "content": f"<think>\n{n % 10} {'so ' * (n % 60)}</think>{n % 2}"}],
        }
        for n in range(256)
    ]
    config = SFTConfig(
        output_dir=str(output), max_steps=8, per_device_train_batch_size=8, learning_rate=1e-4,
        use_cpu=not bench.cuda, report_to="none", disable_tqdm=True, seed=1, gradient_checkpointing=False,
        dataloader_num_workers=0, logging_strategy="no", **{"bf16": True, "save_strategy": "no", **settings},
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=bench.tokenizer(),
        callbacks=list(callbacks),
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train()
    return trainer


def harness(form: Any, **options: Any) -> Any:
    """The callback, with two evaluations between the first and the last."""
    from sftgen_train.callback import HarnessCallback

    return HarnessCallback(
        TASKS, at_steps=[2, 5], form=form, limit=16, gen_kwargs={"max_gen_toks": 48}, batch_size=32, **options
    )


def outcome(run: Path) -> dict[str, Any]:
    """Steps and seconds of a run's evaluations; fails where one failed."""
    from sftgen_judges.records.journal import read_rows
    from sftgen_judges.records.store import RunFolder

    folder = RunFolder(run)
    failed = [row["reason"] for row in folder.metric_rows() if row.get("status") == "failed"]
    require(not failed, "; ".join(failed[:2]))
    require(folder.evaluated_steps() == {0, 2, 5, 8}, f"steps {sorted(folder.evaluated_steps())} were evaluated")
    seconds = [row["seconds"] for row in read_rows(folder.evaluations)]
    return {"seconds_an_evaluation": [round(value, 2) for value in seconds]}


def deterministic() -> None:
    """Sums on a GPU in the same order each time."""
    import torch

    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True, warn_only=True)


def callback(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """Training in bfloat16 with evaluations inside gives the weights of training without."""
    import torch

    from sftgen_judges.records.weights import weights_id_in_memory

    deterministic()
    ids, kept = {}, {}
    for name in ("bare", "bare again", "with evaluations"):
        callbacks = [harness("in_process")] if name == "with evaluations" else []
        with bench.peak(found, f"peak_gb_{name.replace(' ', '_')}"):
            model = bench.model(torch.float32)
            found[f"seconds_{name.replace(' ', '_')}"], trainer = bench.timed(
                lambda model=model, callbacks=callbacks, name=name: sft(bench, folder / name, callbacks, model)
            )
        ids[name] = weights_id_in_memory(trainer.model)
        kept[name] = {key: value.detach().cpu() for key, value in trainer.model.state_dict().items()}
        require(trainer.model.training, "the model is no longer in training mode")
        del model, trainer
        free()
    start = weights_id_in_memory(bench.model(torch.float32))
    require(start != ids["bare"], "training changed nothing")
    found |= outcome(folder / "with evaluations")
    found["bare_repeats"] = ids["bare"] == ids["bare again"]
    found["weights_equal"] = ids["with evaluations"] == ids["bare"]
    found["largest_difference"] = max(
        float((kept["bare"][key] - kept["with evaluations"][key]).abs().max()) for key in kept["bare"]
    )
    require(found["bare_repeats"], "training without evaluations is not the same twice, so nothing can be compared")
    require(found["weights_equal"], f"evaluations changed the weights by up to {found['largest_difference']}")


# ------------------------------------------------------------------------------ the transformers backend


def requests(count: int, tokens: int) -> list[Any]:
    """Greedy requests of different lengths."""
    from lm_eval.api.instance import Instance

    settings = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": tokens}
    prompts = [f"{number} and {'again ' * (number % 7)}" for number in range(count)]
    return [
        Instance("generate_until", {"q": prompt}, (prompt, settings), number, metadata=("check", number, 1))
        for number, prompt in enumerate(prompts)
    ]


def streamed(lm: Any, asked: Sequence[Any], run: Path) -> list[Any]:
    """What our backend writes down; as lm_eval asks for it."""
    from sftgen_judges.records.current import Recording
    from sftgen_judges.records.store import RunFolder
    from sftgen_tasks.harness.streaming import journal_generations

    generate = lm.generate_until
    record = Recording(RunFolder(run), step=0, model="check", seed=0)
    try:
        journal_generations(lm, record, None, resume=False)
        lm.generate_until(asked)
    finally:
        lm.generate_until = generate
    known = {made.key: made for made in record.folder.read_generations("check")}
    return sorted(known.values(), key=lambda made: made.doc_hash)


def plain(bench: Bench, model: Any, tokenizer: Any, asked: Sequence[Any], rows: int) -> tuple[int, dict[str, str]]:
    """The same prompts by `model.generate`: tokens, and text by prompt."""
    import torch

    texts, made = {}, 0
    prompts = [request.args[0] for request in asked]
    for first in range(0, len(prompts), rows):
        part = prompts[first : first + rows]
        encoded = tokenizer(part, return_tensors="pt", padding=True).to(bench.device)
        with torch.no_grad():
            rows_made = model.generate(
                input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"], do_sample=False,
                max_new_tokens=asked[0].args[1]["max_gen_toks"], pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        new = rows_made[:, encoded["input_ids"].shape[1] :].tolist()
        for prompt, row in zip(part, new, strict=True):
            ended = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
            made += min(ended + 1, len(row))
            texts[prompt] = tokenizer.decode(row[:ended], skip_special_tokens=True)
    return made, texts


def backend(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """`sftgen-hf`: as fast as plain generate, greedy equal in float32, the same ids in a second run."""
    import torch

    from sftgen_judges.records.model_id import model_id_in_memory
    from sftgen_judges.records.schema import doc_hash
    from sftgen_tasks.harness.backends.hf import RecordingHFLM

    tokenizer = bench.tokenizer()
    count, tokens, rows = (8, 16, 4) if bench.tiny else (64, 128, 32)
    asked = requests(count, tokens)
    by_doc = {doc_hash(request.doc): request.args[0] for request in asked}
    model = bench.model(torch.float32)
    ours = [
        streamed(RecordingHFLM(model, tokenizer, batch_size=rows), asked, folder / f"float32 {turn}")
        for turn in range(2)
    ]
    found["same_twice"] = [made.to_dict() for made in ours[0]] == [made.to_dict() for made in ours[1]]
    _, texts = plain(bench, model, tokenizer, asked, rows)
    equal = [made.text == texts[by_doc[made.doc_hash]] for made in ours[0]]
    found["equal_to_generate_float32"] = f"{sum(equal)} of {len(equal)}"
    found["content_id_same_twice"] = model_id_in_memory(model, tokenizer) == model_id_in_memory(model, tokenizer)
    del model
    free()
    model = bench.model(torch.bfloat16)
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for turn in range(3):
        lm = RecordingHFLM(model, tokenizer, batch_size=rows)
        spent, made = bench.timed(lambda lm=lm, turn=turn: streamed(lm, asked, folder / f"bfloat16 {turn}"))
        alone, (made_alone, _) = bench.timed(lambda: plain(bench, model, tokenizer, asked, rows))
        if turn:  # one to warm up
            times["ours"].append(sum(one.tokens for one in made) / spent)
            times["peer"].append(made_alone / alone)
    found |= {f"tokens_per_second_{name}": round(median(values)) for name, values in times.items()}
    found["ratio"] = round(median(a / b for a, b in zip(times["ours"], times["peer"], strict=True)), 3)
    if bench.cuda:
        found |= too_large(model, tokenizer, requests(64, tokens), folder)
    require(len(ours[0]) == count, f"{len(ours[0])} of {count} responses were written down")
    require(all(equal), f"only {sum(equal)} of {len(equal)} greedy responses are those of model.generate")
    require(found["same_twice"] and found["content_id_same_twice"], "a second run differs")
    require(bench.tiny or found["ratio"] >= 0.9, f"{found['ratio']} of the tokens a second of model.generate")


def too_large(model: Any, tokenizer: Any, asked: Sequence[Any], folder: Path) -> dict[str, Any]:
    """With `auto` and memory for a few rows only, the batch is made smaller until it fits."""
    import torch

    from sftgen_tasks.harness.backends.hf import RecordingHFLM

    free()
    total = torch.cuda.get_device_properties(0).total_memory
    lm = RecordingHFLM(model, tokenizer, batch_size="auto")
    before = lm.rows
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 0.5 * GB) / total)
    try:
        made = streamed(lm, asked, folder / "auto")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    require(len(made) == len(asked), f"auto: {len(made)} of {len(asked)} responses")
    require(lm.rows < before, "auto: half a gigabyte held 64 rows, so the search was not tried")
    return {"auto_rows": f"{before} to {lm.rows}"}


# ------------------------------------------------------------------------------ token shift


def changed(bench: Bench, model: Any) -> Any:
    """A checkpoint of it: a little noise on every weight."""
    import copy

    import torch

    other = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.003)
    return other.eval()


def texts_of(bench: Bench, lengths: Sequence[int]) -> list[list[int]]:
    """Texts of random tokens."""
    import torch

    maker = torch.Generator().manual_seed(2)
    return [torch.randint(0, bench.vocabulary, (length,), generator=maker).tolist() for length in lengths]


def plain_loop(bench: Bench, models: Sequence[Any], texts: Sequence[Sequence[int]]) -> list[Any]:
    """The usual loop: a forward pass a text and model, log-softmax in float32, the token's own log-probability."""
    import torch

    found = []
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([text], device=bench.device)
            for model in models:
                logprobs = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
                found.append(logprobs.gather(-1, ids[0, 1:, None]).squeeze(-1).cpu())
                del logprobs


def passes(bench: Bench, models: Sequence[Any], texts: Sequence[Sequence[int]]) -> None:
    """The forward passes alone, without logits."""
    import torch

    with torch.inference_mode():
        for text in texts:
            for model in models:
                model.model(input_ids=torch.tensor([text], device=bench.device), use_cache=False)


def in_float64(base: Any, other: Any, tokens: Any) -> dict[str, Any]:
    """Every quantity by its definition, in float64."""
    p, q = base.double().log_softmax(-1), other.double().log_softmax(-1)
    own = [values.gather(-1, tokens[:, None]) for values in (p, q)]
    middle = ((p.exp() + q.exp()) / 2).log()
    return {
        "base_logprob": own[0][:, 0], "logprob": own[1][:, 0], "rank": (p > own[0]).sum(-1) + 1,
        "own_rank": (q > own[1]).sum(-1) + 1, "kl": (p.exp() * (p - q)).sum(-1),
        "js": ((p.exp() * (p - middle)).sum(-1) + (q.exp() * (q - middle)).sum(-1)) / 2,
        "base_entropy": -(p.exp() * p).sum(-1), "entropy": -(q.exp() * q).sum(-1),
    }  # fmt: skip


def token_shift(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """Teacher-forcing: numbers against float64, tokens a second against a plain loop, memory by length of text."""
    import torch

    base = bench.model(torch.float32)
    other = changed(bench, base)
    shift_numbers(bench, base, other, found)
    models = [base.to(torch.bfloat16), other.to(torch.bfloat16)]
    free()
    shift_speed(bench, models, found)
    shift_memory(bench, models, found)
    worst = max(found["largest_error_float32"].values())
    require(worst <= 2e-6, f"float32 is {worst} off float64")
    require(bench.tiny or found["ratio"] >= 0.9, f"{found['ratio']} of the tokens a second of a plain loop")


def shift_numbers(bench: Bench, base: Any, other: Any, found: dict[str, Any]) -> None:
    """How far float32 is from float64, and windows from a whole pass."""
    import torch

    from sftgen_judges.diagnostics.token_shift.forcing import force

    [text] = texts_of(bench, [60 if bench.tiny else 600])
    tokens = torch.tensor(text, device=bench.device)
    forced = force(base, other, text)
    with torch.inference_mode():
        logits = [model(input_ids=tokens[None]).logits[0, :-1] for model in (base, other)]
        reference = in_float64(logits[0], logits[1], tokens[1:])
    found["largest_error_float32"] = {
        name: float((torch.as_tensor(getattr(forced, name)) - values.cpu()).abs().max())
        for name, values in reference.items()
    }
    by_windows = force(base, other, text, window=len(text) // 5)
    found["largest_difference_by_windows"] = {
        name: float(abs(getattr(forced, name) - getattr(by_windows, name)).max()) for name in ("logprob", "kl", "js")
    }
    found["mean_kl"], found["mean_rank"] = float(forced.kl.mean()), float(forced.rank.mean())


def shift_speed(bench: Bench, models: Sequence[Any], found: dict[str, Any]) -> None:
    """Tokens a second beside a plain loop, and where the time goes."""
    import torch

    from sftgen_judges.diagnostics.token_shift import forcing

    texts = texts_of(bench, [90, 40] if bench.tiny else [1024] * 8 + [8192] * 2)
    scored = sum(len(text) - 1 for text in texts)

    def ours(**options: Any) -> Any:
        return [forcing.force(*models, text, **options) for text in texts]

    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for turn in range(5):
        spent, _ = bench.timed(ours)
        alone, _ = bench.timed(lambda: plain_loop(bench, models, texts))
        if turn:
            times["ours"].append(scored / spent)
            times["peer"].append(scored / alone)
        else:
            found["first_seconds"] = round(spent, 2)
    found |= {f"tokens_per_second_{name}": round(median(values)) for name, values in times.items()}
    found["ratio"] = round(median(a / b for a, b in zip(times["ours"], times["peer"], strict=True)), 3)
    spent, _ = bench.timed(lambda: passes(bench, models, texts))
    found["tokens_per_second_without_logits"] = round(scored / spent)
    spent, _ = bench.timed(lambda: ours(window=2048))
    found["tokens_per_second_window_2048"] = round(scored / spent)
    block = torch.randn(2, forcing.BLOCK, bench.vocabulary, device=bench.device, dtype=torch.bfloat16)
    own = torch.zeros(forcing.BLOCK, dtype=torch.long, device=bench.device)
    forcing._by_rows(block[0], block[1], own)
    spent, _ = bench.timed(lambda: [forcing._by_rows(block[0], block[1], own) for _ in range(10)])
    found["seconds_a_block_compared"] = round(spent / 10, 5)
    found["compiled"] = bench.cuda and forcing.fused.works
    if found["compiled"]:
        forcing.fused.works = False
        spent, _ = bench.timed(ours)
        found["tokens_per_second_not_compiled"] = round(scored / spent)
        forcing.fused.works = True


def shift_memory(bench: Bench, models: Sequence[Any], found: dict[str, Any]) -> None:
    """What texts of different lengths take beside the weights, and how fast they are read."""
    from sftgen_judges.diagnostics.token_shift.forcing import force

    for text in texts_of(bench, [200, 600] if bench.tiny else [2048, 20_000]):
        for name, work in (
            ("", lambda text=text: force(*models, text)),
            ("_windows_of_4096", lambda text=text: force(*models, text, window=4096)),
            ("_peer", lambda text=text: plain_loop(bench, models, [text])),
        ):
            with bench.peak(found, f"peak_gb_{len(text)}_tokens{name}"):
                spent, _ = bench.timed(work)
            found[f"tokens_per_second_{len(text)}_tokens{name}"] = round(len(text) / spent)


# ------------------------------------------------------------------------------ hashing


def hashing(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """The id of a model on the GPU is that of the same model on the CPU and on disk."""
    import torch

    from sftgen_judges.records.weights import weights_id, weights_id_in_memory

    for dtype in (torch.bfloat16, torch.float32):
        name = str(dtype).removeprefix("torch.")
        model = bench.model(dtype)
        size = sum(value.numel() * value.element_size() for value in model.parameters())
        bench.timed(lambda model=model: weights_id_in_memory(model))
        spent, here = bench.timed(lambda model=model: weights_id_in_memory(model))
        model.save_pretrained(folder / name)
        spent_there, there = bench.timed(lambda model=model: weights_id_in_memory(model.cpu()))
        spent_on_disk, on_disk = bench.timed(lambda name=name: weights_id(folder / name, fresh=True))
        found[name] = {
            "gb": round(size / GB, 3), "seconds": round(spent, 3), "gb_per_second": round(size / GB / spent, 2),
            "seconds_with_copy_to_cpu": round(spent_there, 3), "seconds_on_disk": round(spent_on_disk, 3),
        }  # fmt: skip
        require(here == there == on_disk, f"{name}: the ids of GPU, CPU and disk differ")


# ------------------------------------------------------------------------------ vLLM


def vllm(bench: Bench, folder: Path, found: dict[str, Any]) -> None:
    """A vLLM engine beside the training: transfer, sleep, waking; then `sftgen worker` with vLLM."""
    import torch
    from transformers import AutoModelForCausalLM

    from sftgen_judges.records.weights import weights_id_in_memory
    from sftgen_train.queue.worker import Backend, work

    deterministic()
    dtype = torch.bfloat16 if bench.cuda else torch.float32
    start = folder / "model"
    bench.model(dtype, tied=False).save_pretrained(start)
    bench.tokenizer().save_pretrained(start)
    engine = {"max_model_len": 512, "enforce_eager": True}

    def trained(output: str, callbacks: Sequence[Any], **settings: Any) -> str:
        model = AutoModelForCausalLM.from_pretrained(start, dtype=dtype).to(bench.device)
        spent, trainer = bench.timed(lambda: sft(bench, folder / output, callbacks, model, **settings))
        found[f"seconds_{output}"] = round(spent, 2)
        return weights_id_in_memory(trainer.model)

    unprecise = {} if bench.cuda else {"bf16": False}
    bare = trained("bare", [], **unprecise)
    free()
    beside = trained("colocated", [harness("colocated", engine=engine)], **unprecise)
    found["colocated"] = outcome(folder / "colocated")
    found["weights_equal"] = bare == beside
    free()
    trained("queue", [harness("queue")], **unprecise)
    share = {"gpu_memory_utilization": 0.3} if bench.cuda else {}
    arguments = {**engine, **share, "dtype": str(dtype).removeprefix("torch.")}
    free()
    spent, steps = bench.timed(lambda: work(folder / "queue", Backend("sftgen-vllm", arguments)))
    found["worker"] = {"seconds": round(spent, 2), "steps": sorted(steps), **outcome(folder / "queue")}
    require(found["weights_equal"], "the engine beside it changed the training")


CHECKS: dict[str, tuple[Callable[[Bench, Path, dict[str, Any]], None], int]] = {
    "hashing": (hashing, 60),
    "token_shift": (token_shift, 180),
    "backend": (backend, 150),
    "callback": (callback, 150),
    "vllm": (vllm, 240),
}
"""Each check with the seconds after which it is stopped."""


def machine(bench: Bench) -> dict[str, Any]:
    """What it runs on."""
    import accelerate
    import torch
    import transformers

    name = torch.cuda.get_device_name() if bench.cuda else "cpu"
    versions = {module.__name__: module.__version__ for module in (torch, transformers, accelerate)}
    return {"device": name, "python": sys.version.split()[0], **versions}


def run_one(name: str, bench: Bench) -> None:
    """Run a check in this process and print what it found."""
    started = time.perf_counter()
    if name == "vllm" and importlib.util.find_spec("vllm") is None:
        told: dict[str, Any] = {"ok": None, "skipped": "vllm is not installed"}
    elif name == "machine":
        told = {"ok": True, "found": machine(bench)}
    else:
        found: dict[str, Any] = {}
        told = {"ok": True, "found": found}
        with tempfile.TemporaryDirectory() as folder:
            try:
                CHECKS[name][0](bench, Path(folder), found)
            except Exception as error:
                traceback.print_exc()
                told = {"ok": False, "error": f"{type(error).__name__}: {error}", "found": found}
    print(json.dumps({"check": name, **told, "seconds": round(time.perf_counter() - started, 1)}), flush=True)


def run_apart(name: str, limit: int, given: Sequence[str]) -> bool:
    """Run a check in another process and print its line; whether it did not fail."""
    started = time.perf_counter()
    command = [sys.executable, __file__, "--here", *given, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit, cwd=ROOT)
        lines, error, code = done.stdout.splitlines(), done.stderr, done.returncode
    except subprocess.TimeoutExpired as stopped:
        lines, code = [], "stopped"
        error = stopped.stderr.decode(errors="replace") if isinstance(stopped.stderr, bytes) else ""
    if lines and lines[-1].startswith("{") and code == 0:
        print(lines[-1], flush=True)
        return bool(json.loads(lines[-1])["ok"] is not False)
    why = f"stopped after {limit} s" if code == "stopped" else f"exit code {code}"
    told = {"check": name, "ok": False, "error": why, "last_lines": error.splitlines()[-12:]}
    print(json.dumps({**told, "seconds": round(time.perf_counter() - started, 1)}), flush=True)
    return False


def main() -> None:
    """Run the checks that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", choices=[[], "machine", *CHECKS], help="checks; all by default")
    parser.add_argument("--tiny", action="store_true", help="a model of a few thousand parameters, short texts")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--here", action="store_true", help="in this process, without a time limit")
    asked = parser.parse_args()
    names = asked.names or ["machine", *CHECKS]
    if asked.here:
        logging.disable(logging.INFO)
        for name in names:
            run_one(name, Bench(asked.device, asked.tiny))
        return
    given = [*(["--tiny"] if asked.tiny else []), "--device", asked.device]
    patience = 1 if asked.device == "cuda" else 5
    limits = {name: limit * patience for name, (_, limit) in CHECKS.items()}
    good = [run_apart(name, limits.get(name, 100), given) for name in names]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
