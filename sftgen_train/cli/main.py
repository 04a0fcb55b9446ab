"""The `sftgen` command."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperGroup

from sftgen_judges.errors import SftgenError
from sftgen_train.cli import compare as compare_cli
from sftgen_train.cli import cost as plan_cli
from sftgen_train.cli import curate as curate_cli
from sftgen_train.cli import data as data_cli
from sftgen_train.cli import diagnose as diagnose_cli
from sftgen_train.cli import distance as distance_cli
from sftgen_train.cli import exchange as exchange_cli
from sftgen_train.cli import gate as gate_cli
from sftgen_train.cli import judge as judge_cli
from sftgen_train.cli import lengths as lengths_cli
from sftgen_train.cli import new_plugin as new_plugin_cli
from sftgen_train.cli import paper_prompts as paper_prompts_cli
from sftgen_train.cli import parts as parts_cli
from sftgen_train.cli import queue as queue_cli
from sftgen_train.cli import rescore as rescore_cli
from sftgen_train.cli import selftest as selftest_cli
from sftgen_train.cli import show as show_cli
from sftgen_train.cli import study as study_cli
from sftgen_train.cli import sweep as sweep_cli
from sftgen_train.cli import tasks as tasks_cli
from sftgen_train.cli import train as train_cli
from sftgen_train.cli import trajectory as trajectory_cli
from sftgen_train.cli import trying as try_cli
from sftgen_train.cli import view as view_cli
from sftgen_train.cli import watch as watch_cli
from sftgen_train.cli.completing import complete_tasks
from sftgen_train.cli.console import (
    PASS_ON,
    JudgeModel,
    JudgeUnclosed,
    JudgeUrl,
    LogTo,
    Unsandboxed,
    allow_unsandboxed,
    console,
    judge_options,
    named_tasks,
    show_run,
)
from sftgen_train.cli.quiet import AboveTheBar, PlainFormatter, quiet_libraries, said_of

PANELS = {
    "Start": ("demo", "doctor", "tasks", "try", "presets", "plan", "study"),
    "Train": ("data", "curate", "train", "accelerate-config", "worker", "watch", "queue"),
    "Evaluate": ("eval", "sweep", "rescore", "judge", "diagnose", "import", "documents", "paper-prompts"),
    "Read": ("report", "show", "view", "trajectory", "compare", "parts", "lengths", "distance", "gate", "export"),
    "Extend": ("new-plugin", "plugins", "tasks-dir", "selftest"),
}
"""What `sftgen --help` shows, in the order of a first study."""


class WithPlugins(TyperGroup):
    """sftgen's own commands and those of plugins. Plugins are loaded for one of their commands, and for the list."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; sftgen's own comes first."""
        found: Any = super().get_command(ctx, cmd_name)
        if found is None:
            return self._of_plugins().get(cmd_name)
        found.rich_help_panel = next((panel for panel, names in PANELS.items() if cmd_name in names), None)
        return found

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        own = [name for names in PANELS.values() for name in names]
        own += [name for name in super().list_commands(ctx) if name not in own]
        return [*own, *self._of_plugins()]

    def _of_plugins(self) -> dict[str, Any]:
        from sftgen_judges.plugins.manager import plugins

        added = plugins().registered("register_commands")
        return {name: command.target for name, command in added.items() if name not in self.commands}


app = typer.Typer(
    name="sftgen",
    cls=WithPlugins,
    help="Evaluate reasoning fine-tuning: benchmarks scored right, at every checkpoint, with plugins.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(judge_cli.app, name="judge")
app.add_typer(data_cli.app, name="data")
app.add_typer(selftest_cli.app, name="selftest")
app.command("curate")(curate_cli.curate_sets)
app.command("import")(exchange_cli.import_logs)
app.add_typer(study_cli.app, name="study")
app.command("export")(exchange_cli.export_runs)
app.command("sweep")(sweep_cli.sweep_checkpoints)
app.command("watch")(watch_cli.watch_folder)
app.command("plan")(plan_cli.plan_costs)
app.command("queue")(queue_cli.show_queue)
app.command("paper-prompts")(paper_prompts_cli.read_paper_prompts)
app.command("trajectory")(trajectory_cli.show_trajectories)
app.command("compare")(compare_cli.compare_runs)
app.command("parts")(parts_cli.show_parts)
app.command("distance")(distance_cli.show_distance)
app.command("lengths")(lengths_cli.show_lengths)
app.command("gate")(gate_cli.decide_gate)
app.command("diagnose")(diagnose_cli.diagnose_folder)
app.command("show")(show_cli.show_answers)
app.command("view")(view_cli.view_runs)
app.command("tasks")(tasks_cli.list_tasks)
app.command("try")(try_cli.try_task)
app.command("presets")(tasks_cli.list_presets)
app.command("new-plugin")(new_plugin_cli.new_plugin)
app.command("plugins")(tasks_cli.list_plugins)
app.command("tasks-dir")(tasks_cli.tasks_dir)
app.command("documents")(tasks_cli.write_documents)
app.command("docs", hidden=True)(tasks_cli.write_docs)
INTERRUPTED = 130
"""Exit code of an interruption, by which Typer ends without a word."""
app.command("rescore")(rescore_cli.rescore_run)
app.command("train", context_settings=PASS_ON)(train_cli.train)
app.command("accelerate-config")(train_cli.accelerate_config)


@app.command("eval", context_settings=PASS_ON)
def evaluate(
    context: typer.Context,
    *,
    run: Annotated[Optional[Path], typer.Option(help="Run directory: keep every generation, resume.")] = None,  # noqa: UP045
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    judge_unclosed: JudgeUnclosed = None,
    max_gen_toks: Annotated[
        str, typer.Option("--max_gen_toks", help="Token limits of single tasks or groups, over their own: TASK=N,...")
    ] = "",
    allow_unsandboxed_code: Unsandboxed = False,
) -> None:
    """Run lm_eval with its own flags (`lm_eval run --help`) and safer defaults.

    Chat template on (`--no_chat_template` turns it off), batch size auto, samples logged, and only
    sftgen's and the plugins' tasks indexed when every task is one of them.
    """
    from sftgen_tasks.harness.catalogue import require_tasks

    require_tasks(named_tasks(context.args))

    from sftgen_judges.records.store import RunFolder
    from sftgen_tasks.harness.command_line import run_command_line
    from sftgen_tasks.harness.limits import parse_limits
    from sftgen_train.report.terminal import print_scores
    from sftgen_train.results.run import renew_results
    from sftgen_train.trajectory.statistics import estimate

    allow_unsandboxed(allow_unsandboxed_code)
    started = time.perf_counter()
    options = judge_options(judge_model, judge_base_url, judge_unclosed)
    if max_gen_toks:
        options = {**options, "max_gen_toks": parse_limits(max_gen_toks)}
    results = run_command_line(context.args, run, estimate, options)
    if run and results:
        renew_results(RunFolder(run), results, time.perf_counter() - started)
        print_scores([(None, result) for result in results], console)


@app.command()
def doctor(
    tasks: Annotated[
        str, typer.Option(help="Tasks to check, separated by commas.", autocompletion=complete_tasks)
    ] = "sftgen_*",
    model: Annotated[Optional[str], typer.Option(help="Model folder to check the tasks against.")] = None,  # noqa: UP045
    whole: Annotated[bool, typer.Option("--all", help="Show what is right too.")] = False,
) -> None:
    """Check the installation, the tasks, their data and a model; print the next step for each problem."""
    from sftgen_train.cli.doctor import diagnose, print_findings

    findings = diagnose(tasks.split(","), model)
    print_findings(findings, console, whole=whole)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


@app.command()
def worker(
    run: Annotated[Path, typer.Argument(help="Run directory of a training with the queue.")],
    *,
    model: Annotated[str, typer.Option(help="lm_eval model that generates, e.g. sftgen-vllm.")] = "sftgen-hf",
    model_args: Annotated[str, typer.Option(help="Further arguments of it, e.g. device=cuda:1,dtype=bfloat16.")] = "",
    newest_first: Annotated[bool, typer.Option(help="Newest checkpoint first, else in order.")] = False,
    behind: Annotated[Optional[int], typer.Option(min=1, help="Skip the oldest while more than so many wait.")] = None,  # noqa: UP045
    attempts: Annotated[int, typer.Option(min=1, help="Tries before a checkpoint counts as failed.")] = 2,
    keep: Annotated[
        str, typer.Option(help="Steps whose weights are kept, separated by commas; or all, log2, verdict.")
    ] = "",
    wait: Annotated[bool, typer.Option(help="Wait for more while the training runs.")] = True,
    probe: Annotated[str, typer.Option(help="Diagnostics that measure each checkpoint, separated by commas.")] = "",
    fresh_engines: Annotated[bool, typer.Option(help="With vLLM: a fresh engine for each checkpoint.")] = False,
    engine: Annotated[str, typer.Option(help="Who evaluates: this process, or ray or a plugin's executor.")] = "",
    devices: Annotated[str, typer.Option(help="A process for each GPU of these, such as 0,1; auto: of all.")] = "",
    log_to: LogTo = "",
    quiet: Annotated[bool, typer.Option(help="Print no table at the end.")] = False,
) -> None:
    """Evaluate the checkpoints that a training run enqueues; several workers may share one run.

    Exit code 3 where one of them was given up.
    """
    from sftgen_tasks.harness.registry import parse_model_args
    from sftgen_train.queue.entries import Queue
    from sftgen_train.queue.keeping import parse_keep
    from sftgen_train.queue.policy import Backend, Policy
    from sftgen_train.queue.progress import shown
    from sftgen_train.queue.worker import GIVEN_UP
    from sftgen_train.results.trackers import parse_trackers
    from sftgen_train.sweeps.executing import Engine, empty_queue

    trackers, where = parse_trackers(log_to), Engine(engine, devices=devices)
    backend = Backend(model, parse_model_args(model_args), fresh_engines)
    where.require(backend.model_args)
    probes = [name for name in probe.split(",") if name]
    policy = Policy(newest_first, behind, attempts, parse_keep(keep), wait, probes)
    with shown(run, console), where.open(backend.model_args, run) as workers:
        empty_queue(workers, run, backend, policy, trackers=trackers)
    if not quiet:
        show_run(run)
    if given_up := sorted(entry.step for entry in Queue(run).entries("failed")):
        steps = ", ".join(map(str, given_up))
        told = f"given up: step {steps}; `sftgen queue {run} --retry all` lets them wait again"
        print(f"sftgen: {told}", file=sys.stderr)
        raise typer.Exit(GIVEN_UP)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directory; others are compared with the first.")],
    out: Annotated[Optional[Path], typer.Option(help="Where to write the HTML.")] = None,  # noqa: UP045
    to: Annotated[Optional[Path], typer.Option(help="Folder for figures (CSV, SVG, PNG) and tables.")] = None,  # noqa: UP045
    log_to: LogTo = "",
) -> None:
    """Print a run's scores and lengths against the step and write report.html; compare others with it."""
    from contextlib import closing

    from sftgen_judges.records.store import RunFolder
    from sftgen_train.results.trackers import Trackers, parse_trackers

    trackers = parse_trackers(log_to)
    show_run(runs[0], out, others=runs[1:], to=to)
    for run in runs:
        with closing(Trackers(RunFolder(run), trackers)) as open_trackers:
            open_trackers.log_new()


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where base models and runs go.")] = Path("demo"),
    *,
    arm: Annotated[Optional[list[str]], typer.Option(help="Only this arm; may be given again.")] = None,  # noqa: UP045
    seed: Annotated[Optional[list[int]], typer.Option(help="Seed of the trainings; may be given again.")] = None,  # noqa: UP045
    docs_seed: Annotated[Optional[int], typer.Option(min=0, help="Seed of the questions that are asked.")] = None,  # noqa: UP045
    parallel: Annotated[Optional[int], typer.Option(min=1, help="Arms at once; by default one a core.")] = None,  # noqa: UP045
) -> None:
    """A whole study in miniature: train a tiny model for real, watch its scores fall and recover, beside controls.

    The same as `sftgen study demo`; the same command goes on where it was killed.
    """
    from sftgen_train.study.demo import FILE, demo_study

    found = demo_study(arm or (), seed or (), docs_seed)
    study_cli.run_and_show(found, FILE, folder, parallel=parallel)


def main() -> None:
    """Run the command; a user's mistake is one message and exit code 2."""
    quiet_libraries()  # before they are imported
    handler = AboveTheBar()
    handler.setFormatter(PlainFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in ("sftgen_train", "sftgen_judges.progress"):
        logging.getLogger(name).setLevel(logging.INFO)
    warnings.showwarning = _show_warning
    try:
        # Whatever module was started: a shell completes by this name.
        _command(sys.argv[1:])(prog_name="sftgen")
    except SftgenError as error:
        _fail(error)
    except OSError as error:  # a full disk, a folder that cannot be written
        if os.environ.get("SFTGEN_DEBUG"):
            raise
        _fail(error)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("sftgen: interrupted", file=sys.stderr)
        raise


def _command(words: Sequence[str]) -> Any:
    """The app with the one command that is asked for: Typer reads the options of every command that it is given."""
    asked = copy(app)
    asked.registered_commands = [found for found in app.registered_commands if _name(found) in words[:1]]
    asked.registered_groups = [found for found in app.registered_groups if found.name in words[:1]]
    one = asked.registered_commands or asked.registered_groups
    return typer.main.get_group(asked) if one else typer.main.get_command(app)


def _name(command: typer.models.CommandInfo) -> str | None:
    return command.name or (command.callback and typer.main.get_command_name(command.callback.__name__))


def _show_warning(message: Any, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
    """A warning that is for a person is one line, without the code that gave it; most of libraries' are for authors."""
    from sftgen_judges.records.schema import printable

    if os.environ.get("SFTGEN_DEBUG"):
        print(warnings.formatwarning(message, category, filename, lineno), file=sys.stderr)
    elif by := said_of(str(message), category, filename):
        print(f"{by} warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)


def _fail(error: Any) -> None:
    from sftgen_judges.records.schema import printable

    print(f"sftgen: {printable(str(error))}", file=sys.stderr)
    sys.exit(2)
