"""The transformers backend beside `model.generate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from scripts.gpu_check.bench import GB, Bench, free, require


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
