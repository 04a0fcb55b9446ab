"""The callback: training in mixed precision, with evaluations inside."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.gpu_check.bench import Bench, free, require

TASKS = ["sftgen_parity", "sftgen_addition"]


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
