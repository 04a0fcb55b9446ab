"""Generations as records: what is known of a response before it is made, and once it is."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from lm_eval.api.instance import Instance

from sftgen_judges.errors import first_line
from sftgen_judges.records.current import Recording
from sftgen_judges.records.markers import prompt_markers, template_markers
from sftgen_judges.records.schema import GenerationRecord, doc_hash, text_hash, well_formed
from sftgen_tasks.harness.model import Model
from sftgen_tasks.harness.sampling import in_force
from sftgen_tasks.harness.special_tokens import warn_of_dropped_markers

logger = logging.getLogger(__name__)

Count = Callable[[str], int]
UNKNOWN = "unknown"
DEFAULT_MAX_GEN_TOKS = 256  # lm_eval's, for a task that names none


class GeneratedText(str):
    """A response that remembers what lm_eval has no place for.

    Our own models return it; to lm_eval it is text like any other.
    """

    plain: str
    """The text itself: it is kept once, and a copy of this object would be another one."""
    tokens: int | None
    prompt_tokens: int | None
    budget: int | None
    """The tokens that it could have."""
    finish_reason: str | None
    seed: int | None
    reasoning: str | None
    """Thinking that a server sent apart from the text."""
    turn_end: int | None
    """Where in the text the model ended its turn with a special token and wrote on."""
    logprob: float | None
    """Mean log-probability of its tokens, and"""
    entropy: float | None
    """their mean entropy, in nats, where somebody asked."""
    record: GenerationRecord | None
    """Set where it was written down before."""

    def __new__(
        cls,
        text: str,
        *,
        tokens: int | None = None,
        prompt_tokens: int | None = None,
        budget: int | None = None,
        finish_reason: str | None = None,
        seed: int | None = None,
        reasoning: str | None = None,
        turn_end: int | None = None,
        logprob: float | None = None,
        entropy: float | None = None,
        record: GenerationRecord | None = None,
    ) -> GeneratedText:
        """Make the text; what the backend did not count stays None."""
        made = super().__new__(cls, text)
        made.plain = _plain(text)
        made.tokens, made.prompt_tokens, made.finish_reason = tokens, prompt_tokens, finish_reason
        made.budget, made.seed, made.reasoning = budget, seed, reasoning
        made.turn_end, made.record = turn_end, record
        made.logprob, made.entropy = logprob, entropy
        return made

    @classmethod
    def of(cls, record: GenerationRecord) -> GeneratedText:
        """The response of a record."""
        return cls(
            record.text,
            tokens=record.tokens,
            prompt_tokens=record.prompt_tokens,
            budget=record.budget,
            finish_reason=record.finish_reason,
            seed=record.seed,
            reasoning=record.reasoning,
            turn_end=record.turn_end,
            logprob=record.logprob,
            entropy=record.entropy,
            record=record,
        )


def _plain(text: str) -> str:
    """A text as one string that UTF-8 can hold, without a copy where it is one already."""
    if isinstance(text, GeneratedText):
        return text.plain
    return well_formed(text if type(text) is str else str(text))


def note_record(instance: Instance, record: GenerationRecord) -> None:
    """Leave word on a request of what was written down of a response, for which lm_eval has no place."""
    if not hasattr(instance, "records"):
        instance.records = {}
    instance.records[record.repeat] = record


def noted_record(instance: Instance, repeat: int) -> GenerationRecord | None:
    """What was written down of a response to a request; None where nothing was."""
    found: GenerationRecord | None = getattr(instance, "records", {}).get(repeat)
    return found


def prompt_text(instance: Instance) -> str:
    """The prompt as text; to a chat API messages are sent, which lm_eval passes as JSON or as a list."""
    prompt = instance.args[0]
    if isinstance(prompt, str):
        return prompt
    return str(getattr(prompt, "prompt", None) or json.dumps(prompt, ensure_ascii=False))


def note_template(instances: Sequence[Instance], formatter: Any) -> None:
    """Leave word on requests which chat template made their prompts, and which markers of thinking it has.

    Args:
        instances: The requests.
        formatter: The model's `apply_chat_template`, None where prompts are plain.
    """
    lm = getattr(formatter, "__self__", None)
    template = chat_template(lm)
    if template:
        warn_of_dropped_markers(lm, template)
    hashed, markers = (text_hash(template), template_markers(template)) if template else (None, None)
    for instance in instances:
        # Messages are formatted by the server, whatever tokenizer is here.
        known = isinstance(instance.args[0], str)
        instance.template_hash, instance.markers = (hashed, markers) if known else (None, None)


def asked(instance: Instance) -> dict[str, Any]:
    """The settings that the task asks for, also where the request asks for fewer tokens, which its prompt leaves."""
    settings: dict[str, Any] = instance.args[1]
    if not hasattr(instance, "limit"):
        return settings
    given = {"max_gen_toks": instance.limit} if instance.limit is not None else {}
    return {name: value for name, value in settings.items() if name != "max_gen_toks"} | given


def chat_template(lm: Any) -> str | None:
    """A model's chat template; None where the model has no template or a server applies its own."""
    # vLLM resolves the template itself and keeps it under the first name.
    template = getattr(lm, "hf_chat_template", None) or (lm.chat_template(True) if lm is not None else None)
    return template or None


def describe(run: Recording, instance: Instance, repeat: int, by: str = "") -> GenerationRecord:
    """The record of a generation that is still to be made: everything but the text.

    Raises:
        SettingError: `by`, the name of one of our models, does not apply a setting of the request.
    """
    prompt, settings = prompt_text(instance), in_force(by, asked(instance))
    if run.seed is not None:
        settings["seed"] = run.seed
    opened = prompt_markers(prompt)
    return GenerationRecord(
        task=instance.task_name or "",
        step=run.step,
        model=run.model or UNKNOWN,
        doc_hash=doc_hash(instance.doc),
        repeat=repeat,
        prompt_hash=text_hash(prompt),
        sampling=settings,
        text="",
        budget=getattr(instance, "budget", None),
        prefilled=opened is not None,
        template_hash=getattr(instance, "template_hash", None),
        # A template may name `<think>` and open thinking with it, although its family writes more than that.
        markers=getattr(instance, "markers", None) if opened in (None, "think") else opened,
    )


def complete(record: GenerationRecord, prompt: str, text: str, count: Count | None) -> GenerationRecord:
    """Fill in what was generated.

    A stock model passes text only: its tokens are then counted again, and whether it was cut is judged
    by them. Encoding a decoded text can give a few tokens less than were generated, hence one percent.
    """
    if isinstance(text, GeneratedText):
        stored = text.record  # replayed: what was known then stays known
        return replace(
            record,
            text=text.plain,
            tokens=text.tokens,
            prompt_tokens=text.prompt_tokens,
            budget=text.budget,
            finish_reason=text.finish_reason,
            seed=text.seed,
            turn_end=text.turn_end,
            logprob=text.logprob,
            entropy=text.entropy,
            reasoning=None if text.reasoning is None else _plain(text.reasoning),
            template_hash=stored.template_hash if stored else record.template_hash,
            prefilled=stored.prefilled if stored else record.prefilled,
            markers=stored.markers if stored else record.markers,
            exact=stored.exact if stored else True,
        )
    text = _plain(text)
    if count is None:
        return replace(record, text=text)
    limit = record.budget or int(record.sampling.get("max_gen_toks", DEFAULT_MAX_GEN_TOKS))
    tokens = count(text)
    reason = "length" if tokens >= limit - max(1, limit // 100) else "stop"
    return replace(record, text=text, tokens=tokens, prompt_tokens=count(prompt), finish_reason=reason)


def repeat_numbers(requests: Sequence[Instance]) -> list[int]:
    """Which repeat each request is: lm_eval asks for several samples by listing a request several times."""
    seen: Counter[int] = Counter()
    numbers = []
    for request in requests:
        numbers.append(seen[id(request)])
        seen[id(request)] += 1
    return numbers


def sample_seed(base: int, prompt: str, repeat: int) -> int:
    """The seed of one sample: it does not depend on the rest of the batch."""
    digest = hashlib.sha256(f"{base} {repeat} {prompt}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:7], "big")


@cache
def token_counter(name: str) -> Count | None:
    """Counts tokens with a model's tokenizer; None where no tokenizer can be loaded."""
    if not name:
        return None
    from transformers import AutoTokenizer

    def count(text: str) -> int:
        return len(tokenizer(str(text), add_special_tokens=False)["input_ids"])

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        # A folder without a tokenizer's files gives one that knows no token.
        why = "" if count("0 a") else "it has no tokens"
    except Exception as error:  # no tokenizer, no network
        why = first_line(error)
    if why:
        logger.warning("%s: no tokenizer, lengths in tokens stay unknown (%s)", name, why)
        return None
    return count


def counter_of_model(lm: Model | None, *, beside: bool = False) -> Count | None:
    """Counts tokens as a model in this process does; None where it has no tokenizer here, or no model is known.

    Args:
        lm: The model.
        beside: Whether it may be counted while the model encodes prompts: two threads cannot share a tokenizer.
    """
    tokenizer = getattr(lm, "tokenizer", None)
    if not callable(tokenizer):
        return None
    tokenizer = copy.deepcopy(tokenizer) if beside else tokenizer
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def counter_of(metadata: Mapping[str, Any]) -> Count | None:
    """The token counter of the model that lm_eval's metadata names."""
    return token_counter(str(metadata.get("tokenizer") or metadata.get("pretrained") or ""))
