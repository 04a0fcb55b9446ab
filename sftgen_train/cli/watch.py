"""`sftgen watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_judges.errors import SftgenError
from sftgen_train.cli.completing import Tasks
from sftgen_train.cli.console import LogTo, console, show_run


def watch_folder(
    folder: Annotated[Path, typer.Argument(help="Folder of checkpoints, or hub repository with one folder a step.")],
    *,
    tasks: Tasks,
    run: Annotated[Optional[Path], typer.Option(help="Run directory; FOLDER/sftgen by default.")] = None,  # noqa: UP045
    base: Annotated[str, typer.Option(help="Model before training: step 0, and files that checkpoints lack.")] = "",
    steps: Annotated[str, typer.Option(help="Only these steps, separated by commas; or all.")] = "all",
    schedule: Annotated[Optional[str], typer.Option(help="Only steps of a schedule, e.g. log-spaced.")] = None,  # noqa: UP045
    limit: Annotated[Optional[int], typer.Option(min=1, help="Documents a task.")] = None,  # noqa: UP045
    metadata: Annotated[
        str, typer.Option(help="Options of the tasks, as `sftgen eval` takes them, e.g. docs_seed=3.")
    ] = "",
    gen_kwargs: Annotated[str, typer.Option(help="Over the tasks' generation settings, e.g. temperature=0.6.")] = "",
    max_gen_toks: Annotated[str, typer.Option(help="Token limits of single tasks or groups: TASK=N,...")] = "",
    chat_template: Annotated[bool, typer.Option(help="Prompts go through the tokenizer's chat template.")] = True,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts generated together.")] = 16,
    once: Annotated[bool, typer.Option(help="Evaluate the present checkpoints and end.")] = False,
    until: Annotated[Optional[int], typer.Option(help="End after this step.")] = None,  # noqa: UP045
    last_step: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Last step of the training; by default --until, or what trainer_state.json tells."),
    ] = None,
    settle: Annotated[float, typer.Option(min=0, help="Seconds for which a checkpoint must not change.")] = 30.0,
    evaluate: Annotated[bool, typer.Option(help="Evaluate here; otherwise `sftgen worker RUN` does.")] = True,
    model: Annotated[str, typer.Option(help="lm_eval model that generates, e.g. sftgen-vllm.")] = "sftgen-hf",
    model_args: Annotated[str, typer.Option(help="Further arguments of that model.")] = "",
    fresh_engines: Annotated[bool, typer.Option(help="With vLLM: a fresh engine for each checkpoint.")] = False,
    keep: Annotated[str, typer.Option(help="Steps whose leased weights are kept; or all, log2, verdict.")] = "",
    log_to: LogTo = "",
) -> None:
    """Evaluate the checkpoints of any trainer as they appear, each after it is completely written."""
    from sftgen_tasks.harness.limits import parse_limits
    from sftgen_tasks.harness.registry import parse_model_args
    from sftgen_train.evaluation.schedule import Suite, Tier, parse_mapping
    from sftgen_train.queue.keeping import parse_keep
    from sftgen_train.queue.policy import Backend, Policy
    from sftgen_train.queue.progress import shown
    from sftgen_train.queue.steps import parse_steps
    from sftgen_train.queue.watch import Watch, watch
    from sftgen_train.queue.worker import work
    from sftgen_train.results.trackers import parse_trackers

    if run is None and not folder.is_dir():
        raise SftgenError(f"{str(folder)!r} is not a folder here; for a hub repository name a run directory: --run DIR")
    into, trackers = run or folder / "sftgen", parse_trackers(log_to)
    settings = parse_mapping("--metadata", metadata), parse_mapping("--gen-kwargs", gen_kwargs)
    if max_gen_toks:
        settings[0]["max_gen_toks"] = parse_limits(max_gen_toks)
    every = None if schedule else 1
    suite = Suite(
        [Tier(tasks.split(","), every=every, limit=limit, schedule=schedule)], *settings, chat_template, batch_size
    )
    what = Watch(
        folder, base, parse_steps(steps), settle, until, last_step, once, poll=5.0 if folder.is_dir() else 60.0
    )
    backend = Backend(model, parse_model_args(model_args), fresh_engines)
    policy = Policy(keep=parse_keep(keep))
    with shown(into, console):
        watch(what, into, suite, (lambda: work(into, backend, policy, trackers)) if evaluate else None)
    if evaluate:
        show_run(into)
