"""Conversations through a chat template, and whether everything in them reached the text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import Any

from sftgen_tasks.data.tables import DataError
from sftgen_train.training.config import TrainingConfigError
from sftgen_train.training.rows import LABELS, REASONING, Row, Turn, leaves

_PROBE = "sftgen looks for this thought"
_INSTEAD = "write it into the content, name a chat_template_path that takes it, or remove it"
_CLOSERS = ("</think>", "[/THINK]", "<|/think|>")
_OPENER = "<think>"


def require_markers(tokenizer: Any, marked: Callable[[Any], str | None]) -> None:
    """Check that a chat template says which tokens are the assistant's, for a loss on all of its turns.

    Args:
        tokenizer: The tokenizer.
        marked: The trainer's own version of a template that it knows; it raises ValueError where it has none.

    Raises:
        TrainingConfigError: The template has no generation markers. The message says how to get them.
    """
    try:
        marked(tokenizer)
    except ValueError as error:
        raise TrainingConfigError(
            "assistant_only_loss: the model's chat template has no generation markers, which tell the assistant's "
            "tokens from the others, and TRL knows no version of it that has. Write the template into a file, put "
            "{% generation %} before what it writes of an assistant's turn and {% endgeneration %} after it, and name "
            "the file: chat_template_path: FILE. Without assistant_only_loss the loss is on the last response, and no "
            "markers are needed"
        ) from error


class _RefusedError(DataError):
    """The template raised an error."""


@dataclass(frozen=True)
class Written:
    """A row as text.

    Attributes:
        prompt: The prompt, up to where the model begins to write.
        response: What the model is to write, without the end of the turn.
        notes: What was left out, and is left out in generation too.
    """

    prompt: str
    response: str
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Form:
    """How turns are given to a template: the arguments of tool calls, and the content where there is none."""

    arguments: Callable[[Any], Any]
    nothing: str | None


@dataclass(frozen=True)
class Template:
    """A tokenizer's chat template, and what it takes.

    Attributes:
        tokenizer: The tokenizer.
    """

    tokenizer: Any

    def write(self, row: Row, where: str) -> Written:
        """Write a row whose prompt is turns.

        A response that is text alone is kept as it is, since templates rewrite responses. One with more, for example
        `reasoning_content` or `tool_calls`, is written by the template.

        Raises:
            DataError: The template refuses the row, or leaves a part of it out. The message names the part.
        """
        assert not isinstance(row.prompt, str)
        self._require_options(row, where)
        turns = [*row.prompt, row.response]
        problem: DataError | None = None
        called = any("tool_calls" in turn.others for turn in turns)
        # Some templates ask whether a turn that only calls tools has no content, others join it to text.
        forms = product((_as_objects, _as_text), (None, "")) if called else [(_as_objects, None)]
        for arguments, nothing in forms:
            try:
                return self._written(row, _Form(arguments, nothing), where)
            except DataError as error:
                problem = error if problem is None or isinstance(problem, _RefusedError) else problem
        assert problem
        raise problem

    def _written(self, row: Row, form: _Form, where: str) -> Written:
        assert not isinstance(row.prompt, str)
        options = {"tools": row.tools or None, **row.options}
        prompt = [self._turn(turn, form) for turn in row.prompt]
        text = self._apply(prompt, where, **options)
        notes = [*_require_prompt(row, text, where), *self._require_fields(row.prompt, prompt, text, where, options)]
        response = row.response.content or ""
        if not row.response.plain:
            if row.response.reasoning and self.reasoning is None:
                raise DataError(_left_out(where, f"{row.response.named!r} of the response"))
            turns, options = [*prompt, self._turn(row.response, form)], {**options, "add_generation_prompt": False}
            whole = self._apply(turns, where, **options)
            notes += self._require_fields([*row.prompt, row.response], turns, whole, where, options)
            if not whole.startswith(text):
                raise DataError(
                    f"{where}: the chat template writes the response with {_names(row.response)} otherwise than its "
                    f"generation prompt begins it; {_INSTEAD}"
                )
            response = whole[len(text) :].removesuffix(self.turn_end)
            _require_response(row.response, response, where)
        elif row.response.others:
            notes.append(_not_written(row.response.others))
        if text.rstrip().endswith(_OPENER):
            if response.lstrip().startswith(_OPENER):
                notes.append(f"the chat template's prompt ends with {_OPENER}, and the response begins with it again")
            elif not any(closer in response for closer in _CLOSERS):
                notes.append(f"the chat template's prompt ends with {_OPENER}, and the response never closes it")
        return Written(text, response, tuple(dict.fromkeys(notes)))

    def _require_fields(
        self, turns: Sequence[Turn], given: Sequence[Mapping[str, Any]], text: str, where: str, options: dict[str, Any]
    ) -> list[str]:
        """Check that the text is another one without a field of a turn; returns the labels that make no difference."""
        unread = []
        for number, turn in enumerate(turns):
            for name in turn.others.keys() - {"tool_calls"}:
                bare = {key: value for key, value in given[number].items() if key != name}
                without = [*given[:number], bare, *given[number + 1 :]]
                if self._apply(without, where, **options) != text:
                    continue
                if name not in LABELS and (name, turn.role) != ("name", "tool"):
                    raise DataError(_left_out(where, f"{name!r} of turn {number + 1} ({turn.role})"))
                unread.append(name)
        return [_not_written(unread)] if unread else []

    def whole(self, row: Row, where: str) -> list[dict[str, Any]]:
        """The turns of a row whose assistant turns are all trained on, for a trainer that applies the template.

        Raises:
            DataError: A turn is more than text, or the template leaves text out.
        """
        if isinstance(row.prompt, str):
            raise DataError(f"{where}: a text; assistant_only_loss needs chat turns")
        turns = [*row.prompt, row.response]
        more = [_names(turn) for turn in turns if not turn.plain] + ["tools"] * bool(row.tools)
        if more or row.options:
            named = more[0] if more else "chat_template_kwargs"
            raise DataError(f"{where}: assistant_only_loss takes role and content only, and not {named}; {_INSTEAD}")
        plain = [{"role": turn.role, "content": turn.content or ""} for turn in turns]
        text = squeezed(self._apply(plain, where, add_generation_prompt=False))
        for number, turn in enumerate(turns, 1):
            if not reached(turn.content or "", text):
                raise DataError(_left_out(where, f"turn {number} ({turn.role}), or a part of it,"))
        return plain

    @cached_property
    def reasoning(self) -> Callable[[str, str | None], dict[str, Any]] | None:
        """How the template takes reasoning beside content, None if it does not."""
        ask = {"role": "user", "content": "a question"}
        for form in _reasoning_forms():
            turn = {"role": "assistant", "content": "an answer", **form(_PROBE, "an answer")}
            try:
                text = self._apply([ask, turn], "", add_generation_prompt=False)
            except DataError:
                continue
            if _PROBE in text and "'type'" not in text:  # not a list of parts printed as it is
                return form
        return None

    @cached_property
    def turn_end(self) -> str:
        """The text that the template puts after an assistant's turn, empty when it cannot be found."""
        answer = "an answer"
        turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": answer}]
        try:
            return self._apply(turns, "", add_generation_prompt=False).rpartition(answer)[2]
        except DataError:
            return ""

    def _turn(self, turn: Turn, form: _Form) -> dict[str, Any]:
        calls = {"tool_calls": form.arguments(turn.others["tool_calls"])} if "tool_calls" in turn.others else {}
        content = turn.content or (form.nothing if calls else "")
        thought = self.reasoning(turn.reasoning, content) if turn.reasoning and self.reasoning else {}
        return {"role": turn.role, "content": content, **turn.others, **calls, **thought}

    def _apply(self, turns: Sequence[Mapping[str, Any]], where: str, **options: Any) -> str:
        options = {"add_generation_prompt": True, **options}
        try:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, **options))
        except Exception as error:  # a template may raise anything
            raise _RefusedError(f"{where}: the chat template refuses the prompt: {error}") from error

    def _require_options(self, row: Row, where: str) -> None:
        source = self.tokenizer.chat_template
        source = source if isinstance(source, str) else json.dumps(source)
        for name in row.options:
            if name not in source:
                raise DataError(f"{where}: the chat template does not read {name!r} of chat_template_kwargs; remove it")


def _reasoning_forms() -> Iterator[Callable[[str, str | None], dict[str, Any]]]:
    yield from (partial(_as_field, name) for name in REASONING)
    yield from (partial(_as_part, listed) for listed in (True, False))


def _as_field(name: str, thought: str, content: str | None) -> dict[str, Any]:
    return {name: thought}


def _as_part(listed: bool, thought: str, content: str | None) -> dict[str, Any]:
    held = [{"type": "text", "text": thought}] if listed else thought
    return {"content": [{"type": "thinking", "thinking": held}, {"type": "text", "text": content or ""}]}


def _as_objects(calls: Any) -> Any:
    """Tool calls with their arguments as objects: most templates write them as JSON."""
    return _with_arguments(calls, lambda given: json.loads(given) if isinstance(given, str) else given)


def _as_text(calls: Any) -> Any:
    """Tool calls with their arguments as JSON text: some templates put them between other texts."""
    return _with_arguments(calls, lambda given: given if isinstance(given, str) else json.dumps(given))


def _with_arguments(calls: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(calls, list):
        return [_with_arguments(call, change) for call in calls]
    if not isinstance(calls, Mapping):
        return calls
    if isinstance(calls.get("function"), Mapping):
        return {**calls, "function": _with_arguments(calls["function"], change)}
    try:
        return {**calls, "arguments": change(calls["arguments"])} if "arguments" in calls else calls
    except ValueError:  # no JSON: as it is
        return calls


def _require_prompt(row: Row, text: str, where: str) -> list[str]:
    """Check that the template wrote everything in the prompt; returns what it leaves out in generation too."""
    assert not isinstance(row.prompt, str)
    notes, found = [], squeezed(text)
    for number, turn in enumerate(row.prompt, 1):
        which = f"turn {number} ({turn.role})"
        if not reached(turn.content or "", found):
            # Templates leave the thinking of earlier turns out, as when the model generates.
            if turn.role != "assistant" or not reached(_answer(turn.content or ""), found):
                raise DataError(_left_out(where, which))
            notes.append("the chat template leaves out thinking in earlier turns")
        if turn.reasoning and not reached(turn.reasoning, found):
            notes.append(f"the chat template leaves out {turn.named} of earlier turns")
        if "tool_calls" in turn.others and not _all_reached(_call_texts(turn.others["tool_calls"]), found):
            raise DataError(_left_out(where, f"'tool_calls' of {which}"))
    for tool in row.tools:
        about = tool.get("function", tool) if isinstance(tool, Mapping) else {}
        if not about.get("name"):
            raise DataError(f"{where}: column 'tools': {str(tool)[:80]!r}: expected a schema with a name")
        if not _all_reached([str(about[key]) for key in ("name", "description") if about.get(key)], found):
            raise DataError(_left_out(where, f"column 'tools' (tool {about['name']!r})"))
    return notes


def _require_response(turn: Turn, response: str, where: str) -> None:
    """Check that a response holds reasoning, then content, then tool calls."""
    rest = squeezed(response)
    for named, text in ((turn.named, turn.reasoning), ("content", turn.content or "")):
        _, found, after = _partition(rest, text)
        if not found:
            raise DataError(_left_out(where, f"{named!r} of the response"))
        rest = after
    if "tool_calls" in turn.others and not _all_reached(_call_texts(turn.others["tool_calls"]), rest):
        raise DataError(_left_out(where, "'tool_calls' of the response"))
    if turn.reasoning and turn.content and turn.content.lstrip().startswith(_OPENER):
        raise DataError(f"{where}: thinking in the content and in {turn.named!r} of the response; keep one of them")


def _partition(rest: str, text: str) -> tuple[str, bool, str]:
    for form in _forms(text):
        before, found, after = rest.partition(form) if form else ("", "-", rest)
        if found:
            return before, True, after
    return rest, False, ""


def _call_texts(calls: Any) -> Iterator[str]:
    """What of tool calls a template must write: names of functions and arguments, not ids and types."""
    for call in _as_objects(calls) if isinstance(calls, list) else [calls]:
        about = call.get("function", call) if isinstance(call, Mapping) else {}
        yield str(about.get("name", call))
        yield from leaves(about.get("arguments"))


def squeezed(text: str) -> str:
    """The text without white space: templates trim it."""
    return "".join(text.split())


def _forms(text: str) -> tuple[str, ...]:
    """A text as it may stand in another without white space: plain, or in JSON."""
    trimmed = text.strip()
    escaped = (json.dumps(trimmed, ensure_ascii=kept)[1:-1] for kept in (False, True))
    return (squeezed(trimmed), *map(squeezed, escaped))


def reached(text: str, found: str) -> bool:
    """Whether a text stands in another without white space, plain or in JSON."""
    return any(form in found for form in _forms(text))


def _all_reached(texts: Iterable[str], found: str) -> bool:
    return all(reached(text, found) for text in texts)


def _answer(content: str) -> str:
    for closer in _CLOSERS:
        content = content.rpartition(closer)[2]
    return content


def _names(turn: Turn) -> str:
    return ", ".join(repr(name) for name in ([turn.named] if turn.reasoning else []) + [*turn.others])


def _not_written(fields: Iterable[str]) -> str:
    return f"the chat template does not write {', '.join(sorted(fields))}"


def _left_out(where: str, what: str) -> str:
    return f"{where}: the chat template does not write {what}: it would be left out of the training; {_INSTEAD}"
