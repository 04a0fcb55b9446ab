"""Reading the prompts out of a clone of the published repository: where each stands, and what it becomes.

The texts are known by the hash of what is read, not of the file: a later commit whose prompts are the same is fine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sftgen_tasks.data.paper_prompts.clone import LARGEST, CloneError, commit_of, read_file
from sftgen_tasks.data.paper_prompts.python_files import Parts, Place, TextError, parse
from sftgen_tasks.data.paper_prompts.texts import PLACES, PaperPromptError, Template
from sftgen_tasks.data.paper_prompts.yaml_files import prompt_of

Read = Callable[[str], dict[str, Parts]]
_TASKS = "evaluation/lm-evaluation-harness/lm_eval/tasks"
_CHAT = "evaluation/evalchemy/eval/chat_benchmarks"


@dataclass(frozen=True)
class Source:
    """Where a prompt stands.

    Attributes:
        path: The file, in the published repository.
        read: The texts of the file.
        fields: The published names of fields that have another name here.
    """

    path: str
    read: Read
    fields: Mapping[str, str]


def _of_task_file(text: str) -> dict[str, Parts]:
    return {"prompt": prompt_of(text)}


def _halueval(text: str) -> dict[str, Parts]:
    code = parse(text)
    return {kind: code.returned(f"doc_to_text_{kind}")[0] for kind in PLACES["halueval"]}


def _mmlu_pro(text: str) -> dict[str, Parts]:
    prompt, option = parse(text).returned("format_cot_example", {"including_answer": False})
    return {"prompt": prompt, "option": option, "between": ()}


def _gpqa_diamond(text: str) -> dict[str, Parts]:
    code = parse(text)
    option, between = code.joined("generate_multiple_choice_answers", letter="option")
    return {"prompt": code.format("PROMPT"), "option": option, "between": between}


def _lcb_v2(text: str) -> dict[str, Parts]:
    stdin, function = parse(text).branches("generate_responses", "is_stdin", "prompt_text")
    return {"stdin": stdin, "function": function}


def _hex_phi(text: str) -> dict[str, Parts]:
    return {"judge": parse(text).format("judge_template")}


SOURCES: Mapping[str, Source] = {
    "ifeval": Source(f"{_TASKS}/ifeval/ifeval.yaml", _of_task_file, {}),
    "truthfulqa": Source(f"{_TASKS}/truthfulqa/truthfulqa_gen.yaml", _of_task_file, {}),
    "gpqa_diamond": Source(
        f"{_CHAT}/GPQADiamond/eval_instruct.py", _gpqa_diamond, {"problem": "question", "text": "option"}
    ),
    "mmlu_pro": Source(f"{_TASKS}/mmlu_pro/utils.py", _mmlu_pro, {}),
    "halueval": Source(f"{_TASKS}/halueval/utils.py", _halueval, {}),
    "lcb_v2": Source(f"{_CHAT}/LiveCodeBench/eval_instruct.py", _lcb_v2, {"prompt": "question_content"}),
    "hex_phi": Source(
        "evaluation/harmbench/evaluate_completions_api_parallel_resume.py", _hex_phi, {"instruction": "question"}
    ),
}


@dataclass(frozen=True)
class Extracted:
    """What became of one prompt.

    Attributes:
        name: The prompt's name.
        path: Where it was looked for.
        template: Its texts; None where they were not read.
        problem: Why they were not read.
    """

    name: str
    path: str
    template: Template | None = None
    problem: str = ""


def extract(clone: Path) -> list[Extracted]:
    """Read every prompt that a clone has.

    Args:
        clone: The folder of the clone.

    Raises:
        CloneError: There is no such folder.
    """
    if not clone.is_dir():
        raise CloneError(f"{str(clone)!r} is no folder: expected a clone of the published repository")
    return [_extracted(clone, name, source) for name, source in SOURCES.items()]


def _extracted(clone: Path, name: str, source: Source) -> Extracted:
    try:
        parts = source.read(read_file(clone, source.path))
        texts = {text: _template(found, source.fields) for text, found in parts.items()}
        return Extracted(name, source.path, Template(name, texts, source.path))
    except CloneError as error:
        problem = str(error).removeprefix(f"{source.path}: ")
    except (TextError, PaperPromptError) as error:
        problem = str(error)
    except RecursionError:
        problem = "nested too deeply"
    return Extracted(name, source.path, problem=problem)


def _template(parts: Parts, fields: Mapping[str, str]) -> str:
    """Parts as one text with places in braces.

    Raises:
        TextError: A text looks like one of the places, or is longer than any file.
    """
    if sum(len(part) for part in parts if isinstance(part, str)) > LARGEST:
        raise TextError(f"a text of more than {LARGEST:,} characters")
    names = {fields.get(part.name, part.name) for part in parts if isinstance(part, Place)}
    literal = "".join(part if isinstance(part, str) else "\0" for part in parts)
    if any(f"{{{name}}}" in literal for name in names):
        raise TextError("a text that looks like a place")
    return "".join(part if isinstance(part, str) else f"{{{fields.get(part.name, part.name)}}}" for part in parts)


__all__ = ["SOURCES", "Extracted", "commit_of", "extract"]
