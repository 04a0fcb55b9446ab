"""lm_eval's client of chat servers, keeping what it throws away: reasoning, counts, finish reasons, seeds."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from copy import deepcopy
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import requests
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion
from requests import HTTPError, RequestException

from sftgen_judges.asking.retrying import CallError, Patience, retrying, status_error
from sftgen_judges.errors import SftgenError
from sftgen_judges.records.schema import finish_word
from sftgen_tasks.harness.backends.server_limits import OVERRIDABLE, Refusal, Served, served
from sftgen_tasks.harness.budgets import response_budget
from sftgen_tasks.harness.generation import GeneratedText, prompt_text, sample_seed
from sftgen_tasks.harness.preflight import check_no_secrets
from sftgen_tasks.harness.sampling import in_force
from sftgen_tasks.harness.streaming import all_at_once, stream_generations
from sftgen_tasks.harness.token_probabilities import of_reply

OPENAI = "api.openai.com"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,60}")
TRIES = 4
"""Requests for one response, each for fewer tokens than the one before, where the server refuses so many."""


class ApiError(SftgenError):
    """A server that cannot be used, or that does not answer."""


class StreamingChat(LocalChatCompletion):  # type: ignore[misc]
    """`--model sftgen-chat`: as `local-chat-completions`, each response on disk when it comes.

    Every sample is a request with a seed of its own. A request that fails after its retries stops the
    evaluation: it is never taken for an empty answer, and those under way are still waited for and kept.
    """

    takes_repeats = True
    sftgen_name = "sftgen-chat"

    def __init__(self, model: str | None = None, base_url: str | None = None, *, seed: int = 0, **options: Any) -> None:
        """Connect to a server.

        Args:
            model: The name it is served under.
            base_url: Address of the endpoint, `http://HOST/v1/chat/completions`.
            seed: Base seed of sampled responses.
            options: Those of `local-chat-completions`: `num_concurrent`, `max_retries`, `timeout`, ...

        Raises:
            ApiError: No model or no address.
            ModelError: A key among the arguments; it belongs into `OPENAI_API_KEY`.
        """
        name = model or options.pop("pretrained", None)
        if not name or not base_url:
            raise ApiError("sftgen-chat: pass --model_args model=NAME,base_url=http://HOST/v1/chat/completions")
        check_no_secrets({**options, "base_url": base_url})
        # A chat request holds one prompt; `num_concurrent` says how many are under way.
        super().__init__(model=name, base_url=base_url, seed=seed, **{**options, "batch_size": 1})
        self.seed = int(seed)
        self._served: Served | None = None
        stream_generations(self, {"model": name, "base_url": base_url, **options}, self.seed)

    @property
    def eos_string(self) -> str | None:
        """The end-of-text string to stop at, if one was given: the server knows its model's."""
        text: str | None = self._eos_string
        return text

    def generate_until(
        self, requests: Sequence[Instance], disable_tqdm: bool = False, repeats: Sequence[int] | None = None
    ) -> list[str]:
        """Generate for every request; the arguments are those of `sftgen-hf`."""
        return all_at_once(self, requests, repeats)

    def generate_each(
        self, requests: Sequence[Instance], repeats: Sequence[int]
    ) -> Generator[Sequence[tuple[int, GeneratedText]], None, None]:
        """Hand out responses as they come, each with its place among the requests.

        Raises:
            ApiError: A request failed; said when everything that was under way has been handed out.
        """
        if requests and isinstance(requests[0].args[0], str):
            raise ApiError("sftgen-chat sends messages, not plain prompts: pass --apply_chat_template")
        failed = Event()
        if requests and self._served is None:
            self._served = self._ask_for_its_model()

        def ask(place: int) -> tuple[int, GeneratedText | Exception | None]:
            if failed.is_set():
                return place, None
            try:
                return place, self._ask(requests[place], repeats[place])
            except Exception as error:
                failed.set()
                return place, error

        errors: list[Exception] = []
        with ThreadPool(max(1, self._concurrent)) as pool:
            for place, outcome in pool.imap_unordered(ask, range(len(requests))):
                if isinstance(outcome, GeneratedText):
                    yield [(place, outcome)]
                elif outcome is not None:
                    errors.append(outcome)
        if errors:
            raise ApiError(
                f"{self.base_url}: {_described(errors[0])}. Every response that came is recorded; "
                "the same command asks for the others (`sftgen eval` needs the same --run DIR for that)"
            ) from errors[0]

    def _ask_for_its_model(self) -> Served:
        if urlsplit(self.base_url).hostname == OPENAI:  # its list names no lengths
            return Served()
        return served(
            self.base_url, self.model, header=self.header, verify=self.verify_certificate, timeout=self.timeout
        )

    def _ask(self, request: Instance, repeat: int) -> GeneratedText:
        settings = in_force(self.sftgen_name, request.args[1])
        seed = None
        if settings["temperature"] > 0:
            # Some servers take 32 bits.
            seed = settings["seed"] = sample_seed(self.seed, prompt_text(request), repeat) % 2**31
        limit = settings["max_gen_toks"] = int(settings.get("max_gen_toks") or self._max_gen_toks)
        known = self._served or Served()
        if known.overridable:  # such a server applies what the model's folder asks for, unless a request says otherwise
            unasked = OVERRIDABLE if seed is not None else {"repetition_penalty": 1.0}
            settings = {**unasked, **settings}
        if known.context is not None:
            settings["max_gen_toks"] = min(limit, known.context)
        for _ in range(TRIES):
            try:
                text = self._answer(request, settings, seed)
            except CallError as error:
                less = self._fewer(error, settings["max_gen_toks"], request)
                if less is None:
                    raise
                settings["max_gen_toks"] = less
            else:
                text.budget = self._budget(settings["max_gen_toks"], text.prompt_tokens)
                return text
        raise ApiError(f"the server refused {TRIES} requests for ever fewer tokens, at last {less}")

    def _answer(self, request: Instance, settings: dict[str, Any], seed: int | None) -> GeneratedText:
        def call() -> GeneratedText:
            try:
                return _read(self.model_call([request.args[0]], generate=True, gen_kwargs=settings), seed)
            except (RequestException, ApiError) as error:
                raise _call_error(error, patience) from error

        patience = Patience(attempts=self.max_retries)
        return retrying(patience)(call)

    def _fewer(self, error: CallError, sent: int, request: Instance) -> int | None:
        """How many tokens to ask for after a refusal; None where that is not what was wrong.

        Raises:
            PromptTooLongError: Not one token is left.
            ApiError: It is what was wrong, but the server does not tell the lengths.
        """
        response = getattr(error.__cause__, "response", None)
        if error.status not in {400, 413, 422} or response is None:
            return None
        told = Refusal.read(response.text)
        context = told.context or (self._served.context if self._served else None)
        task = f"{request.task_name}, document {request.doc_id}"
        less = sent if told.most is None else min(sent, told.most)
        if told.prompt is not None and context is not None:
            less = response_budget(less, context, told.prompt, task=task)
        elif told.context is not None:
            less = min(less, told.context)
        if told.context is not None:
            self._served = replace(self._served or Served(), context=told.context)
        if less < sent:
            return less
        if told.context is not None or told.most is not None:
            raise ApiError(
                f"{error} ({task}: {sent} tokens were asked for). Ask for fewer: --max_gen_toks {request.task_name}=N"
            )
        return None

    def _budget(self, sent: int, prompt_tokens: int | None) -> int:
        """What a response could have: a server may stop at its context by itself."""
        context = self._served.context if self._served else None
        return sent if context is None or prompt_tokens is None else max(1, min(sent, context - prompt_tokens))

    def model_call(self, messages: Any, *, generate: bool = True, gen_kwargs: Any = None, **options: Any) -> Any:
        """As lm_eval's, but no redirect is followed: prompts and key would go where nobody sent them.

        Raises:
            CallError: The server redirects.
        """
        options = {"generate": generate, "gen_kwargs": deepcopy(gen_kwargs), "seed": self._seed, **options}
        response = requests.post(
            self.base_url,
            json=self._create_payload(self.create_message(messages), eos=self.eos_string, **options),
            headers=self.header,
            verify=self.verify_certificate,
            timeout=self.timeout,
            allow_redirects=False,
        )
        if 300 <= response.status_code < 400:
            raise status_error(response.status_code, "", response.headers, longest_wait=0)
        response.raise_for_status()
        return response.json()

    def _create_payload(self, messages: Any, **options: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._create_payload(messages, **options)
        further = payload.pop("extra_body", None) or {}
        if taken := sorted(further.keys() & {*payload, "n", "stream"}):
            raise ApiError(f"--gen_kwargs extra_body: {', '.join(taken)} is set by sftgen-chat itself")
        payload |= further
        if not payload["stop"]:  # some servers refuse an empty list
            del payload["stop"]
        if urlsplit(self.base_url).hostname == OPENAI:
            payload["max_completion_tokens"] = payload.pop("max_tokens")
        return payload


def _read(outputs: Any, seed: int | None) -> GeneratedText:
    try:
        [choice, *_] = outputs["choices"]
        message, usage = choice["message"], outputs.get("usage") or {}
        reason = choice.get("finish_reason")
        # A model that declines in a form of its own has answered too.
        content = message.get("content") or message.get("refusal") or ""
        reasoning = message.get("reasoning_content") or message.get("reasoning")  # the older name and the newer
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ApiError(f"not a chat completion: {_shape(outputs)}") from error
    if not isinstance(content, str) or not isinstance(reasoning, str | None):
        raise ApiError(f"a chat completion whose content is no text: {_shape(message)}")
    logprob, entropy = of_reply(choice)
    if reasoning is None and not content and finish_word(reason) == "length":
        reasoning = ""  # all of it was thinking that the server does not show
    return GeneratedText(
        content,
        tokens=usage.get("completion_tokens"),
        prompt_tokens=usage.get("prompt_tokens"),
        finish_reason=reason,
        seed=seed,
        reasoning=reasoning,
        logprob=logprob,
        entropy=entropy,
    )


def _shape(reply: Any) -> str:
    """What a reply looks like; a model's words in it may be harmful and are not shown, a server's message neither."""
    if not isinstance(reply, dict):
        return f"a {type(reply).__name__}"
    if reply.get("error"):
        return f"an error: {named}" if (named := error_name(reply)) else "an error without a name"
    return ("an object with " + ", ".join(f"{name}: {type(value).__name__}" for name, value in reply.items()))[:200]


def _described(error: Exception) -> str:
    return str(error) if isinstance(error, CallError) else f"{type(error).__name__}: {error}"[:300]


def _call_error(error: Exception, patience: Patience) -> CallError:
    """What an error of `requests`, or a reply that cannot be read, means for the call."""
    if not isinstance(error, HTTPError) or error.response is None:
        return CallError(_described(error))
    response = error.response
    try:
        body = response.json()
    except ValueError:
        body = None
    error_of = body.get("error") if isinstance(body, dict) else None
    code = error_of.get("code") if isinstance(error_of, dict) else None
    name = error_name(body)
    headers = response.headers
    return status_error(response.status_code, name, headers, longest_wait=patience.longest_wait, code=code)


def error_name(body: Any) -> str:
    """What a server calls its error: type and code, never the message, which may repeat a harmful prompt."""
    error = body.get("error") if isinstance(body, dict) else None
    facts = error if isinstance(error, dict) else body if isinstance(body, dict) else {}
    names = (facts.get(field) for field in ("type", "code"))
    return ", ".join(dict.fromkeys(name for name in names if isinstance(name, str) and _NAME.fullmatch(name)))
