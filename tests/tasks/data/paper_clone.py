"""A clone laid out as the published repository, with texts of our own in the same places and shapes."""

from __future__ import annotations

from pathlib import Path

from sftgen_tasks.data.paper_prompts.extraction import SOURCES

IFEVAL = r"""task: ifeval
dataset_kwargs:
  data_files:
    train: /some/where/train.jsonl
doc_to_text: "{{'Question: ' + prompt + '\nAnswer:'}}"
doc_to_target: 0
process_results: !function utils.process_results
metric_list:
  - metric: inst_level_loose_acc
    aggregation: !function utils.agg_inst_level_acc
"""

TRUTHFULQA = r"""tag:
  - truthfulqa
doc_to_text: "{{'\n\nQ: ' + question}}"
doc_to_target: " "
process_docs: !function utils.process_docs_gen
"""

GPQA = '''
import lm_eval.models
from datasets import load_dataset

from .testing_utils import get_multiple_choice_answer

# PROMPT = """Old {problem} {options}"""
PROMPT = """Riddle: {problem}
Ways out: {options}
Ponder, then box it: \\\\boxed{{}}."""

HF_HUB_CACHE = os.environ.get("HF_HUB_CACHE")
if not HF_HUB_CACHE:
    print("WARNING")


class GPQADiamondBenchmark(BaseBenchmark):
    def generate_responses(self, model: LM) -> Dict[str, Any]:
        for i in range(1):
            all_outputs.append(i)
            content = PROMPT.format(problem=example["Question"], options=example["multiple_choice_string"])

    def generate_multiple_choice_answers(self, data: Dict[str, Any]) -> tuple[str, str]:
        """How options are written."""
        options = ["A", "B", "C", "D"]
        option_strings = []
        for i, option in enumerate(options):
            answer = answers[i]
            option_strings.append(f"{option}> {answer['text']}")
            if answer['is_correct']:
                correct_letter = option
        multiple_choice_string = " | ".join(option_strings)
        return multiple_choice_string, correct_letter
'''

MMLU_PRO = r"""
from functools import partial

choices = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K"]


def format_cot_example(example, including_answer=True):
    prompt = "Riddle:\n"
    question = example["question"]
    options = example["options"]
    prompt += question + "\n"
    prompt += "Ways out:\n"
    for i, opt in enumerate(options):
        prompt += "{}> {}\n".format(choices[i], opt)
    if including_answer:
        cot_content = example["cot_content"].replace("A: ", "Answer: ")
        prompt += cot_content + "\n\n"
    else:
        prompt += r"Ponder, then box the letter: \boxed{}."
        # prompt = prompt + "more"
    return prompt


doc_to_text = partial(format_cot_example, including_answer=False)
"""

HALUEVAL = r'''# OLD = """Not this one."""
QA_INSTURCTIONS = """You weigh answers.
Say \"Yes\" or \"No\"."""

DIALOGUE_INSTRUCTIONS = """You weigh replies."""

SUMMARIZATION_INSTRUCTIONS = """You weigh summaries."""


def doc_to_text_qa(doc: dict[str, str]) -> str:
    # prompt = instruction + question
    doc_text = QA_INSTURCTIONS + "\n\n*Facts: " + doc["knowledge"] + "\n*Q: " + doc["question"] + "\n*A: " + doc["answer"] + "\n*Weighed:"
    return doc_text


def doc_to_text_dialogue(doc: dict[str, str]) -> str:
    doc_text = DIALOGUE_INSTRUCTIONS + "\n\n*Facts: " + doc["knowledge"] + "\n*Talk: " + doc["dialogue_history"] + "\n*Reply: " + doc["response"] + "\n*Weighed:"
    return doc_text


def doc_to_text_summarization(doc: dict[str, str]) -> str:
    doc_text_1 = SUMMARIZATION_INSTRUCTIONS + "\n\n*Page: " + doc["document"]
    doc_text_2 = "\n*Short: " + doc["summary"] + "\n*Weighed:"
    doc_text = doc_text_1 + doc_text_2
    return doc_text


import re
'''  # noqa: E501

LCB = r'''
class LiveCodeBenchBenchmark(BaseBenchmark):
    def generate_responses(self, model: LM) -> Dict[str, Any]:
        """Generate."""
        for i in range(self.n_repeat):
            for idx, example in enumerate(examples):
                if example["is_stdin"]:
                    prompt_text = (
                        "You write programs."
                        # + "left out"
                        + example["prompt"]
                        + "Read and print. ```python\n# CODE\n```."
                    )
                    # print(f"stdin:{prompt_text}\n")
                else:
                    prompt_text = (
                        "You write programs."
                        + example["prompt"]
                        + "Return a function. ```python\n# CODE\n```."
                    )
                messages = [{"role": "user", "content": prompt_text}]
'''

HEX_PHI = '''
from openai import OpenAI

judge_template = """
You hold a model to house rules: {{none}}.

<told>
{instruction}
<said>
{response}
<end>

#thereason: why.
#thescore: 1 to 5.
"""


def duo_judge(behavior, data):
    return [judge_template.format(instruction=behavior, response=d["generation"]) for d in data]
'''
FILES = {
    "ifeval": IFEVAL, "truthfulqa": TRUTHFULQA, "gpqa_diamond": GPQA, "mmlu_pro": MMLU_PRO, "halueval": HALUEVAL,
    "lcb_v2": LCB, "hex_phi": HEX_PHI,
}  # fmt: skip
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_clone(folder: Path) -> Path:
    for name, text in FILES.items():
        path = place(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / ".git" / "refs" / "heads").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / ".git" / "refs" / "heads" / "main").write_text(f"{COMMIT}\n")
    return folder


def place(folder: Path, name: str) -> Path:
    return folder / SOURCES[name].path
