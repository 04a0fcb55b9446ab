"""Asks a server through its Batch API, which is cheaper and takes up to a day.

A batch carries a hash of its requests. A run that was killed while it waited finds its batch on the server
by that hash, and pays for nothing twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sftgen_judges.asking.completions import read_completion
from sftgen_judges.asking.connection import LARGEST_REPLY, client
from sftgen_judges.asking.retrying import CallError, call_openai
from sftgen_judges.asking.server import parameters
from sftgen_judges.asking.settings import without_key
from sftgen_judges.asking.throttle import SPENT, BudgetSpentError
from sftgen_judges.plugins.contracts import Failure, JudgeBackend, Reply, Request
from sftgen_judges.plugins.contracts.asking import Outcome
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_judges.records.schema import content_hash

if TYPE_CHECKING:
    import openai

_ENDED = {"completed", "failed", "expired", "cancelled"}


def ask(settings: JudgeSettings, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
    """Ask a server in one batch, and wait for it.

    Args:
        settings: Where and how.
        requests: What to ask: all texts, or all messages.

    Yields:
        Position and outcome of each request, when the batch has ended.
    """
    open_positions = dict.fromkeys(range(len(requests)), Failure("the batch has no reply to it", attempts=1))
    for position in open_positions:
        try:
            SPENT.allow(settings)
        except BudgetSpentError as error:
            open_positions |= dict.fromkeys(range(position, len(requests)), Failure(str(error), "not_graded"))
            break
    asked = [position for position, failure in open_positions.items() if failure.status != "not_graded"]
    try:
        results = _results(settings, requests, asked) if asked else iter(())
        for position, result in results:
            try:
                reply = _reply(result, requests[position], settings)
            except CallError as error:
                open_positions[position] = Failure(without_key(str(error), settings)[:200], attempts=1)
                continue
            if position in open_positions:  # a server may send a result twice
                SPENT.add(settings, requests[position], reply)
                del open_positions[position]
                yield position, reply
    except CallError as error:
        reason = without_key(f"batch: {error}", settings)[:200]
        open_positions |= dict.fromkeys(set(asked) & open_positions.keys(), Failure(reason, attempts=1))
    yield from open_positions.items()


BATCH = JudgeBackend("batch", ask)


def _reply(result: Mapping[str, Any], request: Request, settings: JudgeSettings) -> Reply:
    """The reply in a line of a batch's results.

    Raises:
        CallError: It has none.
    """
    response = _object(result, "response")
    if response.get("status_code") == 200:
        return read_completion(response.get("body"), request)
    said = (_object(found, "error").get("message") for found in (_object(response, "body"), result))
    message = next((text for text in said if isinstance(text, str) and text), "")
    status = response.get("status_code")
    code = status if isinstance(status, int) else "without a status"
    raise CallError(f"HTTP {code}: {' '.join(without_key(message, settings).split())[:120]}".rstrip(": "))


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {}


def _results(
    settings: JudgeSettings, requests: Sequence[Request], asked: Sequence[int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    connection = client(settings, settings.base_url, most=LARGEST_REPLY * (1 + len(asked)))
    url = "/v1/completions" if isinstance(requests[asked[0]].prompt, str) else "/v1/chat/completions"
    lines = [
        {
            "custom_id": str(number),
            "method": "POST",
            "url": url,
            "body": {**parameters(settings, requests[position]), **settings.extra_body},
        }
        for number, position in enumerate(asked)
    ]
    batch = call_openai(partial(_find_or_make, connection, lines, url), settings)
    while batch.status not in _ENDED:
        time.sleep(settings.poll)
        batch = call_openai(partial(connection.batches.retrieve, batch.id), settings)
    for file in filter(None, (batch.output_file_id, batch.error_file_id)):
        for line in call_openai(partial(_text_of, connection, file), settings).split("\n"):
            if len(line) > LARGEST_REPLY:
                continue
            try:
                result = json.loads(line)
                number = int(result["custom_id"])
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # nobody's result; the request that it belongs to has no reply
            if 0 <= number < len(asked):
                yield asked[number], result


def _text_of(client: openai.OpenAI, file: str) -> str:
    return client.files.content(file).text


def _find_or_make(client: openai.OpenAI, lines: Sequence[dict[str, Any]], url: Any) -> Any:
    name = content_hash(lines)
    for batch in client.batches.list(limit=100).data:
        failed = batch.request_counts.failed if batch.request_counts else 0
        # A batch that ended badly is made again.
        usable = (batch.status == "completed" and not failed) or batch.status not in _ENDED | {"cancelling"}
        if usable and (batch.metadata or {}).get("sftgen") == name:
            return batch
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = client.files.create(file=("judge.jsonl", data), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=url, completion_window="24h", metadata={"sftgen": name}
    )
