"""`sftgen doctor`: what is wrong with this installation, these tasks, this model, and what to do."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sftgen_judges.asking.settings import missing_settings, settings_for
from sftgen_judges.errors import SftgenError
from sftgen_judges.plugins.contracts import Judge
from sftgen_judges.plugins.hookspecs import HOOKS
from sftgen_judges.plugins.manager import plugins, task_directories
from sftgen_tasks.harness import inspection
from sftgen_tasks.harness.inspection import TaskFacts, TaskFailure
from sftgen_tasks.harness.preflight import ModelError, check_local_model, is_local, max_model_len
from sftgen_tasks.sandbox import absent_packages, require_sandbox
from sftgen_train.cli.console import folded

Level = Literal["ok", "warning", "error"]

# What the tests were run with.
TESTED = {
    "lm-eval": ">=0.4.12,<=0.4.13",
    "torch": ">=2.13,<2.14",
    "transformers": ">=5.16.1,<5.20",
    "trl": ">=1.16,<1.17",
    "datasets": ">=5.2,<5.3",
    "math-verify": ">=0.9,<0.10",
    "latex2sympy2_extended": ">=1.11,<1.12",
    "pluggy": ">=1.7,<1.8",
    "vllm": ">=0.32,<0.33",
}

# Beside those, what a range cannot name: pip takes a preview for the newest version where a range names one.
PREVIEWS = {"lm-eval": "0.5.0.dev1"}

# What each vllm goes with. It pins torch itself; a later transformers it does not know.
ENGINES = {
    "0.32": ("constraints.txt", {"torch": "==2.13.0", "transformers": "<5.20"}),
    "0.33": ("constraints-vllm-0.33.txt", {"torch": "==2.14.0", "transformers": "<5.21"}),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    level: Level
    subject: str
    message: str
    next_step: str = ""


def diagnose(tasks: Sequence[str], model: str | None = None) -> list[Finding]:
    """Run every check.

    Args:
        tasks: Task names, groups or globs.
        model: Folder or hub id to check the tasks against.

    Raises:
        UnknownTaskError: A name matches nothing.
    """
    findings = [*_versions(), *_engine(), *_plugins(), *_doors(), *_task_files(), *_sandbox()]
    tokenizer, room = None, None
    if model:
        try:
            check_local_model(model, chat_template=False)
            tokenizer = load_tokenizer(model)
            room = max_model_len(Path(model))
            findings += _model(model, tokenizer, room)
        except ModelError as error:
            findings.append(Finding("error", f"model {model}", str(error)))
    findings += _tasks(tasks, tokenizer, room)
    return findings


def print_findings(findings: Sequence[Finding], console: Console, *, whole: bool = False) -> None:
    """Print the problems, errors first, with the next step for each, and their number.

    Args:
        findings: What was found.
        console: Where they are printed.
        whole: Whether what is right is printed too, below the problems.
    """
    marks = {"error": "[red]error[/]", "warning": "[yellow]warning[/]", "ok": "[green]ok[/]"}
    table = Table(*folded("", "what", "finding"), show_lines=False)
    shown = [finding for level in ("error", "warning", "ok") for finding in findings if finding.level == level]
    for finding in shown if whole else [finding for finding in shown if finding.level != "ok"]:
        text = escape(finding.message) + (f"\n-> {escape(finding.next_step)}" if finding.next_step else "")
        table.add_row(marks[finding.level], escape(finding.subject), text)
    if table.row_count:
        console.print(table)
    errors, warnings, right = (sum(finding.level == level for finding in findings) for level in marks)
    console.print(
        f"{errors} errors, {warnings} warnings; {right} checks are ok{'' if whole else ' (--all shows them)'}"
    )


def _versions() -> Iterator[Finding]:
    pair = _pair()
    for name, tested in TESTED.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if pair and name in {"vllm", *pair[1]}:
            continue  # the engine decides, see `_engine`
        if SpecifierSet(tested).contains(version, prereleases=True) or version == PREVIEWS.get(name):
            yield Finding("ok", name, version)
        else:
            step = f'pip install "{name}{tested}" if something fails'
            yield Finding("warning", name, f"{version} is outside the tested range {tested}", step)


def _vllm() -> str | None:
    try:
        return metadata.version("vllm")
    except metadata.PackageNotFoundError:
        return None


def _pair() -> tuple[str, dict[str, str]] | None:
    """What the installed vllm goes with, where it is a known one."""
    return ENGINES.get(".".join((_vllm() or "").split(".")[:2]))


def _engine() -> Iterator[Finding]:
    """Whether the installed vllm is one that is known, and stands beside what it goes with."""
    version, known = _vllm(), _pair()
    if version is None:
        return
    if known is None:
        step = "pip install -c constraints.txt 'sftgen[vllm]'"
        yield Finding("warning", "engine", f"vllm {version}: expected one of {', '.join(ENGINES)}", step)
        return
    file, wanted = known
    found = {name: metadata.version(name) for name in wanted}
    pair = f"vllm {version} with " + " and ".join(f"{name} {at}" for name, at in found.items())
    wrong = [name for name, at in found.items() if not SpecifierSet(wanted[name]).contains(at, prereleases=True)]
    if wrong:
        needs = ", ".join(f"{name}{wanted[name]}" for name in wrong)
        step = f"pip install -c {file} vllm=={version} sftgen"
        yield Finding("error", "engine", f"{pair}: it wants {needs}", step)
    else:
        yield Finding("ok", "engine", pair)


def _sandbox() -> Iterator[Finding]:
    subject = "code sandbox"
    try:
        found = require_sandbox()
        weaker = f"; a stronger one is not available: {found.missing}" if found.missing else ""
        yield Finding("ok", subject, f"{found.name}: {found.description}{weaker}")
        if absent := ", ".join(absent_packages()):
            message = f"programs cannot import {absent}, as those of LiveCodeBench may: such a program fails"
            yield Finding("warning", subject, message, 'pip install "sftgen[code]" where the sandbox runs')
    except SftgenError as error:
        yield Finding("warning", subject, str(error), "docs/sandbox.md; only benchmarks that run code need it")


def _plugins() -> Iterator[Finding]:
    found = plugins()
    for hook in HOOKS:
        found.registered(hook)
    for plugin in found.found:
        origin = f"{plugin.distribution} {plugin.version}"
        if plugin.error:
            step = f"fix it, uninstall {plugin.distribution}, or leave it out with SFTGEN_LOAD_PLUGINS"
            yield Finding("error", f"plugin {plugin.name}", f"left out ({origin}). {plugin.error}", step)
        else:
            yield Finding("ok", f"plugin {plugin.name}", f"{origin}: {', '.join(plugin.hooks)}")


def _doors() -> Iterator[Finding]:
    scanned = inspection.folders_seen_by_lm_eval()
    subject = "door: plain lm_eval"
    for folder in task_directories():
        if str(folder) in scanned:
            yield Finding("ok", subject, f"lm_eval finds {folder}")
            continue
        if os.environ.get("SFTGEN_NO_AUTOLOAD"):
            step = "unset SFTGEN_NO_AUTOLOAD, or pass --include_path"
        else:
            step = 'use `sftgen eval`, or `lm_eval --include_path "$(sftgen tasks-dir)"`, or reinstall sftgen with pip'
        yield Finding("warning", subject, f"lm_eval does not find {folder}", step)
    declared = {entry.dist.name for entry in metadata.entry_points(group="lm_eval.tasks") if entry.dist}
    for plugin in plugins().found:
        adds_tasks = "register_tasks" in plugin.hooks and not plugin.error
        if adds_tasks and plugin.distribution not in declared:
            yield Finding(
                "warning",
                f"door: {plugin.distribution}",
                "has tasks but no entry point lm_eval.tasks: an lm_eval that reads entry points does not see the tasks",
                'declare [project.entry-points."lm_eval.tasks"] with the package that holds the YAML files',
            )


def _task_files() -> Iterator[Finding]:
    names: dict[str, Path] = {}
    for folder in task_directories():
        count = 0
        for path, name, error in inspection.read_task_files(folder):
            count += 1
            if error is not None:
                message = f"{path}: {type(error).__name__}: {error}"
                yield Finding("error", "task file", message, "lm_eval skips it without a message: fix it")
            elif name in names:
                message = f"{name!r} is in {names[name]} and in {path}"
                yield Finding("error", "task file", message, "rename one of the two")
            elif name:
                names[name] = path
        yield Finding("ok" if count else "warning", "task files", f"{count} in {folder}")


def load_tokenizer(model: str) -> Any:
    """The tokenizer of a folder or hub id.

    Raises:
        ModelError: It cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model)
    except Exception as error:
        check = "the folder" if is_local(model) else "the hub id, and that the hub is reachable"
        raise ModelError(f"tokenizer of {model!r} cannot be loaded ({type(error).__name__}): check {check}") from error


def _model(model: str, tokenizer: Any, room: int | None) -> Iterator[Finding]:
    subject = f"model {model}"
    if tokenizer.chat_template:
        yield Finding("ok", subject, f"chat template, {room or 'unknown'} tokens at most")
    else:
        step = "add chat_template.jinja to it, or pass --no_chat_template to `sftgen eval`"
        yield Finding("error", subject, "its tokenizer has no chat template", step)


def _tasks(names: Sequence[str], tokenizer: Any, room: int | None) -> Iterator[Finding]:
    parts: dict[str, list[TaskFacts | TaskFailure]] = defaultdict(list)
    for facts in inspection.inspect_tasks(names):
        parts[facts.benchmark].append(facts)
    found = [
        finding for benchmark, members in parts.items() for finding in _benchmark(benchmark, members, tokenizer, room)
    ]
    yield from _each_once(found)


def _benchmark(
    name: str, parts: Sequence[TaskFacts | TaskFailure], tokenizer: Any, room: int | None
) -> Iterator[Finding]:
    """What is known of a benchmark, or of a task that is one by itself."""
    several = f" in {len(parts)} tasks" if len(parts) > 1 else ""
    for failure in parts:
        if isinstance(failure, TaskFailure):
            own = isinstance(failure.error, SftgenError)
            message = str(failure.error) if own else f"{type(failure.error).__name__}: {failure.error}"
            said, colon, rest = message.partition(": ")  # the row names the task
            yield Finding("error", name, rest if colon and failure.name.startswith(said) else message)
    whole = [facts for facts in parts if isinstance(facts, TaskFacts)]
    if not whole:
        return
    documents, scorer = sum(facts.documents for facts in whole), whole[0].scorer
    origins = ", ".join(dict.fromkeys(facts.origin for facts in whole))
    yield Finding("ok", name, f"{documents} documents{several} from {origins}; {scorer.name}")
    if isinstance(scorer, Judge) and (step := missing_settings(scorer)):
        yield Finding("warning", name, f"judge {scorer.name!r} has no model to ask", step)
    if isinstance(scorer, Judge) and scorer.name == "reward":
        yield from _reward_models(scorer)
    if tokenizer is None or room is None:
        return
    longest = max(len(_encode(tokenizer, prompt)) for facts in whole for prompt in facts.prompts())
    limit = max(facts.max_gen_toks for facts in whole)
    if longest >= room:
        told = f"its longest prompt has {longest} tokens, and the model takes {room} with the response"
        yield Finding("error", name, told, "evaluate a model with a longer context, or leave the task out")
    elif longest + limit > room:
        told = f"responses may have at least {room - longest} of the task's {limit} tokens: the model takes {room}"
        yield Finding("ok", name, told)


def _reward_models(judge: Judge) -> Iterator[Finding]:
    """Whether the reward models in use, and the published ones, cut pairs that they could read."""
    from sftgen_judges.reward.lengths import lengths
    from sftgen_judges.reward.models import PUBLISHED, reward_models

    used = reward_models(settings_for(judge).model or "")
    others = [model for model in reward_models(",".join(PUBLISHED)) if model not in used]
    for model in (*used, *others):
        subject, found = f"reward model {model.name}", lengths(model)
        if found is None:
            if model in used:
                yield Finding("ok", subject, "not here yet: how long a pair its tokenizer takes is not known")
        elif found.cut_short:
            yield Finding(
                "warning",
                subject,
                f"its tokenizer takes {found.tokenizer} tokens (model_max_length), the model {found.model}: longer "
                "answers are truncated at their end (reward_truncated), the paper's code truncates none",
                f"set model_max_length to {found.model} in the tokenizer_config.json of a copy of it, and name its "
                "folder in SFTGEN_JUDGE_REWARD_MODEL",
            )
        else:
            yield Finding("ok", subject, f"pairs of up to {found.model or found.tokenizer or 'any number of'} tokens")


def _each_once(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Each problem once, with the names of all that have it."""
    alike: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        alike[finding.level, finding.message.replace(finding.subject, "it"), finding.next_step].append(finding)
    for (_, message, _), found in alike.items():
        subjects = list(dict.fromkeys(finding.subject for finding in found))
        if len(subjects) == 1:
            yield found[0]
        else:
            yield replace(found[0], subject=", ".join(subjects), message=message)


def _encode(tokenizer: Any, prompt: str) -> list[int]:
    if tokenizer.chat_template:
        message = [{"role": "user", "content": prompt}]
        prompt = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
